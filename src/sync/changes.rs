//! Copies the changes of a backup after its publication: keep marks and annotations, which are numbered. Changes that
//! the source has after the last one of the target are copied. If the target has changes of its own, nothing is
//! copied.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Error, Route, copy};
use crate::{
    repo::{self, changes, layout::BackupPaths, metadata},
    storage::{ObjectPath, Storage},
    types::BackupLabel,
};

/// Maximum size of a change in bytes.
const SIZE_MAX: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct CopiedChanges {
    pub(super) changes: u64,
    pub(super) objects: u64,
    pub(super) bytes: u64,
    /// Changes that could not be copied. They do not fail the copy of the backup.
    pub(super) failed: Vec<Error>,
}

/// Copies the changes of a backup. An error means that a repository failed.
pub(super) async fn copy(route: &Route, label: &BackupLabel) -> Result<CopiedChanges, Error> {
    let paths = BackupPaths::new(&route.stanza, label)?;
    let mut copied = CopiedChanges::default();
    for directory in [paths.annotations()?, paths.keep()?] {
        let missing = match missing_changes(route, &directory).await {
            Err(error) if error.is_of_one_object() => {
                copied.failed.push(error);
                continue;
            }
            missing => missing?,
        };
        for change in missing {
            match change.copy(route, &mut copied).await {
                Ok(()) => {}
                // Removed with its backup.
                Err(error) if error.is_gone() => {}
                Err(error) if error.is_of_one_object() => copied.failed.push(error),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(copied)
}

/// A change that is not complete in the target.
pub(super) struct Change {
    /// Its objects in the source: one, or two with the same content.
    source: Vec<ObjectPath>,
    /// Objects missing in the target.
    missing: Vec<ObjectPath>,
}

impl Change {
    /// Copies the missing objects from the first one that can be read.
    async fn copy(&self, route: &Route, copied: &mut CopiedChanges) -> Result<(), Error> {
        let mut damaged = Vec::new();
        let data = read_any(&*route.from, &self.source, &mut damaged).await?;
        copied.failed.extend(damaged.into_iter().map(Error::from));
        let Some(data) = data else { return Ok(()) };
        for path in &self.missing {
            copy::create(&route.to, path, data.clone()).await?;
            copied.objects += 1;
            copied.bytes += data.len() as u64;
        }
        copied.changes += 1;
        Ok(())
    }
}

/// The content of a change, from the first of its objects that can be read. Errors of damaged objects are added to
/// `damaged` if there are several objects; `None` if all are damaged.
async fn read_any(
    storage: &dyn Storage,
    paths: &[ObjectPath],
    damaged: &mut Vec<repo::Error>,
) -> Result<Option<Bytes>, repo::Error> {
    for path in paths {
        match metadata::read_proven(storage, path, SIZE_MAX).await {
            Err(error) if error.is_damage() && paths.len() > 1 => damaged.push(error),
            read => return read.map(Some),
        }
    }
    Ok(None)
}

/// The changes in `directory` that are not complete in the target, in order; none if the target has changes of its own.
pub(super) async fn missing_changes(
    route: &Route,
    directory: &ObjectPath,
) -> Result<Vec<Change>, Error> {
    let source = changes::objects(&*route.from, directory).await?;
    if source.is_empty() {
        return Ok(Vec::new());
    }
    let target = changes::objects(&*route.to, directory).await.map_err(Error::Target)?;
    let lacking: Vec<Change> = source.iter().filter_map(|one| lacking(one, &target)).collect();
    if lacking.is_empty() || follows(route, &source, &target).await? {
        return Ok(lacking);
    }
    tracing::warn!(
        "'{directory}' was changed in the target by itself: changes in the source are not brought over"
    );
    Ok(Vec::new())
}

/// The objects of each change, by number.
type Numbered = BTreeMap<u32, Vec<ObjectPath>>;

fn lacking((number, paths): (&u32, &Vec<ObjectPath>), target: &Numbered) -> Option<Change> {
    let there = target.get(number).map(Vec::as_slice).unwrap_or_default();
    let missing: Vec<_> = paths.iter().filter(|path| !there.contains(path)).cloned().collect();
    (!missing.is_empty()).then(|| Change { source: paths.clone(), missing })
}

/// Whether all changes of the target are from the source.
async fn follows(route: &Route, source: &Numbered, target: &Numbered) -> Result<bool, Error> {
    for (number, paths) in target {
        let Some(same) = source.get(number) else { return Ok(false) };
        let there = content(&*route.to, paths).await.map_err(Error::Target)?;
        if there != content(&*route.from, same).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn content(
    storage: &dyn Storage,
    paths: &[ObjectPath],
) -> Result<Option<Bytes>, repo::Error> {
    let mut damaged = Vec::new();
    match (read_any(storage, paths, &mut damaged).await?, damaged.pop()) {
        (None, Some(error)) => Err(error),
        (content, _) => Ok(content),
    }
}
