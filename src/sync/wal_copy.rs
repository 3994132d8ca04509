//! Copies the WAL missing in the target directory by directory, so that memory does not grow with the archive.

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

/// The WAL of an archive that is missing in the target.
#[derive(Clone, Debug)]
pub struct WalCopy {
    pub from: ArchiveId,
    pub to: ArchiveId,
    /// Selects the files to copy.
    pub rule: WalRule,
    /// Directories with missing files; first the archive's own one, with the empty name.
    pub directories: Vec<WalDirectory>,
}

/// A directory of an archive with files that are missing in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalDirectory {
    /// Empty for the archive's own directory.
    pub name: String,
    /// Number of missing files.
    pub files: u64,
    /// Stored bytes of the missing files.
    pub bytes: u64,
}

/// A file missing in the target.
pub(super) struct MissingFile {
    stored: StoredWal,
    /// Why it cannot be copied: the archive has two files with this name and different content.
    error: Option<Error>,
}

pub(super) struct CopyContext<'a> {
    pub(super) route: &'a Route,
    pub(super) at_once: usize,
    pub(super) progress: &'a dyn ProgressSink,
}

/// Compares the archives.
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
            let copied = missing.iter().filter(|missing_file| missing_file.error.is_none());
            let bytes = copied.map(|missing_file| missing_file.stored.size).sum();
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
    /// Number and stored bytes of the missing files.
    pub fn totals(&self) -> (u64, u64) {
        self.directories.iter().fold((0, 0), |(f, b), dir| (f + dir.files, b + dir.bytes))
    }

    fn source(&self, route: &Route) -> Result<WalArchive, Error> {
        Ok(WalArchive::new(route.from.clone(), &route.stanza, self.from)?)
    }

    fn target(&self, route: &Route) -> Result<WalArchive, Error> {
        Ok(WalArchive::new(route.to.clone(), &route.stanza, self.to)?)
    }

    async fn missing(&self, route: &Route, directory: &str) -> Result<Vec<MissingFile>, Error> {
        let source = self.source(route)?.list(directory).await?;
        let target = self.target(route)?;
        let there = target.list(directory).await.map_err(Error::Target)?;
        let there = contents(&there.files);
        let wanted = source.files.into_iter().filter(|stored| self.rule.wants(stored.file));
        let mut wanted: Vec<StoredWal> = wanted.collect();
        let sources = contents(&wanted);
        // The same content with different compression is one file.
        wanted.dedup_by_key(|stored| (stored.file, stored.digest));
        let missing_file = |stored: StoredWal| {
            let digests = there.get(&stored.file);
            if digests.is_some_and(|digests| digests.contains(&stored.digest)) {
                return None;
            }
            let error = match (digests, sources.get(&stored.file)) {
                (Some(digests), _) => Some(differs(&target, &stored, digests)),
                (None, Some(digests)) if digests.len() > 1 => Some(duplicate(&stored, digests)),
                (None, _) => None,
            };
            Some(MissingFile { stored, error })
        };
        Ok(wanted.into_iter().filter_map(missing_file).collect())
    }

    /// Copies the missing files of a directory, several concurrently, and calls `note` with each result. An error of
    /// `note` ends the copy.
    pub(super) async fn copy(
        &self,
        context: &CopyContext<'_>,
        directory: &WalDirectory,
        cluster: ClusterId,
        mut note: impl FnMut(&StoredWal, Result<(), Error>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let missing = self.missing(context.route, &directory.name).await?;
        let one =
            async |missing_file| self.copy_one(context, directory, cluster, missing_file).await;
        let mut copied = iter(missing).map(one).buffer_unordered(context.at_once.max(1));
        while let Some((stored, result)) = copied.next().await {
            note(&stored, result)?;
        }
        Ok(())
    }

    async fn copy_one(
        &self,
        context: &CopyContext<'_>,
        directory: &WalDirectory,
        cluster: ClusterId,
        missing_file: MissingFile,
    ) -> (StoredWal, Result<(), Error>) {
        let MissingFile { stored, error } = missing_file;
        let copied = async {
            if let Some(error) = error {
                return Err(error);
            }
            let (from, to) = (self.source(context.route)?, self.target(context.route)?);
            let path = place(&to, directory, &stored)?;
            let ClusterId { system_id, version } = cluster;
            let cluster = ClusterIdentity { system_id, version };
            let file = copy::WalFile { from: &from, to: &to, stored: &stored, path, cluster };
            copy::wal(&context.route.to, &file).await
        };
        let copied = copied.await;
        context.progress.advance(stored.size);
        (stored, copied)
    }
}

/// The digests of each file: more than one if the archive has two files with one name.
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
