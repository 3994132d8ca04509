//! The name of an object in a storage.

use std::fmt;

use crate::types::Invalid;

/// A checked path from the root of a storage, components joined by `/`; the root itself is the empty path.
/// No component is empty, `.` or `..`, starts with `.tmp-`, or holds a control character.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectPath(String);

impl ObjectPath {
    /// The root of the storage.
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// Checks a path. The empty text is the root.
    pub fn new(path: impl Into<String>) -> Result<Self, Invalid> {
        let path = path.into();
        let component_ok = |part: &str| {
            !matches!(part, "" | "." | "..")
                && !part.starts_with(".tmp-")
                && !part.chars().any(char::is_control)
        };
        match path.is_empty() || path.split('/').all(component_ok) {
            true => Ok(Self(path)),
            false => Err(Invalid::new(
                "object path",
                &path,
                "no component may be empty, '.', '..', or start with '.tmp-'",
            )),
        }
    }

    /// The path below this one; `name` may hold several components.
    pub fn join(&self, name: &str) -> Result<Self, Invalid> {
        match self.0.is_empty() {
            true => Self::new(name),
            false => Self::new(format!("{}/{name}", self.0)),
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component; empty for the root.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The path without its last component; the root's parent is the root.
    pub fn parent(&self) -> Self {
        Self(self.0.rsplit_once('/').map(|(parent, _)| parent.to_owned()).unwrap_or_default())
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
