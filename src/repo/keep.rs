//! The keep mark of a backup: retention leaves a marked backup, and what it needs, alone. A manifest
//! never changes, so each change of the mark is an object of its own; the last one is what holds.

use serde::{Deserialize, Serialize};

use super::{Error, changes, layout::BackupPaths, metadata, object_header::ObjectKind};
use crate::storage::Storage;

const SIZE_MAX: usize = 64 << 10;

/// A mark that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepMark {
    /// From this second since 1970 on the mark no longer holds; `None`: it holds until it is removed.
    pub until: Option<i64>,
}

impl KeepMark {
    /// Whether the mark holds at `now`, seconds since 1970.
    pub fn holds(self, now: i64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// One change, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Change {
    /// Whether the mark is set or removed.
    keep: bool,
    /// Where it is set: how long it holds, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
}

/// The mark of a backup, also where its time has passed; `None` where none is set.
pub async fn read(storage: &dyn Storage, paths: &BackupPaths) -> Result<Option<KeepMark>, Error> {
    let changes = changes::list(storage, &paths.keep()?).await?;
    let Some(path) = changes.last() else { return Ok(None) };
    let body = metadata::read(storage, path, ObjectKind::Keep, SIZE_MAX).await?;
    let change: Change = metadata::from_json(&body, path.as_str())?;
    Ok(change.keep.then_some(KeepMark { until: change.until }))
}

/// Sets the mark of a backup, or removes it.
pub async fn write(
    storage: &dyn Storage,
    paths: &BackupPaths,
    mark: Option<KeepMark>,
) -> Result<(), Error> {
    let change = Change { keep: mark.is_some(), until: mark.and_then(|mark| mark.until) };
    let directory = paths.keep()?;
    let body = metadata::to_json(&change, directory.as_str())?;
    changes::append(storage, &directory, ObjectKind::Keep, &body).await
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
        assert_eq!(names.unwrap().count(), 4);
    }

    #[tokio::test]
    async fn a_damaged_mark_is_an_error_and_never_no_mark() {
        let dir = tempfile::tempdir().unwrap();
        let storage = PosixStorage::new(dir.path());
        let label = "20261121-092452F".parse().unwrap();
        let paths = BackupPaths::new(&"demo".parse().unwrap(), &label).unwrap();
        write(&storage, &paths, Some(KeepMark { until: None })).await.unwrap();
        let file = dir.path().join("backup/demo/20261121-092452F/keep/00000001");
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert!(read(&storage, &paths).await.is_err());
    }

    #[test]
    fn a_mark_ends_at_its_time() {
        let mark = KeepMark { until: Some(100) };
        assert!(mark.holds(99) && !mark.holds(100));
        assert!(KeepMark { until: None }.holds(i64::MAX));
    }
}
