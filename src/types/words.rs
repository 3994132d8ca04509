//! Enums whose variants are the words of an option: one list of words for the option table, the parser and the
//! output.

/// Defines an enum with a word for each variant: `WORDS` lists them for the option table, `word` and `Display` write
/// one, `FromStr` reads one.
macro_rules! words {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident ($what:literal) {
            $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        $vis enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        $crate::types::words::impl_words!($name ($what) { $($variant = $word,)+ });
    };
}

/// The words of an enum that is defined elsewhere; a variant without a word does not compile.
macro_rules! impl_words {
    ($name:ident ($what:literal) { $($variant:ident = $word:literal,)+ }) => {
        #[allow(dead_code, missing_docs, unreachable_pub)]
        impl $name {
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::types::Invalid;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::types::Invalid::new($what, text, "it is not one of its words")),
                }
            }
        }
    };
}

pub(crate) use {impl_words, words};

#[cfg(test)]
mod tests {
    words! {
        /// For the test.
        enum Size ("size") {
            Small = "small",
            ExtraLarge = "extra-large",
        }
    }

    #[test]
    fn every_word_is_read_and_written() {
        for word in Size::WORDS {
            assert_eq!(word.parse::<Size>().unwrap().to_string(), *word);
        }
        assert_eq!(Size::WORDS.len(), 2);
        assert_eq!(Size::ExtraLarge.word(), "extra-large");
        assert!("large".parse::<Size>().is_err());
    }
}
