//! Why an encrypted repository cannot be unlocked.

use crate::types::{ErrorCode, Failure};

/// Except for [`Refusal::NoKey`], the reason stays the same for as long as the process runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the pass phrase unlocks none of its key objects ({recipients} found{})", and_unreadable(*.unreadable))]
    WrongPass {
        recipients: usize,
        /// Recipients whose key objects cannot be read.
        unreadable: usize,
    },
    #[error("it holds stanzas but no key object: it is not encrypted")]
    NotEncrypted,
    #[error("it holds encrypted objects but its key objects are missing")]
    KeyLost,
    #[error("it has no key object yet")]
    NoKey,
}

fn and_unreadable(count: usize) -> String {
    if count == 0 { String::new() } else { format!(", {count} unreadable") }
}

impl Failure for Refusal {
    fn code(&self) -> ErrorCode {
        match self {
            Self::WrongPass { .. } | Self::NotEncrypted | Self::KeyLost => ErrorCode::Crypto,
            Self::NoKey => ErrorCode::FileMissing,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::WrongPass { unreadable: 1.., .. } => {
                "the pass phrase may belong to an unreadable key object: restore the directory key/ from a copy, or \
                 use the pass phrase of another recipient"
            }
            Self::WrongPass { .. } => {
                "check repoN-cipher-pass or repoN-cipher-pass-file: was the pass phrase changed with repo-key?"
            }
            Self::NotEncrypted => {
                "a repository that already holds stanzas cannot be encrypted: remove repoN-cipher-type, or use a new \
                 repository"
            }
            Self::KeyLost => {
                "restore the directory key/ from a copy: without a key object nothing in the repository can be decrypted"
            }
            Self::NoKey => "has stanza-create been performed, and is repoN-path correct?",
        };
        Some(text.to_owned())
    }
}
