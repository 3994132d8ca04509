//! Expire and keep: what is asked of them beside the retention options.

use crate::config::{
    commands::Commands,
    error::Error,
    settings::Settings,
    typed::{ExpireConfig, KeepConfig},
};

/// What to expire: one of `--set`, `--oldest` and `--archive-expire-before`, or none of them.
pub(super) fn expire(s: &Settings) -> Result<ExpireConfig, Error> {
    let oldest = s.boolean("oldest")?;
    let wal_before = wal_before(s)?;
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
            hint: "--set, --oldest and --archive-expire-before each say what to expire: use one.",
        }),
        _ => Ok(ExpireConfig { oldest, wal_before }),
    }
}

fn wal_before(s: &Settings) -> Result<Option<crate::types::WalSegment>, Error> {
    let name = "archive-expire-before";
    let Some(text) = s.text(name, 0)? else { return Ok(None) };
    let invalid = |error: crate::types::Invalid| {
        s.invalid(name, 0, "is not valid", Some(format!("{}.", error.reason)))
    };
    text.parse().map(Some).map_err(invalid)
}

/// How to mark.
pub(super) fn keep(s: &Settings) -> Result<KeepConfig, Error> {
    let (until, remove) = (s.text("until", 0)?, s.boolean("remove")?);
    match until.is_some() && remove {
        true => Err(Error::OptionConflict {
            option: "until".into(),
            other: "remove".into(),
            hint: "a mark that is removed holds no longer.",
        }),
        false => Ok(KeepConfig { until, remove }),
    }
}
