//! Options of restore: the target above all, which can be given in two ways.

mod recovery_options;

use std::{collections::BTreeMap, path::PathBuf};

use self::recovery_options::recovery_options;
use crate::{
    config::{
        commands::Commands,
        error::Error,
        layers::Source,
        settings::Settings,
        spec::{Kind::*, OptionSpec, Section::*, row},
    },
    types::{RecoveryTarget, TargetAction, TargetKind, TargetTimeline, words::words},
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
/// The longest name of a restore point (`MAXFNAMELEN` in xlog_internal.h, less its NUL).
const RESTORE_POINT_LEN_MAX: usize = 63;

pub(super) static ROWS: &[OptionSpec] = &[
    row(
        "archive-mode",
        Global,
        Word(ArchiveMode::WORDS),
        RESTORE,
        "archive_mode of the restored cluster",
    )
    .default("preserve")
    .detail(
        "off disables archiving, so that a restored copy cannot push WAL into the archive of the original. Use \
         it for every copy that runs beside the original. preserve keeps the setting of the backup.",
    )
    .example("off"),
    row("db-exclude", Global, List, RESTORE, "Restore all databases except these")
        .detail(
            "By name or OID; may be given more than once. An excluded database is restored without data and \
             can only be dropped. With db-include, it excludes system databases.",
        )
        .example("test"),
    row("db-include", Global, List, RESTORE, "Restore only these databases")
        .detail(
            "By name or OID; may be given more than once. Other databases are restored without data and can \
             only be dropped. template0, template1 and postgres are always restored.",
        )
        .example("app"),
    row("link-all", Global, Boolean, RESTORE, "Restore all symbolic links")
        .default("n")
        .detail("Without it, the target of a link is restored as a file or directory in its place."),
    row("link-map", Global, Hash, RESTORE, "Change the target of a symbolic link, link=path")
        .detail("The link is a path relative to the data directory. May be given more than once.")
        .example("pg_wal=/ssd/pg_wal"),
    row("recovery-option", Global, Hash, RESTORE, "Additional recovery setting, name=value")
        .detail(
            "Written to postgresql.auto.conf after the settings of restore. Dashes in the name are read as \
             underscores. A setting that restore has an option for counts as that option; the option on the \
             command line overrides the setting in a configuration file. May be given more than once.",
        )
        .example("primary_conninfo='host=primary user=replicator'"),
    row("repo-target-time", Global, Text, READERS, "Read the repository as of this time")
        .refused("repositories with object versions are not supported in this release"),
    row("tablespace-map", Global, Hash, RESTORE, "Restore a tablespace to another directory")
        .detail(
            "tablespace=path, with the name or OID of the tablespace. May be given more than once.",
        )
        .example("ts_01=/db/ts_01"),
    row("tablespace-map-all", Global, Text, RESTORE, "Restore all tablespaces below this directory")
        .detail("Applies to tablespaces without a tablespace-map.")
        .example("/db/tablespaces"),
    row("target", CommandLine, Text, RESTORE, "Recovery target")
        .detail("A time, LSN, restore point or transaction ID, as --type says.")
        .example("2026-11-21 14:03:00+00"),
    row(
        "target-action",
        CommandLine,
        Word(TargetAction::WORDS),
        RESTORE,
        "Action of the server at the recovery target",
    )
    .default("pause")
    .detail("pause recovery, promote the server, or shutdown.")
    .example("promote"),
    row("target-exclusive", CommandLine, Boolean, RESTORE, "Stop just before the recovery target")
        .default("n")
        .detail("For the types lsn, time and xid."),
    row(
        "target-immediate",
        CommandLine,
        Boolean,
        RESTORE,
        "Stop as soon as the cluster is consistent",
    )
    .default("n")
    .detail("Short for --type=immediate."),
    row("target-lsn", CommandLine, Text, RESTORE, "Recover to an LSN")
        .detail("Short for --type=lsn --target=….")
        .example("0/1A2B3C4D"),
    row("target-name", CommandLine, Text, RESTORE, "Recover to a restore point")
        .detail(
            "Short for --type=name --target=…. Restore points are created with pg_create_restore_point().",
        )
        .example("before_migration"),
    row("target-time", CommandLine, Text, RESTORE, "Recover to a time")
        .detail(
            "Short for --type=time --target=…. Add the offset from UTC; without one, the time is in the time \
             zone of this host.",
        )
        .example("2026-11-21 14:03:00+00"),
    row("target-timeline", CommandLine, Text, RESTORE, "Recover along a timeline")
        .detail(
            "latest, current (the timeline of the backup), or a number. Default: latest, as in PostgreSQL; \
             for an immediate target, current.",
        )
        .example("3"),
    row("target-xid", CommandLine, Text, RESTORE, "Recover to a transaction ID")
        .detail("Short for --type=xid --target=….")
        .example("8921042"),
];

/// restore.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct RestoreConfig {
    /// `--type` with `--target`, or one of our `--target-…` shorthands. A time is the text as given.
    pub target: RecoveryTarget<String>,
    pub target_exclusive: bool,
    pub target_action: TargetAction,
    pub target_timeline: TargetTimeline,
    /// Tablespace OID or name, and its new directory.
    pub tablespace_map: BTreeMap<String, PathBuf>,
    /// The directory for all tablespaces without a mapping of their own.
    pub tablespace_map_all: Option<PathBuf>,
    /// Link (path in the data directory) and its new target.
    pub link_map: BTreeMap<String, PathBuf>,
    pub link_all: bool,
    /// Settings written after ours, in the order given.
    pub recovery_options: Vec<(String, String)>,
    pub archive_mode: ArchiveMode,
    pub db_include: Vec<String>,
    pub db_exclude: Vec<String>,
}

words! {
    /// `archive-mode`.
    pub enum ArchiveMode ("archive mode") {
        Preserve = "preserve",
        Off = "off",
    }
}

pub(super) fn read(s: &Settings, warnings: &mut Vec<String>) -> Result<RestoreConfig, Error> {
    let given = recovery_options(s, warnings)?;
    let target = given.target.clone().map_or_else(|| target(s), Ok)?;
    check_target_options(s, &target)?;
    check_recovery_options(s, &target, warnings)?;
    let paths = |pairs: Vec<(String, String)>| {
        pairs.into_iter().map(|(key, path)| (key, PathBuf::from(path))).collect()
    };
    let timeline = || Ok(s.parsed("target-timeline")?.unwrap_or(TargetTimeline::Default));
    Ok(RestoreConfig {
        target,
        target_exclusive: given.exclusive.map_or_else(|| s.boolean("target-exclusive"), Ok)?,
        target_action: given.action.map_or_else(|| s.word("target-action"), Ok)?,
        target_timeline: given.timeline.map_or_else(timeline, Ok)?,
        tablespace_map: paths(absolute(s, "tablespace-map")?),
        tablespace_map_all: tablespace_map_all(s)?,
        link_map: paths(s.hash("link-map")?),
        link_all: s.boolean("link-all")?,
        recovery_options: given.settings,
        archive_mode: given.archive_mode.map_or_else(|| s.word("archive-mode"), Ok)?,
        db_include: s.list("db-include")?,
        db_exclude: s.list("db-exclude")?,
    })
}

/// An option that is type and target in one.
#[derive(Clone, Copy)]
struct Shorthand {
    option: &'static str,
    kind: TargetKind,
}

const SHORTHANDS: [Shorthand; 5] = [
    Shorthand { option: "target-immediate", kind: TargetKind::Immediate },
    Shorthand { option: "target-lsn", kind: TargetKind::Lsn },
    Shorthand { option: "target-name", kind: TargetKind::Name },
    Shorthand { option: "target-time", kind: TargetKind::Time },
    Shorthand { option: "target-xid", kind: TargetKind::Xid },
];

fn target(s: &Settings) -> Result<RecoveryTarget<String>, Error> {
    if s.command.set != Commands::RESTORE {
        return Ok(RecoveryTarget::Latest);
    }
    let mut given = Vec::new();
    for short in SHORTHANDS {
        let counts = short.kind != TargetKind::Immediate || s.boolean(short.option)?;
        if s.is_set(short.option, 0) && counts {
            given.push(short);
        }
    }
    match given[..] {
        [] => long_target(s),
        [short] => short_target(s, short),
        [short, other, ..] => Err(conflict(short.option, other.option)),
    }
}

fn conflict(option: &str, other: &str) -> Error {
    Error::OptionConflict {
        option: option.into(),
        other: other.into(),
        hint: "use --type with --target, or only one of --target-time, --target-lsn, --target-name, --target-xid \
               and --target-immediate.",
    }
}

fn short_target(s: &Settings, short: Shorthand) -> Result<RecoveryTarget<String>, Error> {
    for other in ["type", "target"] {
        if s.is_set(other, 0) {
            return Err(conflict(short.option, other));
        }
    }
    target_of(s, short.option, short.kind)
}

fn long_target(s: &Settings) -> Result<RecoveryTarget<String>, Error> {
    let kind: TargetKind = s.word("type")?;
    match (kind.needs_text(), s.is_set("target", 0)) {
        (true, false) => Err(Error::OptionRequired {
            command: s.command.word,
            option: "target".into(),
            hint: Some(format!("type '{kind}' needs a target.")),
        }),
        (false, true) => Err(needs_type("target", TargetKind::needs_text)),
        (true, true) | (false, false) => target_of(s, "target", kind),
    }
}

/// The target of a kind from the text of an option.
fn target_of(
    s: &Settings,
    option: &'static str,
    kind: TargetKind,
) -> Result<RecoveryTarget<String>, Error> {
    let text =
        if kind.needs_text() { s.text(option, 0)?.unwrap_or_default() } else { String::new() };
    parse_target(kind, &text)
        .map_err(|hint| s.invalid(option, 0, "is not valid", Some(hint.into())))
}

/// The target of a kind from its text, or what is wrong with it.
fn parse_target(kind: TargetKind, text: &str) -> Result<RecoveryTarget<String>, &'static str> {
    Ok(match kind {
        TargetKind::Default => RecoveryTarget::Latest,
        TargetKind::Immediate => RecoveryTarget::Immediate,
        TargetKind::Standby => RecoveryTarget::Standby,
        TargetKind::Preserve => RecoveryTarget::Preserve,
        TargetKind::None => RecoveryTarget::None,
        TargetKind::Lsn => {
            RecoveryTarget::Lsn(text.parse().map_err(|_| "an LSN looks like 0/1A2B3C4D.")?)
        }
        TargetKind::Xid if text.bytes().any(|byte| !byte.is_ascii_digit()) => {
            return Err("a transaction ID is a number.");
        }
        TargetKind::Xid => RecoveryTarget::Xid(text.to_owned()),
        TargetKind::Name if text.len() > RESTORE_POINT_LEN_MAX => {
            return Err("the name of a restore point has at most 63 bytes.");
        }
        TargetKind::Name => RecoveryTarget::Name(text.to_owned()),
        TargetKind::Time => RecoveryTarget::Time(text.to_owned()),
    })
}

/// Without recovery settings there is nothing that `recovery-option` could add to.
fn check_recovery_options(
    s: &Settings,
    target: &RecoveryTarget<String>,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let Some(setting) = s.set.get(&("recovery-option", 0)) else { return Ok(()) };
    if target.has_settings() {
        return Ok(());
    }
    if setting.source == Source::CommandLine {
        return Err(needs_type("recovery-option", writes_settings));
    }
    let kind: TargetKind = s.word("type")?;
    warnings.push(format!("option 'recovery-option' is ignored: type is '{kind}'"));
    Ok(())
}

/// Options that say more about the target must have a target to say it about.
fn check_target_options(s: &Settings, target: &RecoveryTarget<String>) -> Result<(), Error> {
    use RecoveryTarget::*;
    let exclusive = matches!(target, Lsn(_) | Time(_) | Xid(_));
    let action = exclusive || matches!(target, Immediate | Name(_));
    if s.is_set("target-exclusive", 0) && !exclusive {
        let can_exclude =
            |kind| matches!(kind, TargetKind::Lsn | TargetKind::Time | TargetKind::Xid);
        return Err(needs_type("target-exclusive", can_exclude));
    }
    if s.is_set("target-action", 0) && !action {
        let stops = |kind: TargetKind| kind.needs_text() || kind == TargetKind::Immediate;
        return Err(needs_type("target-action", stops));
    }
    if s.is_set("target-timeline", 0) && !target.has_settings() {
        return Err(needs_type("target-timeline", writes_settings));
    }
    Ok(())
}

fn writes_settings(kind: TargetKind) -> bool {
    !matches!(kind, TargetKind::Preserve | TargetKind::None)
}

/// The option needs a type for which `fits` holds.
fn needs_type(option: &str, fits: impl Fn(TargetKind) -> bool) -> Error {
    let kinds =
        TargetKind::WORDS.iter().filter_map(|word| word.parse().ok()).filter(|kind| fits(*kind));
    let list = kinds.map(|kind| format!("'{kind}'")).collect::<Vec<_>>().join(", ");
    Error::OptionNeeds { option: option.into(), other: format!("'type' in ({list})") }
}

/// The pairs of an option whose values are absolute paths.
fn absolute(s: &Settings, name: &'static str) -> Result<Vec<(String, String)>, Error> {
    let pairs = s.hash(name)?;
    match pairs.iter().find(|(_, path)| !path.starts_with('/')) {
        None => Ok(pairs),
        Some((key, _)) => {
            let hint = format!("the path of '{key}' must begin with /.");
            Err(s.invalid(name, 0, "is not valid", Some(hint)))
        }
    }
}

fn tablespace_map_all(s: &Settings) -> Result<Option<PathBuf>, Error> {
    match s.text("tablespace-map-all", 0)? {
        Some(path) if !path.starts_with('/') => {
            let hint = "the path must begin with /.";
            Err(s.invalid("tablespace-map-all", 0, "is not valid", Some(hint.into())))
        }
        path => Ok(path.map(PathBuf::from)),
    }
}
