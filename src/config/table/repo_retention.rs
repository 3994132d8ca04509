//! Which backups and which WAL a repository keeps.

use crate::{
    config::{
        commands::Commands,
        error::Error,
        settings::Settings,
        spec::{Kind, Kind::*, OptionSpec, Section::*, row},
    },
    types::{BackupType, Calendar, FullType, RetentionSettings},
};

/// verify does not report as lost what expire removed, and repo-sync does not copy what it would remove.
const RETENTION: Commands =
    Commands::BACKUP.or(Commands::EXPIRE).or(Commands::VERIFY).or(Commands::REPO_SYNC);
const COUNT: Kind = Integer(1, 9_999_999);
const CALENDAR: &str = "In local time. The current day, week (from Monday), month or year counts. A backup is kept \
     if any retention option keeps it. If only these options are set, WAL is kept from the oldest backup of the \
     finest of them on.";

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-retention-archive", Global, COUNT, RETENTION, "Number of backups to keep WAL for")
        .detail(
            "All WAL is kept from the oldest of the last N backups of retention-archive-type on, so that they \
             can be recovered to any later time. An older backup that is kept keeps only the WAL from its \
             start to its stop. Default: the value of retention-full, or of retention-diff if the type is \
             diff.",
        )
        .example("2"),
    row(
        "repoN-retention-archive-type",
        Global,
        Word(BackupType::WORDS),
        RETENTION,
        "Backup type for retention-archive",
    )
    .default("full")
    .detail("A full backup also counts as a diff, and both count as an incr.")
    .example("diff"),
    row("repoN-retention-daily", Global, COUNT, RETENTION, "Days whose last full backup is kept")
        .detail(CALENDAR)
        .example("7"),
    row(
        "repoN-retention-diff",
        Global,
        COUNT,
        RETENTION,
        "Number of differential backups to keep",
    )
    .detail(
        "Full backups count as differential. When a differential backup expires, the incremental backups \
         that depend on it expire too. Default: differential backups are kept as long as their full backup.",
    )
    .example("3"),
    row(
        "repoN-retention-full",
        Global,
        COUNT,
        RETENTION,
        "Number of full backups, or of days, to keep",
    )
    .detail(
        "With retention-full-type=time, the newest full backup that is at least that many days old is kept \
         with all newer ones, so that every moment of those days can be restored. Backups that depend on an \
         expired full backup expire with it. Default: no backup expires, and a warning is logged.",
    )
    .example("2"),
    row(
        "repoN-retention-full-type",
        Global,
        Word(FullType::WORDS),
        RETENTION,
        "Unit of retention-full: count or time (days)",
    )
    .default("count")
    .example("time"),
    row(
        "repoN-retention-history",
        Global,
        Integer(0, 9_999_999),
        RETENTION,
        "Days of backup history to keep",
    )
    .accepted("manifests of expired backups are not kept"),
    row("repoN-retention-monthly", Global, COUNT, RETENTION, "Months whose last full backup is kept")
        .detail(CALENDAR)
        .example("12"),
    row("repoN-retention-weekly", Global, COUNT, RETENTION, "Weeks whose last full backup is kept")
        .detail(CALENDAR)
        .example("4"),
    row("repoN-retention-yearly", Global, COUNT, RETENTION, "Years whose last full backup is kept")
        .detail(CALENDAR)
        .example("5"),
];

pub(super) fn read(s: &Settings, key: u16) -> Result<RetentionSettings, Error> {
    let number = |name| s.integer(name, key);
    Ok(RetentionSettings {
        full: number("repoN-retention-full")?,
        full_type: s.word_of("repoN-retention-full-type", key)?,
        diff: number("repoN-retention-diff")?,
        archive: number("repoN-retention-archive")?,
        archive_type: s.word_of("repoN-retention-archive-type", key)?,
        calendar: Calendar {
            daily: number("repoN-retention-daily")?,
            weekly: number("repoN-retention-weekly")?,
            monthly: number("repoN-retention-monthly")?,
            yearly: number("repoN-retention-yearly")?,
        },
    })
}
