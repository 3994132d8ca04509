//! Texts that may hold a password among other things, such as a connection string, as messages show them.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

/// Stands in the place of a password.
const REDACTED: &str = "${1}<redacted>";

/// `password = 'x'` and the like of a connection string, and what stands between user and host in a URI.
static PASSWORDS: LazyLock<Option<[Regex; 2]>> = LazyLock::new(|| {
    let keyword = Regex::new(r"(?i)(password\s*=\s*)('(?:[^'\\]|\\.|'')*'|[^\s']+)").ok()?;
    let uri = Regex::new(r"(://[^:/@\s]*:)[^@/\s]+").ok()?;
    Some([keyword, uri])
});

/// The text without the passwords of connection strings in it.
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    // Most texts hold none, and a process that only archives a segment has no time to compile expressions.
    let may_hold = text.to_ascii_lowercase().contains("password") || text.contains("://");
    if !may_hold {
        return Cow::Borrowed(text);
    }
    match &*PASSWORDS {
        Some([keyword, uri]) => {
            let text = keyword.replace_all(text, REDACTED).into_owned();
            // An address of a host and a port looks the same; it holds no `@`.
            match text.contains('@') {
                true => Cow::Owned(uri.replace_all(&text, REDACTED).into_owned()),
                false => Cow::Owned(text),
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
