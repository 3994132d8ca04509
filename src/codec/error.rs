//! What can go wrong with a transform.

use super::encrypt::{DataKeyId, Kdf};
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
    /// The bytes do not open as encrypted ones do.
    #[error("it is not encrypted")]
    NotEncrypted,
    /// A newer version of the program encrypted the object.
    #[error("its encryption has version {found}, but this program reads versions up to {newest}")]
    CipherVersion {
        /// The version found.
        found: u16,
        /// The newest version that can be read.
        newest: u16,
    },
    /// The header of an encrypted object is not valid.
    #[error("the header of its encryption is not valid: {0}")]
    CipherHeader(&'static str),
    /// The object is of another data key than the repository's.
    #[error("it was encrypted with data key {found}, but that of the repository is {known}")]
    OtherKey {
        /// The data key that the object names.
        found: DataKeyId,
        /// The data key at hand.
        known: DataKeyId,
    },
    /// A chunk of an encrypted object is not the one that was stored here.
    #[error("chunk {chunk} of the encrypted data does not match its tag")]
    Tampered {
        /// Its number, from 0.
        chunk: u64,
    },
    /// A derivation would cost more than is spent on it, or cannot be.
    #[error(
        "the cost of the key derivation is not allowed: {} KiB of memory, {} passes, {} lanes",
        .0.memory_kib, .0.passes, .0.lanes
    )]
    KdfCost(Kdf),
    /// The cipher library refused.
    #[error("{0}")]
    Cipher(&'static str),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
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
            Self::NotEncrypted | Self::KdfCost(_) | Self::Cipher(_) => ErrorCode::Crypto,
            Self::CipherVersion { .. } => ErrorCode::RepoInvalid,
            Self::CipherHeader(_) => ErrorCode::Format,
            Self::OtherKey { .. } | Self::Tampered { .. } => ErrorCode::Checksum,
            Self::Random => ErrorCode::Runtime,
        }
    }
}
