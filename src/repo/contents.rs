//! Checks a backup's objects against its manifest. A manifest alone is not a backup: if the write of a manifest takes
//! effect after its backup gave up and removed its objects, it remains without data. So a backup only counts if all its
//! objects are there.

use std::collections::BTreeMap;

use super::{
    Error,
    layout::{BackupPaths, MANIFEST, number_of},
    manifest::Manifest,
};
use crate::{
    storage::{EntryKind, Storage},
    types::{BackupLabel, StanzaName},
};

/// Missing objects that an error lists.
const NAMED_MAX: usize = 5;

/// The objects of a backup: stored sizes in bytes by name below its directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    objects: BTreeMap<String, u64>,
}

impl Contents {
    pub async fn list(storage: &dyn Storage, paths: &BackupPaths) -> Result<Self, Error> {
        let root = format!("{}/", paths.directory());
        let entries = storage.list(paths.directory(), true).await?;
        let objects = entries.into_iter().filter_map(|entry| match entry.kind {
            EntryKind::Object { size } => {
                Some((entry.path.as_str().strip_prefix(&root)?.to_owned(), size))
            }
            EntryKind::Directory => None,
        });
        Ok(Self { objects: objects.collect() })
    }

    pub fn has(&self, name: &str) -> bool {
        self.objects.contains_key(name)
    }

    /// The names of the objects in the manifest that are missing, or whose size is not the recorded one.
    pub fn missing(&self, manifest: &Manifest) -> Vec<String> {
        let totals = &manifest.totals;
        let lists = [("files", manifest.file_list), ("backup_manifest", manifest.backup_manifest)];
        let lists = lists
            .into_iter()
            .filter(|(name, record)| self.objects.get(*name) != Some(&record.size))
            .map(|(name, _)| name.to_owned());
        let maps = totals.map_bundles.unwrap_or_else(|| self.map_bundles_seen(totals.map_size));
        let data = (1..=totals.bundles).map(|number| format!("bundle/{number:08}"));
        let maps = (1..=maps).map(|number| format!("map/{number:08}"));
        let bundles = data.chain(maps).filter(|name| !self.has(name));
        lists.chain(bundles).collect()
    }

    /// The number of map bundles of a backup whose manifest does not record it (older versions): the greatest number that
    /// is there, so a missing last one goes unnoticed, or 1 if the manifest records map bytes.
    fn map_bundles_seen(&self, map_size: u64) -> u32 {
        let numbers = self.objects.keys().filter_map(|name| number_of(name.strip_prefix("map/")?));
        numbers.max().unwrap_or(0).max(u32::from(map_size > 0))
    }
}

/// Reads the manifest of a backup and checks that its objects are there.
pub async fn read_whole(
    storage: &dyn Storage,
    stanza: &StanzaName,
    label: &BackupLabel,
) -> Result<Manifest, Error> {
    let manifest = Manifest::read(storage, stanza, label).await?;
    check(storage, &manifest).await.map(|()| manifest)
}

/// [`Error::Incomplete`] if an object is missing, [`Error::BackupMissing`] if the backup was removed meanwhile.
pub async fn check(storage: &dyn Storage, manifest: &Manifest) -> Result<(), Error> {
    let paths = BackupPaths::new(&manifest.stanza, &manifest.label)?;
    let contents = Contents::list(storage, &paths).await?;
    let missing = contents.missing(manifest);
    if missing.is_empty() && contents.has(MANIFEST) {
        return Ok(());
    }
    // Expire removes the manifest first. If it is gone by now, the missing objects are those of an expired backup.
    match storage.stat(&paths.manifest()?).await {
        Err(error) if error.is_not_found() => Err(Error::BackupMissing {
            label: manifest.label.to_string(),
            location: storage.location(),
        }),
        Err(error) => Err(error.into()),
        Ok(_) if missing.is_empty() => Ok(()),
        Ok(_) => Err(Error::Incomplete {
            label: manifest.label.to_string(),
            location: storage.location(),
            missing: named(&missing),
        }),
    }
}

fn named(missing: &[String]) -> String {
    let mut names = missing[..missing.len().min(NAMED_MAX)].join(", ");
    if missing.len() > NAMED_MAX {
        names = format!("{names} and {} more", missing.len() - NAMED_MAX);
    }
    names
}

/// Creates a stub for each missing object of the manifest.
#[cfg(test)]
pub(crate) async fn put_stubs(storage: &dyn Storage, manifest: &Manifest) -> Result<(), Error> {
    let paths = BackupPaths::new(&manifest.stanza, &manifest.label)?;
    for name in Contents::list(storage, &paths).await?.missing(manifest) {
        let content = match name.as_str() {
            "files" => vec![b'x'; manifest.file_list.size as usize],
            "backup_manifest" => vec![b'x'; manifest.backup_manifest.size as usize],
            // Recognised by `ownership`.
            _ => super::object_header::MAGIC.to_vec(),
        };
        let path = paths.directory().join(&name)?;
        storage.put(&path, content.into()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        restore::tests::{memory::MemoryStorage, repository::manifest},
        storage::{
            ErrorKind,
            fault::{Fault, FaultyStorage, Operation, Rule},
        },
        types::{Lsn, TimeLine},
    };

    fn two_bundles() -> Manifest {
        let mut manifest =
            manifest("20261121-092452F", TimeLine(1), Lsn(0x200_0028), Lsn(0x200_0100), 0);
        (manifest.totals.bundles, manifest.totals.map_bundles) = (2, Some(2));
        (manifest.file_list.size, manifest.backup_manifest.size) = (7, 8);
        manifest
    }

    #[tokio::test]
    async fn every_object_is_looked_for_by_its_number() {
        let manifest = two_bundles();
        let memory = MemoryStorage::default();
        put_stubs(&memory, &manifest).await.unwrap();
        manifest.publish(&memory).await.unwrap();
        check(&memory, &manifest).await.unwrap();
        for path in memory.paths() {
            let bytes = memory.object(&path);
            memory.remove(&path);
            let error = check(&memory, &manifest).await.unwrap_err();
            match path.file_name() {
                // It was expired meanwhile.
                "manifest" => memory_put(&memory, &path, bytes).await,
                name => {
                    assert!(matches!(error, Error::Incomplete { .. }), "{error}");
                    assert!(error.to_string().contains(name), "{error}");
                    memory_put(&memory, &path, bytes).await;
                }
            }
        }
        let list = BackupPaths::new(&manifest.stanza, &manifest.label).unwrap().file_list();
        memory.damage(&list.unwrap(), |bytes| bytes.truncate(1));
        assert!(check(&memory, &manifest).await.unwrap_err().to_string().contains("files"));
    }

    async fn memory_put(
        memory: &MemoryStorage,
        path: &crate::storage::ObjectPath,
        bytes: bytes::Bytes,
    ) {
        memory.put(path, bytes).await.unwrap();
    }

    #[tokio::test]
    async fn older_manifests_do_not_say_how_many_map_bundles_there_are() {
        let mut manifest = two_bundles();
        let memory = MemoryStorage::default();
        put_stubs(&memory, &manifest).await.unwrap();
        manifest.totals.map_bundles = None;
        let paths = BackupPaths::new(&manifest.stanza, &manifest.label).unwrap();
        let missing = async |manifest: &Manifest| {
            Contents::list(&memory, &paths).await.unwrap().missing(manifest)
        };
        assert!(missing(&manifest).await.is_empty());
        memory.remove(&paths.map(1).unwrap());
        assert_eq!(missing(&manifest).await, ["map/00000001"]);
        memory.remove(&paths.map(2).unwrap());
        assert!(missing(&manifest).await.is_empty());
        manifest.totals.map_size = 1;
        assert_eq!(missing(&manifest).await, ["map/00000001"]);
    }

    #[tokio::test]
    async fn a_backup_that_is_expired_meanwhile_is_not_called_incomplete() {
        let manifest = two_bundles();
        let memory = MemoryStorage::default();
        let missing = check(&memory, &manifest).await.unwrap_err();
        assert!(matches!(missing, Error::BackupMissing { .. }), "{missing}");
        let faulty = FaultyStorage::new(Arc::new(memory));
        faulty.add(Rule::always(Operation::Stat, Fault::Fail(ErrorKind::Transient)));
        let unknown = check(&faulty, &manifest).await.unwrap_err();
        assert!(matches!(unknown, Error::Storage(_)), "{unknown}");
    }
}
