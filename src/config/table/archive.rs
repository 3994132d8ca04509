//! Options of the WAL archive.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const KIB: u64 = 1024;
const MIB: u64 = KIB * KIB;
const PIB: u64 = MIB * MIB * KIB;
const CHECKS: Commands = Commands::ARCHIVE_PUSH.or(Commands::BACKUP).or(Commands::CHECK);
const SYNCHRONOUS: &str = "segments are pushed and fetched one at a time in this release";

pub(super) static ROWS: &[OptionSpec] = &[
    row("archive-async", Global, Boolean, Commands::ARCHIVE, "Push and get WAL in the background")
        .default("n")
        .accepted(SYNCHRONOUS),
    row(
        "archive-check",
        Global,
        Boolean,
        CHECKS,
        "Wait until the WAL of a backup is in the archive",
    )
    .default("y")
    .detail(
        "A backup without all WAL from its start to its stop cannot be restored. Leave \
                 this on unless WAL is kept by other means.",
    ),
    row(
        "archive-get-queue-max",
        Global,
        Size(0, 4 * PIB),
        Commands::ARCHIVE_GET,
        "Most WAL to fetch in advance",
    )
    .default("128MiB")
    .accepted(SYNCHRONOUS),
    row(
        "archive-get-stop-standby",
        Global,
        Boolean,
        Commands::ARCHIVE_GET,
        "Stop a standby too when WAL cannot be fetched",
    )
    .default("n")
    .detail(
        "An error of archive-get stops a server in recovery. A standby goes on by default: it streams, and asks again. \
             While it is being promoted it takes every error for the end of the WAL: set this where a \
             standby must rather stop than be promoted without WAL that the archive has.",
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
        "The version and the system identifier in the segment must be those of the stanza, \
                 so a cluster cannot push into the archive of another.",
    ),
    row(
        "archive-missing-retry",
        Global,
        Boolean,
        Commands::ARCHIVE_GET,
        "Look again for a segment that was missing",
    )
    .default("y")
    .accepted("absence is never remembered, so each call looks again"),
    row("archive-mode-check", Global, Boolean, CHECKS, "Check the archive_mode of the server")
        .default("y"),
    row(
        "archive-push-batch-size",
        Global,
        Size(MIB, 4 * PIB),
        Commands::ARCHIVE_PUSH,
        "Most WAL to push in one batch",
    )
    .default("16GiB")
    .accepted(SYNCHRONOUS),
    row(
        "archive-push-queue-max",
        Global,
        Size(0, 4 * PIB),
        Commands::ARCHIVE_PUSH,
        "Most WAL that may wait before it is thrown away",
    )
    .accepted("no WAL is ever thrown away")
    .example("1TiB"),
    row(
        "archive-stall-timeout",
        Global,
        Time(100, 24 * 3600 * 1000),
        Commands::ARCHIVE,
        "How long nothing may move before PostgreSQL is left to try again",
    )
    .default("10s")
    .command_defaults(&[(Commands::ARCHIVE_GET, "5s")])
    .detail(
        "PostgreSQL repeats archive-push, and a standby repeats archive-get; meanwhile a server that stops waits for \
             the first, and a standby that could stream for the second. So these two give up when a store behind a \
             network does not answer for this long, also with a longer io-timeout or repo-storage-retry-time. \
             archive-get of a server that recovers is not repeated and has those limits.",
    )
    .example("30s"),
    row(
        "archive-timeout",
        Global,
        Time(100, 24 * 3600 * 1000),
        Commands::ARCHIVE.or(Commands::BACKUP).or(Commands::CHECK),
        "Longest time to wait for a WAL segment in the archive",
    )
    .default("1m")
    .example("5m"),
    row(
        "pg-version-force",
        Stanza,
        String,
        Commands::PG.or(Commands::VERIFY),
        "Take the cluster for this version",
    )
    .accepted("the version is read from the server and from its control file"),
];
