//! Chooses the backup to restore: the one that was asked for, or the newest from which recovery can
//! reach the target.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use jiff::Timestamp;

use super::{Error, archive, plan::ArchiveView};
use crate::{
    repo::{
        self, archive::WalArchive, backup_list, contents, manifest::Manifest, stanza::StanzaHistory,
    },
    storage::Storage,
    types::{
        ArchiveId, BackupLabel, ErrorCode, Lsn, RecoveryTarget, StanzaName, TargetTime,
        TargetTimeline, TimeLine,
    },
};

/// What is to be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The stanza.
    pub stanza: StanzaName,
    /// The backup, where one was named.
    pub set: Option<BackupLabel>,
    /// Where recovery is to stop.
    pub target: RecoveryTarget,
    /// The timeline that recovery follows.
    pub timeline: TargetTimeline,
}

/// What a backup must be to be chosen without being named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Newest,
    StoppedBefore(TargetTime),
    StoppedUpTo(Lsn),
}

impl Request {
    /// The newest backup of a repository that fits, `None` where none does.
    pub async fn choose(&self, storage: &Arc<dyn Storage>) -> Result<Option<Manifest>, Error> {
        if let Some(label) = &self.set {
            return match contents::read_whole(&**storage, &self.stanza, label).await {
                Ok(manifest) => self.check_ends_before_target(&manifest).map(|()| Some(manifest)),
                Err(repo::Error::BackupMissing { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            };
        }
        let goal = self.goal();
        let (candidates, unreadable) = self.candidates(storage, goal).await?;
        let chosen = match self.timeline {
            TargetTimeline::Number(timeline) => on_the_way(storage, &candidates, timeline).await?,
            _ => candidates.first().cloned(),
        };
        match (chosen, unreadable) {
            (None, Some(error)) => Err(error.into()),
            (Some(newest), _) if goal == Goal::Newest => {
                self.check_is_current(&**storage, &newest).await?;
                Ok(Some(newest))
            }
            (chosen, _) => Ok(chosen),
        }
    }

    /// The error where no repository has a backup that fits.
    pub fn none_found(&self) -> Error {
        let (what, hint) = match (&self.set, &self.target) {
            (Some(label), _) => {
                (format!("backup set {label} is not valid"), "info lists the backups that exist")
            }
            (None, RecoveryTarget::Time(time)) => (
                format!("unable to find backup set with stop time less than '{time}'"),
                "recovery cannot go back beyond the oldest backup; info lists the backups",
            ),
            (None, RecoveryTarget::Lsn(lsn)) => (
                format!("unable to find backup set with lsn less than or equal to '{lsn}'"),
                "recovery cannot go back beyond the oldest backup; info lists the backups",
            ),
            _ => ("no backup set found to restore".to_owned(), "has a backup been made?"),
        };
        Error::refused(ErrorCode::BackupSetInvalid, what, hint)
    }

    fn goal(&self) -> Goal {
        match self.target {
            RecoveryTarget::Time(time) => Goal::StoppedBefore(time),
            RecoveryTarget::Lsn(lsn) => Goal::StoppedUpTo(lsn),
            _ => Goal::Newest,
        }
    }

    /// Recovery cannot stop before the backup is consistent, which is where it stopped.
    fn check_ends_before_target(&self, manifest: &Manifest) -> Result<(), Error> {
        let goal = self.goal();
        let stopped = match goal {
            _ if fits(manifest, goal) => return Ok(()),
            Goal::Newest => return Ok(()),
            Goal::StoppedBefore(time) => {
                let stop = Timestamp::from_microsecond(manifest.timestamp_us.stop);
                let stop =
                    stop.map_or_else(|_| "another time".to_owned(), |t| TargetTime(t).to_string());
                format!("at {stop}, not before the target time {time}")
            }
            Goal::StoppedUpTo(lsn) => {
                format!("at {}, after the target {lsn}", manifest.wal.stop.lsn)
            }
        };
        Err(Error::refused(
            ErrorCode::BackupSetInvalid,
            format!(
                "backup set {} stopped {stopped}: recovery cannot stop earlier",
                manifest.label
            ),
            "without --set the newest backup before the target is used; info lists the backups and \
             their times",
        ))
    }

    /// The backups that fit, newest first, and why the newest unreadable one cannot be read.
    async fn candidates(
        &self,
        storage: &Arc<dyn Storage>,
        goal: Goal,
    ) -> Result<(Vec<Manifest>, Option<repo::Error>), Error> {
        let mut fitting = Vec::new();
        let mut unreadable = None;
        for (label, manifest) in backup_list::list(storage, &self.stanza).await?.into_iter().rev() {
            match manifest {
                Ok(manifest) if fits(&manifest, goal) => fitting.push(manifest),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!("skipping backup set {label}: {error}");
                    unreadable.get_or_insert(error);
                }
            }
        }
        Ok((fitting, unreadable))
    }

    /// After an upgrade the newest backup may be of the cluster before: not what one would expect.
    async fn check_is_current(
        &self,
        storage: &dyn Storage,
        newest: &Manifest,
    ) -> Result<(), Error> {
        let history = StanzaHistory::read(storage, &self.stanza).await?;
        match newest.cluster.history_id >= history.current().id {
            true => Ok(()),
            false => Err(Error::refused(
                ErrorCode::BackupSetInvalid,
                format!(
                    "the latest backup set found '{}' is from a prior version of PostgreSQL",
                    newest.label
                ),
                "was a backup created after the stanza-upgrade?\n\
                 specify --set or --type=time/lsn to restore from a prior version of PostgreSQL",
            )),
        }
    }
}

fn fits(manifest: &Manifest, goal: Goal) -> bool {
    match goal {
        Goal::Newest => true,
        Goal::StoppedBefore(time) => manifest.timestamp_us.stop < time.0.as_microsecond(),
        Goal::StoppedUpTo(lsn) => manifest.wal.stop.lsn <= lsn,
    }
}

/// The newest of `candidates` from which `timeline` can be reached; where there is none, the newest,
/// about which the reason will be told.
async fn on_the_way(
    storage: &Arc<dyn Storage>,
    candidates: &[Manifest],
    timeline: TimeLine,
) -> Result<Option<Manifest>, Error> {
    let mut views: HashMap<ArchiveId, ArchiveView> = HashMap::new();
    for candidate in candidates {
        let id = candidate.archive_id();
        let view = match views.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let archive = WalArchive::new(Arc::clone(storage), &candidate.stanza, id)?;
                let before = TimeLine(timeline.0.saturating_sub(1));
                unknown.insert(archive::view(&archive, before).await?)
            }
        };
        if view.reaches(candidate, timeline) {
            return Ok(Some(candidate.clone()));
        }
    }
    Ok(candidates.first().cloned())
}
