//! Copies one backup: the notice, the objects, its later changes, and the manifest last.
//!
//! The copy writes its own notice. It informs a concurrent expire of the copy and of the backups it refers to, and a
//! later run that the existing objects were verified when they were written. Objects without such a notice are from
//! another writer or remain from an interrupted expire: they are read and verified, and the copy is refused if they
//! differ.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream::iter};

use super::{BackupCopy, Error, Options, Route, changes, copy};
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
    types::{BackupLabel, ProgressSink},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedBackup {
    pub label: BackupLabel,
    /// Objects copied by this run.
    pub objects: u64,
    /// Stored bytes of these objects.
    pub bytes: u64,
}

/// Copies a backup. Also returns the errors of changes that could not be copied.
pub(super) async fn copy(
    route: &Route,
    copy: &BackupCopy,
    options: &Options,
    progress: &dyn ProgressSink,
) -> Result<(CopiedBackup, Vec<Error>), Error> {
    let paths = BackupPaths::new(&route.stanza, &copy.to.label)?;
    let list = FileList::read(&*route.from, &copy.from).await?;
    let objects = objects(&copy.from, &list, &paths)?;
    drop(list);
    let copier = BackupCopier { route, copy, paths, objects };
    copier.begin().await?;
    let (data, list) = copier.objects.split_at(copier.objects.len().saturating_sub(1));
    let mut copied = copier.copy_objects(data, options.at_once, progress).await?;
    let changes = changes::copy(route, &copy.to.label).await?;
    // The file list is copied directly before the manifest: otherwise an interrupted copy would look like a backup
    // that lost its manifest.
    let listed = copier.copy_objects(list, 1, progress).await?;
    options.shield.protect(copier.publish()).await?;
    // Plus the manifest.
    copied.objects += listed.objects + changes.objects + 1;
    copied.bytes += listed.bytes + changes.bytes;
    Ok((copied, changes.failed))
}

/// The objects of a backup except its manifest: data first, the file list last.
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

struct BackupCopier<'a> {
    route: &'a Route,
    copy: &'a BackupCopy,
    paths: BackupPaths,
    objects: Vec<(ObjectPath, ObjectRecord)>,
}

impl BackupCopier<'_> {
    /// Writes the notice. The notice of an interrupted copy is replaced, so that it names a running process.
    async fn begin(&self) -> Result<(), Error> {
        let to = &*self.route.to;
        match self.notice().await? {
            Some(notice) if self.is_ours(&notice) => {
                to.delete(&[self.paths.started()?]).await.map_err(Error::target)?;
            }
            Some(notice) => return Err(self.taken(notice)),
            None => self.verify_foreign_objects().await?,
        }
        let copies = Some(self.copy.from.file_list.sha256);
        let notice = Started::now(self.copy.to.references.clone(), copies);
        match notice.write(to, &self.paths).await {
            Err(repo::Error::Storage(error)) if error.kind() == ErrorKind::AlreadyExists => {
                match self.notice().await? {
                    // A concurrent copy of the same backup: both accept the objects of the other.
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

    /// Objects without a notice may be from another writer: they must match the records byte for byte.
    async fn verify_foreign_objects(&self) -> Result<(), Error> {
        let existing = self.existing().await?;
        for (path, record) in self.objects.iter().filter(|(path, _)| existing.contains_key(path)) {
            copy::verify_existing(&self.route.to, path, *record).await?;
        }
        Ok(())
    }

    /// Lists the objects in the target below the label.
    async fn existing(&self) -> Result<BTreeMap<ObjectPath, EntryKind>, Error> {
        let entries = self.route.to.list(self.paths.directory(), true).await;
        let entries = entries.map_err(Error::target)?.into_iter();
        Ok(entries.map(|entry| (entry.path, entry.kind)).collect())
    }

    /// Copies those of `objects` that are missing in the target.
    async fn copy_objects(
        &self,
        objects: &[(ObjectPath, ObjectRecord)],
        at_once: usize,
        progress: &dyn ProgressSink,
    ) -> Result<CopiedBackup, Error> {
        let Route { from, to, .. } = self.route;
        let existing = self.existing().await?;
        let one = async |(path, record): &(ObjectPath, ObjectRecord)| match existing.get(path) {
            Some(kind) => {
                progress.advance(record.size);
                copy::same_size(to, path, *kind, record.size).map(|()| None)
            }
            None => {
                copy::copy_object(from, to, path, *record, progress).await?;
                Ok(Some(record.size))
            }
        };
        let copies = iter(objects).map(one).buffer_unordered(at_once.max(1));
        let sizes: Vec<Option<u64>> = copies.try_collect().await?;
        let mut copied = CopiedBackup { label: self.copy.to.label.clone(), objects: 0, bytes: 0 };
        for size in sizes.into_iter().flatten() {
            copied.objects += 1;
            copied.bytes += size;
        }
        Ok(copied)
    }

    /// Writes the manifest, which publishes the backup.
    ///
    /// A concurrent expire that takes this for an interrupted backup removes the notice first, and the objects only if
    /// there is still no manifest after that. Therefore the notice is checked again after the manifest is written: if
    /// it still exists, such an expire will find the manifest; if not, the manifest is removed again.
    async fn publish(&self) -> Result<(), Error> {
        let was_lost = self.check_objects().await?;
        self.check_needs().await?;
        let Route { from, to, .. } = self.route;
        let manifest = self.paths.manifest()?;
        if self.copy.from == self.copy.to {
            let data = metadata::read_proven(&**from, &manifest, Manifest::SIZE_MAX).await?;
            publication::create(&**to, &manifest, data).await.map_err(Error::Target)?;
        } else {
            self.copy.to.publish(&**to).await.map_err(Error::Target)?;
        }
        let checked = self.check_needs().await;
        if let Err(Error::Removed { .. } | Error::Needs { .. }) = &checked {
            to.delete(&[manifest]).await.map_err(Error::target)?;
        }
        if was_lost && checked.is_ok() {
            // The manifest exists again. If it is lost again, the grace period has to start anew.
            to.delete(&[self.paths.lost()?]).await.map_err(Error::target)?;
        }
        checked
    }

    /// Checks that every object exists with its recorded size. Returns whether an expire recorded that the manifest is
    /// missing.
    async fn check_objects(&self) -> Result<bool, Error> {
        let existing = self.existing().await?;
        for (path, record) in &self.objects {
            match existing.get(path) {
                Some(kind) => copy::same_size(&self.route.to, path, *kind, record.size)?,
                None => return Err(self.removed()),
            }
        }
        Ok(existing.contains_key(&self.paths.lost()?))
    }

    /// Checks that the notice, the backups that this one refers to, and its WAL are in the target.
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
