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

/// Copies the changes of a backup; says how many objects and bytes that were.
pub(super) async fn copy(route: &Route, label: &BackupLabel) -> Result<(u64, u64), Error> {
    let paths = BackupPaths::new(&route.stanza, label)?;
    let (mut objects, mut bytes) = (0, 0);
    for directory in [paths.annotations()?, paths.keep()?] {
        for path in missing(route, &directory).await? {
            bytes += copy::metadata(&route.from, &route.to, &path, SIZE_MAX).await?;
            objects += 1;
        }
    }
    Ok((objects, bytes))
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
