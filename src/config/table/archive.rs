//! Options of the WAL archive.

use std::time::Duration;

use crate::config::{
    commands::Commands,
    error::Error,
    settings::Settings,
    spec::{Kind::*, OptionSpec, Section::*, help_for, row},
};

const KIB: u64 = 1024;
const MIB: u64 = KIB * KIB;
const PIB: u64 = MIB * MIB * KIB;
const DAY_MS: u64 = 24 * 3600 * 1000;
const CHECKS: Commands = Commands::ARCHIVE_PUSH.or(Commands::BACKUP).or(Commands::CHECK);
const SYNCHRONOUS: &str = "WAL files are pushed and fetched one at a time in this release";

pub(super) static ROWS: &[OptionSpec] = &[
    row("archive-async", Global, Boolean, Commands::ARCHIVE, "Push and get WAL asynchronously")
        .default("n")
        .accepted(SYNCHRONOUS),
    row(
        "archive-check",
        Global,
        Boolean,
        CHECKS,
        "Check that the WAL of a backup reaches the archive",
    )
    .default("y")
    .detail(
        "A backup waits until all WAL from its start to its stop is in the archive, because it cannot be \
         restored without. Turn this off only if WAL is archived by other means.",
    ),
    row(
        "archive-get-queue-max",
        Global,
        Size(0, 4 * PIB),
        Commands::ARCHIVE_GET,
        "Maximum size of the archive-get queue",
    )
    .default("128MiB")
    .accepted(SYNCHRONOUS),
    row(
        "archive-get-stop-standby",
        Global,
        Boolean,
        Commands::ARCHIVE_GET,
        "Stop a standby when archive-get fails",
    )
    .default("n")
    .detail(
        "An error of archive-get always stops a server in recovery that is not a standby. A standby \
         continues by default, because it can stream and retries by itself. During promotion, however, a \
         standby takes every error for the end of WAL: set this option if it must stop rather than be \
         promoted without WAL that is in the archive.",
    ),
    row(
        "archive-header-check",
        Global,
        Boolean,
        Commands::ARCHIVE_PUSH,
        "Check the header of each WAL segment",
    )
    .default("y")
    .detail(
        "The PostgreSQL version and system identifier of the segment must match the stanza, so that WAL of \
         another cluster cannot get into its archive.",
    ),
    row(
        "archive-missing-retry",
        Global,
        Boolean,
        Commands::ARCHIVE_GET,
        "Retry a missing WAL segment",
    )
    .default("y")
    .accepted("every call looks for the segment again"),
    row("archive-mode-check", Global, Boolean, CHECKS, "Check archive_mode of the server")
        .default("y")
        .detail("archive_mode must not be off."),
    row(
        "archive-push-batch-size",
        Global,
        Size(MIB, 4 * PIB),
        Commands::ARCHIVE_PUSH,
        "Maximum size of an archive-push batch",
    )
    .default("16GiB")
    .accepted(SYNCHRONOUS),
    row(
        "archive-push-queue-max",
        Global,
        Size(0, 4 * PIB),
        Commands::ARCHIVE_PUSH,
        "Maximum size of the archive-push queue",
    )
    .accepted("WAL is never dropped")
    .example("1TiB"),
    row(
        "archive-stall-timeout",
        Global,
        Time(100, DAY_MS),
        Commands::ARCHIVE,
        "Give up on a remote repository that does not respond",
    )
    .default("10s")
    .command_defaults(&[(Commands::ARCHIVE_GET, "5s")])
    .command_help(&[
        help_for(Commands::ARCHIVE_PUSH, "Give up on a remote repository that does not respond")
            .detail(
                "archive-push fails when no data has moved for this long, even if io-timeout or \
                 repoN-storage-retry-time is longer. PostgreSQL repeats it, and a server that shuts down \
                 waits for it.",
            ),
        help_for(Commands::ARCHIVE_GET, "Give up on a remote repository that does not respond")
            .detail(
                "archive-get of a standby fails when no data has moved for this long, even if io-timeout or \
                 repoN-storage-retry-time is longer: the standby may stream meanwhile, and repeats it. In \
                 other recoveries archive-get is not repeated, and only those two options apply.",
            ),
    ])
    .example("30s"),
    row(
        "archive-timeout",
        Global,
        Time(100, DAY_MS),
        Commands::ARCHIVE.or(Commands::BACKUP).or(Commands::CHECK),
        "How long to wait for WAL to reach the archive",
    )
    .default("1m")
    .detail("Used by backup and check, and ignored by archive-push and archive-get.")
    .example("5m"),
    row(
        "pg-version-force",
        Stanza,
        Text,
        Commands::PG.or(Commands::VERIFY),
        "Force the PostgreSQL version",
    )
    .accepted("the version is read from the server and from its control file"),
];

/// archive-push, archive-get and the archive check of backup.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ArchiveConfig {
    pub check: bool,
    pub timeout: Duration,
    pub header_check: bool,
    pub mode_check: bool,
    pub stall_timeout: Duration,
    pub stop_standby: bool,
}

pub(super) fn read(s: &Settings) -> Result<ArchiveConfig, Error> {
    Ok(ArchiveConfig {
        check: s.boolean("archive-check")?,
        timeout: s.time("archive-timeout")?,
        header_check: s.boolean("archive-header-check")?,
        mode_check: s.boolean("archive-mode-check")?,
        stall_timeout: s.time("archive-stall-timeout")?,
        stop_standby: s.boolean("archive-get-stop-standby")?,
    })
}
