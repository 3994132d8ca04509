//! The text form of `info`.

use std::fmt::{Display, Formatter, Result};

use jiff::tz::TimeZone;

use super::{
    BackupInfo, BranchInfo, DbInfo, Detail, GapInfo, RecoveryInfo, RepoInfo, StanzaInfo,
    StatusCode,
    format::{human_size, human_time, percent},
};
use crate::{
    types::{BackupType, WalSegment},
    ui::escape,
};

const PAD: &str = "            ";
/// How many gaps of an archive are shown.
const GAPS_MAX: usize = 10;

/// What is shown, and how.
pub(super) struct View<'a> {
    pub(super) stanzas: &'a [StanzaInfo],
    pub(super) detail: Detail,
    pub(super) zone: &'a TimeZone,
}

/// One cluster over all repositories: what has the same system identifier and version.
struct Group<'a> {
    db: &'a DbInfo,
    wal: Option<(WalSegment, WalSegment)>,
    gaps: Vec<GapInfo>,
    branches: Vec<&'a BranchInfo>,
    backups: Vec<&'a BackupInfo>,
}

impl Display for View<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (index, stanza) in self.stanzas.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            writeln!(f, "stanza: {}\n    status: {}", stanza.name, self.status(stanza))?;
            repo_progress(f, stanza)?;
            if self.detail != Detail::Progress {
                self.details(f, stanza)?;
            }
        }
        Ok(())
    }
}

impl View<'_> {
    fn details(&self, f: &mut Formatter<'_>, stanza: &StanzaInfo) -> Result {
        use StatusCode::{DatabaseMismatch, MissingStanzaPath, Mixed, Other};
        if matches!(stanza.status.code, Mixed | DatabaseMismatch | Other) {
            stanza.repo.iter().try_for_each(|repo| repo_status(f, repo, stanza.repo.len() > 1))?;
        }
        if stanza.status.code != MissingStanzaPath {
            cipher(f, stanza)?;
        }
        self.databases(f, stanza)
    }

    /// `ok`, `mixed` or `error`, and in parentheses why and what runs.
    fn status(&self, stanza: &StanzaInfo) -> String {
        let (code, detail) = (stanza.status.code, self.detail);
        let (word, reason) = match code {
            StatusCode::Ok => ("ok", None),
            StatusCode::Mixed if detail != Detail::Progress => ("mixed", None),
            other => ("error", Some(other.message().to_owned())),
        };
        let lock = &stanza.status.lock;
        let running = |held, name, size, done| {
            let part = Option::zip(size, done)
                .map(|(size, done)| format!(" - {} complete", percent(done, size)));
            bool::then(held, || format!("{name}{}", part.unwrap_or_default()))
        };
        let backup = &lock.backup;
        let notes: Vec<String> = [
            reason,
            running(backup.held, "backup/expire running", backup.size, backup.size_cplt),
            running(
                lock.restore.held,
                "restore running",
                lock.restore.size,
                lock.restore.size_cplt,
            ),
        ]
        .into_iter()
        .flatten()
        .collect();
        if notes.is_empty() { word.to_owned() } else { format!("{word} ({})", notes.join(", ")) }
    }

    /// The prior clusters that have anything, then the current one.
    fn databases(&self, f: &mut Formatter<'_>, stanza: &StanzaInfo) -> Result {
        let Some(current) = stanza.current() else { return Ok(()) };
        let mut groups = groups(stanza);
        if self.detail == Detail::Set && !stanza.backup.is_empty() {
            groups.retain(|group| !group.backups.is_empty());
        }
        let (current, prior): (Vec<_>, Vec<_>) =
            groups.iter().partition(|group| same_cluster(group.db, current));
        let shown = |group: &&&Group<'_>| group.wal.is_some() || !group.backups.is_empty();
        for group in prior.iter().filter(shown) {
            self.database(f, "prior", group)?;
        }
        current.into_iter().try_for_each(|group| self.database(f, "current", group))
    }

    fn database(&self, f: &mut Formatter<'_>, which: &str, group: &Group<'_>) -> Result {
        write!(f, "\n    db ({which})\n        wal archive min/max ({}): ", group.db.version)?;
        match group.wal {
            Some((min, max)) => writeln!(f, "{min}/{max}")?,
            None => writeln!(f, "none present")?,
        }
        for gap in group.gaps.iter().take(GAPS_MAX) {
            writeln!(f, "        wal archive gap: {}", shown(gap))?;
        }
        if let Some(more) = group.gaps.len().checked_sub(GAPS_MAX).filter(|more| *more > 0) {
            writeln!(f, "        wal archive gap: {more} more")?;
        }
        for branch in &group.branches {
            writeln!(f, "        wal archive branch: {}", branch.text)?;
        }
        group.backups.iter().try_for_each(|backup| self.backup(f, backup))
    }

    fn backup(&self, f: &mut Formatter<'_>, backup: &BackupInfo) -> Result {
        let time = |seconds| human_time(seconds, self.zone);
        let BackupInfo { timestamp, archive, lsn, info, .. } = backup;
        writeln!(f, "\n        {} backup: {}", backup.kind, backup.label)?;
        let (start, stop) = (time(timestamp.start), time(timestamp.stop));
        writeln!(f, "{PAD}timestamp start/stop: {start} / {stop}")?;
        writeln!(f, "{PAD}wal start/stop: {} / {}", archive.start, archive.stop)?;
        if self.detail == Detail::Set {
            writeln!(f, "{PAD}lsn start/stop: {} / {}", lsn.start, lsn.stop)?;
        }
        let (size, delta) = (human_size(info.size), human_size(info.delta));
        writeln!(f, "{PAD}database size: {size}, database backup size: {delta}")?;
        let repo = info.repository;
        let (key, size, delta) =
            (backup.database.repo_key, human_size(repo.size), human_size(repo.delta));
        writeln!(f, "{PAD}repo{key}: backup set size: {size}, backup size: {delta}")?;
        backup.note.iter().try_for_each(|note| writeln!(f, "{PAD}note: {note}"))?;
        if let Some(keep) = backup.keep {
            let how_long =
                keep.until.map_or("until removed".to_owned(), |end| format!("until {}", time(end)));
            writeln!(f, "{PAD}keep: {how_long}")?;
        }
        self.details_of(f, backup)?;
        match &backup.recovery {
            Some(recovery) => self.recovery(f, recovery),
            None => Ok(()),
        }
    }

    /// How far a backup can be rolled forward.
    fn recovery(&self, f: &mut Formatter<'_>, recovery: &RecoveryInfo) -> Result {
        if let Some(history) = &recovery.history {
            return writeln!(f, "{PAD}recovery not possible, {history}");
        }
        if let Some(missing) = recovery.missing.first() {
            return writeln!(f, "{PAD}recovery not possible, wal missing: {}", shown(missing));
        }
        let time = recovery.time.map(|time| format!("{}, ", human_time(time, self.zone)));
        let (time, stop) = (time.unwrap_or_default(), recovery.stop);
        write!(f, "{PAD}recovery window: up to {time}{} ({stop})", recovery.lsn)?;
        match &recovery.gap {
            Some(gap) => writeln!(f, ", then wal missing: {}", shown(gap)),
            None => writeln!(f),
        }
    }

    fn details_of(&self, f: &mut Formatter<'_>, backup: &BackupInfo) -> Result {
        match self.detail {
            Detail::Set => set_details(f, backup),
            Detail::Full | Detail::Progress => {
                if backup.reference.is_some() {
                    writeln!(f, "{PAD}backup reference total: {}", reference_total(backup))?;
                }
                if backup.error {
                    writeln!(f, "{PAD}error(s) detected during backup")?;
                }
                Ok(())
            }
        }
    }
}

/// Segments that are missing.
fn shown(gap: &GapInfo) -> String {
    match gap.count {
        1 => gap.start.to_string(),
        count => format!("{} to {} ({count} segments)", gap.start, gap.stop),
    }
}

/// What only `--set` shows of a backup.
fn set_details(f: &mut Formatter<'_>, backup: &BackupInfo) -> Result {
    if let Some(labels) = &backup.reference {
        writeln!(f, "{PAD}backup reference list: {}", joined(labels.iter()))?;
    }
    if let Some(source) = &backup.source {
        writeln!(f, "{PAD}source: {source}")?;
    }
    let databases = backup.database_ref.as_deref().unwrap_or_default();
    if databases.is_empty() {
        writeln!(f, "{PAD}database list: none")?
    } else {
        let names = databases.iter().map(|db| format!("{} ({})", escape::name(&db.name), db.oid));
        writeln!(f, "{PAD}database list: {}", joined(names))?;
    }
    if let Some(Some(links)) = &backup.link {
        writeln!(f, "{PAD}symlinks:")?;
        for link in links {
            let (name, to) = (escape::name(&link.name), escape::name(&link.destination));
            writeln!(f, "{PAD}    {name} => {to}")?;
        }
    }
    if let Some(Some(tablespaces)) = &backup.tablespace {
        writeln!(f, "{PAD}tablespaces:")?;
        for ts in tablespaces {
            let name = escape::name(ts.name.as_deref().unwrap_or("[unknown]"));
            let to = escape::name(&ts.destination);
            writeln!(f, "{PAD}    {name} ({}) => {to}", ts.oid)?;
        }
    }
    if let Some(files) = &backup.error_list {
        writeln!(f, "{PAD}error list: {}", joined(files.iter()))?;
    }
    if !backup.annotation.is_empty() {
        writeln!(f, "{PAD}annotation(s)")?;
        for (key, value) in &backup.annotation {
            writeln!(f, "{PAD}    {}: {}", escape::name(key), escape::name(value))?;
        }
    }
    Ok(())
}

fn joined(items: impl Iterator<Item = impl Display>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// How many backups of each type this one needs; the full is always named.
fn reference_total(backup: &BackupInfo) -> String {
    let labels = backup.reference.as_deref().unwrap_or_default();
    let count = |kind| labels.iter().filter(|label| label.kind() == kind).count();
    let part = |kind: BackupType| match count(kind) {
        0 if kind != BackupType::Full => None,
        n => Some(format!("{n} {kind}")),
    };
    joined([BackupType::Full, BackupType::Diff, BackupType::Incr].into_iter().filter_map(part))
}

/// How far each backup is, where several run.
fn repo_progress(f: &mut Formatter<'_>, stanza: &StanzaInfo) -> Result {
    let running = &stanza.status.lock.backup.repo;
    if running.len() < 2 {
        return Ok(());
    }
    running.iter().try_for_each(|repo| {
        let part = percent(repo.size_cplt, repo.size);
        writeln!(f, "        repo{} backup: {part} complete", repo.key)
    })
}

fn repo_status(f: &mut Formatter<'_>, repo: &RepoInfo, several: bool) -> Result {
    if several {
        write!(f, "        repo{}: ", repo.key)?;
    }
    let message = &repo.status.message;
    match (repo.status.code, several) {
        (StatusCode::Ok, _) => writeln!(f, "ok"),
        (StatusCode::Other, true) => {
            writeln!(f, "error (other)")?;
            message.lines().try_for_each(|line| writeln!(f, "               {line}"))
        }
        (StatusCode::Other, false) => {
            message.lines().try_for_each(|line| writeln!(f, "            {line}"))
        }
        _ => writeln!(f, "error ({message})"),
    }
}

fn cipher(f: &mut Formatter<'_>, stanza: &StanzaInfo) -> Result {
    writeln!(f, "    cipher: {}", stanza.cipher)?;
    if stanza.cipher != super::MIXED {
        return Ok(());
    }
    stanza.repo.iter().try_for_each(|repo| writeln!(f, "        repo{}: {}", repo.key, repo.cipher))
}

fn same_cluster(a: &DbInfo, b: &DbInfo) -> bool {
    a.system_id == b.system_id && a.version == b.version
}

fn groups(stanza: &StanzaInfo) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for db in &stanza.db {
        let index = groups.iter().position(|group| same_cluster(group.db, db));
        let index = index.unwrap_or_else(|| {
            groups.push(Group {
                db,
                wal: None,
                gaps: Vec::new(),
                branches: Vec::new(),
                backups: Vec::new(),
            });
            groups.len() - 1
        });
        let is_its = |of: super::DatabaseRef| of.id == db.id && of.repo_key == db.repo_key;
        for archive in stanza.archive.iter().filter(|archive| is_its(archive.database)) {
            groups[index].gaps.extend(&archive.gap);
            groups[index].branches.extend(&archive.branch);
            if let Some((min, max)) = archive.min.zip(archive.max) {
                let wal = groups[index].wal.get_or_insert((min, max));
                *wal = (wal.0.min(min), wal.1.max(max));
            }
        }
        groups[index].backups.extend(stanza.backup.iter().filter(|b| is_its(b.database)));
    }
    // Backups came repository by repository: put them back into the order of the stanza.
    for group in &mut groups {
        group.backups.sort_by_key(|backup| backup.timestamp.stop);
    }
    groups
}
