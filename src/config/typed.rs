//! The validated configuration as commands see it. Only `command` reads it; engines take small
//! option structs made from it.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use zeroize::Zeroizing;

use super::{
    flavor::Program,
    store::{CipherConfig, RemoteConfig, RepoKind},
};
use crate::types::{
    BackupLabel, BackupType, CompressType, Compression, StanzaName, TimeLine, WalSegment,
};

/// Every command word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum CommandName {
    Annotate,
    ArchiveGet,
    ArchivePush,
    Backup,
    Check,
    Completion,
    Expire,
    Help,
    Info,
    Keep,
    Man,
    RepoGet,
    RepoKey,
    RepoLs,
    RepoSync,
    Restore,
    StanzaCreate,
    StanzaDelete,
    StanzaUpgrade,
    Start,
    Stop,
    Verify,
    Version,
}

/// The whole configuration of one run.
#[derive(Clone, Debug)]
pub struct Config {
    /// What to do.
    pub command: CommandName,
    /// The words after the command (the file of archive-push, the path of repo-get, ...).
    pub arguments: Vec<String>,
    /// The stanza, where one was given.
    pub stanza: Option<StanzaName>,
    /// The repository chosen by `--repo`, else `None`.
    pub repo: Option<u16>,
    /// The configured repositories by number; never empty.
    pub repos: BTreeMap<u16, RepoConfig>,
    /// The configured clusters by number (`pg1-…`).
    pub pgs: BTreeMap<u16, PgConfig>,
    /// How many worker threads to use.
    pub process_max: usize,
    /// Whether root may run the command.
    pub allow_root: bool,
    /// Where lock and stop files are, if the configuration says.
    pub lock_path: Option<PathBuf>,
    /// How long to wait for a server's answer.
    pub db_timeout: Duration,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `--force`.
    pub force: bool,
    /// `--delta`.
    pub delta: bool,
    /// `--set`: a label, or `None` for the newest.
    pub set: Option<BackupLabel>,
    /// `--output`.
    pub output: OutputFormat,
    /// Logging.
    pub log: LogConfig,
    /// archive-push, archive-get and the archive check of backup.
    pub archive: ArchiveConfig,
    /// backup.
    pub backup: BackupConfig,
    /// restore.
    pub restore: RestoreConfig,
    /// expire.
    pub expire: ExpireConfig,
    /// keep.
    pub keep: KeepConfig,
    /// info.
    pub info: InfoConfig,
    /// repo-ls and repo-get.
    pub repo_access: RepoAccessConfig,
    /// repo-key.
    pub repo_key: RepoKeyConfig,
    /// verify.
    pub verify: VerifyConfig,
    /// repo-sync.
    pub sync: Option<SyncConfig>,
    /// `--annotation key=value`, in the order given; an empty value removes the key.
    pub annotations: Vec<(String, String)>,
    /// Options that a later call of this program (a restore_command) must repeat to see the same
    /// configuration: those that archive-get takes and that the command line or the environment
    /// of this call set, as `--name=value`, not quoted for a shell. Never a secret, and not the
    /// stanza.
    pub carried_options: Vec<String>,
    /// Every option that is set, as the log shows it when the command begins; a secret as
    /// `<redacted>`.
    pub shown_options: Vec<String>,
    /// How the program was started.
    pub program: Program,
    /// What was odd about the configuration, to be logged as warnings once the log is open.
    pub warnings: Vec<String>,
    /// The configuration files that were read, in order.
    pub config_files: Vec<PathBuf>,
}

impl Config {
    /// Whether standard output carries the result of the command, so that nothing else may go
    /// there.
    pub fn prints_result(&self) -> bool {
        use CommandName::*;
        let verified = self.command == Verify && self.verify.prints;
        matches!(self.command, Info | RepoGet | RepoLs | RepoSync)
            || verified
            || self.output == OutputFormat::Json
    }
}

/// `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OutputFormat {
    Text,
    Json,
}

/// One `repoN-…`.
#[derive(Clone, Debug)]
pub struct RepoConfig {
    /// N.
    pub key: u16,
    /// The root of the repository.
    pub path: PathBuf,
    /// Where it is kept.
    pub kind: RepoKind,
    /// How a store behind a network is reached.
    pub remote: RemoteConfig,
    /// Its encryption.
    pub cipher: CipherConfig,
    /// Raw bytes after which a new bundle is begun (`repoN-bundle-size`).
    pub bundle_size: u64,
    /// What expire keeps.
    pub retention: RetentionConfig,
}

/// `repoN-retention-…`. `None`: the option is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionConfig {
    /// `-full`: a number of full backups, or of days.
    pub full: Option<u32>,
    /// Whether `-full` is a number of days (`-full-type=time`).
    pub full_is_days: bool,
    /// `-diff`.
    pub diff: Option<u32>,
    /// `-archive`.
    pub archive: Option<u32>,
    /// `-archive-type`.
    pub archive_type: BackupType,
    /// `-daily`.
    pub daily: Option<u32>,
    /// `-weekly`.
    pub weekly: Option<u32>,
    /// `-monthly`.
    pub monthly: Option<u32>,
    /// `-yearly`.
    pub yearly: Option<u32>,
}

/// One `pgN-…`: where the cluster is, and how to connect to it.
#[derive(Clone, Debug)]
pub struct PgConfig {
    /// N.
    pub key: u16,
    /// The data directory, as far as this host sees it.
    pub path: Option<PathBuf>,
    /// Host name or address; `None` for the unix socket.
    pub host: Option<String>,
    /// TCP port, or the number in the socket's name; `None` for PGPORT or 5432.
    pub port: Option<u16>,
    /// Directory of the unix socket.
    pub socket_path: Option<PathBuf>,
    /// The role; `None` for the name of the operating system's user.
    pub user: Option<String>,
    /// The database of the SQL side channel; `None` for PGDATABASE or `postgres`.
    pub database: Option<String>,
    /// A secret: never shown.
    pub password: Option<Secret>,
    /// The pass file; `None` for libpq's default.
    pub pass_file: Option<PathBuf>,
    /// `pgN-sslmode`; `None` for PGSSLMODE or `prefer`.
    pub ssl_mode: Option<String>,
    /// `pgN-sslrootcert`.
    pub ssl_root_cert: Option<PathBuf>,
    /// `pgN-sslcert`.
    pub ssl_cert: Option<PathBuf>,
    /// `pgN-sslkey`.
    pub ssl_key: Option<PathBuf>,
}

/// A value that is never printed: `Debug` shows `***`.
/// Its memory is wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value in plain text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Logging.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Level on standard output.
    pub console: LogLevel,
    /// Level in the log file.
    pub file: LogLevel,
    /// Level on standard error.
    pub stderr: LogLevel,
    /// Directory of the log files.
    pub path: PathBuf,
    /// Whether console lines carry a time stamp.
    pub timestamp: bool,
    /// `--log-format`.
    pub format: LogFormat,
}

/// A log level, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Detail,
    Debug,
    Trace,
}

/// `--log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LogFormat {
    Text,
    Json,
}

/// archive-push, archive-get and the archive check.
#[derive(Clone, Debug)]
pub struct ArchiveConfig {
    /// Whether backup and check wait for WAL in the archive (`archive-check`).
    pub check: bool,
    /// How long they wait (`archive-timeout`).
    pub timeout: Duration,
    /// Whether archive-push checks the segment's header (`archive-header-check`).
    pub header_check: bool,
    /// Whether check verifies `archive_mode` (`archive-mode-check`).
    pub mode_check: bool,
    /// How long nothing may move before a command that PostgreSQL repeats gives up
    /// (`archive-stall-timeout`).
    pub stall_timeout: Duration,
    /// Whether an error of archive-get stops a standby too (`archive-get-stop-standby`).
    pub stop_standby: bool,
}

/// backup.
#[derive(Clone, Debug)]
pub struct BackupConfig {
    /// `--type`.
    pub kind: BackupType,
    /// `--start-fast`.
    pub start_fast: bool,
    /// Whether pages are checked; `None`: when the cluster has checksums (`checksum-page`).
    pub checksum_page: Option<bool>,
    /// `compress-type` and `compress-level`, also used by archive-push.
    pub compression: Compression,
    /// `--max-rate` in kB/s, ours.
    pub max_rate_kb: Option<u32>,
    /// `expire-auto`.
    pub expire_auto: bool,
    /// `backup-source`.
    pub source: SourceChoice,
    /// `backup-standby`, also looked at by check.
    pub standby: BackupStandby,
}

/// `backup-source`: where the files of a backup are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceChoice {
    /// `auto`: in the data directory where that can be, else over the replication protocol.
    Auto,
    /// `local`: in the data directory.
    Local,
    /// `stream`: over the replication protocol.
    Stream,
}

/// `backup-standby`: which server the files of a backup come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupStandby {
    /// `n`: the primary.
    No,
    /// `prefer`: a standby, or the primary where none can be reached.
    Prefer,
    /// `y`: a standby.
    Yes,
}

/// restore.
#[derive(Clone, Debug)]
pub struct RestoreConfig {
    /// `--type` with `--target`, or one of our `--target-…` shorthands.
    pub target: RestoreTarget,
    /// `--target-exclusive`.
    pub target_exclusive: bool,
    /// `--target-action`.
    pub target_action: TargetAction,
    /// `--target-timeline`.
    pub target_timeline: TargetTimeline,
    /// Tablespace oid or name, and its new directory.
    pub tablespace_map: BTreeMap<String, PathBuf>,
    /// The directory for all tablespaces without a mapping of their own.
    pub tablespace_map_all: Option<PathBuf>,
    /// Link (path in the data directory) and its target.
    pub link_map: BTreeMap<String, PathBuf>,
    /// `link-all`.
    pub link_all: bool,
    /// Settings written after ours, in the order given.
    pub recovery_options: Vec<(String, String)>,
    /// `archive-mode=off`.
    pub archive_mode_off: bool,
    /// `db-include`.
    pub db_include: Vec<String>,
    /// `db-exclude`.
    pub db_exclude: Vec<String>,
}

/// Where recovery is to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreTarget {
    /// `default`: the end of the archived WAL.
    Latest,
    /// `immediate`: as soon as the copy is consistent.
    Immediate,
    /// `time`: the text as given (it goes to PostgreSQL as it is).
    Time(String),
    /// `lsn`.
    Lsn(crate::types::Lsn),
    /// `xid`: the text as given.
    Xid(String),
    /// `name`: a restore point.
    Name(String),
    /// `standby`: write standby.signal.
    Standby,
    /// `preserve`: keep the recovery settings of the backup.
    Preserve,
    /// `none`: no recovery settings at all.
    None,
}

/// `--target-action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TargetAction {
    Pause,
    Promote,
    Shutdown,
}

/// `--target-timeline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetTimeline {
    /// Not given: PostgreSQL's default, `latest`.
    Default,
    /// The newest timeline in the archive.
    Latest,
    /// The timeline of the backup.
    Current,
    /// A timeline by number.
    Number(TimeLine),
}

/// expire.
#[derive(Clone, Debug)]
pub struct ExpireConfig {
    /// `--oldest`.
    pub oldest: bool,
    /// `--archive-expire-before`.
    pub wal_before: Option<WalSegment>,
}

/// keep.
#[derive(Clone, Debug)]
pub struct KeepConfig {
    /// `--until`: a date or a time, as given.
    pub until: Option<String>,
    /// `--remove`.
    pub remove: bool,
}

/// info.
#[derive(Clone, Debug)]
pub struct InfoConfig {
    /// `--type`: only backups of this type.
    pub kind: Option<BackupType>,
    /// `--detail-level=progress`.
    pub progress_only: bool,
}

/// repo-ls and repo-get.
#[derive(Clone, Debug)]
pub struct RepoAccessConfig {
    /// `--recurse`.
    pub recurse: bool,
    /// `--filter`, a regular expression.
    pub filter: Option<String>,
    /// `--sort`.
    pub sort: SortOrder,
    /// `--ignore-missing`.
    pub ignore_missing: bool,
    /// `--raw`.
    pub raw: bool,
}

/// repo-key.
#[derive(Clone, Debug)]
pub struct RepoKeyConfig {
    /// `--cipher-pass-new-file`.
    pub pass_new_file: Option<PathBuf>,
    /// `--comment`.
    pub comment: Option<String>,
    /// `--recipient`.
    pub recipient: Option<String>,
}

/// verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyConfig {
    /// Whether a report is printed; else the log alone tells what is wrong.
    pub prints: bool,
    /// `--verbose`: whether the report shows what is in order too.
    pub verbose: bool,
}

/// repo-sync: two different configured repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncConfig {
    /// `--from`.
    pub from: u16,
    /// `--to`.
    pub to: u16,
}

/// `--sort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SortOrder {
    None,
    Asc,
    Desc,
}

impl BackupConfig {
    /// The compression that is used where nothing is configured.
    pub const DEFAULT_COMPRESSION: Compression =
        Compression { kind: CompressType::Zst, level: CompressType::Zst.default_level() };
}
