//! Reads what `info` shows. An error stays with the repository, or the backup, that it came from.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use super::Query;
use crate::{
    command::context::Repo,
    host::LockPath,
    repo::{
        Error, REQUESTS_AT_ONCE, annotation,
        archive::WalArchive,
        backup_list, contents,
        file_list::{self, FileEntry, FileList},
        foreign,
        keep::{self, KeepMark},
        layout::{BACKUP_ROOT, BackupPaths, STANZA_ROOT},
        lock::{self, LockKind, LockState},
        manifest::Manifest,
        stanza::StanzaHistory,
    },
    restore::ArchiveWal,
    storage::{EntryKind, ObjectPath, Storage},
    types::{ArchiveId, DataPath, ErrorCode, Failure, StanzaName, WalSegment},
    ui::info::Detail,
    work::map,
};

/// A stanza over all repositories.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) repos: Vec<FoundRepo>,
    /// Who holds the restore lock.
    pub(super) restoring: Option<LockState>,
}

/// A stanza in one repository.
#[derive(Debug)]
pub(super) struct FoundRepo {
    pub(super) key: u16,
    /// The word for its encryption.
    pub(super) cipher: &'static str,
    pub(super) content: Content,
    /// Who holds the backup lock.
    pub(super) locked: Option<LockState>,
}

/// What a repository has of a stanza.
#[derive(Debug)]
pub(super) enum Content {
    /// Nothing.
    Missing,
    /// Backups but no history, which stanza-delete leaves when it is interrupted.
    NoHistory,
    /// It is there; only its progress was asked for.
    Unread,
    /// All of it.
    Read(Facts),
    /// It cannot be told.
    Failed(String),
}

/// Everything that is read of a stanza in one repository.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) history: StanzaHistory,
    /// The WAL of each cluster.
    pub(super) archives: Vec<ArchiveFacts>,
    /// The backups, oldest first, with what was said of them later.
    pub(super) backups: Vec<(Manifest, Remarks)>,
    /// What is wrong with those that cannot be read.
    pub(super) damaged: Vec<String>,
}

/// The WAL of one cluster, from listings.
#[derive(Debug)]
pub(super) struct ArchiveFacts {
    pub(super) id: ArchiveId,
    /// The oldest and the newest segment.
    pub(super) span: Option<(WalSegment, WalSegment)>,
    /// What a recovery would find; `None` where no backup tells the size of a segment.
    pub(super) wal: Option<ArchiveWal>,
}

/// What was said of a backup after it was published.
#[derive(Clone, Debug, Default)]
pub(super) struct Remarks {
    /// The annotations that hold.
    pub(super) annotations: BTreeMap<String, String>,
    /// The keep mark, if it holds now.
    pub(super) mark: Option<KeepMark>,
    /// The symbolic links of the data directory, but for those of tablespaces, and where they point; read for one
    /// backup only.
    pub(super) links: Vec<(DataPath, String)>,
}

impl Remarks {
    /// Few backups have any, so it is looked first whether there is something to read.
    async fn read(storage: &dyn Storage, manifest: &Manifest) -> Result<Self, Error> {
        let paths = BackupPaths::new(&manifest.stanza, &manifest.label)?;
        let beside = storage.list(paths.directory(), false).await?;
        let there = |path: &ObjectPath| beside.iter().any(|entry| entry.path == *path);
        let annotations = match there(&paths.annotations()?) {
            true => annotation::effective(storage, manifest).await?,
            false => manifest.annotations.clone(),
        };
        let now = jiff::Timestamp::now().as_second();
        let mark = match there(&paths.keep()?) {
            true => keep::read(storage, &paths).await?.filter(|mark| mark.holds(now)),
            false => None,
        };
        Ok(Self { annotations, mark, links: Vec::new() })
    }
}

/// What stands in the place of a name where no repository could tell any.
const INVALID: &str = "[invalid]";

/// Why repositories do not open, as it is shown: these are not asked for anything more.
pub(super) type Closed = BTreeMap<u16, String>;

/// Reads the stanza that was asked for, or all.
pub(super) async fn gather(repos: &[Repo], closed: &Closed, query: &Query) -> Vec<Found> {
    let stanzas = match &query.stanza {
        Some(stanza) => BTreeSet::from([stanza.clone()]),
        None => match names(repos, closed).await {
            Ok(names) => names,
            Err(only_errors) => return vec![only_errors],
        },
    };
    let mut found = Vec::with_capacity(stanzas.len());
    for stanza in &stanzas {
        found.push(gather_stanza(repos, closed, stanza, query).await);
    }
    found
}

async fn gather_stanza(
    repos: &[Repo],
    closed: &Closed,
    stanza: &StanzaName,
    query: &Query,
) -> Found {
    let peek = |kind| look_at_lock(&query.lock_path, stanza, kind);
    let mut found = Found { name: stanza.to_string(), ..Found::default() };
    let read = async |repo: &Repo| match closed.get(&repo.key) {
        Some(reason) => Content::Failed(reason.clone()),
        None => {
            let content = content(repo, stanza, query).await;
            content.unwrap_or_else(|error| Content::Failed(describe(&error)))
        }
    };
    // Those that take long are waited for together.
    let contents = join_all(repos.iter().map(read)).await;
    for (repo, content) in repos.iter().zip(contents) {
        let locked = match content {
            Content::Read(_) | Content::Unread => peek(LockKind::Backup { repo: repo.key }),
            Content::Missing | Content::NoHistory | Content::Failed(_) => None,
        };
        found.repos.push(FoundRepo { key: repo.key, cipher: repo.cipher(), content, locked });
    }
    found.restoring = peek(LockKind::Restore);
    found
}

/// A lock that cannot be looked at, such as that of another user, is shown as free.
fn look_at_lock(lock_path: &LockPath, stanza: &StanzaName, kind: LockKind) -> Option<LockState> {
    lock::peek(lock_path, stanza, kind).unwrap_or_else(|error| {
        tracing::warn!("{error}");
        None
    })
}

/// The stanzas that any repository has. Where none could be read, and none was found, the errors.
async fn names(repos: &[Repo], closed: &Closed) -> Result<BTreeSet<StanzaName>, Found> {
    let mut names = BTreeSet::new();
    let mut failed = Found { name: INVALID.to_owned(), ..Found::default() };
    let mut any_failed = false;
    let read = async |repo: &Repo| match closed.get(&repo.key) {
        Some(reason) => Err(reason.clone()),
        None => names_in(&*repo.storage).await.map_err(|error| describe(&error)),
    };
    let found = join_all(repos.iter().map(read)).await;
    for (repo, found) in repos.iter().zip(found) {
        let content = match found {
            Ok(found) => {
                names.extend(found);
                Content::Missing
            }
            Err(reason) => {
                any_failed = true;
                Content::Failed(reason)
            }
        };
        let (key, cipher) = (repo.key, repo.cipher());
        failed.repos.push(FoundRepo { key, cipher, content, locked: None });
    }
    match any_failed && names.is_empty() {
        true => Err(failed),
        false => Ok(names),
    }
}

async fn names_in(storage: &dyn Storage) -> Result<BTreeSet<StanzaName>, Error> {
    let mut names = BTreeSet::new();
    for root in [STANZA_ROOT, BACKUP_ROOT] {
        let entries = storage.list(&ObjectPath::new(root)?, false).await?;
        let directories = entries.iter().filter(|entry| entry.kind == EntryKind::Directory);
        names.extend(directories.filter_map(|entry| entry.path.file_name().parse().ok()));
    }
    Ok(names)
}

async fn content(repo: &Repo, stanza: &StanzaName, query: &Query) -> Result<Content, Error> {
    let Some(history) = StanzaHistory::read_opt(&*repo.storage, stanza).await? else {
        foreign::refuse(&*repo.storage, stanza).await?;
        let backups = backup_list::directories(&*repo.storage, stanza).await?;
        return Ok(if backups.is_empty() { Content::Missing } else { Content::NoHistory });
    };
    match query.detail {
        Detail::Progress => Ok(Content::Unread),
        Detail::Full | Detail::Set => facts(repo, stanza, history, query).await.map(Content::Read),
    }
}

async fn facts(
    repo: &Repo,
    stanza: &StanzaName,
    history: StanzaHistory,
    query: &Query,
) -> Result<Facts, Error> {
    let listed = match &query.set {
        None => backup_list::list(&repo.storage, stanza).await?,
        Some(label) => match contents::read_whole(&*repo.storage, stanza, label).await {
            Err(Error::BackupMissing { .. }) => Vec::new(),
            manifest => vec![(label.clone(), manifest)],
        },
    };
    let (mut manifests, mut damaged) = (Vec::with_capacity(listed.len()), Vec::new());
    for (_, manifest) in listed {
        match manifest {
            Ok(manifest) => manifests.push(manifest),
            Err(error) => damaged.push(describe(&error)),
        }
    }
    let mut archives = Vec::with_capacity(history.entries().len());
    for entry in history.entries() {
        let archive = WalArchive::new(repo.storage.clone(), stanza, entry.archive_id())?;
        archives.push(archive_facts(&archive, entry.archive_id(), &manifests, &mut damaged).await?);
    }
    let mut backups = with_remarks(repo, manifests, &mut damaged).await;
    if query.detail == Detail::Set {
        for (manifest, remarks) in &mut backups {
            match links(&*repo.storage, manifest).await {
                Ok(links) => remarks.links = links,
                Err(error) => damaged.push(describe(&error)),
            }
        }
    }
    Ok(Facts { history, archives, backups, damaged })
}

/// Looks at the WAL of a cluster. What depends on a history that cannot be read is shown without it.
async fn archive_facts(
    archive: &WalArchive,
    id: ArchiveId,
    manifests: &[Manifest],
    damaged: &mut Vec<String>,
) -> Result<ArchiveFacts, Error> {
    let Some(backup) = manifests.iter().rfind(|manifest| manifest.archive_id() == id) else {
        return Ok(ArchiveFacts { id, span: archive.min_max().await?, wal: None });
    };
    let (wal, unreadable) = ArchiveWal::look(archive, backup.cluster.wal_segment_size).await?;
    damaged.extend(unreadable.iter().map(|(_, error)| describe(error)));
    Ok(ArchiveFacts { id, span: wal.segments().span(), wal: Some(wal) })
}

/// Adds the remarks; a backup whose remarks cannot be read shows what its manifest says.
async fn with_remarks(
    repo: &Repo,
    manifests: Vec<Manifest>,
    damaged: &mut Vec<String>,
) -> Vec<(Manifest, Remarks)> {
    let read = |manifest: Manifest| {
        let storage = repo.storage.clone();
        async move {
            let remarks = Remarks::read(&*storage, &manifest).await;
            (manifest, remarks)
        }
    };
    let mut backups = Vec::with_capacity(manifests.len());
    for read in map(manifests, REQUESTS_AT_ONCE, read).await {
        match read {
            Ok((manifest, Ok(remarks))) => backups.push((manifest, remarks)),
            Ok((manifest, Err(error))) => {
                damaged.push(describe(&error));
                let annotations = manifest.annotations.clone();
                backups.push((manifest, Remarks { annotations, ..Remarks::default() }));
            }
            Err(error) => damaged.push(describe(&error)),
        }
    }
    backups
}

/// The links of a backup, from its file list.
async fn links(
    storage: &dyn Storage,
    manifest: &Manifest,
) -> Result<Vec<(DataPath, String)>, Error> {
    let link = |entry: FileEntry| match (entry.link, entry.kind) {
        (Some(target), _) => Some((entry.path, target)),
        (None, file_list::EntryKind::Link { target }) if !entry.path.is_within("pg_tblspc") => {
            Some((entry.path, target))
        }
        _ => None,
    };
    Ok(FileList::read(storage, manifest).await?.files.into_iter().filter_map(link).collect())
}

/// An error as monitoring sees it: its kind in brackets, then its text. What a repository really is comes with the
/// way out.
pub(super) fn describe(error: &(impl Failure + ?Sized)) -> String {
    let text = format!("[{:?}Error] {error}", error.code());
    match error.hint() {
        Some(hint) if error.code() == ErrorCode::RepoInvalid => format!("{text}\nHINT: {hint}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests;
