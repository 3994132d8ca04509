//! Options of restore.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const RESTORE: Commands = Commands::RESTORE;
const READERS: Commands = Commands::REPO
    .without(Commands::ANNOTATE)
    .without(Commands::ARCHIVE_PUSH)
    .without(Commands::BACKUP)
    .without(Commands::CHECK)
    .without(Commands::EXPIRE)
    .without(Commands::STANZA)
    .without(Commands::REPO_PUT)
    .without(Commands::REPO_RM);

pub(super) static ROWS: &[OptionSpec] = &[
    row(
        "archive-mode",
        Global,
        Word(&["preserve", "off"]),
        RESTORE,
        "archive_mode of the restored cluster",
    )
    .default("preserve")
    .detail(
        "off keeps a cluster that is restored for a test from pushing into the archive. Use it for \
             every copy that runs beside its origin.",
    )
    .example("off"),
    row("db-exclude", Global, List, RESTORE, "Databases to leave empty")
        .detail(
            "By name or oid; may be given more than once. A database left out comes back without \
                 content and can only be dropped. Beside db-include it names system databases.",
        )
        .example("test"),
    row("db-include", Global, List, RESTORE, "The only databases to restore")
        .detail(
            "By name or oid; may be given more than once. The others come back without content and \
                 can only be dropped; template0, template1 and postgres are always restored.",
        )
        .example("app"),
    row("link-all", Global, Boolean, RESTORE, "Restore all links as links").default("n").detail(
        "Without it, what a link pointed to is restored as a directory or file in its place.",
    ),
    row("link-map", Global, Hash, RESTORE, "Where a link shall point, link=path")
        .detail("The link is a path in the data directory. May be given more than once.")
        .example("pg_wal=/ssd/pg_wal"),
    row("recovery-option", Global, Hash, RESTORE, "A further recovery setting, name=value")
        .detail(
            "Written to postgresql.auto.conf after the settings made by restore. A dash in the \
                 name is read as an underscore. Settings for which restore has an option count as \
                 that option; given both ways, the option on the command line wins over the \
                 configuration file. May be given more than once.",
        )
        .example("primary_conninfo='host=primary user=replicator'"),
    row("repo-target-time", Global, String, READERS, "Look at the repository as it was at a time")
        .refused("it needs a repository with object versions, which come in a later release"),
    row("tablespace-map", Global, Hash, RESTORE, "New directory of a tablespace, tablespace=path")
        .detail("The tablespace is named, or given by its oid. May be given more than once.")
        .example("ts_01=/db/ts_01"),
    row("tablespace-map-all", Global, String, RESTORE, "One directory for all tablespaces")
        .detail("Each tablespace without a tablespace-map of its own goes into a directory below.")
        .example("/db/tablespaces"),
    row("target", CommandLine, String, RESTORE, "The recovery target, as --type says")
        .example("2026-11-21 14:03:00+00"),
    row(
        "target-action",
        CommandLine,
        Word(&["pause", "promote", "shutdown"]),
        RESTORE,
        "What the server does at the target",
    )
    .default("pause")
    .example("promote"),
    row("target-exclusive", CommandLine, Boolean, RESTORE, "Stop just before the target")
        .default("n"),
    row(
        "target-immediate",
        CommandLine,
        Boolean,
        RESTORE,
        "Stop as soon as the cluster is consistent",
    )
    .default("n")
    .detail("Short for --type=immediate."),
    row("target-lsn", CommandLine, String, RESTORE, "Recover to a WAL position")
        .detail("Short for --type=lsn --target=….")
        .example("0/1A2B3C4D"),
    row("target-name", CommandLine, String, RESTORE, "Recover to a restore point")
        .detail(
            "Short for --type=name --target=…. Restore points are made with the SQL function \
                 pg_create_restore_point.",
        )
        .example("before_migration"),
    row("target-time", CommandLine, String, RESTORE, "Recover to a time")
        .detail(
            "Short for --type=time --target=…. Give the offset from UTC; without one, the time \
                 zone of the host counts on which restore runs.",
        )
        .example("2026-11-21 14:03:00+00"),
    row("target-timeline", CommandLine, String, RESTORE, "The timeline to recover along")
        .detail("latest (the default of PostgreSQL), current (the one of the backup), or a number.")
        .example("3"),
    row("target-xid", CommandLine, String, RESTORE, "Recover to a transaction")
        .detail("Short for --type=xid --target=….")
        .example("8921042"),
];
