//! The keep mark of a backup: retention keeps a marked backup and all that it needs. A manifest is never changed, so each
//! change of the mark is an object of its own, and the last one is in force. Each is written twice: otherwise one lost
//! object would let retention remove a backup that is marked.

use serde::{Deserialize, Serialize};

use super::{Error, changes, layout::BackupPaths, metadata, object_header::ObjectKind};
use crate::{
    storage::{ObjectPath, Storage},
    types::Nonce,
};

const SIZE_MAX: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepMark {
    /// When the mark runs out, seconds since 1970; `None`: never.
    pub until: Option<i64>,
}

impl KeepMark {
    /// Whether the mark is in force at `now`, seconds since 1970.
    pub fn holds(self, now: i64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Change {
    /// `false` removes the mark.
    keep: bool,
    /// When the mark runs out, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    /// Makes the object unique; `None` in objects of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nonce: Option<Nonce>,
}

/// The mark of a backup, even one that has run out; `None` if none is set.
pub async fn read(storage: &dyn Storage, paths: &BackupPaths) -> Result<Option<KeepMark>, Error> {
    let changes = changes::objects(storage, &paths.keep()?).await?;
    let Some((_, objects)) = changes.into_iter().next_back() else { return Ok(None) };
    let mut first_error = None;
    for path in objects {
        match read_change(storage, &path).await {
            Ok(change) => return Ok(change.keep.then_some(KeepMark { until: change.until })),
            // The copy has the same content.
            Err(error) if error.is_damage() => drop(first_error.get_or_insert(error)),
            Err(error) => return Err(error),
        }
    }
    first_error.map_or(Ok(None), Err)
}

async fn read_change(storage: &dyn Storage, path: &ObjectPath) -> Result<Change, Error> {
    let body = metadata::read(storage, path, ObjectKind::Keep, SIZE_MAX).await?;
    metadata::from_json(&body, path.as_str())
}

/// Whether a change must have a copy. Older versions wrote none, and no nonce.
pub async fn is_doubled(storage: &dyn Storage, path: &ObjectPath) -> Result<bool, Error> {
    Ok(read_change(storage, path).await?.nonce.is_some())
}

/// Sets the mark, or removes it (`None`).
pub async fn write(
    storage: &dyn Storage,
    paths: &BackupPaths,
    mark: Option<KeepMark>,
) -> Result<(), Error> {
    let until = mark.and_then(|mark| mark.until);
    let change = Change { keep: mark.is_some(), until, nonce: Some(Nonce::random()) };
    let directory = paths.keep()?;
    let body = metadata::to_json(&change, directory.as_str())?;
    let number = changes::append(storage, &directory, ObjectKind::Keep, &body).await?;
    let copy = changes::copy_path(&directory, number)?;
    metadata::write(storage, &copy, ObjectKind::Keep, &body).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::PosixStorage;

    #[tokio::test]
    async fn the_last_change_holds() {
        let dir = tempfile::tempdir().unwrap();
        let storage = PosixStorage::new(dir.path());
        let label = "20261121-092452F".parse().unwrap();
        let paths = BackupPaths::new(&"demo".parse().unwrap(), &label).unwrap();
        assert_eq!(read(&storage, &paths).await.unwrap(), None);
        let until = |until| Some(KeepMark { until });
        for mark in [until(None), until(Some(17)), None, until(Some(18))] {
            write(&storage, &paths, mark).await.unwrap();
            assert_eq!(read(&storage, &paths).await.unwrap(), mark);
        }
        let names = std::fs::read_dir(dir.path().join("backup/demo/20261121-092452F/keep"));
        assert_eq!(names.unwrap().count(), 8);
    }

    #[tokio::test]
    async fn a_mark_survives_the_loss_of_any_one_object() {
        let dir = tempfile::tempdir().unwrap();
        let storage = PosixStorage::new(dir.path());
        let label = "20261121-092452F".parse().unwrap();
        let paths = BackupPaths::new(&"demo".parse().unwrap(), &label).unwrap();
        for mark in [None, Some(KeepMark { until: None })] {
            write(&storage, &paths, mark).await.unwrap();
        }
        let keep = dir.path().join("backup/demo/20261121-092452F/keep");
        for name in std::fs::read_dir(&keep).unwrap().map(|entry| entry.unwrap().path()) {
            let bytes = std::fs::read(&name).unwrap();
            for damaged in [None, Some(&b"x"[..])] {
                std::fs::remove_file(&name).unwrap();
                if let Some(damaged) = damaged {
                    std::fs::write(&name, damaged).unwrap();
                }
                assert!(read(&storage, &paths).await.unwrap().is_some(), "{name:?}");
                std::fs::write(&name, &bytes).unwrap();
            }
        }
        // The number of a lost object is not given to another change.
        std::fs::remove_file(keep.join("00000002")).unwrap();
        write(&storage, &paths, None).await.unwrap();
        assert!(keep.join("00000003").exists());
        assert_eq!(read(&storage, &paths).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_damaged_mark_is_an_error_and_never_no_mark() {
        let dir = tempfile::tempdir().unwrap();
        let storage = PosixStorage::new(dir.path());
        let label = "20261121-092452F".parse().unwrap();
        let paths = BackupPaths::new(&"demo".parse().unwrap(), &label).unwrap();
        write(&storage, &paths, Some(KeepMark { until: None })).await.unwrap();
        for name in ["00000001", "00000001.copy"] {
            let file = dir.path().join("backup/demo/20261121-092452F/keep").join(name);
            let mut bytes = std::fs::read(&file).unwrap();
            bytes[20] ^= 1;
            std::fs::write(&file, bytes).unwrap();
        }
        assert!(read(&storage, &paths).await.is_err());
    }

    #[test]
    fn a_mark_ends_at_its_time() {
        let mark = KeepMark { until: Some(100) };
        assert!(mark.holds(99) && !mark.holds(100));
        assert!(KeepMark { until: None }.holds(i64::MAX));
    }
}
