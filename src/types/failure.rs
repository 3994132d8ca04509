//! The exit code and hint of every error of this crate.

use std::io;

use rustix::io::Errno;

/// Error codes, which are also the exit codes of the program. The numbers are pgBackRest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ErrorCode {
    Assert = 25,
    Checksum = 26,
    Config = 27,
    FileInvalid = 28,
    Format = 29,
    CommandRequired = 30,
    OptionInvalid = 31,
    OptionInvalidValue = 32,
    OptionRequired = 37,
    PgRunning = 38,
    Protocol = 39,
    PathNotEmpty = 40,
    FileOpen = 41,
    FileRead = 42,
    ParamRequired = 43,
    ArchiveMismatch = 44,
    ArchiveDuplicate = 45,
    VersionNotSupported = 46,
    PathCreate = 47,
    CommandInvalid = 48,
    HostConnect = 49,
    LockAcquire = 50,
    BackupMismatch = 51,
    FileSync = 52,
    PathOpen = 53,
    PathSync = 54,
    FileMissing = 55,
    DbConnect = 56,
    DbQuery = 57,
    DbMismatch = 58,
    FileRemove = 60,
    PathRemove = 61,
    Stop = 62,
    Term = 63,
    FileWrite = 64,
    FeatureNotSupported = 67,
    ArchiveCommandInvalid = 68,
    LinkExpected = 69,
    LinkDestination = 70,
    HostInvalid = 72,
    PathMissing = 73,
    FileMove = 74,
    BackupSetInvalid = 75,
    TablespaceMap = 76,
    LinkMap = 78,
    FileClose = 79,
    DbMissing = 80,
    DbInvalid = 81,
    ArchiveTimeout = 82,
    FileMode = 83,
    ArchiveDisabled = 87,
    FileOwner = 88,
    UserMissing = 89,
    FileExists = 93,
    Memory = 94,
    Crypto = 95,
    ParamInvalid = 96,
    PathClose = 97,
    FileInfo = 98,
    JsonFormat = 99,
    Kernel = 100,
    Service = 101,
    Execute = 102,
    RepoInvalid = 103,
    Command = 104,
    Access = 105,
    Clock = 106,
    Runtime = 122,
    Unhandled = 124,
    Unknown = 125,
}

impl ErrorCode {
    pub const fn exit_code(self) -> u8 {
        self as u8
    }
}

/// An error with an exit code and, if the user can do something about it, a hint.
pub trait Failure: std::error::Error {
    fn code(&self) -> ErrorCode;

    /// What the user can do, one sentence per line, without the word HINT.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// The hint for too many open files; `None` for any other cause.
pub fn open_files_hint(cause: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(cause)? {
        Errno::MFILE => Some(
            "the process may not open more files: raise its limit (ulimit -n, or LimitNOFILE= of the service)",
        ),
        Errno::NFILE => Some("the host may not open more files: raise fs.file-max (sysctl)"),
        _ => None,
    }
}

/// A text that cannot be parsed as a type of this module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a valid {what}: {reason}")]
pub struct Invalid {
    /// The expected type, such as "backup label".
    pub what: &'static str,
    /// Control characters are escaped.
    pub text: String,
    pub reason: &'static str,
}

impl Invalid {
    pub(crate) fn new(what: &'static str, text: &str, reason: &'static str) -> Self {
        Self { what, text: text.escape_debug().to_string(), reason }
    }
}

impl Failure for Invalid {
    fn code(&self) -> ErrorCode {
        ErrorCode::Format
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_open_files_have_a_hint_of_their_own() {
        let hint = |errno: Errno| open_files_hint(&errno.into());
        assert!(hint(Errno::MFILE).unwrap().contains("ulimit -n"));
        assert!(hint(Errno::NFILE).unwrap().contains("fs.file-max"));
        assert_eq!(hint(Errno::ACCESS), None);
        assert_eq!(open_files_hint(&io::Error::other("x")), None);
    }
}
