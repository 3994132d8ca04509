//! Options of expire and keep; the retention options belong to the repository.

use crate::{
    config::{
        commands::Commands,
        error::Error,
        settings::Settings,
        spec::{Kind::*, OptionSpec, Section::*, row},
    },
    types::WalSegment,
};

pub(super) static ROWS: &[OptionSpec] = &[
    row(
        "archive-expire-before",
        CommandLine,
        Text,
        Commands::EXPIRE,
        "Remove WAL before this segment",
    )
    .detail(
        "No backup is expired, and WAL that a backup needs is kept. For archive_cleanup_command of a \
         standby, which passes the segment as %r.",
    )
    .example("000000010000000A000000FF"),
    row("oldest", CommandLine, Boolean, Commands::EXPIRE, "Expire the oldest full backup")
        .default("n")
        .detail("Backups that depend on it expire too, whatever the retention options say."),
    row("remove", CommandLine, Boolean, Commands::KEEP, "Remove the keep mark").default("n"),
    row("until", CommandLine, Text, Commands::KEEP, "Keep the backup until this date or time")
        .detail(
            "A date is kept to its end in local time. A time may have an offset from UTC. Default: until \
             the mark is removed.",
        )
        .example("2027-01-31"),
];

/// expire.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ExpireConfig {
    pub oldest: bool,
    /// `--archive-expire-before`.
    pub wal_before: Option<WalSegment>,
}

/// keep.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct KeepConfig {
    /// A date or a time, as given.
    pub until: Option<String>,
    pub remove: bool,
}

/// What to expire: one of `--set`, `--oldest` and `--archive-expire-before`, or none of them.
pub(super) fn read(s: &Settings) -> Result<ExpireConfig, Error> {
    let oldest = s.boolean("oldest")?;
    let wal_before = s.parsed("archive-expire-before")?;
    let given = [
        ("set", s.command.set == Commands::EXPIRE && s.is_set("set", 0)),
        ("oldest", oldest),
        ("archive-expire-before", wal_before.is_some()),
    ];
    let given: Vec<&str> = given.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    match given[..] {
        [option, other, ..] => Err(Error::OptionConflict {
            option: option.into(),
            other: other.into(),
            hint: "use only one of --set, --oldest and --archive-expire-before.",
        }),
        _ => Ok(ExpireConfig { oldest, wal_before }),
    }
}

pub(super) fn keep(s: &Settings) -> Result<KeepConfig, Error> {
    let (until, remove) = (s.text("until", 0)?, s.boolean("remove")?);
    if until.is_some() && remove {
        return Err(Error::OptionConflict {
            option: "until".into(),
            other: "remove".into(),
            hint: "a mark is either set with --until or removed with --remove.",
        });
    }
    Ok(KeepConfig { until, remove })
}
