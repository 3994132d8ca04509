//! The password file (`~/.pgpass`), by libpq's rules: one `host:port:database:user:password` per line, `*` matches
//! anything, `\` escapes, and a file that others can read is ignored.

use std::{fs, io::Read, os::unix::fs::MetadataExt, path::Path};

use tracing::warn;

use super::Password;

/// Maximum size of a password file in bytes.
const SIZE_MAX: u64 = 16 << 20;

/// The connection to find a line for.
pub(super) struct Key<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The content of the file; `None`, with libpq's warning, if it must not be used.
pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() {
        warn!("the password file {} is not a plain file and is ignored", path.display());
        return None;
    }
    if metadata.mode() & 0o077 != 0 {
        warn!(
            "the password file {} has group or world access and is ignored; \
             permissions should be u=rw (0600) or less",
            path.display()
        );
        return None;
    }
    let mut content = Vec::new();
    let read = fs::File::open(path)
        .and_then(|file| file.take(SIZE_MAX).read_to_end(&mut content).map(|_| content));
    read.inspect_err(|e| warn!("unable to read the password file {}: {e}", path.display())).ok()
}

/// The password of the first matching line.
pub(super) fn find(content: &[u8], key: &Key<'_>) -> Option<Password> {
    content.split(|&b| b == b'\n').find_map(|line| match_line(line, key))
}

fn match_line(line: &[u8], key: &Key<'_>) -> Option<Password> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.first() == Some(&b'#') {
        return None;
    }
    let port = key.port.to_string();
    let mut rest = line;
    for wanted in [key.host, &port, key.database, key.user] {
        let (raw, tail) = split_field(rest)?;
        if raw != b"*" && unescape(raw) != wanted.as_bytes() {
            return None;
        }
        rest = tail;
    }
    let password = split_field(rest).map_or(rest, |(raw, _)| raw);
    Some(Password::new(unescape(password)))
}

/// Splits at the first unescaped `:`.
fn split_field(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b':' => return Some((&text[..at], &text[at + 1..])),
            _ => at += 1,
        }
    }
    None
}

fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied().peekable();
    while let Some(b) = bytes.next() {
        match (b, bytes.peek()) {
            (b'\\', Some(_)) => out.extend(bytes.next()),
            _ => out.push(b),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn password(content: &str) -> Option<String> {
        let key = Key { host: "db", port: 5432, database: "replication", user: "me" };
        find(content.as_bytes(), &key).map(|p| String::from_utf8_lossy(p.reveal()).into_owned())
    }

    #[test]
    fn the_first_matching_line_wins() {
        assert_eq!(password("db:5432:replication:me:one\n*:*:*:*:two\n").unwrap(), "one");
        assert_eq!(password("db:5433:replication:me:one\n*:*:*:*:two").unwrap(), "two");
        assert_eq!(password("other:*:*:*:one\n"), None);
    }

    #[test]
    fn comments_and_short_lines_are_passed_over() {
        assert_eq!(password("#*:*:*:*:no\n\ndb:5432\n*:*:*:*:yes\r\n").unwrap(), "yes");
    }

    #[test]
    fn escapes() {
        assert_eq!(password(r"*:*:*:me:a\:b\\c").unwrap(), r"a:b\c");
        assert_eq!(password(r"*:*:*:\me:p:rest").unwrap(), "p");
        assert_eq!(password(r"*:*:*:\*:p"), None);
    }

    proptest! {
        #[test]
        fn never_panics(content in proptest::collection::vec(any::<u8>(), 0..300)) {
            let key = Key { host: "db", port: 5432, database: "replication", user: "me" };
            let _ = find(&content, &key);
        }
    }
}
