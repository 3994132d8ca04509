//! A repository has a place of its own: one within the data directory or a tablespace would be backed up into itself,
//! and removed by the restore that reads it.

use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::{
    config::{Config, RepoKind},
    types::ErrorCode,
};

/// Refuses where a repository of this host lies in one of `directories`.
pub(super) fn check<'a>(
    config: &Config,
    directories: impl IntoIterator<Item = &'a Path>,
) -> Result<()> {
    let directories: Vec<PathBuf> = directories.into_iter().map(real).collect();
    for repo in config.repos.values().filter(|repo| matches!(repo.kind, RepoKind::Posix)) {
        let path = real(&repo.path);
        if let Some(around) = directories.iter().find(|directory| path.starts_with(directory)) {
            return Err(Error::Check {
                what: format!(
                    "repo{} at '{}' lies within '{}', which belongs to the cluster",
                    repo.key,
                    repo.path.display(),
                    around.display()
                ),
                code: ErrorCode::OptionInvalidValue,
                hint: format!(
                    "a restore would remove it: move the repository to another path, and set \
                     repo{}-path",
                    repo.key
                ),
            });
        }
    }
    Ok(())
}

/// The path without links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let mut behind = Vec::new();
    let mut at = path;
    loop {
        if let Ok(found) = at.canonicalize() {
            return behind.iter().rev().fold(found, |path, name| path.join(name));
        }
        match (at.parent(), at.file_name()) {
            (Some(parent), Some(name)) => {
                behind.push(name.to_owned());
                at = parent;
            }
            _ => return path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_behind_links_also_where_its_end_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("data")).unwrap();
        std::os::unix::fs::symlink(root.join("data"), root.join("link")).unwrap();
        assert_eq!(real(&root.join("link/repo/backup")), root.join("data/repo/backup"));
        assert_eq!(real(&root.join("nowhere")), root.join("nowhere"));
    }
}
