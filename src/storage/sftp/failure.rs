//! What the answers of an SFTP server mean.
//!
//! The protocol knows few errors: OpenSSH's server says "failure" for a name that is taken, a full disk and a directory
//! that is not empty alike. The caller distinguishes them where it matters.

use russh_sftp::{client::error::Error as SftpError, protocol::StatusCode};

use crate::storage::{Error, ErrorKind};

/// Characters of a server's message that are shown.
const MESSAGE_MAX: usize = 200;

/// The answer to one request.
pub(super) type Answer<T> = std::result::Result<T, Refusal>;

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such file, or something on the way to it is not a directory.
    Missing,
    /// The server denies permission.
    Denied,
    /// The end of the file or of the listing.
    End,
    /// The server does not know the request.
    Unsupported,
    /// Anything else that the server says, in its words.
    Failed(String),
    /// No answer, or none that can be understood: the connection is of no more use.
    Broken(String),
}

impl From<SftpError> for Refusal {
    fn from(error: SftpError) -> Self {
        let SftpError::Status(status) = error else {
            return Self::Broken(shown(&error.to_string()));
        };
        match status.status_code {
            StatusCode::NoSuchFile => Self::Missing,
            StatusCode::PermissionDenied => Self::Denied,
            StatusCode::Eof => Self::End,
            StatusCode::OpUnsupported => Self::Unsupported,
            StatusCode::NoConnection | StatusCode::ConnectionLost => {
                Self::Broken(shown(&status.error_message))
            }
            code @ (StatusCode::Ok | StatusCode::Failure | StatusCode::BadMessage) => Self::Failed(
                format!("the server returned '{code}' ({})", shown(&status.error_message)),
            ),
        }
    }
}

impl Refusal {
    /// The error of `operation` on `object`.
    pub(super) fn error(self, operation: &'static str, object: &str) -> Error {
        let made = |kind| Error::new(kind, operation, object);
        match self {
            Self::Missing => made(ErrorKind::NotFound),
            Self::Denied => made(ErrorKind::Denied).caused_by("the server denies permission"),
            Self::End => made(ErrorKind::Truncated),
            Self::Unsupported => {
                other(operation, object, "the server does not support the request")
            }
            Self::Failed(text) => other(operation, object, text).with_hint(
                "SFTP gives no details: check the server's log, quotas, user limits and the disk \
                 of the host",
            ),
            Self::Broken(text) => made(ErrorKind::Transient)
                .with_file_code()
                .caused_by(format!("the connection was lost: {text}")),
        }
    }
}

/// An error that is none of the kinds that callers know.
pub(super) fn other(operation: &'static str, object: &str, cause: impl Into<String>) -> Error {
    Error::new(ErrorKind::Other, operation, object).with_file_code().caused_by(cause.into())
}

/// A server's words, fit for a log line.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MESSAGE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use russh_sftp::protocol::Status;

    use super::*;

    fn kind(status_code: StatusCode) -> ErrorKind {
        let error_message = "no\u{1b}[31m\n".to_owned();
        let status = Status { id: 1, status_code, error_message, language_tag: String::new() };
        let error = Refusal::from(SftpError::Status(status)).error("write", "sftp://h/x");
        assert!(!error.to_string().contains(char::is_control), "{error}");
        error.kind()
    }

    #[test]
    fn the_answer_decides_the_meaning() {
        assert_eq!(kind(StatusCode::NoSuchFile), ErrorKind::NotFound);
        assert_eq!(kind(StatusCode::PermissionDenied), ErrorKind::Denied);
        assert_eq!(kind(StatusCode::Eof), ErrorKind::Truncated);
        assert_eq!(kind(StatusCode::Failure), ErrorKind::Other);
        assert_eq!(kind(StatusCode::BadMessage), ErrorKind::Other);
        assert_eq!(kind(StatusCode::OpUnsupported), ErrorKind::Other);
        assert_eq!(kind(StatusCode::ConnectionLost), ErrorKind::Transient);
        let lost = Refusal::from(SftpError::Timeout).error("read", "x");
        assert_eq!(lost.kind(), ErrorKind::Transient);
    }
}
