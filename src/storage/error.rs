//! What can go wrong with a storage, by meaning, so that callers need not know the backend.

use std::{fmt, time::Duration};

use crate::types::{ErrorCode, Failure};

/// What a failed operation means to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no such object: proven absence, not a failed look.
    NotFound,
    /// The object exists already and was left as it is.
    AlreadyExists,
    /// The store refused: permissions or credentials.
    Denied,
    /// The object is shorter than the caller, or the store itself, said.
    Truncated,
    /// The bytes are there, and are not those that were stored.
    Damaged,
    /// The store has no room.
    Full,
    /// Worth another try: the store was busy, or the connection was lost.
    Transient,
    /// None of the others.
    Other,
}

/// A failed storage operation: what was tried, on which object, and why it failed.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    code: ErrorCode,
    /// The operation as a verb phrase, such as "write" or "list".
    operation: &'static str,
    /// The object as `location/path`.
    object: String,
    /// How long the store asked to wait before another try.
    retry_after: Option<Duration>,
    /// What to do about it, where that is more than the kind says.
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` in `operation` on `object`.
    pub fn new(kind: ErrorKind, operation: &'static str, object: impl Into<String>) -> Self {
        let code = match kind {
            ErrorKind::NotFound => ErrorCode::FileMissing,
            ErrorKind::AlreadyExists => ErrorCode::FileExists,
            ErrorKind::Denied => ErrorCode::Access,
            ErrorKind::Truncated => ErrorCode::FileRead,
            ErrorKind::Damaged => ErrorCode::Checksum,
            ErrorKind::Full => ErrorCode::FileWrite,
            ErrorKind::Transient | ErrorKind::Other => ErrorCode::Service,
        };
        let object = object.into();
        Self { kind, code, operation, object, retry_after: None, hint: None, source: None }
    }

    /// The same error with what caused it.
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error under a code that says more than its kind does.
    pub fn with_code(mut self, code: ErrorCode) -> Self {
        self.code = code;
        self
    }

    /// The same error under the code of its operation on a file, where the kind says less than that.
    pub(super) fn with_file_code(mut self) -> Self {
        self.code = match self.operation {
            "write" => ErrorCode::FileWrite,
            "list" => ErrorCode::PathOpen,
            "remove" => ErrorCode::FileRemove,
            "look at" => ErrorCode::FileInfo,
            _ => ErrorCode::FileRead,
        };
        self
    }

    /// The same error with what to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error for another operation that fails because of it: its cause is kept as text.
    pub fn repeated(&self) -> Self {
        Self {
            object: self.object.clone(),
            hint: self.hint.clone(),
            source: self.source.as_ref().map(|source| source.to_string().into()),
            ..*self
        }
    }

    /// The same error with the time that the store asked to wait before another try.
    pub fn retry_later(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// How long the store asked to wait before another try.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the object was proven not to be there.
    pub fn is_not_found(&self) -> bool {
        self.kind == ErrorKind::NotFound
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unable to {} '{}': ", self.operation, self.object)?;
        match (self.kind, &self.source) {
            (ErrorKind::NotFound, _) => f.write_str("it does not exist"),
            (ErrorKind::AlreadyExists, _) => f.write_str("it exists already"),
            (ErrorKind::Truncated, None) => f.write_str("it is shorter than it must be"),
            (_, Some(source)) => source.fmt(f),
            (kind, None) => write!(f, "{kind:?}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl Failure for Error {
    fn code(&self) -> ErrorCode {
        self.code
    }

    fn hint(&self) -> Option<String> {
        if self.hint.is_some() {
            return self.hint.clone();
        }
        let text = match self.kind {
            ErrorKind::Denied => {
                "check the owner and mode of the path, or the credentials of the repository"
            }
            ErrorKind::Full => "free or add space; existing backups and WAL are not affected",
            ErrorKind::Transient => "the operation may succeed when it is retried",
            ErrorKind::Truncated | ErrorKind::Damaged => {
                "the object is damaged; run verify, and use another backup or repository"
            }
            ErrorKind::NotFound | ErrorKind::AlreadyExists | ErrorKind::Other => return None,
        };
        Some(text.to_owned())
    }
}
