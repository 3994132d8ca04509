//! Errors of the transforms.

use super::encrypt::DataKeyId;
use crate::types::{CompressType, ErrorCode, Failure, Sha256};

/// The caller adds the object or file that the bytes belong to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("compress level {level} is not allowed for '{}': {allowed}", name(*kind))]
    Level { kind: CompressType, level: i32, allowed: &'static str },
    #[error("unable to compress with '{}': {reason}", name(*kind))]
    Compress { kind: CompressType, reason: String },
    /// The stored bytes are not valid for the compression type.
    #[error("the '{}' data is damaged: {reason}", name(*kind))]
    Damaged { kind: CompressType, reason: String },
    /// The stored bytes are valid, but hold more or fewer raw bytes than recorded.
    #[error("the '{}' data holds {found} bytes where {expected} were expected", name(*kind))]
    Length {
        kind: CompressType,
        expected: u64,
        /// A lower bound.
        found: u64,
    },
    #[error("bytes follow the end of the '{}' data", name(*kind))]
    Trailing { kind: CompressType },
    #[error("the content has SHA-256 {found}, but {expected} was stored")]
    Checksum { expected: Sha256, found: Sha256 },
    #[error("unable to allocate {bytes} bytes")]
    Memory { bytes: usize },
    /// The object does not begin with the magic of an encrypted object.
    #[error("it is not encrypted")]
    NotEncrypted,
    #[error("its encryption has version {found}, but this program reads versions up to {newest}")]
    CipherVersion { found: u16, newest: u16 },
    #[error("the header of its encryption is not valid: {0}")]
    CipherHeader(&'static str),
    #[error("it was encrypted with data key {found}, but that of the repository is {known}")]
    OtherKey {
        found: DataKeyId,
        /// The repository's data key.
        known: DataKeyId,
    },
    /// A chunk was changed, moved, or belongs to another object.
    #[error("chunk {chunk} of the encrypted data does not match its tag")]
    Tampered {
        /// From 0.
        chunk: u64,
    },
    /// The key derivation exceeds the bounds of [`super::encrypt::Kdf`], or Argon2 does not have these parameters.
    #[error(
        "the cost of the key derivation is not allowed: {} KiB of memory, {} passes, {} lanes",
        memory_kib,
        passes,
        lanes
    )]
    KdfCost { memory_kib: u32, passes: u32, lanes: u32 },
    /// An error of the cipher library.
    #[error("{0}")]
    Cipher(&'static str),
    #[error("the system did not provide random bytes")]
    Random,
}

/// The value of `compress-type`.
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
            Self::NotEncrypted | Self::KdfCost { .. } | Self::Cipher(_) => ErrorCode::Crypto,
            Self::CipherVersion { .. } => ErrorCode::RepoInvalid,
            Self::CipherHeader(_) => ErrorCode::Format,
            Self::OtherKey { .. } | Self::Tampered { .. } => ErrorCode::Checksum,
            Self::Random => ErrorCode::Runtime,
        }
    }
}
