//! Identifies a data key, in key objects and in the header of every encrypted object.

use std::fmt;

/// Random: it reveals nothing about the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DataKeyId(pub [u8; 8]);

impl fmt::Display for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
