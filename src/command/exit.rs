//! The exit code of the process, whatever ends it.
//!
//! PostgreSQL reads the exit codes of two commands, and both from 126 on in another way than below, as it reads a death
//! by signal (`wait_result_is_any_signal` in `src/common/wait_error.c`):
//!
//! - of `restore_command` (`RestoreArchivedFile` in `xlogarchive.c`), 1 to 125 mean "there is no such file": recovery
//!   ends there and the server is promoted. From 126 on and by a signal, the server stops. So an archive-get that ends
//!   in any way but "delivered" and "proven absent" ends above 125; a standby asks again after a code up to 125, and
//!   stops above.
//! - of `archive_command` (`pgarch_archiveXlog` in `pgarch.c`), 1 to 125 are a failure, which `pg_stat_archiver` counts
//!   and the archiver repeats. From 126 on and by a signal, the archiver itself ends and nothing is counted. So an
//!   archive-push never ends above 125.

use std::{
    ffi::{OsStr, OsString},
    io,
    panic::catch_unwind,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use signal_hook::{
    SigId,
    consts::{SIGABRT, SIGHUP, SIGINT, SIGTERM, SIGXCPU, SIGXFSZ},
    flag, low_level,
};

use super::{Error, caller::Caller};
use crate::{
    config::CommandSpec,
    storage::FileWatch,
    types::{ArchiveFile, ErrorCode},
};

/// Any failure that must stop recovery: above 125, and no shell's word for a signal.
const STOPS_RECOVERY: u8 = 160;
/// The lowest exit code of a failure: 1 is proven absence.
const FAILURE_MIN: u8 = 2;
/// The highest exit code that PostgreSQL takes for an ordinary failure.
const FAILURE_MAX: u8 = 125;

const GET: &str = "archive-get";
const PUSH: &str = "archive-push";

/// Who reads the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// A shell, a scheduler, a person.
    Anybody,
    /// The archiver.
    Archiver,
    /// A server in recovery.
    Recovery,
    /// A standby.
    Standby,
}

/// Decides on the exit code of the process. Clones share their state, for use on several threads.
#[derive(Clone, Debug)]
pub struct Exit {
    reader: Reader,
    /// Whether a failure stops a standby too.
    stops_standby: Arc<AtomicBool>,
    files: FileWatch,
    /// Whether a WAL file is asked for, or is to be stored.
    wal_file_named: bool,
    on_abort: Option<SigId>,
}

impl Exit {
    /// Finds out from the words of the command line who reads the exit code. They are looked at before they are read
    /// as options, because that may fail too.
    pub fn of(args: &[OsString]) -> Self {
        let text = |arg: &OsString| arg.to_str().map(str::to_owned).unwrap_or_default();
        let words: Vec<String> = args.iter().map(text).collect();
        let has = |word: &str| words.iter().any(|other| other == word);
        let wal_file_named = words.iter().any(|word| word.parse::<ArchiveFile>().is_ok());
        // A restore_command whose command is misspelt, or missing, is one all the same.
        let misspelt =
            wal_file_named && !words.iter().any(|word| CommandSpec::find(word).is_some());
        let given = Path::new(args.last().map_or(OsStr::new(""), OsString::as_os_str));
        let reader = match has(GET) || misspelt {
            // This comes before everything that catches a panic; one here is a server in recovery.
            true if catch_unwind(|| Caller::of(given).is_standby()).unwrap_or(false) => {
                Reader::Standby
            }
            true => Reader::Recovery,
            false if has(PUSH) => Reader::Archiver,
            false => Reader::Anybody,
        };
        let wal_file_named = wal_file_named || words.iter().any(|word| is_wal_path(word));
        let (stops_standby, files) = (Arc::default(), FileWatch::default());
        Self { reader, stops_standby, files, wal_file_named, on_abort: None }
    }

    /// Whether PostgreSQL waits for the process. Then one thread must do no file operations, so that it can handle
    /// signals and time limits while a file system hangs.
    pub fn is_waited_for(&self) -> bool {
        self.reader != Reader::Anybody
    }

    /// The error of the command, once a file operation exceeds its time limit.
    pub fn overdue(&self) -> Option<Error> {
        self.files.overdue().map(Error::from)
    }

    /// Watches the file operations of the command. None may take longer than `wait_max`.
    pub(super) fn watch(&self, wait_max: Option<Duration>) -> &FileWatch {
        if let Some(wait_max) = wait_max {
            self.files.give_up_after(wait_max);
        }
        &self.files
    }

    /// Sees to the ends that come without a result: no memory, a panic within a panic, and for archive-push the signals
    /// that ask to stop. archive-get leaves these as they are: PostgreSQL stops orderly where SIGTERM ended it.
    pub fn guard(&mut self) -> Result<(), Error> {
        self.guard_all()
            .map_err(|source| Error::Start { what: "signals cannot be handled", source })
    }

    fn guard_all(&mut self) -> io::Result<()> {
        if self.reader == Reader::Anybody {
            return Ok(());
        }
        if self.reader == Reader::Archiver {
            for signal in [SIGTERM, SIGINT, SIGHUP, SIGXCPU, SIGXFSZ] {
                exit_on(signal, ErrorCode::Term.exit_code())?;
            }
        }
        let aborted = self.code(Err(ErrorCode::Unhandled.exit_code()));
        if let Some(before) = self.on_abort.replace(exit_on(SIGABRT, aborted)?) {
            // The one that was registered first would exit first.
            low_level::unregister(before);
        }
        Ok(())
    }

    /// From here on a failure stops a standby too.
    pub fn stop_standby_too(&mut self) -> Result<(), Error> {
        self.stops_standby.store(true, Ordering::Relaxed);
        self.guard()
    }

    /// The end of a run that printed a text in place of what it was called for.
    pub fn printed(&self) -> Result<u8, u8> {
        match self.reader != Reader::Anybody && self.wal_file_named {
            true => Err(ErrorCode::ParamInvalid.exit_code()),
            false => Ok(0),
        }
    }

    /// The exit code of a run that ended well or under the code of an error.
    pub fn code(&self, end: Result<u8, u8>) -> u8 {
        match (self.reader, end) {
            (_, Ok(code)) | (Reader::Anybody, Err(code)) => code,
            (Reader::Standby, Err(_)) if self.stops_standby.load(Ordering::Relaxed) => {
                STOPS_RECOVERY
            }
            (Reader::Archiver | Reader::Standby, Err(code)) => code.clamp(FAILURE_MIN, FAILURE_MAX),
            (Reader::Recovery, Err(_)) => STOPS_RECOVERY,
        }
    }
}

/// Whether a word is the path of a WAL file, as archive-push gets it.
fn is_wal_path(word: &str) -> bool {
    let name = Path::new(word).file_name().and_then(OsStr::to_str);
    name.is_some_and(|name| name.parse::<ArchiveFile>().is_ok())
}

/// Makes a signal end the process with an exit code, at once and wherever the process waits.
fn exit_on(signal: i32, code: u8) -> io::Result<SigId> {
    let always = Arc::new(AtomicBool::new(true));
    flag::register_conditional_shutdown(signal, code.into(), always)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(line: &str) -> Exit {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Exit::of(&args)
    }

    #[test]
    fn only_what_is_delivered_or_proven_absent_ends_archive_get_below_126() {
        let recovery = exit("--stanza=db archive-get 000000010000000000000001 pg_wal/RECOVERYXLOG");
        assert_eq!(recovery.code(Ok(0)), 0);
        assert_eq!(recovery.code(Ok(1)), 1);
        for code in [0, 1, 2, 25, 63, 125, 126, 255] {
            assert_eq!(recovery.code(Err(code)), STOPS_RECOVERY);
        }
    }

    #[test]
    fn archive_push_never_ends_above_125_and_never_well_by_a_failure() {
        let push = exit("archive-push pg_wal/000000010000000000000001");
        assert_eq!(push.code(Ok(0)), 0);
        for code in 0..=255 {
            assert!((2..=125).contains(&push.code(Err(code))), "{code}");
        }
    }

    #[test]
    fn a_standby_asks_again_unless_it_is_to_stop() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("global")).unwrap();
        std::fs::write(dir.path().join("global/pg_control"), "").unwrap();
        std::fs::write(dir.path().join("standby.signal"), "").unwrap();
        let path = dir.path().join("pg_wal/RECOVERYXLOG");
        let mut standby = exit(&format!("archive-get 000000010000000000000001 {}", path.display()));
        assert_eq!((standby.code(Err(101)), standby.code(Err(1))), (101, 2));
        let outside = standby.clone();
        standby.stop_standby_too().unwrap();
        assert_eq!(outside.code(Err(101)), STOPS_RECOVERY);
        assert_eq!(standby.code(Err(101)), STOPS_RECOVERY);
    }

    #[test]
    fn a_misspelt_restore_command_is_one_all_the_same() {
        for line in ["archive-gt 00000002.history pg_wal/RECOVERYHISTORY", "00000002.history x"] {
            assert_eq!(exit(line).code(Err(48)), STOPS_RECOVERY, "{line}");
        }
        for line in ["expire --archive-expire-before 000000010000000000000001", "bakcup", ""] {
            assert_eq!(exit(line).code(Err(48)), 48, "{line}");
        }
    }

    #[test]
    fn help_in_place_of_a_wal_file_is_no_success() {
        assert_eq!(exit("archive-get 00000002.history x --help").printed(), Err(96));
        // PostgreSQL would take the segment for archived and remove it.
        let push = exit("archive-push pg_wal/000000010000000000000001 --help");
        assert_eq!(push.printed(), Err(96));
        for line in ["archive-get --help", "help archive-push", "--version"] {
            assert_eq!(exit(line).printed(), Ok(0), "{line}");
        }
    }
}
