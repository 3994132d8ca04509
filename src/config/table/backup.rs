//! Options of backup.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const WRITERS: Commands = Commands::ARCHIVE_PUSH.or(Commands::BACKUP);
const TIB: u64 = 1 << 40;

pub(super) static ROWS: &[OptionSpec] = &[
    row(
        "annotation",
        Global,
        Hash,
        Commands::ANNOTATE.or(Commands::BACKUP),
        "Note kept with the backup, key=value",
    )
    .detail("May be given more than once. annotate removes a key when its value is empty.")
    .example("source='before upgrade'"),
    row("archive-copy", Global, Boolean, Commands::BACKUP, "Copy the needed WAL into the backup")
        .default("n")
        .accepted("the WAL of a backup stays in the archive"),
    row(
        "backup-source",
        Global,
        Word(&["auto", "local", "stream"]),
        Commands::BACKUP.or(Commands::CHECK),
        "Where the files of a backup are read",
    )
    .default("auto")
    .detail(
        "stream takes them over the replication protocol, from one process of the server; local reads \
         the data directory pgN-path on this host, in parallel, between pg_backup_start and \
         pg_backup_stop. auto is local where pgN-path is the data directory of the connected server, \
         and this user and the role may do so; else stream.",
    )
    .example("stream"),
    row(
        "backup-standby",
        Global,
        Word(&["n", "prefer", "y"]),
        Commands::BACKUP.or(Commands::CHECK),
        "Take the backup from a standby",
    )
    .default("n")
    .detail(
        "y takes the files from a standby and fails where none can be reached; prefer then takes \
         them from the primary. The primary, where it is among the pgN options too, is asked to end \
         its WAL segment, so that the backup need not wait for that.",
    ),
    row("checksum-page", Global, Boolean, Commands::BACKUP, "Verify the checksums of data pages")
        .detail(
            "On by itself where the cluster has checksums. Bad pages are listed in the log and \
                 kept in the manifest; the backup goes on.",
        ),
    row("compress", Global, Boolean, WRITERS, "Compress what is stored")
        .default("y")
        .detail("Older form of compress-type: 'n' is compress-type=none where that is not set."),
    row("compress-level", Global, Integer(-7, 22), WRITERS, "Level of the compression")
        .detail("zst -7 to 22 (default 3), gz 0 to 9 (default 6). lz4 has one level only.")
        .example("3"),
    row(
        "compress-level-network",
        Global,
        Integer(-5, 12),
        Commands::WORK,
        "Level of the compression between hosts",
    )
    .accepted("no process runs on another host"),
    row(
        "compress-type",
        Global,
        Word(&["none", "bz2", "gz", "lz4", "zst"]),
        WRITERS,
        "How what is stored is compressed",
    )
    .default("zst")
    .detail(
        "zst stores less than gz and is several times as fast. bz2 is taken for zst, with \
                 a warning.",
    )
    .example("lz4"),
    row("exclude", Global, List, Commands::BACKUP, "Leave paths out of the backup")
        .accepted("the server decides what belongs to a backup"),
    row("expire-auto", Global, Boolean, Commands::BACKUP, "Expire after each backup").default("y"),
    row(
        "manifest-save-threshold",
        Global,
        Size(1, TIB),
        Commands::BACKUP,
        "How often to save the manifest while a backup runs",
    )
    .default("1GiB")
    .accepted("a manifest is written once, when the backup is complete"),
    row(
        "max-rate",
        Global,
        Integer(32, 1_048_576),
        Commands::BACKUP,
        "Most data to read from the server, kB a second",
    )
    .detail("With backup-source=stream, the server itself keeps to the rate.")
    .example("51200"),
    row("page-header-check", Global, Boolean, Commands::BACKUP, "Check the headers of data pages")
        .default("y")
        .accepted("headers are checked with the checksums (checksum-page)"),
    row("resume", Global, Boolean, Commands::BACKUP, "Go on with an interrupted backup")
        .default("n")
        .accepted(
            "an interrupted backup leaves nothing to go on with; the next one is independent",
        ),
    row("start-fast", Global, Boolean, Commands::BACKUP, "Begin with an immediate checkpoint")
        .default("n")
        .detail(
            "Without it the server spreads its checkpoint, and the backup begins only after \
                 it, up to some minutes later.",
        )
        .example("y"),
    row(
        "type",
        CommandLine,
        String,
        Commands::BACKUP.or(Commands::INFO).or(Commands::RESTORE),
        "Type of the backup or of the recovery target",
    )
    .command_defaults(&[(Commands::BACKUP, "incr"), (Commands::RESTORE, "default")])
    .command_words(&[
        (Commands::BACKUP.or(Commands::INFO), &["full", "diff", "incr"]),
        (
            Commands::RESTORE,
            &["default", "immediate", "lsn", "name", "none", "preserve", "standby", "time", "xid"],
        ),
    ])
    .detail(
        "restore: default recovers to the end of the archive, immediate stops as soon as \
                 the cluster is consistent, lsn, name, time and xid stop at --target, standby \
                 makes a standby, preserve keeps the recovery settings that are in the backup, \
                 none sets up no recovery.",
    )
    .example("full"),
];
