//! Deleting objects, and the directories that they leave empty.
//!
//! SFTP has no way to make a removal durable: after a power failure of the server an object may be there again, which
//! the next expire removes.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    failure::{Refusal, other},
    session::Session,
    tree::Tree,
};
use crate::storage::{ObjectPath, Result};

/// Removals under way at a time.
const AT_ONCE: usize = 16;

/// Deletes objects; those that are gone are no error.
pub(super) async fn delete(tree: &Tree, paths: &[ObjectPath]) -> Result<()> {
    let mut groups: BTreeMap<ObjectPath, BTreeSet<&ObjectPath>> = BTreeMap::new();
    for path in paths {
        groups.entry(path.parent()).or_default().insert(path);
    }
    let mut touched = Touched::default();
    for (parent, group) in groups {
        delete_in(tree, &parent, group).await?;
        touched.insert(parent);
    }
    tidy(tree, touched).await
}

async fn delete_in(tree: &Tree, parent: &ObjectPath, paths: BTreeSet<&ObjectPath>) -> Result<()> {
    // Below a link nothing is ours.
    let look = |session| async move { look_at(tree, session, parent).await };
    if !tree.run("remove", parent, look).await? {
        return Ok(());
    }
    let paths: Vec<ObjectPath> = paths.into_iter().cloned().collect();
    let removals = paths.into_iter().map(|path| async move {
        let full = tree.full(&path);
        remove_file(tree, &path, &full).await
    });
    stream::iter(removals).buffer_unordered(AT_ONCE).try_collect().await
}

async fn look_at(
    tree: &Tree,
    session: std::sync::Arc<Session>,
    parent: &ObjectPath,
) -> Result<bool> {
    match tree.find(&session, "remove", parent).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the file that the server knows as `full`, for the sake of `path`; one that is gone is no error.
pub(super) async fn remove_file(tree: &Tree, path: &ObjectPath, full: &str) -> Result<()> {
    tree.run("remove", path, |session| async move {
        match session.remove(full).await {
            Ok(()) | Err(Refusal::Missing) => Ok(()),
            Err(refusal) => Err(refusal.error("remove", &tree.name(path))),
        }
    })
    .await
}

/// Removes directories that were left empty, and those above them, but never the root.
pub(super) async fn tidy(tree: &Tree, mut touched: Touched) -> Result<()> {
    while let Some(path) = touched.pop_deepest() {
        if path != ObjectPath::root() && remove_if_empty(tree, &path).await? {
            touched.insert(path.parent());
        }
    }
    Ok(())
}

/// Says whether the directory is gone.
async fn remove_if_empty(tree: &Tree, path: &ObjectPath) -> Result<bool> {
    let full = &tree.full(path);
    tree.run("remove", path, |session| async move {
        match session.remove_directory(full).await {
            Ok(()) | Err(Refusal::Missing) => Ok(true),
            // Without the permission it stays: an empty directory is harmless.
            Err(Refusal::Denied) => Ok(false),
            // A server does not say that a directory is not empty.
            Err(Refusal::Failed(text)) => match session.read_directory(full).await {
                Ok(items) if items.is_empty() => Err(other("remove", &tree.name(path), text)),
                Ok(_) => Ok(false),
                Err(Refusal::Missing) => Ok(true),
                Err(refusal) => Err(refusal.error("remove", &tree.name(path))),
            },
            Err(refusal) => Err(refusal.error("remove", &tree.name(path))),
        }
    })
    .await
}

/// Directories from which something was removed, in the order of their depth.
#[derive(Default)]
pub(super) struct Touched(BTreeSet<(usize, ObjectPath)>);

impl Touched {
    pub(super) fn insert(&mut self, path: ObjectPath) {
        self.0.insert((super::tree::prefixes(&path).count(), path));
    }

    fn pop_deepest(&mut self) -> Option<ObjectPath> {
        self.0.pop_last().map(|(_, path)| path)
    }
}

impl From<[ObjectPath; 1]> for Touched {
    fn from([path]: [ObjectPath; 1]) -> Self {
        let mut touched = Self::default();
        touched.insert(path);
        touched
    }
}
