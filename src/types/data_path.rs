//! Paths inside a data directory, as bytes: PostgreSQL's file names need not be UTF-8.

use std::{
    ffi::OsStr,
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A checked path relative to a data directory: no leading `/`, no empty, `.` or `..` component and no NUL, so it
/// cannot lead out of the directory it is joined to.
///
/// In the reversible text form, `%` and bytes that are not printable UTF-8 are written as `%XX`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataPath(Box<[u8]>);

impl DataPath {
    /// Checks a path from a server, a tar archive or a repository.
    pub fn new(bytes: &[u8]) -> Result<Self, Invalid> {
        let invalid = |reason| {
            Err(Invalid::new("data directory path", &String::from_utf8_lossy(bytes), reason))
        };
        if bytes.len() > 4096 {
            return invalid("it is longer than 4096 bytes");
        }
        if bytes.contains(&0) {
            return invalid("it holds a NUL byte");
        }
        for component in bytes.split(|&b| b == b'/') {
            match component {
                b"" => return invalid("it has an empty component or starts with '/'"),
                b"." | b".." => return invalid("it has a component '.' or '..'"),
                _ => {}
            }
        }
        Ok(Self(bytes.into()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn under(&self, root: &Path) -> PathBuf {
        root.join(OsStr::from_bytes(&self.0))
    }

    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|&b| b == b'/').next().unwrap_or(&self.0)
    }

    /// The path without its last component; `None` if it has only one.
    pub fn parent(&self) -> Option<Self> {
        let slash = self.0.iter().rposition(|&b| b == b'/')?;
        Some(Self(self.0[..slash].into()))
    }

    /// Whether the path is `directory` or below it.
    pub fn is_within(&self, directory: &str) -> bool {
        self.0
            .strip_prefix(directory.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }
}

/// The text form of a path: `%` and bytes that are not printable UTF-8 are written as `%XX`.
pub fn escape_path(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '%' => text.push_str("%25"),
                c if c.is_control() => {
                    let mut buffer = [0; 4];
                    for b in c.encode_utf8(&mut buffer).bytes() {
                        text.push_str(&format!("%{b:02X}"));
                    }
                }
                c => text.push(c),
            }
        }
        for b in chunk.invalid() {
            text.push_str(&format!("%{b:02X}"));
        }
    }
    text
}

/// The inverse of [`escape_path`].
pub fn unescape_path(text: &str) -> Result<Vec<u8>, Invalid> {
    let escape = || Invalid::new("data directory path", text, "'%' starts a two-digit escape");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        if b != b'%' {
            bytes.push(b);
            continue;
        }
        let mut byte = [0];
        let digits = rest.get(..2).ok_or_else(escape)?;
        hex::decode_to_slice(digits, &mut byte).map_err(|_| escape())?;
        bytes.push(byte[0]);
        rest = &rest[2..];
    }
    Ok(bytes)
}

impl fmt::Display for DataPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape_path(&self.0))
    }
}

impl fmt::Debug for DataPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataPath({self})")
    }
}

impl std::str::FromStr for DataPath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::new(&unescape_path(text)?)
    }
}

super::digest::serde_as_text!(DataPath);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_that_lead_outside_are_refused() {
        for text in
            ["", "/", "/etc/passwd", "..", "../x", "a/../b", "a//b", "a/", "./a", "a/.", "a\0b"]
        {
            assert!(DataPath::new(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_text_form(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let text = escape_path(&bytes);
            prop_assert!(!text.contains(char::is_control));
            prop_assert_eq!(unescape_path(&text).unwrap(), bytes);
        }

        #[test]
        fn text_form_is_reversible(bytes in prop::collection::vec(any::<u8>(), 1..64)) {
            if let Ok(path) = DataPath::new(&bytes) {
                prop_assert_eq!(path.to_string().parse::<DataPath>().unwrap(), path);
            }
        }
    }
}
