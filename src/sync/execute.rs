//! Executes the copy plan. A failure is reported and the rest continues, unless the target fails.

use std::collections::BTreeSet;

use super::{
    BackupCopy, CopiedBackup, Error, Options, Route, SkipReason, Skipped, SyncPlan, backup_copy,
    changes,
    wal_copy::{CopyContext, WalCopy},
};
use crate::{
    repo::{archive::StoredWal, layout::BackupPaths, stanza},
    types::{ArchiveFile, ArchiveId, BackupLabel, Failure, HistoryId, ProgressSink, WalSegment},
};

/// More unanswered requests than this end the copy: the source is unavailable, and each request is retried until its
/// deadline.
const UNANSWERED_MAX: u32 = 2;

/// The result of a copy.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Oldest first.
    pub backups: Vec<CopiedBackup>,
    pub wal_files: u64,
    /// Stored bytes of the segments.
    pub wal_bytes: u64,
    /// Changes of marks and annotations of backups that the target already had.
    pub changes: u64,
    pub skipped: Vec<Skipped>,
    /// Errors of objects that could not be copied.
    pub failed: Vec<Failed>,
}

/// An object that could not be copied.
#[derive(Debug)]
pub struct Failed {
    /// The backup; `None` for WAL.
    pub label: Option<BackupLabel>,
    pub error: Error,
}

/// Executes the plan. An error means that the target failed.
pub async fn execute(
    route: &Route,
    plan: SyncPlan,
    options: &Options,
    progress: &dyn ProgressSink,
) -> Result<Outcome, Error> {
    let wal: u64 = plan.wal.iter().map(|wal| wal.totals().1).sum();
    progress.start(Some(wal + plan.backups.iter().map(|copy| copy.bytes).sum::<u64>()));
    let outcome = Outcome { skipped: plan.skipped.clone(), ..Outcome::default() };
    let mut run = Run { route, options, progress, outcome, lost: BTreeSet::new(), unanswered: 0 };
    for entry in &plan.entries {
        let added = stanza::add_entry(&*route.to, &route.stanza, entry).await;
        added.map_err(Error::Target)?;
    }
    for (label, error) in plan.unreadable {
        run.fail(Some(label), error)?;
    }
    run.wal(&plan.wal).await?;
    for copy in &plan.backups {
        run.backup(copy).await?;
    }
    for label in &plan.known {
        match changes::copy(route, label).await {
            Ok(changed) => {
                run.outcome.changes += changed.changes;
                run.fail_all(label, changed.failed)?;
            }
            Err(error) => run.fail(Some(label.clone()), error)?,
        }
    }
    progress.finish();
    Ok(run.outcome)
}

struct Run<'a> {
    route: &'a Route,
    options: &'a Options,
    progress: &'a dyn ProgressSink,
    outcome: Outcome,
    /// Segments that could not be copied.
    lost: BTreeSet<(HistoryId, WalSegment)>,
    /// Objects for which the source did not answer within its retries.
    unanswered: u32,
}

impl Run<'_> {
    /// Records an error of one object; returns any other.
    fn fail(&mut self, label: Option<BackupLabel>, error: Error) -> Result<(), Error> {
        self.unanswered += u32::from(error.is_unanswered());
        if error.is_fatal() || self.unanswered > UNANSWERED_MAX {
            return Err(error);
        }
        tracing::error!(code = u64::from(error.code().exit_code()), "{error}");
        self.outcome.failed.push(Failed { label, error });
        Ok(())
    }

    fn fail_all(&mut self, label: &BackupLabel, errors: Vec<Error>) -> Result<(), Error> {
        errors.into_iter().try_for_each(|error| self.fail(Some(label.clone()), error))
    }

    async fn wal(&mut self, copies: &[WalCopy]) -> Result<(), Error> {
        let context = CopyContext {
            route: self.route,
            at_once: self.options.at_once,
            progress: self.progress,
        };
        for copy in copies {
            let id = copy.from.history_id;
            let cluster =
                stanza::read_entry(&*context.route.from, &context.route.stanza, id).await?.cluster;
            for directory in &copy.directories {
                let note = |stored: &StoredWal, result| self.note_wal(copy.from, stored, result);
                copy.copy(&context, directory, cluster, note).await?;
            }
        }
        Ok(())
    }

    fn note_wal(
        &mut self,
        archive: ArchiveId,
        stored: &StoredWal,
        result: Result<(), Error>,
    ) -> Result<(), Error> {
        let Err(error) = result else {
            self.outcome.wal_files += 1;
            self.outcome.wal_bytes += stored.size;
            return Ok(());
        };
        if let ArchiveFile::Segment(segment) = stored.file {
            self.lost.insert((archive.history_id, segment));
        }
        // An expire of the source removed it after the listing, after every backup that needs it.
        if error.is_gone() { Ok(()) } else { self.fail(None, error) }
    }

    async fn backup(&mut self, copy: &BackupCopy) -> Result<(), Error> {
        let label = &copy.from.label;
        let copied = match self.check_wal(copy) {
            Ok(()) => backup_copy::copy(self.route, copy, self.options, self.progress).await,
            Err(error) => Err(error),
        };
        match copied {
            Ok((copied, failed)) => {
                tracing::info!("backup {label} copied: {} objects", copied.objects);
                self.outcome.backups.push(copied);
                self.fail_all(label, failed)
            }
            Err(error) if error.may_be_expired() && self.is_expired(label).await? => {
                tracing::warn!("{}", Error::Expired { label: label.clone() });
                let reason = SkipReason::Expired;
                self.outcome.skipped.push(Skipped { label: label.clone(), reason });
                Ok(())
            }
            Err(error) => self.fail(Some(label.clone()), error),
        }
    }

    async fn is_expired(&self, label: &BackupLabel) -> Result<bool, Error> {
        let path = BackupPaths::new(&self.route.stanza, label)?.manifest()?;
        match self.route.from.stat(&path).await {
            Err(error) if error.is_not_found() => Ok(true),
            _ => Ok(false),
        }
    }

    /// An error if a segment that the backup needs to reach consistency could not be copied.
    fn check_wal(&self, copy: &BackupCopy) -> Result<(), Error> {
        let (start, stop) = (copy.from.wal_start(), copy.from.wal_stop());
        let archive = copy.from.cluster.history_id;
        let is_own = |(id, segment): &&(HistoryId, WalSegment)| {
            *id == archive && (start..=stop).contains(segment)
        };
        match self.lost.iter().find(is_own) {
            Some((_, segment)) => {
                let (label, needed) = (copy.from.label.clone(), segment.to_string());
                Err(Error::Needs { label, needed })
            }
            None => Ok(()),
        }
    }
}
