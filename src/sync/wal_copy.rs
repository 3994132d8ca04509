//! The WAL that the target lacks, directory by directory: memory does not grow with the archive.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream::iter};

use super::{Error, Route, WalRule, copy};
use crate::{
    repo::{
        self,
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

/// A file that the target lacks.
pub(super) struct Lacking {
    stored: StoredWal,
    /// Why it cannot be copied: there are two contents under its name.
    error: Option<Error>,
}

/// How files are copied.
pub(super) struct Way<'a> {
    pub(super) route: &'a Route,
    pub(super) at_once: usize,
    pub(super) progress: &'a dyn ProgressSink,
}

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
            let copied = missing.iter().filter(|lacking| lacking.error.is_none());
            let bytes = copied.map(|lacking| lacking.stored.size).sum();
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

    async fn missing(&self, route: &Route, directory: &str) -> Result<Vec<Lacking>, Error> {
        let source = self.source(route)?.list(directory).await?;
        let target = self.target(route)?;
        let there = target.list(directory).await.map_err(Error::Target)?;
        let there = contents(&there.files);
        let wanted = source.files.into_iter().filter(|stored| self.rule.wants(stored.file));
        let mut wanted: Vec<StoredWal> = wanted.collect();
        let sources = contents(&wanted);
        // The same content in two forms is one file.
        wanted.dedup_by_key(|stored| (stored.file, stored.digest));
        let lacking = |stored: StoredWal| {
            let digests = there.get(&stored.file);
            if digests.is_some_and(|digests| digests.contains(&stored.digest)) {
                return None;
            }
            let error = match (digests, sources.get(&stored.file)) {
                (Some(digests), _) => Some(differs(&target, &stored, digests)),
                (None, Some(digests)) if digests.len() > 1 => Some(duplicate(&stored, digests)),
                (None, _) => None,
            };
            Some(Lacking { stored, error })
        };
        Ok(wanted.into_iter().filter_map(lacking).collect())
    }

    /// Copies what is missing of a directory, several files at once, and tells what came of each; an error of `note`
    /// ends it.
    pub(super) async fn copy(
        &self,
        way: &Way<'_>,
        directory: &WalDirectory,
        cluster: ClusterId,
        mut note: impl FnMut(&StoredWal, Result<(), Error>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let missing = self.missing(way.route, &directory.name).await?;
        let one = async |lacking| self.copy_one(way, directory, cluster, lacking).await;
        let mut copied = iter(missing).map(one).buffer_unordered(way.at_once.max(1));
        while let Some((stored, result)) = copied.next().await {
            note(&stored, result)?;
        }
        Ok(())
    }

    async fn copy_one(
        &self,
        way: &Way<'_>,
        directory: &WalDirectory,
        cluster: ClusterId,
        lacking: Lacking,
    ) -> (StoredWal, Result<(), Error>) {
        let Lacking { stored, error } = lacking;
        let copied = async {
            if let Some(error) = error {
                return Err(error);
            }
            let (from, to) = (self.source(way.route)?, self.target(way.route)?);
            let path = place(&to, directory, &stored)?;
            let ClusterId { system_id, version } = cluster;
            let cluster = ClusterIdentity { system_id, version };
            let file = copy::WalFile { from: &from, to: &to, stored: &stored, path, cluster };
            copy::wal(&way.route.to, &file).await
        };
        let copied = copied.await;
        way.progress.advance(stored.size);
        (stored, copied)
    }
}

/// The digests of each file's contents: more than one where there are two files under one name.
fn contents(files: &[StoredWal]) -> BTreeMap<ArchiveFile, BTreeSet<Sha256>> {
    let mut contents: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for stored in files {
        contents.entry(stored.file).or_default().insert(stored.digest);
    }
    contents
}

fn differs(target: &WalArchive, stored: &StoredWal, there: &BTreeSet<Sha256>) -> Error {
    Error::Differs {
        object: format!("{}/{}", target.directory(), stored.file),
        what: format!("SHA-256 {}, and {} in the source", listed(there), stored.digest),
    }
}

fn duplicate(stored: &StoredWal, digests: &BTreeSet<Sha256>) -> Error {
    let what = format!(
        "'{}' is in the archive of the source with more than one content: SHA-256 {}",
        stored.file,
        listed(digests)
    );
    repo::Error::Duplicate { what }.into()
}

fn listed(digests: &BTreeSet<Sha256>) -> String {
    digests.iter().map(Sha256::to_string).collect::<Vec<_>>().join(" and ")
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
