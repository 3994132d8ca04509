//! The WAL that the target lacks, directory by directory: memory does not grow with the archive.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream::iter};

use super::{Error, Route, WalRule, copy};
use crate::{
    repo::{
        archive::{StoredWal, WalArchive},
        stanza::ClusterId,
    },
    storage::ObjectPath,
    types::{ArchiveFile, ArchiveId, ProgressSink, Sha256},
    wal::ClusterIdentity,
};

/// The WAL of one archive that the target lacks.
#[derive(Clone, Debug)]
pub struct WalCopy {
    /// The archive in the source.
    pub from: ArchiveId,
    /// The archive in the target.
    pub to: ArchiveId,
    /// Which of its files are wanted.
    pub rule: WalRule,
    /// The directories in which any is missing, the archive's own first, under the empty name.
    pub directories: Vec<WalDirectory>,
}

/// A directory of an archive, and how much of it the target lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalDirectory {
    /// Its name; empty for the archive itself.
    pub name: String,
    /// Files that are missing.
    pub files: u64,
    /// Their size as stored, in bytes.
    pub bytes: u64,
}

/// A file that is missing, or one of which the target has other bytes.
type Missing = Vec<Result<StoredWal, Error>>;

/// Looks for what is missing.
pub(super) async fn find(
    route: &Route,
    rules: &[(ArchiveId, ArchiveId, WalRule)],
) -> Result<Vec<WalCopy>, Error> {
    let mut copies = Vec::new();
    for (from, to, rule) in rules {
        let mut copy =
            WalCopy { from: *from, to: *to, rule: rule.clone(), directories: Vec::new() };
        let mut names = vec![String::new()];
        names.extend(copy.source(route)?.directory_names().await?);
        for name in names {
            let missing = copy.missing(route, &name).await?;
            let bytes = missing.iter().flatten().map(|stored| stored.size).sum();
            let directory = WalDirectory { name, files: missing.len() as u64, bytes };
            if directory.files > 0 {
                copy.directories.push(directory);
            }
        }
        copies.push(copy);
    }
    copies.retain(|copy| !copy.directories.is_empty());
    Ok(copies)
}

impl WalCopy {
    /// Files and bytes.
    pub fn totals(&self) -> (u64, u64) {
        self.directories.iter().fold((0, 0), |(f, b), dir| (f + dir.files, b + dir.bytes))
    }

    fn source(&self, route: &Route) -> Result<WalArchive, Error> {
        Ok(WalArchive::new(route.from.clone(), &route.stanza, self.from)?)
    }

    fn target(&self, route: &Route) -> Result<WalArchive, Error> {
        Ok(WalArchive::new(route.to.clone(), &route.stanza, self.to)?)
    }

    async fn missing(&self, route: &Route, directory: &str) -> Result<Missing, Error> {
        let source = self.source(route)?.list(directory).await?;
        let target = self.target(route)?;
        let there = target.list(directory).await.map_err(Error::Target)?;
        let there: BTreeMap<ArchiveFile, Sha256> =
            there.files.iter().map(|stored| (stored.file, stored.digest)).collect();
        let wanted = source.files.into_iter().filter(|stored| self.rule.wants(stored.file));
        let lacking = |stored: StoredWal| match there.get(&stored.file) {
            Some(digest) if *digest == stored.digest => None,
            Some(digest) => Some(Err(Error::Differs {
                object: format!("{}/{}", target.directory(), stored.file),
                what: format!("SHA-256 {digest}, and {} in the source", stored.digest),
            })),
            None => Some(Ok(stored)),
        };
        Ok(wanted.filter_map(lacking).collect())
    }

    /// Copies what is missing of a directory, several files at once; each with what came of it.
    pub(super) async fn copy(
        &self,
        route: &Route,
        directory: &WalDirectory,
        cluster: ClusterId,
        at_once: usize,
        progress: &dyn ProgressSink,
    ) -> Result<Vec<(Option<StoredWal>, Result<(), Error>)>, Error> {
        let (source, target) = (self.source(route)?, self.target(route)?);
        let cluster = ClusterIdentity { system_id: cluster.system_id, version: cluster.version };
        let one = async |missing: Result<StoredWal, Error>| match missing {
            Err(error) => (None, Err(error)),
            Ok(stored) => {
                let copied = match place(&target, directory, &stored) {
                    Ok(path) => {
                        copy::wal(&source, &route.from, &route.to, &stored, &path, cluster).await
                    }
                    Err(error) => Err(error),
                };
                progress.advance(stored.size);
                (Some(stored), copied)
            }
        };
        let missing = self.missing(route, &directory.name).await?;
        Ok(iter(missing).map(one).buffer_unordered(at_once.max(1)).collect().await)
    }
}

fn place(
    target: &WalArchive,
    directory: &WalDirectory,
    stored: &StoredWal,
) -> Result<ObjectPath, Error> {
    let base = match directory.name.as_str() {
        "" => target.directory().clone(),
        name => target.directory().join(name)?,
    };
    Ok(base.join(stored.path.file_name())?)
}
