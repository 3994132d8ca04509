//! What is said of a backup after it was published: keep marks and annotations, numbered changes. Those that the source
//! has behind those of the target are brought over. Where the target's are others, it goes its own way.

use std::collections::BTreeMap;

use super::{Error, Route, copy};
use crate::{
    repo::{
        layout::{BackupPaths, number_of},
        metadata,
    },
    storage::{ObjectPath, Storage},
    types::BackupLabel,
};

/// The greatest change that is read, in bytes.
const SIZE_MAX: usize = 1 << 20;

/// What was copied of the changes of a backup.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) objects: u64,
    pub(super) bytes: u64,
    /// What could not be: a remark that is lost is no reason to lose the backup.
    pub(super) failed: Vec<Error>,
}

/// Copies the changes of a backup. An error means that a repository failed.
pub(super) async fn copy(route: &Route, label: &BackupLabel) -> Result<Copied, Error> {
    let paths = BackupPaths::new(&route.stanza, label)?;
    let mut copied = Copied::default();
    for directory in [paths.annotations()?, paths.keep()?] {
        let missing = match missing(route, &directory).await {
            Err(error) if error.is_of_one_object() => {
                copied.failed.push(error);
                continue;
            }
            missing => missing?,
        };
        for path in missing {
            match copy::metadata(&route.from, &route.to, &path, SIZE_MAX).await {
                Ok(bytes) => {
                    copied.objects += 1;
                    copied.bytes += bytes;
                }
                // It went with its backup.
                Err(error) if error.is_gone() => {}
                Err(error) if error.is_of_one_object() => copied.failed.push(error),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(copied)
}

/// The changes in `directory` that the target lacks, in order; none where its own are others.
pub(super) async fn missing(
    route: &Route,
    directory: &ObjectPath,
) -> Result<Vec<ObjectPath>, Error> {
    let source = numbers(&*route.from, directory).await.map_err(Error::source)?;
    if source.is_empty() {
        return Ok(Vec::new());
    }
    let target = numbers(&*route.to, directory).await.map_err(Error::target)?;
    if target.len() >= source.len() {
        return Ok(Vec::new());
    }
    for (number, path) in &target {
        let there =
            metadata::read_proven(&*route.to, path, SIZE_MAX).await.map_err(Error::Target)?;
        let same = match source.get(number) {
            Some(path) => metadata::read_proven(&*route.from, path, SIZE_MAX).await? == there,
            None => false,
        };
        if !same {
            tracing::warn!(
                "'{directory}' was changed in the target by itself: changes in the source are not brought over"
            );
            return Ok(Vec::new());
        }
    }
    Ok(source.into_iter().filter(|(n, _)| !target.contains_key(n)).map(|(_, p)| p).collect())
}

async fn numbers(
    storage: &dyn Storage,
    directory: &ObjectPath,
) -> crate::storage::Result<BTreeMap<u32, ObjectPath>> {
    let entries = storage.list(directory, false).await?;
    let numbered = entries.into_iter().map(|entry| (number_of(entry.path.file_name()), entry.path));
    Ok(numbered.filter_map(|(number, path)| Some((number?, path))).collect())
}
