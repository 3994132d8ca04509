//! `keep`: marks a backup so that expire leaves it alone, or takes the mark off. A command of its own,
//! not an option of annotate or expire: what protects a backup should be one word that is easy to find
//! in a runbook, in the log and in a shell's history.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{
    Error, Result,
    context::{self, Repo},
    in_all::in_all,
};
use crate::{
    config::{Config, KeepConfig},
    repo::{
        keep::{self, KeepMark},
        lock,
        manifest::Manifest,
    },
    restore::plan::parse_target_time,
    types::{BackupLabel, ErrorCode, StanzaName},
};

/// Marks the backup in every repository that has it.
pub(super) async fn run(config: &Config) -> Result<u8> {
    let stanza = context::stanza(config)?;
    lock::check_not_stopped(&context::lock_path(config), stanza)?;
    let required = || Error::OptionRequired { command: "keep", option: "set".to_owned() };
    let label = config.set.as_ref().ok_or_else(required)?;
    let mark = mark(&config.keep, Timestamp::now(), &TimeZone::system())?;
    mark_in_all(&context::repos(config)?, stanza, label, mark).await?;
    Ok(0)
}

/// The mark that is asked for.
fn mark(config: &KeepConfig, now: Timestamp, zone: &TimeZone) -> Result<Option<KeepMark>> {
    if config.remove {
        return Ok(None);
    }
    let Some(text) = &config.until else { return Ok(Some(KeepMark { until: None })) };
    let until = until(text, zone)?;
    match until > now.as_second() {
        true => Ok(Some(KeepMark { until: Some(until) })),
        false => Err(Error::Parameter {
            what: format!("'{text}' is not valid for 'until' option: it is not in the future"),
            code: ErrorCode::OptionInvalidValue,
        }),
    }
}

/// The end of a date, or a time.
fn until(text: &str, zone: &TimeZone) -> Result<i64> {
    if let Ok(date) = text.parse::<Date>()
        && text.len() == "2027-01-31".len()
        && let Ok(next) = date.tomorrow()
        && let Ok(midnight) = next.to_zoned(zone.clone())
    {
        return Ok(midnight.timestamp().as_second());
    }
    let moment = parse_target_time(text, zone).map_err(|_| Error::Parameter {
        what: format!(
            "'{text}' is not valid for 'until' option: the format is 2027-01-31 or '2027-01-31 \
             12:00:00+00'"
        ),
        code: ErrorCode::OptionInvalidValue,
    })?;
    Ok(moment.as_second())
}

/// Marks the backup where it is. It is looked for again after it was marked: an expire that had not seen the
/// mark may have removed it.
async fn mark_in_all(
    repos: &[Repo],
    stanza: &StanzaName,
    label: &BackupLabel,
    mark: Option<KeepMark>,
) -> Result<()> {
    in_all("keep", repos, stanza, label, |repo, paths| async move {
        let storage = &*repo.storage;
        keep::write(storage, &paths, mark).await?;
        Manifest::read(storage, stanza, label).await?;
        let what = if mark.is_some() { "marked to be kept" } else { "no longer marked to be kept" };
        tracing::info!("repo{}: backup {label} is {what}", repo.key);
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        command::testing::{manifest, repo_with_stanza, stanza_name},
        repo::layout::BackupPaths,
        types::Failure,
    };

    const FULL: &str = "20261121-092452F";

    fn asked(until: &str) -> Result<Option<KeepMark>> {
        let config = KeepConfig { until: Some(until.to_owned()), remove: false };
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        mark(&config, now, &TimeZone::fixed(jiff::tz::offset(1)))
    }

    #[test]
    fn a_date_is_kept_to_its_end_in_local_time() {
        let until = |text: &str| {
            let seconds = asked(text).unwrap().unwrap().until.unwrap();
            Timestamp::from_second(seconds).unwrap().to_string()
        };
        assert_eq!(until("2027-01-31"), "2027-01-31T23:00:00Z");
        assert_eq!(until("2026-11-21"), "2026-11-21T23:00:00Z");
        assert_eq!(until("2027-01-31 12:00:00"), "2027-01-31T11:00:00Z");
        assert_eq!(until("2027-01-31 12:00:00+00"), "2027-01-31T12:00:00Z");
    }

    #[test]
    fn what_is_past_or_no_time_is_refused() {
        for text in ["2026-11-20", "2026-11-21 12:59:59", "soon", "", "2026-13-01", "31.1.2027"] {
            let code = asked(text).unwrap_err().code();
            assert_eq!(code, ErrorCode::OptionInvalidValue, "{text}");
        }
    }

    #[tokio::test]
    async fn a_backup_is_marked_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let roots = [dir.path().join("1"), dir.path().join("2")];
        let repos = [repo_with_stanza(&roots[0], 1).await, repo_with_stanza(&roots[1], 2).await];
        let manifest = manifest(FULL, &[]);
        let stanza = stanza_name();
        let label = &manifest.label;
        let mark = Some(KeepMark { until: None });
        let error = mark_in_all(&repos, &stanza, label, mark).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::BackupSetInvalid);
        manifest.publish(&*repos[1].storage).await.unwrap();
        let paths = BackupPaths::new(&stanza, label).unwrap();
        for mark in [mark, None] {
            mark_in_all(&repos, &stanza, label, mark).await.unwrap();
            assert_eq!(keep::read(&*repos[1].storage, &paths).await.unwrap(), mark);
        }
        assert!(!roots[0].join("backup").exists());
    }
}
