//! Small repositories for the tests of commands.

use std::{path::Path, sync::Arc};

use super::context::Repo;
pub(super) use crate::repo::testing::{cluster, manifest, stanza_name};
use crate::{
    repo::{manifest::Manifest, testing},
    storage::PosixStorage,
};

/// A repository below `root`.
pub(super) fn repo(root: &Path, key: u16) -> Repo {
    Repo { key, storage: Arc::new(PosixStorage::new(root)), encrypted: None }
}

/// A repository with the stanza of the tests.
pub(super) async fn repo_with_stanza(root: &Path, key: u16) -> Repo {
    Repo { key, storage: testing::storage_with_stanza(root).await, encrypted: None }
}

/// Publishes a backup with something in the place of each of its objects.
pub(super) async fn publish(repo: &Repo, manifest: &Manifest) {
    testing::publish(&*repo.storage, manifest).await;
}
