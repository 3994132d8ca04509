//! The errors of a connection that was not made, or broke before SFTP began.

use super::{SftpOptions, failure::shown};
use crate::storage::{Error, ErrorKind};

pub(super) fn transient(options: &SftpOptions) -> Error {
    Error::new(ErrorKind::Transient, "connect to", options.server_name())
}

pub(super) fn permanent(options: &SftpOptions) -> Error {
    Error::new(ErrorKind::Other, "connect to", options.server_name())
}

/// What goes wrong on the way is worth another try, but for two sides that will never agree.
pub(super) fn failed(options: &SftpOptions, error: russh::Error) -> Error {
    let text = shown(&error.to_string());
    match error {
        russh::Error::NoCommonAlgo { .. } | russh::Error::Version | russh::Error::UnknownKey => {
            permanent(options).caused_by(text)
        }
        _ => transient(options).caused_by(text),
    }
}
