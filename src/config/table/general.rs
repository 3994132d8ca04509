//! Options that most commands share, and the [`Config`] whose fields they are.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{
    archive::{self, ArchiveConfig},
    backup::{self, BackupConfig},
    expire::{self, ExpireConfig, KeepConfig},
    info::{self, InfoConfig, RepoAccessConfig, VerifyConfig, VerifyReport},
    key::{self, RepoKeyConfig},
    log::{self, LogConfig},
    pg::{self, PgConfig},
    repo::{self, RepoConfig},
    restore::{self, RestoreConfig},
    sync::{self, SyncConfig},
};
use crate::{
    config::{
        carried,
        commands::{CommandName, Commands},
        error::Error,
        flavor::Program,
        rules,
        settings::Settings,
        spec::{Kind::*, OptionSpec, Section::*, help_for, row},
    },
    types::{BackupLabel, StanzaName, words::words},
};

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// The most that `process-max` is by itself.
const PROCESSES_DEFAULT_MAX: usize = 4;
const SETS: Commands = Commands::ANNOTATE
    .or(Commands::EXPIRE)
    .or(Commands::INFO)
    .or(Commands::KEEP)
    .or(Commands::MANIFEST)
    .or(Commands::REPO_SYNC)
    .or(Commands::RESTORE)
    .or(Commands::VERIFY);
const STANZAS: Commands = Commands::WORK
    .without(Commands::REPO_PUT)
    .without(Commands::REPO_RM)
    .without(Commands::SERVER)
    .without(Commands::SERVER_PING);
const LOCKS: Commands = STANZAS
    .without(Commands::MANIFEST)
    .without(Commands::REPO_GET)
    .without(Commands::REPO_KEY)
    .without(Commands::REPO_LS)
    .without(Commands::VERIFY);
const OUTPUTS: Commands = Commands::BACKUP
    .or(Commands::CHECK)
    .or(Commands::INFO)
    .or(Commands::MANIFEST)
    .or(Commands::REPO_KEY)
    .or(Commands::REPO_LS)
    .or(Commands::REPO_SYNC)
    .or(Commands::RESTORE)
    .or(Commands::VERIFY)
    .or(Commands::VERSION);

pub(super) static ROWS: &[OptionSpec] = &[
    row("allow-root", Global, Boolean, Commands::WORK, "Allow the command to run as root")
        .default("y")
        .detail(
            "Files that root creates in a repository and in the lock and log directories get the owner of \
             the directory they are created in, so that the usual user can use them. With \
             allow-root=n the command is refused when it is run as root.",
        )
        .example("n"),
    row(
        "buffer-size",
        Global,
        Size(16 << 10, 16 << 20),
        Commands::WORK,
        "Buffer size for file operations",
    )
    .default("1MiB")
    .accepted("buffer sizes are chosen automatically"),
    row("config", CommandLine, Text, Commands::ALL, "Configuration file")
        .default_path("/etc/pgstrata/pgstrata.conf", "/etc/pgbackrest/pgbackrest.conf")
        .detail(
            "A file given here must exist. The files of conf.d are then read only if \
             config-include-path is also set. --no-config reads no configuration file.",
        )
        .example("/etc/db/backup.conf"),
    row(
        "config-include-path",
        CommandLine,
        Path,
        Commands::ALL,
        "Directory of additional configuration files (*.conf)",
    )
    .default_path("/etc/pgstrata/conf.d", "/etc/pgbackrest/conf.d")
    .detail(
        "The files are read in the order of their names, as if they were appended to the \
         configuration file. A directory given here must exist.",
    )
    .example("/etc/db/conf.d"),
    row(
        "config-path",
        CommandLine,
        Path,
        Commands::ALL,
        "Base directory of the configuration file and conf.d",
    )
    .default_path("/etc/pgstrata", "/etc/pgbackrest")
    .detail("Changes the defaults of config and config-include-path.")
    .example("/etc/db"),
    row("db-timeout", Global, Time(100, 7 * DAY_MS), Commands::CONNECT, "Database query timeout")
        .default("30m")
        .detail(
            "How long PostgreSQL may take to answer a query, including the functions that start and stop \
             a backup, and how long it may send nothing while a backup runs over the replication \
             protocol. It must be longer than a checkpoint takes.",
        )
        .example("1h"),
    row(
        "delta",
        Global,
        Boolean,
        Commands::BACKUP.or(Commands::RESTORE),
        "Compare file contents instead of trusting size and time",
    )
    .default("n")
    .command_help(&[
        help_for(Commands::RESTORE, "Restore only blocks that differ from the backup").detail(
            "Compares each block of the files in the data directory with the checksums in the backup and \
             writes only those that differ. Files that are not in the backup are removed.",
        ),
        help_for(Commands::BACKUP, "Compare all files with the prior backup").detail(
            "A diff or incr backup that reads the data directory (backup-source) then reads all files, not \
             only those whose size or modification time has changed.",
        ),
    ])
    .example("y"),
    row(
        "dry-run",
        CommandLine,
        Boolean,
        Commands::BACKUP
            .or(Commands::EXPIRE)
            .or(Commands::REPO_KEY)
            .or(Commands::REPO_SYNC)
            .or(Commands::RESTORE)
            .or(Commands::STANZA_DELETE),
        "Show what would be done without doing it",
    )
    .default("n"),
    row(
        "force",
        CommandLine,
        Boolean,
        Commands::BACKUP
            .or(Commands::REPO_KEY)
            .or(Commands::RESTORE)
            .or(Commands::STANZA_CREATE)
            .or(Commands::STANZA_DELETE)
            .or(Commands::STOP),
        "Override safety checks",
    )
    .default("n")
    .command_help(&[
        help_for(Commands::RESTORE, "Overwrite files in the data directory").detail(
            "With --delta: decide by size and modification time whether a file is unchanged, and compare \
             only files that were written to since the second in which the backup began.",
        ),
        help_for(Commands::STANZA_DELETE, "Delete the stanza while PostgreSQL is running"),
        help_for(Commands::STOP, "Also terminate commands that are running"),
        help_for(Commands::REPO_KEY, "Remove the recipient whose pass phrase is in use"),
        help_for(Commands::STANZA_CREATE, "Accepted with a warning, without effect"),
        help_for(Commands::BACKUP, "Accepted without effect"),
    ]),
    row("help", CommandLine, Boolean, Commands::ALL, "Show help for the command").default("n"),
    row(
        "io-timeout",
        Global,
        Time(100, 60 * MINUTE_MS),
        Commands::WORK,
        "I/O timeout of remote repositories",
    )
    .default("1m")
    .detail(
        "A request to a remote repository is retried when no data has moved for this long. Waiting for \
         PostgreSQL is limited by db-timeout.",
    )
    .example("30s"),
    row("lock-path", Global, Path, LOCKS, "Directory of lock and stop files")
        .detail(
            "All commands of a stanza on this host must use the same directory. It must belong to the user \
             that runs them or to root, and must not be writable by every user. Default: /run/pgstrata if \
             it exists and is writable, else /tmp/pgstrata-<user id>. A stop file in /run/pgstrata applies \
             to all users, so that root can stop the commands of every user. This also holds under the name \
             pgbackrest, where a stop file in /tmp/pgbackrest applies too.",
        )
        .example("/run/pgstrata"),
    row("neutral-umask", Global, Boolean, Commands::WORK, "Use a neutral umask")
        .default("y")
        .accepted("files are created with mode 0640 and directories with mode 0750"),
    row(
        "online",
        CommandLine,
        Boolean,
        Commands::BACKUP.or(Commands::STANZA_CREATE).or(Commands::STANZA_UPGRADE),
        "Connect to PostgreSQL",
    )
    .default("y")
    .refused("PostgreSQL must be running"),
    row("output", CommandLine, Word(OutputFormat::WORDS), OUTPUTS, "Output format")
        .default("text")
        .command_defaults(&[(Commands::VERIFY, "none")])
        .command_words(&[(Commands::VERIFY, VerifyReport::WORDS)])
        .command_help(&[
            help_for(Commands::INFO, "Output format")
                .detail("The JSON output is compatible with pgBackRest's."),
            help_for(Commands::VERIFY, "Report format")
                .detail("With none, verify prints no report and logs only errors."),
        ])
        .example("json"),
    row("priority", Global, Integer(-20, 19), Commands::WORK, "Process priority (nice value)")
        .accepted("run the program under nice instead"),
    row("process-max", Global, Integer(1, 999), Commands::WORK, "Number of worker threads")
        .detail(
            "Worker threads compress, decompress and checksum data; network and disk I/O run beside them. \
             Default: the number of processors, at most 4. Set 1 to leave the processors to PostgreSQL, or \
             more on a dedicated host.",
        )
        .example("4"),
    row(
        "repo",
        CommandLine,
        Integer(1, 256),
        Commands::REPO.without(Commands::REPO_SYNC),
        "Repository to use, by its number",
    )
    .command_help(&[
        help_for(Commands::BACKUP, "Repository to back up to, by its number")
            .detail("Default: the repository with the lowest number."),
        help_for(
            Commands::ARCHIVE_GET.or(Commands::RESTORE),
            "Repository to read from, by its number",
        )
        .detail("Default: all repositories are searched in the order of their numbers."),
        help_for(
            Commands::STANZA_DELETE
                .or(Commands::REPO_GET)
                .or(Commands::REPO_KEY)
                .or(Commands::REPO_LS),
            "Repository to use, by its number",
        )
        .detail("Required if more than one repository is configured."),
    ])
    .detail("Default: all configured repositories.")
    .example("1"),
    row("set", CommandLine, Text, SETS, "Backup to use, by its label")
        .command_defaults(&[(Commands::MANIFEST, "latest"), (Commands::RESTORE, "latest")])
        .command_help(&[
            help_for(Commands::RESTORE, "Backup to restore, by its label").detail(
                "latest is the newest backup, or the newest that ended before the recovery target.",
            ),
            help_for(Commands::EXPIRE, "Backup to expire, by its label")
                .detail("Backups that depend on it expire too, whatever the retention options say."),
            help_for(Commands::INFO, "Backup to show in detail, by its label"),
            help_for(Commands::KEEP, "Backup to keep, by its label"),
            help_for(Commands::ANNOTATE, "Backup to annotate, by its label"),
            help_for(Commands::VERIFY, "Backup to verify, by its label")
                .detail("Default: everything in the stanza is verified."),
            help_for(Commands::REPO_SYNC, "Backup to copy, by its label").detail(
                "Backups that it depends on are copied too. Default: every backup that the retention \
                 options of the target keep.",
            ),
        ])
        .example("20261121-092452F"),
    row("spool-path", Global, Path, Commands::ARCHIVE, "Spool directory")
        .default_path("/var/spool/pgstrata", "/var/spool/pgbackrest")
        .accepted("nothing is spooled in this release"),
    row("stanza", CommandLine, Text, STANZAS, "Stanza name")
        .detail(
            "A stanza is the configuration of one PostgreSQL cluster. Its name is a section of the \
             configuration file and a directory in the repository.",
        )
        .example("db"),
    row("version", CommandLine, Boolean, Commands::ALL, "Print the version").default("n"),
];

/// The whole configuration of one run.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Config {
    /// What to do.
    pub command: CommandName,
    /// The words after the command (the file of archive-push, the path of repo-get, ...).
    pub arguments: Vec<String>,
    pub stanza: Option<StanzaName>,
    /// The repository chosen by `--repo`.
    pub repo: Option<u16>,
    /// The configured repositories by number; never empty.
    pub repos: BTreeMap<u16, RepoConfig>,
    /// The configured clusters by number (`pg1-…`).
    pub pgs: BTreeMap<u16, PgConfig>,
    pub process_max: usize,
    pub allow_root: bool,
    /// `None`: the default of the host.
    pub lock_path: Option<PathBuf>,
    pub db_timeout: Duration,
    pub dry_run: bool,
    pub force: bool,
    pub delta: bool,
    /// `--set`; `None` for the newest.
    pub set: Option<BackupLabel>,
    pub output: OutputFormat,
    pub log: LogConfig,
    /// archive-push, archive-get and the archive check of backup.
    pub archive: ArchiveConfig,
    pub backup: BackupConfig,
    pub restore: RestoreConfig,
    pub expire: ExpireConfig,
    pub keep: KeepConfig,
    pub info: InfoConfig,
    /// repo-ls and repo-get.
    pub repo_access: RepoAccessConfig,
    pub repo_key: RepoKeyConfig,
    pub verify: VerifyConfig,
    /// repo-sync.
    pub sync: Option<SyncConfig>,
    /// `--annotation key=value`, in the order given; an empty value removes the key.
    pub annotations: Vec<(String, String)>,
    /// Options that a later call of this program (a restore_command) must repeat to see the same configuration: those
    /// that archive-get takes and that the command line or the environment of this call set, as `--name=value`, not
    /// quoted for a shell. Never a secret, and not the stanza.
    pub carried_options: Vec<String>,
    /// Every option that is set, as the log shows it when the command begins; a secret as `<redacted>`.
    pub shown_options: Vec<String>,
    /// How the program was started.
    pub program: Program,
    /// Warnings about the configuration, for the log once it is open.
    pub warnings: Vec<String>,
    /// The configuration files that were read, in order.
    pub config_files: Vec<PathBuf>,
}

words! {
    /// `--output`.
    pub enum OutputFormat ("output format") {
        Text = "text",
        Json = "json",
    }
}

impl Config {
    /// Whether standard output carries the result of the command, so that nothing else may go there.
    pub fn prints_result(&self) -> bool {
        use CommandName::*;
        match self.command {
            Info | RepoGet | RepoLs | RepoSync => true,
            Verify => self.verify.report != VerifyReport::None,
            Annotate | ArchiveGet | ArchivePush | Backup | Check | Completion | Expire | Help
            | Keep | Man | RepoKey | Restore | StanzaCreate | StanzaDelete | StanzaUpgrade
            | Start | Stop | Version => self.output == OutputFormat::Json,
        }
    }
}

/// What a configuration is made from beside the options.
pub(in crate::config) struct Parts {
    pub(in crate::config) name: CommandName,
    pub(in crate::config) program: Program,
    pub(in crate::config) arguments: Vec<String>,
    pub(in crate::config) settings: Settings,
    pub(in crate::config) warnings: Vec<String>,
    pub(in crate::config) config_files: Vec<PathBuf>,
}

/// Checks the rules that tie options to each other, and reads every option into its field.
pub(in crate::config) fn read(parts: Parts) -> Result<Config, Error> {
    let Parts { name, program, arguments, settings, mut warnings, config_files } = parts;
    let s = &settings;
    let stanza = s.parsed("stanza")?;
    rules::check_arguments(s, &arguments)?;
    rules::check_refused(s)?;
    rules::check_stanza(s)?;
    warnings.extend(rules::ignored_options(s)?);
    let repos = repo::read(s, &mut warnings)?;
    rules::check_repo_choice(s, &repos)?;
    let pgs = pg::read(s)?;
    let sync = sync::read(s, &repos)?;
    rules::check_clusters(s, &pgs)?;
    Ok(Config {
        command: name,
        stanza,
        repo: s.integer("repo", 0)?,
        repos,
        pgs,
        process_max: s.integer("process-max", 0)?.unwrap_or_else(default_process_max),
        allow_root: s.boolean("allow-root")?,
        lock_path: s.path("lock-path", 0)?,
        db_timeout: s.time("db-timeout")?,
        dry_run: s.boolean("dry-run")?,
        force: s.boolean("force")?,
        delta: s.boolean("delta")?,
        set: set(s)?,
        output: output(s)?,
        log: log::read(s)?,
        archive: archive::read(s)?,
        backup: backup::read(s, &mut warnings)?,
        restore: restore::read(s, &mut warnings)?,
        expire: expire::read(s)?,
        keep: expire::keep(s)?,
        info: info::read(s)?,
        repo_access: info::repo_access(s)?,
        repo_key: key::read(s)?,
        verify: info::verify(s)?,
        sync,
        annotations: s.hash("annotation")?,
        carried_options: carried::carried(s),
        shown_options: carried::shown(s),
        arguments,
        program,
        warnings,
        config_files,
    })
}

/// As many as there are processors, within reason: a backup often runs beside the server.
fn default_process_max() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get().min(PROCESSES_DEFAULT_MAX))
}

fn set(s: &Settings) -> Result<Option<BackupLabel>, Error> {
    match s.text("set", 0)?.as_deref() {
        Some("latest") => Ok(None),
        _ => s.parsed("set"),
    }
}

/// The report of verify has words of its own.
fn output(s: &Settings) -> Result<OutputFormat, Error> {
    if s.command.set == Commands::VERIFY { Ok(OutputFormat::Text) } else { s.word("output") }
}
