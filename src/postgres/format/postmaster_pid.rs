//! Parses `postmaster.pid` (`CreateLockFile` and `AddToDataDirLockFile` in `src/backend/utils/init/miscinit.c`,
//! `src/include/utils/pidfile.h`). One value per line; the lines from the sixth on are added while the server starts.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf, str::FromStr};

use crate::postgres::{Error, Result};

const FILE: &str = "postmaster.pid";
const STARTING_S_MAX: i64 = 600;
/// Tolerance in seconds. Both times are of the same clock, one in whole seconds.
const ROUNDING_S: i64 = 2;

/// The content of postmaster.pid. A crashed server leaves the file behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostmasterPid {
    /// A positive process id.
    pub pid: i32,
    /// A single-user backend, which accepts no connections.
    pub single_user: bool,
    /// Absolute path.
    pub data_directory: PathBuf,
    /// Start time, seconds since 1970.
    pub started: i64,
    /// The port of TCP, and the number in the socket's name.
    pub port: u16,
    /// The first socket directory, if any.
    pub socket_directory: Option<PathBuf>,
    /// The first TCP address, or `*`; `None` if there is none, or none yet.
    pub listen_address: Option<String>,
    /// Key and id of the shared memory segment, once it exists.
    pub shared_memory: Option<(u64, u64)>,
    /// State of the server, once it is written.
    pub status: Option<PostmasterStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostmasterStatus {
    /// Starting, or in recovery before connections are accepted.
    Starting,
    Stopping,
    Ready,
    /// In recovery with hot_standby off, which accepts no connections.
    Standby,
}

impl PostmasterPid {
    pub const PATH: &'static str = "postmaster.pid";
    /// The greatest length in bytes: two paths and a few short lines.
    pub const BYTES_MAX: u64 = 16 << 10;

    /// Whether the file belongs to the server with this `pg_postmaster_start_time`. The postmaster writes the time of
    /// its launch to the file, but sets its start time only after it has allocated shared memory.
    pub fn started_with(&self, server_started: i64) -> bool {
        let after = server_started.saturating_sub(self.started);
        (-ROUNDING_S..=STARTING_S_MAX).contains(&after)
    }

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

/// Values are padded with spaces, because the server overwrites them in place.
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
