//! `postmaster.pid`: which server runs on a data directory and where it listens (`CreateLockFile` and
//! `AddToDataDirLockFile` in `src/backend/utils/init/miscinit.c`, `src/include/utils/pidfile.h`). A line
//! a fact; those from the sixth on are added while the server starts.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf, str::FromStr};

use crate::postgres::{Error, Result};

const FILE: &str = "postmaster.pid";
const STARTING_S_MAX: i64 = 600;
/// Both times are of one clock, one in whole seconds.
const ROUNDING_S: i64 = 2;

/// The content of postmaster.pid. The file can be left over from a server that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostmasterPid {
    /// The process, a positive number.
    pub pid: i32,
    /// Whether it is a single-user backend and no server: it accepts no connections.
    pub single_user: bool,
    /// The data directory, as an absolute path.
    pub data_directory: PathBuf,
    /// When it was started, seconds since 1970.
    pub started: i64,
    /// The port, of TCP and in the name of the socket.
    pub port: u16,
    /// The first directory with a socket; `None` where there is none.
    pub socket_directory: Option<PathBuf>,
    /// The first address of TCP, or `*`; `None` where there is none, or none yet.
    pub listen_address: Option<String>,
    /// Key and identifier of the shared memory segment, once there is one.
    pub shared_memory: Option<(u64, u64)>,
    /// How far the server is, once it says so.
    pub status: Option<PostmasterStatus>,
}

/// How far a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostmasterStatus {
    /// Starting, or in recovery without accepting connections.
    Starting,
    /// Shutting down.
    Stopping,
    /// Accepting connections.
    Ready,
    /// In recovery, where connections are not accepted since hot standby is off.
    Standby,
}

impl PostmasterPid {
    /// The file's name in a data directory.
    pub const PATH: &'static str = "postmaster.pid";

    /// Whether it is of the server that says, by its clock, that it started at this second. A postmaster writes
    /// the time it began; it says that it started when it is ready to, which takes the time of getting its
    /// memory.
    pub fn started_with(&self, server_started: i64) -> bool {
        let after = server_started.saturating_sub(self.started);
        (-ROUNDING_S..=STARTING_S_MAX).contains(&after)
    }

    /// Parses the whole file.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut lines = bytes.split(|&b| b == b'\n');
        let mut line = || lines.next().unwrap_or_default();
        let pid: i32 = number(line(), "process id")?;
        let data_directory = path(line()).ok_or_else(|| missing("data directory"))?;
        let facts = Self {
            pid: pid.checked_abs().unwrap_or_default(),
            single_user: pid < 0,
            data_directory,
            started: number(line(), "start time")?,
            port: number(line(), "port")?,
            socket_directory: path(line()),
            listen_address: text(line()).map(str::to_owned),
            shared_memory: shared_memory(line())?,
            status: status(line())?,
        };
        match facts.pid {
            0 => Err(missing("process id")),
            _ => Ok(facts),
        }
    }
}

fn missing(what: &str) -> Error {
    Error::format(FILE, format!("it has no {what}"))
}

/// Numbers and words are padded with spaces, so that they can be overwritten in place.
fn text(line: &[u8]) -> Option<&str> {
    std::str::from_utf8(line).ok().map(str::trim).filter(|text| !text.is_empty())
}

fn number<N: FromStr>(line: &[u8], what: &str) -> Result<N> {
    text(line).and_then(|text| text.parse().ok()).ok_or_else(|| missing(what))
}

fn path(line: &[u8]) -> Option<PathBuf> {
    (!line.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(line)))
}

fn shared_memory(line: &[u8]) -> Result<Option<(u64, u64)>> {
    let Some(text) = text(line) else { return Ok(None) };
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(key)), Some(Ok(id)), None) => Ok(Some((key, id))),
        _ => Err(Error::format(FILE, format!("'{}' is no shared memory", text.escape_debug()))),
    }
}

fn status(line: &[u8]) -> Result<Option<PostmasterStatus>> {
    Ok(Some(match text(line) {
        None => return Ok(None),
        Some("starting") => PostmasterStatus::Starting,
        Some("stopping") => PostmasterStatus::Stopping,
        Some("ready") => PostmasterStatus::Ready,
        Some("standby") => PostmasterStatus::Standby,
        Some(other) => {
            return Err(Error::format(FILE, format!("'{}' is no status", other.escape_debug())));
        }
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RUNNING: &str = "4711\n/var/lib/postgresql/15/main\n1763715832\n5432\n/run/postgresql\n\
        localhost\n   524289         7\nready   \n";

    #[test]
    fn running_server() {
        let facts = PostmasterPid::parse(RUNNING.as_bytes()).unwrap();
        let expected = PostmasterPid {
            pid: 4711,
            single_user: false,
            data_directory: "/var/lib/postgresql/15/main".into(),
            started: 1_763_715_832,
            port: 5432,
            socket_directory: Some("/run/postgresql".into()),
            listen_address: Some("localhost".to_owned()),
            shared_memory: Some((524_289, 7)),
            status: Some(PostmasterStatus::Ready),
        };
        assert_eq!(facts, expected);
    }

    #[test]
    fn lines_may_be_empty_or_not_there_yet() {
        let facts = PostmasterPid::parse(b"4711\n/data\n17\n5432\n\n\n\nstopping\n").unwrap();
        assert_eq!((facts.socket_directory, facts.listen_address), (None, None));
        assert_eq!((facts.shared_memory, facts.status), (None, Some(PostmasterStatus::Stopping)));
        let facts = PostmasterPid::parse(b"4711\n/data\n17\n5432\n/tmp\n").unwrap();
        assert_eq!(facts.socket_directory, Some("/tmp".into()));
        assert_eq!((facts.shared_memory, facts.status), (None, None));
        let facts = PostmasterPid::parse(b"-4711\n/data\n17\n5432\n\n").unwrap();
        assert_eq!((facts.pid, facts.single_user), (4711, true));
    }

    #[test]
    fn what_is_not_of_the_form_is_refused() {
        for (from, to) in [
            ("4711", "0"),
            ("4711", ""),
            ("4711", "-2147483648"),
            ("4711", "four"),
            ("/var/lib/postgresql/15/main", ""),
            ("1763715832", ""),
            ("5432", "65536"),
            ("   524289         7", "524289"),
            ("   524289         7", "a b"),
            ("ready", "tired"),
        ] {
            let text = RUNNING.replacen(from, to, 1);
            assert!(PostmasterPid::parse(text.as_bytes()).is_err(), "{from} -> {to}");
        }
        assert!(PostmasterPid::parse(b"").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..90) {
            let _ = PostmasterPid::parse(&bytes);
            let mut damaged = RUNNING.as_bytes().to_vec();
            damaged.splice(at.., bytes);
            let _ = PostmasterPid::parse(&damaged);
        }
    }
}
