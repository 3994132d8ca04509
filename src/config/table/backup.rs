//! Options of backup, and the compression it shares with archive-push.

use crate::{
    config::{
        commands::Commands,
        error::Error,
        settings::Settings,
        spec::{Kind::*, OptionSpec, Section::*, help_for, row},
    },
    types::{BackupType, CompressType, Compression, TargetKind, words::words},
};

const WRITERS: Commands = Commands::ARCHIVE_PUSH.or(Commands::BACKUP);
const TIB: u64 = 1 << 40;
/// Read for configurations of pgBackRest; zst is used in its place.
const BZ2: &str = "bz2";

pub(super) static ROWS: &[OptionSpec] = &[
    row(
        "annotation",
        Global,
        Hash,
        Commands::ANNOTATE.or(Commands::BACKUP),
        "Annotation of the backup, key=value",
    )
    .detail("Annotations are shown by info. May be given more than once.")
    .command_help(&[help_for(Commands::ANNOTATE, "Annotation to set, key=value")
        .detail("An empty value removes the key. May be given more than once.")])
    .example("source='before upgrade'"),
    row("archive-copy", Global, Boolean, Commands::BACKUP, "Copy required WAL into the backup")
        .default("n")
        .accepted("the WAL of a backup stays in the archive"),
    row(
        "backup-source",
        Global,
        Word(SourceChoice::WORDS),
        Commands::BACKUP.or(Commands::CHECK),
        "How database files are read: auto, local or stream",
    )
    .default("auto")
    .detail(
        "local reads the data directory pgN-path on this host, with process-max workers, between \
         pg_backup_start and pg_backup_stop. stream receives the files over the replication protocol, from \
         one server process. auto is local if pgN-path is the data directory of the connected server and \
         this user and the role have the privileges, else stream.",
    )
    .example("stream"),
    row(
        "backup-standby",
        Global,
        Word(BackupStandby::WORDS),
        Commands::BACKUP.or(Commands::CHECK),
        "Back up from a standby: n, prefer or y",
    )
    .default("n")
    .detail(
        "y copies the files from a standby and fails if none can be reached; prefer then copies them from \
         the primary. If the primary is also configured, it is asked to switch WAL, so that the backup does \
         not have to wait for the segment to fill.",
    )
    .example("prefer"),
    row("checksum-page", Global, Boolean, Commands::BACKUP, "Validate data page checksums")
        .detail(
            "Default: y if the cluster has data checksums. Invalid pages are logged and recorded in the \
             manifest, and the backup continues.",
        )
        .example("y"),
    row("compress", Global, Boolean, WRITERS, "Use compression")
        .default("y")
        .detail("Older form of compress-type: n means compress-type=none unless that is set."),
    row("compress-level", Global, Integer(-7, 22), WRITERS, "Compression level")
        .detail("zst: -7 to 22, default 3. gz: 0 to 9, default 6. lz4 has one level.")
        .example("3"),
    row(
        "compress-level-network",
        Global,
        Integer(-5, 12),
        Commands::WORK,
        "Network compression level",
    )
    .accepted("no process runs on a remote host"),
    row(
        "compress-type",
        Global,
        Word(&["none", BZ2, "gz", "lz4", "zst"]),
        WRITERS,
        "Compression type",
    )
    .default("zst")
    .detail(
        "zst compresses better than gz and is several times as fast. For bz2, zst is used and a warning is \
         logged.",
    )
    .example("lz4"),
    row("exclude", Global, List, Commands::BACKUP, "Exclude paths from the backup")
        .accepted("the files of a backup are those that PostgreSQL's own base backup includes"),
    row("expire-auto", Global, Boolean, Commands::BACKUP, "Run expire after each backup")
        .default("y"),
    row(
        "manifest-save-threshold",
        Global,
        Size(1, TIB),
        Commands::BACKUP,
        "Manifest save threshold during backup",
    )
    .default("1GiB")
    .accepted("the manifest is written once, when the backup is complete"),
    row(
        "max-rate",
        Global,
        Integer(32, 1_048_576),
        Commands::BACKUP,
        "Limit reads from the server (kB/s)",
    )
    .detail("With backup-source=stream, the limit is applied by the server. Default: no limit.")
    .example("51200"),
    row("page-header-check", Global, Boolean, Commands::BACKUP, "Check page headers")
        .default("y")
        .accepted("page headers are checked with the checksums (checksum-page)"),
    row("resume", Global, Boolean, Commands::BACKUP, "Resume an interrupted backup")
        .default("n")
        .accepted("an interrupted backup leaves nothing to resume, and the next one is independent"),
    row("start-fast", Global, Boolean, Commands::BACKUP, "Start the backup with a fast checkpoint")
        .default("n")
        .detail(
            "Without it, the backup waits for a regular checkpoint, which PostgreSQL spreads over several \
             minutes.",
        )
        .example("y"),
    row(
        "type",
        CommandLine,
        Text,
        Commands::BACKUP.or(Commands::INFO).or(Commands::RESTORE),
        "Type of backup or recovery target",
    )
    .command_defaults(&[(Commands::BACKUP, "incr"), (Commands::RESTORE, "default")])
    .command_words(&[
        (Commands::BACKUP.or(Commands::INFO), BackupType::WORDS),
        (Commands::RESTORE, TargetKind::WORDS),
    ])
    .command_help(&[
        help_for(Commands::BACKUP, "Backup type: full, diff or incr").detail(
            "full copies all blocks. diff copies the blocks that changed since the last full backup, incr \
             those that changed since the last backup. Without a prior backup a full backup is made.",
        ),
        help_for(Commands::INFO, "Show only backups of this type"),
        help_for(Commands::RESTORE, "Recovery target type")
            .detail(
                "default recovers to the end of the archive. immediate stops as soon as the cluster is \
                 consistent. lsn, name, time and xid stop at --target. standby creates standby.signal. \
                 preserve keeps the recovery settings of the backup. none writes no recovery settings.",
            )
            .example("time"),
    ])
    .example("full"),
];

/// backup.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct BackupConfig {
    pub kind: BackupType,
    pub start_fast: bool,
    /// `None`: if the cluster has checksums.
    pub checksum_page: Option<bool>,
    /// Also used by archive-push.
    pub compression: Compression,
    pub max_rate_kb: Option<u32>,
    pub expire_auto: bool,
    pub source: SourceChoice,
    /// Also used by check.
    pub standby: BackupStandby,
}

words! {
    /// `backup-source`: where the files of a backup are read.
    pub enum SourceChoice ("backup source") {
        /// In the data directory if possible, else over the replication protocol.
        Auto = "auto",
        /// In the data directory.
        Local = "local",
        /// Over the replication protocol.
        Stream = "stream",
    }
}

words! {
    /// `backup-standby`: which server the files of a backup come from.
    pub enum BackupStandby ("choice of a standby") {
        /// The primary.
        No = "n",
        /// A standby, or the primary if none can be reached.
        Prefer = "prefer",
        /// A standby.
        Yes = "y",
    }
}

impl BackupConfig {
    /// The compression that is used where nothing is configured.
    pub const DEFAULT_COMPRESSION: Compression =
        Compression { kind: CompressType::Zst, level: CompressType::Zst.default_level() };
}

pub(super) fn read(s: &Settings, warnings: &mut Vec<String>) -> Result<BackupConfig, Error> {
    let kind = if s.command.set == Commands::BACKUP { s.word("type")? } else { BackupType::Incr };
    Ok(BackupConfig {
        kind,
        start_fast: s.boolean("start-fast")?,
        checksum_page: s.optional_boolean("checksum-page")?,
        compression: compression(s, warnings)?,
        max_rate_kb: s.integer("max-rate", 0)?,
        expire_auto: s.boolean("expire-auto")?,
        source: s.word("backup-source")?,
        standby: s.word("backup-standby")?,
    })
}

fn compression(s: &Settings, warnings: &mut Vec<String>) -> Result<Compression, Error> {
    if !s.is_set("compress-type", 0) && !s.boolean("compress")? {
        let kind = CompressType::None;
        return Ok(Compression { kind, level: level(s, kind)? });
    }
    if s.text("compress-type", 0)?.as_deref() == Some(BZ2) {
        warnings.push(
            "option 'compress-type=bz2' is not supported: using zst at its default level".into(),
        );
        let kind = CompressType::Zst;
        return Ok(Compression { kind, level: kind.default_level() });
    }
    let kind = s.word("compress-type")?;
    Ok(Compression { kind, level: level(s, kind)? })
}

fn level(s: &Settings, kind: CompressType) -> Result<i32, Error> {
    let Some(level) = s.integer("compress-level", 0)? else { return Ok(kind.default_level()) };
    let range = match kind {
        CompressType::Zst => -7..=22,
        CompressType::Gz => -1..=9,
        // One level only, and levels that others take are no reason to fail.
        CompressType::None | CompressType::Lz4 => return Ok(kind.default_level()),
    };
    if range.contains(&level) {
        // -1 is gzip's own word for its default.
        return Ok(if kind == CompressType::Gz && level < 0 { 6 } else { level });
    }
    let hint = format!("the range of {kind} is {} to {}.", range.start(), range.end());
    Err(s.invalid("compress-level", 0, "is out of range", Some(hint)))
}
