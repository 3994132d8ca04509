//! Copies what was planned. What fails is told and the rest goes on, unless it is the target that fails.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream::iter};
use jiff::Timestamp;

use super::{BackupCopy, Error, Options, Route, Skipped, SyncPlan, Why, changes, copy};
use crate::{
    repo::{
        self,
        file_list::{BundleKind, FileList},
        layout::BackupPaths,
        manifest::{Manifest, ObjectRecord},
        stanza,
        started::Started,
    },
    storage::{EntryKind, ErrorKind, ObjectPath},
    types::{ArchiveFile, ArchiveId, BackupLabel, Failure, ProgressSink, WalSegment},
};

/// What was copied.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Backups, oldest first.
    pub backups: Vec<Copied>,
    /// Files of WAL.
    pub wal_files: u64,
    /// Their size as stored, in bytes.
    pub wal_bytes: u64,
    /// Later changes of marks and annotations, of backups that the target had.
    pub changes: u64,
    /// Backups that were not copied.
    pub skipped: Vec<Skipped>,
    /// What could not be copied.
    pub failed: Vec<Failed>,
}

/// A backup that was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The backup.
    pub label: BackupLabel,
    /// Objects that were copied, without those that an interrupted copy had left.
    pub objects: u64,
    /// Their size as stored, in bytes.
    pub bytes: u64,
}

/// What could not be copied.
#[derive(Debug)]
pub struct Failed {
    /// The backup; `None` where it is WAL.
    pub label: Option<BackupLabel>,
    /// Why not.
    pub error: Error,
}

/// Copies what was planned. An error means that the target failed.
pub async fn execute(
    route: &Route,
    plan: SyncPlan,
    options: &Options,
    progress: &dyn ProgressSink,
) -> Result<Outcome, Error> {
    let wal: u64 = plan.wal.iter().map(|wal| wal.totals().1).sum();
    progress.start(Some(wal + plan.backups.iter().map(|copy| copy.bytes).sum::<u64>()));
    let mut run =
        Run { route, options, progress, outcome: Outcome::default(), lost: BTreeSet::new() };
    run.outcome.skipped = plan.skipped.clone();
    for entry in &plan.entries {
        let added = stanza::add_entry(&*route.to, &route.stanza, entry).await;
        added.map_err(Error::Target)?;
    }
    for (label, error) in plan.unreadable {
        run.fail(Some(label), error.into())?;
    }
    run.wal(&plan.wal).await?;
    for copy in &plan.backups {
        run.backup(copy).await?;
    }
    for label in &plan.known {
        match changes::copy(route, label).await {
            Ok((objects, _)) => run.outcome.changes += objects,
            Err(error) if error.is_gone() => {}
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
    /// Segments of the source that could not be copied.
    lost: BTreeSet<(String, WalSegment)>,
}

impl Run<'_> {
    /// Notes an error, or ends it all.
    fn fail(&mut self, label: Option<BackupLabel>, error: Error) -> Result<(), Error> {
        if error.is_fatal() {
            return Err(error);
        }
        tracing::error!(code = u64::from(error.code().exit_code()), "{error}");
        self.outcome.failed.push(Failed { label, error });
        Ok(())
    }

    async fn wal(&mut self, copies: &[super::WalCopy]) -> Result<(), Error> {
        for copy in copies {
            let id = copy.from.history_id;
            let cluster =
                stanza::read_entry(&*self.route.from, &self.route.stanza, id).await?.cluster;
            for directory in &copy.directories {
                let at_once = self.options.at_once;
                let copied =
                    copy.copy(self.route, directory, cluster, at_once, self.progress).await?;
                for (stored, result) in copied {
                    self.note_wal(copy.from, stored, result)?;
                }
            }
        }
        Ok(())
    }

    fn note_wal(
        &mut self,
        archive: ArchiveId,
        stored: Option<repo::archive::StoredWal>,
        result: Result<(), Error>,
    ) -> Result<(), Error> {
        match (result, stored) {
            (Ok(()), stored) => {
                self.outcome.wal_files += 1;
                self.outcome.wal_bytes += stored.map_or(0, |stored| stored.size);
                Ok(())
            }
            // Expire took it since it was listed.
            (Err(error), _) if error.is_gone() => Ok(()),
            (Err(error), stored) => {
                if let Some(ArchiveFile::Segment(segment)) = stored.map(|stored| stored.file) {
                    self.lost.insert((archive.to_string(), segment));
                }
                self.fail(None, error)
            }
        }
    }

    async fn backup(&mut self, copy: &BackupCopy) -> Result<(), Error> {
        let label = &copy.from.label;
        match self.copy_backup(copy).await {
            Ok(copied) => {
                tracing::info!("backup {label} copied: {} objects", copied.objects);
                self.outcome.backups.push(copied);
                Ok(())
            }
            Err(error) if error.is_gone() && self.is_expired(label).await? => {
                tracing::warn!("{}", Error::Expired { label: label.clone() });
                let why = Why::Expired;
                self.outcome.skipped.push(Skipped { label: label.clone(), why });
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

    /// The notice, the objects, what was said of it later, and the manifest at the end.
    async fn copy_backup(&self, copy: &BackupCopy) -> Result<Copied, Error> {
        let Route { from, to, stanza } = self.route;
        let label = &copy.to.label;
        let paths = BackupPaths::new(stanza, label)?;
        self.check_wal(copy)?;
        self.begin(copy, &paths).await?;
        let list = FileList::read(&**from, &copy.from).await?;
        let objects = objects(&copy.from, &list, &paths)?;
        drop(list);
        let there = self.there(&paths).await?;
        let one = async |(path, record): (ObjectPath, ObjectRecord)| match there.get(&path) {
            Some(kind) => copy::same_size(to, &path, *kind, record.size).map(|()| None),
            None => {
                copy::recorded(from, to, &path, record, self.progress).await?;
                Ok(Some(record.size))
            }
        };
        let at_once = self.options.at_once.max(1);
        let sizes: Vec<Option<u64>> =
            iter(objects).map(one).buffer_unordered(at_once).try_collect().await?;
        let mut copied = Copied { label: label.clone(), objects: 0, bytes: 0 };
        for size in sizes.into_iter().flatten() {
            copied.objects += 1;
            copied.bytes += size;
        }
        let (changes, bytes) = changes::copy(self.route, label).await?;
        copied.objects += changes;
        copied.bytes += bytes;
        self.publish(copy, &paths).await?;
        copied.objects += 1;
        Ok(copied)
    }

    /// What is there of it from a copy that was cut short.
    async fn there(&self, paths: &BackupPaths) -> Result<BTreeMap<ObjectPath, EntryKind>, Error> {
        let entries = self.route.to.list(paths.directory(), true).await.map_err(Error::target)?;
        Ok(entries.into_iter().map(|entry| (entry.path, entry.kind)).collect())
    }

    /// A backup whose own WAL could not be copied could not be recovered.
    fn check_wal(&self, copy: &BackupCopy) -> Result<(), Error> {
        let (start, stop) = (copy.from.wal_start(), copy.from.wal_stop());
        let archive = copy.from.archive_id().to_string();
        let is_own = |(id, segment): &&(String, WalSegment)| {
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

    /// The notice is the copy's own: it says to an expire elsewhere what is going on, and what it builds on.
    async fn begin(&self, copy: &BackupCopy, paths: &BackupPaths) -> Result<(), Error> {
        let notice = Started {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            process: std::process::id(),
            time: Timestamp::now().as_second(),
            references: copy.to.references.clone(),
            copies: None,
        };
        match notice.write(&*self.route.to, paths).await {
            // That of a copy that was cut short.
            Err(repo::Error::Storage(e)) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other.map_err(Error::Target),
        }
    }

    /// Makes the backup exist, after one more look at what it refers to.
    async fn publish(&self, copy: &BackupCopy, paths: &BackupPaths) -> Result<(), Error> {
        let Route { from, to, stanza } = self.route;
        for needed in &copy.to.references {
            match Manifest::read(&**to, stanza, needed).await {
                Ok(_) => {}
                Err(error) if error.is_not_found() => {
                    let (label, needed) = (copy.to.label.clone(), needed.to_string());
                    return Err(Error::Needs { label, needed });
                }
                Err(error) => return Err(Error::Target(error)),
            }
        }
        if copy.from == copy.to {
            return copy::metadata(from, to, &paths.manifest()?, Manifest::SIZE_MAX)
                .await
                .map(drop);
        }
        copy.to.publish(&**to).await.map_err(Error::Target)
    }
}

/// The objects of a backup beside its manifest: first the data, then what leads to it.
fn objects(
    manifest: &Manifest,
    list: &FileList,
    paths: &BackupPaths,
) -> Result<Vec<(ObjectPath, ObjectRecord)>, Error> {
    let mut objects = Vec::with_capacity(list.bundles.len() + 2);
    for bundle in &list.bundles {
        let path = match bundle.bundle {
            BundleKind::Data => paths.bundle(bundle.number)?,
            BundleKind::Map => paths.map(bundle.number)?,
        };
        objects.push((path, bundle.record));
    }
    objects.push((paths.backup_manifest()?, manifest.backup_manifest));
    objects.push((paths.file_list()?, manifest.file_list));
    Ok(objects)
}
