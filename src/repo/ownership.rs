//! Tells which objects below a stanza's directories are ours. Only those are ever deleted: the directories may hold files
//! of the user, or belong to another program.

use std::sync::Arc;

use super::{
    Error, REQUESTS_AT_ONCE,
    archive::StoredWal,
    layout::{
        ARCHIVE_ROOT, BACKUP_ROOT, FILE_LIST, LOST, MANIFEST, STANZA_ROOT, STARTED, number_of,
    },
    object_header::MAGIC,
};
use crate::{
    codec::encrypt::CIPHER_MAGIC,
    storage::{ErrorKind, ObjectPath, Storage},
    types::{ArchiveId, BackupLabel, StanzaName},
    work::try_map,
};

/// The objects directly below the directory of a backup.
const OF_BACKUP: [&str; 5] = [MANIFEST, STARTED, FILE_LIST, LOST, "backup_manifest"];
/// The directories of a backup that hold numbered objects.
const NUMBERED: [&str; 4] = ["bundle", "map", "annotation", "keep"];
/// Objects of which the first bytes are read, at most, to prove that the tree is ours.
const PROOF_MAX: usize = 32;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct ClassifiedObjects {
    pub ours: Vec<ObjectPath>,
    pub others: Vec<ObjectPath>,
}

/// Whether an object of the stanza can have this path.
pub fn has_our_name(stanza: &StanzaName, path: &ObjectPath) -> bool {
    let parts: Vec<&str> = path.as_str().split('/').collect();
    let [root, name, rest @ ..] = &parts[..] else { return false };
    if *name != stanza.as_str() {
        return false;
    }
    match (*root, rest) {
        (STANZA_ROOT, [number]) => number_of(number).is_some(),
        (BACKUP_ROOT, [label, name]) => is_label(label) && OF_BACKUP.contains(name),
        (BACKUP_ROOT, [label, directory, number]) => {
            is_label(label) && NUMBERED.contains(directory) && number_of(number).is_some()
        }
        (ARCHIVE_ROOT, [id, _] | [id, _, _]) => {
            id.parse::<ArchiveId>().is_ok() && StoredWal::parse(path, 0).is_some()
        }
        _ => false,
    }
}

fn is_label(text: &str) -> bool {
    text.parse::<BackupLabel>().is_ok()
}

/// Whether the object begins with our magic, plain or encrypted.
pub async fn has_our_magic(storage: &dyn Storage, path: &ObjectPath) -> Result<bool, Error> {
    match storage.get_range(path, 0..MAGIC.len() as u64).await {
        Ok(start) => Ok(start == MAGIC[..] || start == CIPHER_MAGIC[..]),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::Truncated | ErrorKind::Damaged => Ok(false),
            _ => Err(error.into()),
        },
    }
}

/// Separates our objects from all others: by name, and objects with unknown names, which a newer version may have
/// written, by their first bytes. Names alone prove nothing: if no object with our names begins with our magic, none is
/// ours.
pub async fn classify(
    storage: &Arc<dyn Storage>,
    stanza: &StanzaName,
    paths: Vec<ObjectPath>,
) -> Result<ClassifiedObjects, Error> {
    let (mut ours, unknown): (Vec<_>, Vec<_>) =
        paths.into_iter().partition(|path| has_our_name(stanza, path));
    if !ours.is_empty() && !is_proven(storage, &ours).await? {
        ours.extend(unknown);
        return Ok(ClassifiedObjects { ours: Vec::new(), others: ours });
    }
    let look = |path: ObjectPath| {
        let storage = Arc::clone(storage);
        async move {
            match has_our_magic(&*storage, &path).await {
                // The objects of a repository have one owner: an object that cannot be read is not ours.
                Err(Error::Storage(error)) if error.kind() == ErrorKind::Denied => {
                    Ok((path, false))
                }
                Err(error) => Err(error),
                Ok(is_ours) => Ok((path, is_ours)),
            }
        }
    };
    let looked: Vec<(ObjectPath, bool)> = try_map(unknown, REQUESTS_AT_ONCE, look).await?;
    let (more, others): (Vec<_>, Vec<_>) = looked.into_iter().partition(|(_, is_ours)| *is_ours);
    let paths = |pairs: Vec<(ObjectPath, bool)>| pairs.into_iter().map(|(path, _)| path);
    ours.extend(paths(more));
    Ok(ClassifiedObjects { ours, others: paths(others).collect() })
}

async fn is_proven(storage: &Arc<dyn Storage>, named: &[ObjectPath]) -> Result<bool, Error> {
    for path in named.iter().take(PROOF_MAX) {
        if has_our_magic(&**storage, path).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(path: &str) -> bool {
        has_our_name(&"demo".parse().unwrap(), &ObjectPath::new(path).unwrap())
    }

    #[test]
    fn every_object_of_a_stanza_has_a_name_of_ours() {
        let digest = "ab".repeat(32);
        for path in [
            "stanza/demo/00000001",
            "backup/demo/20261121-092452F/manifest",
            "backup/demo/20261121-092452F_20261121-092455D/started",
            "backup/demo/20261121-092452F/files",
            "backup/demo/20261121-092452F/backup_manifest",
            "backup/demo/20261121-092452F/bundle/00000001",
            "backup/demo/20261121-092452F/map/00000001",
            "backup/demo/20261121-092452F/annotation/00000001",
            "backup/demo/20261121-092452F/keep/00000001",
            &format!("archive/demo/15-1/00000002.history-{digest}"),
            &format!("archive/demo/15-1/0000000100000000/000000010000000000000001-{digest}.zst"),
        ] {
            assert!(named(path), "{path}");
        }
    }

    #[test]
    fn names_of_others_are_not_ours() {
        let sha1 = "ab".repeat(20);
        for path in [
            "backup/demo/backup.info",
            "backup/demo/20261121-092452F/backup.manifest",
            "backup/demo/20261121-092452F/bundle/1",
            "backup/demo/20261121-092452F/pg_data/PG_VERSION.gz",
            "backup/demo/notes",
            "backup/other/20261121-092452F/manifest",
            "archive/demo/archive.info",
            "archive/demo/15-1/00000002.history",
            &format!("archive/demo/15-1/0000000100000000/000000010000000000000001-{sha1}.gz"),
            "stanza/demo/notes",
            "key/0000000000000001",
        ] {
            assert!(!named(path), "{path}");
        }
    }
}
