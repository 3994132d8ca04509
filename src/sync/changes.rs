//! What is said of a backup after it was published: keep marks and annotations, numbered changes. Those that the source
//! has behind those of the target are brought over. Where the target's are others, it goes its own way.

use super::{Error, Route, copy};
use crate::{
    repo::{changes, layout::BackupPaths, metadata},
    storage::ObjectPath,
    types::BackupLabel,
};

/// The greatest change that is read, in bytes.
const SIZE_MAX: usize = 1 << 20;

/// What was copied of the changes of a backup.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) changes: u64,
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
        for change in missing {
            match change.copy(route, &mut copied).await {
                Ok(()) => {}
                // It went with its backup.
                Err(error) if error.is_gone() => {}
                Err(error) if error.is_of_one_object() => copied.failed.push(error),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(copied)
}

/// The objects of a change in the source: one, or two of the same bytes.
pub(super) struct Change(Vec<ObjectPath>);

impl Change {
    /// Copies the objects of the change out of whichever can be read.
    async fn copy(&self, route: &Route, copied: &mut Copied) -> Result<(), Error> {
        let mut found = None;
        for path in &self.0 {
            match metadata::read_proven(&*route.from, path, SIZE_MAX).await {
                Ok(data) => {
                    found = Some(data);
                    break;
                }
                Err(error) if error.is_damage() && self.0.len() > 1 => {
                    copied.failed.push(error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        let Some(data) = found else { return Ok(()) };
        for path in &self.0 {
            copy::create(&route.to, path, data.clone()).await?;
            copied.objects += 1;
            copied.bytes += data.len() as u64;
        }
        copied.changes += 1;
        Ok(())
    }
}

/// The changes in `directory` that the target lacks, in order; none where its own are others.
pub(super) async fn missing(route: &Route, directory: &ObjectPath) -> Result<Vec<Change>, Error> {
    let source = changes::objects(&*route.from, directory).await?;
    if source.is_empty() {
        return Ok(Vec::new());
    }
    let target = changes::objects(&*route.to, directory).await.map_err(Error::Target)?;
    if target.len() >= source.len() {
        return Ok(Vec::new());
    }
    for (number, paths) in &target {
        let [path, ..] = &paths[..] else { continue };
        let there =
            metadata::read_proven(&*route.to, path, SIZE_MAX).await.map_err(Error::Target)?;
        let same = match source.get(number).and_then(|paths| paths.first()) {
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
    let lacking = source.into_iter().filter(|(number, _)| !target.contains_key(number));
    Ok(lacking.map(|(_, paths)| Change(paths)).collect())
}
