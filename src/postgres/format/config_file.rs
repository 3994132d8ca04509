//! Reads the settings of `postgresql.conf` and `postgresql.auto.conf` line by line, and quotes values for them
//! (guc-file.l).

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigLine {
    /// Counted from 1.
    pub line: usize,
    /// In lower case: names of settings are not case-sensitive.
    pub name: String,
    /// Without quotes.
    pub value: String,
}

/// The settings of a file, including the `include` directives. Bytes that are not UTF-8 are replaced.
pub fn config_lines(text: &[u8]) -> Vec<ConfigLine> {
    let lines = text.split(|&b| b == b'\n').enumerate();
    lines
        .filter_map(|(index, line)| {
            let (name, rest) = config_name(line)?;
            let rest = String::from_utf8_lossy(rest);
            let rest = rest.trim_start();
            let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
            Some(ConfigLine { line: index + 1, name, value: value_of(rest) })
        })
        .collect()
}

/// The lower-case name of the setting in a line, and the rest of the line after the optional `=`.
pub fn config_name(line: &[u8]) -> Option<(String, &[u8])> {
    let line = line.trim_ascii_start();
    let part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'$');
    let end = line.iter().position(|b| !part(b)).unwrap_or(line.len());
    let name = str::from_utf8(&line[..end]).ok()?;
    (!name.is_empty()).then(|| (name.to_ascii_lowercase(), &line[end..]))
}

/// Parses a value: quoted up to the closing quote, otherwise up to a blank or a comment.
fn value_of(text: &str) -> String {
    let Some(quoted) = text.strip_prefix('\'') else {
        let end = text.find(|c: char| c.is_whitespace() || c == '#').unwrap_or(text.len());
        return text[..end].to_owned();
    };
    let mut value = String::new();
    let mut chars = quoted.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' if chars.peek() == Some(&'\'') => value.extend(chars.next()),
            '\'' => break,
            '\\' => value.extend(chars.next().map(|escaped| match escaped {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            })),
            other => value.push(other),
        }
    }
    value
}

/// Quotes a value for a configuration file (GUC_scanstr in guc-file.l).
pub fn config_quoted(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('\'');
    for c in value.chars() {
        match c {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_read_as_postgresql_reads_them() {
        let text = b"# recovery_target_time = 'no'\n\
            Recovery_Target_Time '2026-01-01' # why\n\
            recovery_min_apply_delay=1h#x\n  \
            restore_command = 'cp ''/a b/%f'' \\'%p\\''\n\
            include_if_exists 'more.conf'\n\
            odd\n\xFF\xFE = 1\n";
        let found: Vec<_> = config_lines(text)
            .into_iter()
            .map(|line| format!("{} {}={}", line.line, line.name, line.value))
            .collect();
        assert_eq!(
            found,
            [
                "2 recovery_target_time=2026-01-01",
                "3 recovery_min_apply_delay=1h",
                "4 restore_command=cp '/a b/%f' '%p'",
                "5 include_if_exists=more.conf",
                "6 odd=",
            ]
        );
    }

    proptest! {
        #[test]
        fn a_quoted_value_is_read_back_as_it_was(value in "[^\0]*") {
            let quoted = config_quoted(&value);
            prop_assert!(!quoted.contains('\n'));
            prop_assert_eq!(value_of(&quoted), value);
        }

        #[test]
        fn no_text_is_a_panic(text: Vec<u8>) {
            let _ = config_lines(&text);
        }
    }
}
