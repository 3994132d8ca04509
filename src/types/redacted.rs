//! Removes passwords from texts for messages, such as connection strings.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

/// Replaces a password.
const REDACTED: &str = "${1}<redacted>";

/// `password = 'x'` and similar settings of a connection string, and the password of a URI.
static PASSWORDS: LazyLock<Option<[Regex; 2]>> = LazyLock::new(|| {
    let keyword = Regex::new(r"(?i)(password\s*=\s*)('(?:[^'\\]|\\.|'')*'|[^\s']+)").ok()?;
    let uri = Regex::new(r"(://[^:/@\s]*:)[^@/\s]+").ok()?;
    Some([keyword, uri])
});

pub fn without_passwords(text: &str) -> Cow<'_, str> {
    // Most texts have no password, and compiling the expressions takes too long for archive-push.
    let may_hold = text.to_ascii_lowercase().contains("password") || text.contains("://");
    if !may_hold {
        return Cow::Borrowed(text);
    }
    match &*PASSWORDS {
        Some([keyword, uri]) => {
            let text = keyword.replace_all(text, REDACTED).into_owned();
            // A host and port look the same, but without `@`.
            if text.contains('@') {
                Cow::Owned(uri.replace_all(&text, REDACTED).into_owned())
            } else {
                Cow::Owned(text)
            }
        }
        None => Cow::Borrowed("<redacted>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_connection_strings_are_not_shown() {
        for (text, expected) in [
            ("host=a user=b", "host=a user=b"),
            ("host=a password=s3cr3t user=b", "host=a password=<redacted> user=b"),
            ("PASSWORD = 's3cr3t \\' x' host=a", "PASSWORD = <redacted> host=a"),
            ("sslpassword='it''s s3cr3t'", "sslpassword=<redacted>"),
            ("postgresql://b:s3cr3t@a:5432/db", "postgresql://b:<redacted>@a:5432/db"),
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ] {
            assert_eq!(without_passwords(text), expected);
        }
    }
}
