//! Compression methods.

use serde::{Deserialize, Serialize};

use super::words::impl_words;

/// A compression method; also the extension of a stored WAL segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompressType {
    /// Not compressed.
    None,
    /// Zstandard, level -7..=22.
    Zst,
    /// LZ4 frame format (one level).
    Lz4,
    /// gzip, level 0..=9.
    Gz,
}

impl CompressType {
    /// The default level.
    pub const fn default_level(self) -> i32 {
        match self {
            Self::None | Self::Lz4 => 1,
            Self::Zst => 3,
            Self::Gz => 6,
        }
    }

    /// The extension of a stored file, without a dot; empty for `None`.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Zst => "zst",
            Self::Lz4 => "lz4",
            Self::Gz => "gz",
        }
    }
}

impl_words!(CompressType ("compression type") {
    None = "none",
    Zst = "zst",
    Lz4 = "lz4",
    Gz = "gz",
});

/// A compression method with its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Compression {
    #[serde(rename = "type")]
    pub kind: CompressType,
    pub level: i32,
}
