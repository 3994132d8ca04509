//! The WAL: every object of the archive is read, digested, and compared with its name and its cluster. One directory is
//! listed and verified at a time, so memory does not grow with the archive.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    ArchiveReport, Error, FaultKind, Options,
    backups::Backups,
    findings::{Findings, describe},
    windows::Windows,
};
use crate::{
    repo::{
        self,
        archive::{SegmentRange, StoredWal, WalArchive},
        layout,
        stanza::StanzaEntry,
    },
    restore::Branch,
    storage::{EntryKind, Storage},
    types::{ArchiveFile, ArchiveId, ProgressSink, Sha256, StanzaName, WalSegment},
    wal::{self, ClusterIdentity},
    work::map_watched,
};

pub(super) struct Archives {
    archives: Vec<ListedArchive>,
    /// Only WAL that the backups need is read.
    only_needed: bool,
}

struct ListedArchive {
    id: ArchiveId,
    cluster: ClusterIdentity,
    archive: WalArchive,
    /// Directory names; the empty name is the archive's own directory.
    directories: Vec<String>,
    files: u64,
    stored: u64,
    span: Option<(WalSegment, WalSegment)>,
}

impl Archives {
    /// Lists the archives. A directory that belongs to no cluster of the stanza is a fault.
    pub(super) async fn list(
        storage: &Arc<dyn Storage>,
        stanza: &StanzaName,
        history: &[StanzaEntry],
        backups: &Backups,
        options: &Options,
        findings: &mut Findings,
    ) -> Result<Self, Error> {
        let mut archives = Self { archives: Vec::new(), only_needed: options.set.is_some() };
        let clusters = clusters(history, backups);
        let root = layout::archive_directory(stanza)?;
        for entry in storage.list(&root, false).await? {
            let id = entry.path.file_name().parse::<ArchiveId>().ok();
            let known = id.and_then(|id| Some((id, *clusters.get(&id.to_string())?)));
            match (known, entry.kind) {
                (Some((id, _)), EntryKind::Directory)
                    if archives.only_needed
                        && !backups.archive_ids().contains_key(&id.to_string()) => {}
                (Some((id, cluster)), EntryKind::Directory) => {
                    let archive = WalArchive::new(Arc::clone(storage), stanza, id)?;
                    let one = ListedArchive::list(id, cluster, archive, findings).await?;
                    archives.archives.push(one);
                }
                _ => {
                    let what = "it is the archive of no cluster of the stanza";
                    findings.add(entry.path.as_str(), FaultKind::Orphan, what);
                }
            }
        }
        Ok(archives)
    }

    /// Stored bytes of all WAL.
    pub(super) fn stored_size(&self) -> u64 {
        if self.only_needed { 0 } else { self.archives.iter().map(|one| one.stored).sum() }
    }

    pub(super) async fn verify(
        &self,
        options: &Options,
        backups: &Backups,
        windows: &Windows,
        progress: &dyn ProgressSink,
        findings: &mut Findings,
    ) {
        for one in &self.archives {
            for directory in &one.directories {
                let listed = match one.archive.list(directory).await {
                    Ok(listed) => listed.files,
                    Err(error) => {
                        findings
                            .add_error(format!("{}/{directory}", one.archive.directory()), &error);
                        continue;
                    }
                };
                one.check_names(directory, &listed, findings);
                let wanted = listed.into_iter().filter(|stored| {
                    !self.only_needed || windows.is_needed(backups, one.id, stored.file)
                });
                let check = DirectoryCheck { one, threads: options.threads.max(1), progress };
                for (stored, kind, what) in check.of_all(wanted.collect(), findings).await {
                    let fault = findings.add(stored.path.as_str(), kind, what);
                    fault.of_all(windows.affected(backups, one.id, stored.file));
                }
            }
        }
    }

    pub(super) fn reports(
        &self,
        mut found: impl FnMut(ArchiveId) -> (Vec<SegmentRange>, Vec<Branch>),
    ) -> Vec<ArchiveReport> {
        let report = |one: &ListedArchive| {
            let (holes, branches) = found(one.id);
            ArchiveReport {
                id: one.id,
                files: one.files,
                repo_size: one.stored,
                span: one.span,
                holes,
                branches,
            }
        };
        self.archives.iter().map(report).collect()
    }
}

/// The clusters of the stanza by archive id, from the history and the manifests.
fn clusters(history: &[StanzaEntry], backups: &Backups) -> BTreeMap<String, ClusterIdentity> {
    let entries = history.iter().map(|entry| {
        let cluster = entry.cluster;
        (entry.archive_id(), cluster.system_id, cluster.version)
    });
    let manifests = backups.manifests().map(|manifest| {
        (manifest.archive_id(), manifest.cluster.system_id, manifest.cluster.version)
    });
    // The history comes last, because it takes precedence.
    let all = manifests.chain(entries);
    all.map(|(id, system_id, version)| (id.to_string(), ClusterIdentity { system_id, version }))
        .collect()
}

impl ListedArchive {
    async fn list(
        id: ArchiveId,
        cluster: ClusterIdentity,
        archive: WalArchive,
        findings: &mut Findings,
    ) -> Result<Self, Error> {
        let mut one = Self {
            id,
            cluster,
            archive,
            directories: vec![String::new()],
            files: 0,
            stored: 0,
            span: None,
        };
        let top = one.archive.list("").await?;
        one.add(&top.files);
        report_foreign_objects(&top.foreign, findings);
        for directory in top.directories {
            let listed = one.archive.list(directory.file_name()).await?;
            one.add(&listed.files);
            let below = listed.directories.iter();
            report_foreign_objects(listed.foreign.iter().chain(below), findings);
            one.directories.push(directory.file_name().to_owned());
        }
        Ok(one)
    }

    fn add(&mut self, files: &[StoredWal]) {
        for stored in files {
            self.files += 1;
            self.stored += stored.size;
            if let ArchiveFile::Segment(segment) = stored.file {
                let (first, last) = self.span.unwrap_or((segment, segment));
                self.span = Some((first.min(segment), last.max(segment)));
            }
        }
    }

    /// A file in the wrong directory is never found by archive-get. Of two files with one name and different content
    /// neither can be trusted.
    fn check_names(&self, directory: &str, files: &[StoredWal], findings: &mut Findings) {
        let mut seen: BTreeMap<ArchiveFile, Sha256> = BTreeMap::new();
        for stored in files {
            let own = stored.file.segment().map(WalSegment::directory).unwrap_or_default();
            if own != directory {
                let what = format!("its place is the directory '{own}': nothing looks for it here");
                findings.add(stored.path.as_str(), FaultKind::Orphan, what);
            }
            let first = *seen.entry(stored.file).or_insert(stored.digest);
            if first != stored.digest {
                let what =
                    format!("there is another object for {} with other content", stored.file);
                findings.add(stored.path.as_str(), FaultKind::Inconsistent, what);
            }
        }
    }
}

fn report_foreign_objects<'a>(
    foreign: impl IntoIterator<Item = &'a crate::storage::ObjectPath>,
    findings: &mut Findings,
) {
    for path in foreign {
        findings.add(path.as_str(), FaultKind::Orphan, "its name is not that of an archived file");
    }
}

/// Verifies the files of a directory, several concurrently.
struct DirectoryCheck<'a> {
    one: &'a ListedArchive,
    threads: usize,
    progress: &'a dyn ProgressSink,
}

impl DirectoryCheck<'_> {
    async fn of_all(
        &self,
        files: Vec<StoredWal>,
        findings: &mut Findings,
    ) -> Vec<(StoredWal, FaultKind, String)> {
        let verify = |stored: &StoredWal| {
            let (archive, cluster, stored) =
                (self.one.archive.clone(), self.one.cluster, stored.clone());
            async move { wal::verify(&archive, &stored, cluster).await }
        };
        let done = |index: usize| self.progress.advance(files[index].size);
        let verified = map_watched(&files, self.threads, verify, done).await;
        let mut wrong = Vec::new();
        for (stored, verified) in files.iter().zip(verified) {
            let verified = verified.unwrap_or_else(|error| Err(repo::Error::Work(error).into()));
            match verified {
                Ok(raw) => findings.count(stored.size, raw),
                // Expired since the listing.
                Err(wal::Error::Repo(error)) if error.is_not_found() => {}
                Err(error) => {
                    findings.count(stored.size, 0);
                    let (kind, what) = fault_of(&error);
                    wrong.push((stored.clone(), kind, what));
                }
            }
        }
        wrong
    }
}

fn fault_of(error: &wal::Error) -> (FaultKind, String) {
    match error {
        wal::Error::Repo(error) => describe(error),
        wal::Error::Content { reason, .. } => {
            (FaultKind::Damaged, format!("its content does not match its name: {reason}"))
        }
        wal::Error::OtherCluster { found, expected, .. } => {
            (FaultKind::Damaged, format!("it is of {found}, and the archive of {expected}"))
        }
        other => (FaultKind::Unreadable, other.to_string()),
    }
}
