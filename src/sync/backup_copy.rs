//! Copies one backup: the notice, the objects, what was said of it later, and the manifest at the end.
//!
//! The notice is the copy's own. It says to an expire elsewhere what is going on and what it builds on, and to a later
//! run that what is there was proven when it was made. Objects without such a notice are of another writer, or were
//! left by an expire that was interrupted: they are read and verified, or the copy is refused.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream::iter};

use super::{BackupCopy, Copied, Error, Options, Route, changes, copy};
use crate::{
    repo::{
        self,
        archive::WalArchive,
        file_list::{BundleKind, FileList},
        layout::BackupPaths,
        manifest::{Manifest, ObjectRecord},
        metadata, publication,
        started::Started,
        wal_needed,
    },
    storage::{EntryKind, ErrorKind, ObjectPath},
    types::ProgressSink,
};

/// Copies a backup; with what could not be copied of what was said of it later.
pub(super) async fn copy(
    route: &Route,
    copy: &BackupCopy,
    options: &Options,
    progress: &dyn ProgressSink,
) -> Result<(Copied, Vec<Error>), Error> {
    let paths = BackupPaths::new(&route.stanza, &copy.to.label)?;
    let list = FileList::read(&*route.from, &copy.from).await?;
    let objects = objects(&copy.from, &list, &paths)?;
    drop(list);
    let one = One { route, copy, paths, objects };
    one.begin().await?;
    let (data, list) = one.objects.split_at(one.objects.len().saturating_sub(1));
    let mut copied = one.copy_objects(data, options.at_once, progress).await?;
    let changes = changes::copy(route, &copy.to.label).await?;
    // Directly before the manifest: an interrupted copy has no file list, and does not count as one that lost its manifest.
    let listed = one.copy_objects(list, 1, progress).await?;
    options.shield.over(one.publish()).await?;
    // And the manifest.
    copied.objects += listed.objects + changes.objects + 1;
    copied.bytes += listed.bytes + changes.bytes;
    Ok((copied, changes.failed))
}

/// The objects of a backup beside its manifest: first the data, then what leads to it, the file list last.
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

/// A backup that is copied.
struct One<'a> {
    route: &'a Route,
    copy: &'a BackupCopy,
    paths: BackupPaths,
    objects: Vec<(ObjectPath, ObjectRecord)>,
}

impl One<'_> {
    /// Writes the notice. That of a copy that was interrupted is renewed, so that who looks sees a process that lives.
    async fn begin(&self) -> Result<(), Error> {
        let to = &*self.route.to;
        match self.notice().await? {
            Some(notice) if self.is_ours(&notice) => {
                to.delete(&[self.paths.started()?]).await.map_err(Error::target)?;
            }
            Some(notice) => return Err(self.taken(notice)),
            None => self.prove_strangers().await?,
        }
        let copies = Some(self.copy.from.file_list.sha256);
        let notice = Started::now(self.copy.to.references.clone(), copies);
        match notice.write(to, &self.paths).await {
            Err(repo::Error::Storage(error)) if error.kind() == ErrorKind::AlreadyExists => {
                match self.notice().await? {
                    // Two copy the same: each finds what the other made.
                    Some(notice) if self.is_ours(&notice) => Ok(()),
                    Some(notice) => Err(self.taken(notice)),
                    None => Err(self.removed()),
                }
            }
            written => written.map_err(Error::Target),
        }
    }

    async fn notice(&self) -> Result<Option<Started>, Error> {
        Started::read_opt(&*self.route.to, &self.paths).await.map_err(Error::Target)
    }

    fn is_ours(&self, notice: &Started) -> bool {
        notice.copies == Some(self.copy.from.file_list.sha256)
    }

    fn taken(&self, notice: Started) -> Error {
        Error::Taken { label: self.copy.to.label.clone(), host: notice.writer.host }
    }

    fn removed(&self) -> Error {
        Error::Removed { label: self.copy.to.label.clone() }
    }

    /// What is there without a notice must be what is recorded, byte for byte.
    async fn prove_strangers(&self) -> Result<(), Error> {
        let there = self.there().await?;
        for (path, record) in self.objects.iter().filter(|(path, _)| there.contains_key(path)) {
            copy::prove(&self.route.to, path, *record).await?;
        }
        Ok(())
    }

    /// What the target has below the label.
    async fn there(&self) -> Result<BTreeMap<ObjectPath, EntryKind>, Error> {
        let entries = self.route.to.list(self.paths.directory(), true).await;
        let entries = entries.map_err(Error::target)?.into_iter();
        Ok(entries.map(|entry| (entry.path, entry.kind)).collect())
    }

    /// Copies those of `objects` that are not there.
    async fn copy_objects(
        &self,
        objects: &[(ObjectPath, ObjectRecord)],
        at_once: usize,
        progress: &dyn ProgressSink,
    ) -> Result<Copied, Error> {
        let Route { from, to, .. } = self.route;
        let there = self.there().await?;
        let one = async |(path, record): &(ObjectPath, ObjectRecord)| match there.get(path) {
            Some(kind) => {
                progress.advance(record.size);
                copy::same_size(to, path, *kind, record.size).map(|()| None)
            }
            None => {
                copy::recorded(from, to, path, *record, progress).await?;
                Ok(Some(record.size))
            }
        };
        let copies = iter(objects).map(one).buffer_unordered(at_once.max(1));
        let sizes: Vec<Option<u64>> = copies.try_collect().await?;
        let mut copied = Copied { label: self.copy.to.label.clone(), objects: 0, bytes: 0 };
        for size in sizes.into_iter().flatten() {
            copied.objects += 1;
            copied.bytes += size;
        }
        Ok(copied)
    }

    /// Makes the backup exist.
    ///
    /// An expire elsewhere that takes this for an interrupted backup removes the notice first, and the objects only where there is
    /// no manifest after that. So a look at the notice after the manifest is there tells who was first.
    async fn publish(&self) -> Result<(), Error> {
        let was_lost = self.check_objects().await?;
        self.check_needs().await?;
        let Route { from, to, .. } = self.route;
        let manifest = self.paths.manifest()?;
        match self.copy.from == self.copy.to {
            true => {
                let data = metadata::read_proven(&**from, &manifest, Manifest::SIZE_MAX).await?;
                publication::create(&**to, &manifest, data).await.map_err(Error::Target)?;
            }
            false => self.copy.to.publish(&**to).await.map_err(Error::Target)?,
        }
        let checked = self.check_needs().await;
        if let Err(Error::Removed { .. } | Error::Needs { .. }) = &checked {
            to.delete(&[manifest]).await.map_err(Error::target)?;
        }
        if was_lost && checked.is_ok() {
            // It is there again: were it lost once more, its time to be brought back would begin again.
            to.delete(&[self.paths.lost()?]).await.map_err(Error::target)?;
        }
        checked
    }

    /// Every object is there, in full length; whether an expire noted that the manifest is missing.
    async fn check_objects(&self) -> Result<bool, Error> {
        let there = self.there().await?;
        for (path, record) in &self.objects {
            match there.get(path) {
                Some(kind) => copy::same_size(&self.route.to, path, *kind, record.size)?,
                None => return Err(self.removed()),
            }
        }
        Ok(there.contains_key(&self.paths.lost()?))
    }

    /// The notice, the backups that this one refers to, and its own WAL are in the target.
    async fn check_needs(&self) -> Result<(), Error> {
        let Route { to, stanza, .. } = self.route;
        if !self.notice().await?.is_some_and(|notice| self.is_ours(&notice)) {
            return Err(self.removed());
        }
        for needed in &self.copy.to.references {
            match Manifest::read(&**to, stanza, needed).await {
                Ok(_) => {}
                Err(error) if error.is_not_found() => return Err(self.needs(needed.to_string())),
                Err(error) => return Err(Error::Target(error)),
            }
        }
        if !self.copy.to.archive_checked {
            return Ok(());
        }
        let archive = WalArchive::new(to.clone(), stanza, self.copy.to.archive_id())?;
        let missing = wal_needed::missing(&archive, &self.copy.to, 1).await;
        match missing.map_err(Error::Target)?.first() {
            Some(file) => Err(self.needs(file.to_string())),
            None => Ok(()),
        }
    }

    fn needs(&self, needed: String) -> Error {
        Error::Needs { label: self.copy.to.label.clone(), needed }
    }
}
