//! Makes what `info` shows out of what was read.

use super::{
    Query,
    gather::{Content, Facts, Found, FoundRepo, Remarks},
};
use crate::{
    repo::{
        archive::SegmentRange,
        lock::LockState,
        manifest::{ChangesBy, Manifest},
        object_header::FORMAT_VERSION,
    },
    restore::{ArchiveWal, Branch},
    types::{DataPath, counted},
    ui::info::{
        ArchiveInfo, BackupInfo, BackupLock, BranchInfo, DatabaseInfo, DatabaseRef, DbInfo, Detail,
        GapInfo, KeepInfo, LinkInfo, Locks, MIXED, ProgramInfo, RecoveryInfo, RepoInfo, RepoLock,
        RepoStatus, RepositorySizes, RestoreLock, Sizes, Span, StanzaInfo, StanzaStatus,
        StatusCode, TablespaceInfo,
    },
};

/// Databases that are not shown.
const TEMPLATES: [&str; 2] = ["template0", "template1"];

/// One stanza as it is shown.
pub(super) fn assemble(found: &Found, query: &Query) -> StanzaInfo {
    let set_exists = facts(found).any(|(_, facts)| !facts.backups.is_empty());
    let set_missing = query.set.is_some() && !set_exists;
    let repo: Vec<RepoInfo> = found
        .repos
        .iter()
        .map(|repo| RepoInfo {
            cipher: repo.cipher.to_owned(),
            key: repo.key,
            status: repo_status(&repo.content, set_missing),
        })
        .collect();
    let code = stanza_code(found, &repo);
    let shown = || facts(found).filter(|_| !set_missing);
    let mut backup: Vec<BackupInfo> = shown()
        .flat_map(|(key, facts)| facts.backups.iter().map(move |backup| (key, facts, backup)))
        .filter(|(_, _, (manifest, _))| query.kind.is_none_or(|kind| kind == manifest.kind()))
        .map(|(key, facts, (manifest, remarks))| BackupInfo {
            recovery: recovery(facts, manifest),
            ..describe(key, manifest, remarks, query.detail)
        })
        .collect();
    backup.sort_by_key(|backup| backup.timestamp.stop);
    StanzaInfo {
        archive: shown().flat_map(|(key, facts)| archives(key, facts)).collect(),
        backup,
        cipher: cipher(found).to_owned(),
        db: shown().flat_map(|(key, facts)| databases(key, facts)).collect(),
        name: found.name.clone(),
        repo,
        status: StanzaStatus { code, lock: locks(found), message: code.message() },
    }
}

/// The cipher of all repositories, or that they differ.
fn cipher(found: &Found) -> &'static str {
    let mut ciphers = found.repos.iter().map(|repo| repo.cipher);
    let first = ciphers.next().unwrap_or("none");
    if ciphers.all(|cipher| cipher == first) { first } else { MIXED }
}

fn facts(found: &Found) -> impl Iterator<Item = (u16, &Facts)> {
    found.repos.iter().filter_map(|repo| match &repo.content {
        Content::Read(facts) => Some((repo.key, facts)),
        _ => None,
    })
}

fn repo_status(content: &Content, set_missing: bool) -> RepoStatus {
    let code = match content {
        Content::Missing => StatusCode::MissingStanzaPath,
        Content::NoHistory => StatusCode::MissingStanzaData,
        Content::Unread => StatusCode::Ok,
        Content::Failed(_) => StatusCode::Other,
        Content::Read(facts) if !facts.damaged.is_empty() => StatusCode::Other,
        Content::Read(_) if set_missing => StatusCode::BackupMissing,
        Content::Read(facts) if facts.backups.is_empty() => StatusCode::NoBackup,
        Content::Read(_) => StatusCode::Ok,
    };
    let message = match content {
        Content::Failed(message) => message.clone(),
        Content::Read(facts) if code == StatusCode::Other => facts.damaged.join("\n"),
        _ => code.message().to_owned(),
    };
    RepoStatus { code, message }
}

/// What holds for the stanza over all repositories.
fn stanza_code(found: &Found, repos: &[RepoInfo]) -> StatusCode {
    let mut current = facts(found).map(|(_, facts)| facts.history.current().cluster);
    let first = current.next();
    if current.any(|cluster| Some(cluster) != first) {
        return StatusCode::DatabaseMismatch;
    }
    let mut codes = repos.iter().map(|repo| repo.status.code);
    let first = codes.next().unwrap_or(StatusCode::MissingStanzaPath);
    match codes.all(|code| code == first) {
        true => first,
        false => StatusCode::Mixed,
    }
}

fn databases(repo_key: u16, facts: &Facts) -> impl Iterator<Item = DbInfo> {
    facts.history.entries().iter().map(move |entry| DbInfo {
        id: entry.id,
        repo_key,
        system_id: entry.cluster.system_id,
        version: entry.cluster.version,
    })
}

/// The WAL of each cluster; of prior ones only where there is some.
fn archives(repo_key: u16, facts: &Facts) -> impl Iterator<Item = ArchiveInfo> {
    let current = facts.history.current().archive_id();
    let known = facts.archives.iter();
    let shown = known.filter(move |archive| archive.span.is_some() || archive.id == current);
    shown.map(move |archive| ArchiveInfo {
        branch: archive.wal.iter().flat_map(ArchiveWal::branches).map(branch).collect(),
        database: DatabaseRef { id: archive.id.history_id, repo_key },
        gap: archive.wal.iter().flat_map(|wal| wal.segments().holes()).map(gap).collect(),
        id: archive.id,
        max: archive.span.map(|(_, max)| max),
        min: archive.span.map(|(min, _)| min),
    })
}

fn branch(branch: Branch) -> BranchInfo {
    BranchInfo {
        beside: branch.beside,
        lsn: branch.fork,
        max: branch.newest,
        text: branch.to_string(),
        time: branch.archived,
        timeline: branch.timeline,
    }
}

fn gap(range: SegmentRange) -> GapInfo {
    GapInfo { count: range.count(), start: range.first, stop: range.last }
}

/// How far a backup can be rolled forward.
fn recovery(facts: &Facts, manifest: &Manifest) -> Option<RecoveryInfo> {
    let id = manifest.archive_id();
    let archive = facts.archives.iter().find(|archive| archive.id == id)?;
    let window = archive.wal.as_ref()?.window(manifest);
    Some(RecoveryInfo {
        gap: window.hole.map(gap),
        lsn: window.end,
        history: window.unusable.map(|unusable| unusable.to_string()),
        missing: window.missing.into_iter().map(gap).collect(),
        stop: window.last,
        time: window.archived,
    })
}

fn describe(repo_key: u16, manifest: &Manifest, remarks: &Remarks, detail: Detail) -> BackupInfo {
    let set = detail == Detail::Set;
    let totals = &manifest.totals;
    let damaged = manifest.damaged_files().into_iter();
    let errors: Vec<_> = damaged.chain(&manifest.left_out).cloned().collect();
    BackupInfo {
        annotation: remarks.annotations.clone(),
        archive: Span { start: manifest.wal_start(), stop: manifest.wal_stop() },
        backrest: ProgramInfo { format: FORMAT_VERSION, version: manifest.program_version.clone() },
        database: DatabaseRef { id: manifest.cluster.history_id, repo_key },
        database_ref: set.then(|| database_list(manifest)),
        error: !errors.is_empty(),
        error_list: (set && !errors.is_empty()).then_some(errors),
        info: Sizes {
            delta: totals.size_delta,
            repository: RepositorySizes { delta: totals.repo_size_delta, size: totals.repo_size },
            size: totals.size,
        },
        keep: remarks.mark.map(|mark| KeepInfo { until: mark.until }),
        label: manifest.label.clone(),
        link: set.then(|| link_list(remarks)),
        lsn: Span { start: manifest.wal.start.lsn, stop: manifest.wal.stop.lsn },
        note: notes(manifest),
        prior: manifest.prior.clone(),
        recovery: None,
        reference: (!manifest.references.is_empty()).then(|| manifest.references.clone()),
        source: Some(manifest.source.clone()),
        tablespace: set.then(|| tablespace_list(manifest)),
        timestamp: span(manifest.timestamp()),
        kind: manifest.kind(),
    }
}

fn link_list(remarks: &Remarks) -> Option<Vec<LinkInfo>> {
    let link = |(path, target): &(DataPath, String)| LinkInfo {
        destination: target.clone(),
        name: path.to_string(),
    };
    let links: Vec<_> = remarks.links.iter().map(link).collect();
    (!links.is_empty()).then_some(links)
}

fn notes(manifest: &Manifest) -> Vec<String> {
    let misaligned = manifest.misaligned_files.iter().map(|file| {
        let page = manifest.cluster.page_size;
        format!("{} has {} bytes, not a multiple of the page size {page}", file.path, file.size)
    });
    let full = manifest.full_reason.iter().map(|reason| format!("full backup, because {reason}"));
    let changes =
        manifest.changes.iter().filter_map(|changes| match (changes.by, &changes.reason) {
            (ChangesBy::Summaries, _) => {
                Some("changes found in the server's WAL summaries".to_owned())
            }
            (ChangesBy::Blocks, Some(reason)) => {
                Some(format!("changes found by comparing blocks, because {reason}"))
            }
            (ChangesBy::Blocks, None) => None,
        });
    let left_out = match manifest.left_out.len() {
        0 => None,
        count => Some(format!(
            "the backup lacks {} of the data directory",
            counted(count as u64, "link")
        )),
    };
    full.chain(changes).chain(left_out).chain(misaligned).collect()
}

fn span(time: crate::repo::manifest::Span<i64>) -> Span<i64> {
    Span { start: time.start, stop: time.stop }
}

fn database_list(manifest: &Manifest) -> Vec<DatabaseInfo> {
    let shown = manifest.databases.iter().filter(|db| !TEMPLATES.contains(&db.name.as_str()));
    shown.map(|db| DatabaseInfo { name: db.name.clone(), oid: db.oid }).collect()
}

fn tablespace_list(manifest: &Manifest) -> Option<Vec<TablespaceInfo>> {
    let list = manifest.tablespaces.iter().map(|tablespace| TablespaceInfo {
        destination: tablespace.location.clone(),
        name: tablespace.name.clone(),
        oid: tablespace.oid,
    });
    (!manifest.tablespaces.is_empty()).then(|| list.collect())
}

/// What runs. A size is shown once it is known.
fn locks(found: &Found) -> Locks {
    let repo: Vec<RepoLock> = found.repos.iter().filter_map(repo_lock).collect();
    let sum = |of: fn(&RepoLock) -> u64| {
        (!repo.is_empty()).then(|| repo.iter().map(of).fold(0, u64::saturating_add))
    };
    let (size, size_cplt) = (sum(|lock| lock.size), sum(|lock| lock.size_cplt));
    let held = found.repos.iter().any(|repo| repo.locked.is_some());
    let restoring = found.restoring.as_ref();
    let size_of = |state: &LockState| state.size.filter(|size| *size > 0);
    let restore = RestoreLock {
        held: restoring.is_some(),
        size: restoring.and_then(size_of),
        size_cplt: restoring.and_then(|state| size_of(state).map(|_| state.size_cplt.unwrap_or(0))),
    };
    Locks { backup: BackupLock { held, repo, size, size_cplt }, restore }
}

fn repo_lock(repo: &FoundRepo) -> Option<RepoLock> {
    let state = repo.locked.as_ref()?;
    let size = state.size.filter(|size| *size > 0)?;
    Some(RepoLock { key: repo.key, size, size_cplt: state.size_cplt.unwrap_or(0) })
}
