//! Why an encrypted repository does not open.

use crate::types::{ErrorCode, Failure};

/// Why a repository does not open. But for one that has no key yet, it stays so for as long as the process runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The pass phrase is nobody's.
    #[error(
        "the pass phrase opens none of its {recipients} key object(s){}",
        of_which(*.unreadable)
    )]
    WrongPass {
        /// How many recipients there are.
        recipients: usize,
        /// How many of their key objects cannot be read.
        unreadable: usize,
    },
    /// There are objects, but no key.
    #[error("it holds stanzas and no key object: it is not encrypted")]
    NotEncrypted,
    /// There are encrypted objects, but no key.
    #[error("it holds encrypted objects, and its key objects are gone")]
    KeyLost,
    /// There is nothing yet.
    #[error("it has no key object yet")]
    NoKey,
}

fn of_which(unreadable: usize) -> String {
    match unreadable {
        0 => String::new(),
        count => format!(", {count} of which cannot be read"),
    }
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
                "a key object that cannot be read may be the one that it opens: bring the directory \
                 key/ back from a copy, or use the pass phrase of another recipient"
            }
            Self::WrongPass { .. } => {
                "check repoN-cipher-pass or repoN-cipher-pass-file: is it that of this repository, \
                 and was it changed with repo-key?"
            }
            Self::NotEncrypted => {
                "a repository is encrypted from its first stanza on or never: leave \
                 repoN-cipher-type out, or use a new repository"
            }
            Self::KeyLost => {
                "bring the directory key/ back from a copy: without a key object nothing in the \
                 repository can be read"
            }
            Self::NoKey => "has stanza-create been run, and is the repository path the right one?",
        };
        Some(text.to_owned())
    }
}
