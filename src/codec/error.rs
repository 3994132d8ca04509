//! What can go wrong with a transform.

use crate::types::{CompressType, ErrorCode, Failure, Sha256};

/// A failed transform. The caller adds which object or file the bytes belong to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The level is not one of the method's.
    #[error("compress level {level} is not allowed for '{}': {allowed}", name(*kind))]
    Level {
        /// The method.
        kind: CompressType,
        /// The level that was asked for.
        level: i32,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The library refused to compress.
    #[error("unable to compress with '{}': {reason}", name(*kind))]
    Compress {
        /// The method.
        kind: CompressType,
        /// What the library said.
        reason: String,
    },
    /// The stored bytes are not what the method writes.
    #[error("the '{}' data is damaged: {reason}", name(*kind))]
    Damaged {
        /// The method.
        kind: CompressType,
        /// What is wrong with it.
        reason: String,
    },
    /// The stored bytes are in order, but hold more or less than they must.
    #[error("the '{}' data holds {found} bytes where {expected} were expected", name(*kind))]
    Length {
        /// The method.
        kind: CompressType,
        /// Raw bytes that were expected.
        expected: u64,
        /// Raw bytes that were found, at least.
        found: u64,
    },
    /// Bytes follow where the stored data must end.
    #[error("bytes follow the end of the '{}' data", name(*kind))]
    Trailing {
        /// The method.
        kind: CompressType,
    },
    /// The raw bytes are not those that were stored.
    #[error("the content has SHA-256 {found}, but {expected} was stored")]
    Checksum {
        /// The digest of what was stored.
        expected: Sha256,
        /// The digest of what is there now.
        found: Sha256,
    },
    /// There is no memory for the raw bytes.
    #[error("unable to allocate {bytes} bytes")]
    Memory {
        /// How much was asked for.
        bytes: usize,
    },
}

/// The method as users write it.
fn name(kind: CompressType) -> &'static str {
    match kind {
        CompressType::None => "none",
        other => other.extension(),
    }
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Level { .. } => ErrorCode::OptionInvalidValue,
            Self::Compress { .. } => ErrorCode::Runtime,
            Self::Damaged { .. } | Self::Length { .. } | Self::Trailing { .. } => ErrorCode::Format,
            Self::Checksum { .. } => ErrorCode::Checksum,
            Self::Memory { .. } => ErrorCode::Memory,
        }
    }
}
