//! What is to be copied, worked out from what both repositories hold. Pure: facts in, plan out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{Error, HistoryMap, Options, wal_copy::WalCopy};
use crate::{
    repo::{
        self,
        keep::KeepMark,
        manifest::Manifest,
        retention::{
            self, BackupFacts, Inventory, Scope,
            wal::{ArchiveRule, NeededWal},
        },
        stanza::StanzaEntry,
    },
    types::{ArchiveFile, ArchiveId, BackupLabel, TimeLine, WalSegment},
};

/// A backup that one of the repositories has.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its keep mark.
    pub mark: Option<KeepMark>,
}

/// What both repositories hold.
#[derive(Debug, Default)]
pub struct Facts {
    /// The repository that is copied from, as a person names it.
    pub location: String,
    /// The numbers of the clusters.
    pub history: HistoryMap,
    /// The backups of the source, oldest first.
    pub source: Vec<Known>,
    /// Why manifests and marks, of the source or of the target, cannot be read.
    pub unreadable: Vec<(BackupLabel, Error)>,
    /// The backups of the target whose manifests cannot be read.
    pub damaged: BTreeSet<BackupLabel>,
    /// The backups of the target; the mark is that of the source where that is going to be brought over.
    pub target: Vec<Known>,
    /// The archives of the source.
    pub archives: Vec<ArchiveId>,
    /// The archives of the target.
    pub target_archives: Vec<ArchiveId>,
}

/// What is to be copied, in this order.
#[derive(Debug)]
pub struct SyncPlan {
    /// Entries of the stanza's history.
    pub entries: Vec<StanzaEntry>,
    /// The WAL of each archive of the source that is wanted.
    pub rules: Vec<(ArchiveId, ArchiveId, WalRule)>,
    /// The WAL that the target lacks.
    pub wal: Vec<WalCopy>,
    /// Backups, oldest first, so that what a backup refers to comes before it.
    pub backups: Vec<BackupCopy>,
    /// Backups that the target has, of which marks and annotations may have changed.
    pub known: Vec<BackupLabel>,
    /// Backups that are not copied.
    pub skipped: Vec<Skipped>,
    /// Backups whose manifests or marks cannot be read.
    pub unreadable: Vec<(BackupLabel, Error)>,
}

/// A backup to copy.
#[derive(Clone, Debug)]
pub struct BackupCopy {
    /// The manifest as it is in the source.
    pub from: Manifest,
    /// The manifest as it will be in the target: the number of the cluster may be another.
    pub to: Manifest,
    /// Objects of the backup in the source.
    pub objects: u64,
    /// Their size as stored, in bytes.
    pub bytes: u64,
}

/// A backup that is not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The backup.
    pub label: BackupLabel,
    /// Why not.
    pub why: Why,
}

/// Why a backup is not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The target's retention would expire it at once.
    Retention,
    /// It is of a cluster that the target does not know.
    UnknownCluster,
    /// The target has another backup under its label.
    OtherBackup,
    /// The target has a backup under its label, whose manifest cannot be read.
    Unreadable,
    /// What it needs is neither in the target nor copied.
    Needs(BackupLabel),
    /// It went from the source while it was copied.
    Expired,
}

impl Why {
    /// Whether the copy is incomplete for it, and no other error says so.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::OtherBackup | Self::Needs(_))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retention => f.write_str("the target's retention would expire it"),
            Self::UnknownCluster => f.write_str("the target does not know its cluster"),
            Self::OtherBackup => f.write_str("the target has another backup under this label"),
            Self::Unreadable => f.write_str("its manifest in the target cannot be read"),
            Self::Needs(label) => write!(f, "it needs {label}, which cannot be copied"),
            Self::Expired => f.write_str("the source expired it meanwhile"),
        }
    }
}

/// Which WAL of an archive is copied. Timeline histories always are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalRule {
    /// All of it.
    All,
    /// What the target's retention would keep.
    Needed(NeededWal),
    /// From the start of a backup to its stop.
    Spans(Vec<(WalSegment, WalSegment)>),
}

impl WalRule {
    /// Whether a file is copied.
    pub fn wants(&self, file: ArchiveFile) -> bool {
        let Some(segment) = file.segment() else { return true };
        let position = |segment: WalSegment| segment.on(TimeLine(0));
        let within = |(start, stop): &(WalSegment, WalSegment)| {
            (start.timeline..=stop.timeline).contains(&segment.timeline)
                && (position(*start)..=position(*stop)).contains(&position(segment))
        };
        match self {
            Self::All => true,
            Self::Needed(needed) => needed.keeps(segment),
            Self::Spans(spans) => spans.iter().any(within),
        }
    }
}

/// Makes the plan.
pub fn plan(facts: Facts, options: &Options) -> Result<SyncPlan, Error> {
    let mut work = Work::new(&facts, options)?;
    let kept = work.kept_by_retention()?;
    work.choose(kept.as_ref());
    let rules = work.rules(kept.as_ref());
    let Work { backups, skipped, known, .. } = work;
    Ok(SyncPlan {
        rules,
        wal: Vec::new(),
        backups,
        known: known.into_iter().collect(),
        skipped,
        entries: facts.history.new,
        unreadable: facts.unreadable,
    })
}

/// What the target's retention says of both repositories' backups together.
type Kept = (BTreeSet<BackupLabel>, Vec<(ArchiveId, ArchiveRule)>);

struct Work<'a> {
    facts: &'a Facts,
    options: &'a Options,
    /// What may be copied at all.
    candidates: Vec<BackupCopy>,
    backups: Vec<BackupCopy>,
    skipped: Vec<Skipped>,
    known: BTreeSet<BackupLabel>,
}

impl<'a> Work<'a> {
    fn new(facts: &'a Facts, options: &'a Options) -> Result<Self, Error> {
        let wanted = wanted(facts, options)?;
        let mut work = Self {
            facts,
            options,
            candidates: Vec::new(),
            backups: Vec::new(),
            skipped: Vec::new(),
            known: BTreeSet::new(),
        };
        let target: BTreeMap<_, _> =
            facts.target.iter().map(|known| (&known.manifest.label, &known.manifest)).collect();
        for Known { manifest, .. } in &facts.source {
            let label = &manifest.label;
            if wanted.as_ref().is_some_and(|wanted| !wanted.contains(label)) {
                continue;
            }
            let number = facts.history.number(manifest.cluster.history_id);
            if facts.damaged.contains(label) {
                work.skip(label, Why::Unreadable);
                continue;
            }
            match (target.get(label), number) {
                (Some(there), _) if there.file_list == manifest.file_list => {
                    work.known.insert(label.clone());
                }
                (Some(_), _) => work.skip(label, Why::OtherBackup),
                (None, None) => work.skip(label, Why::UnknownCluster),
                (None, Some(number)) => {
                    let mut to = manifest.clone();
                    to.cluster.history_id = number;
                    let copy = BackupCopy { from: manifest.clone(), to, objects: 0, bytes: 0 };
                    work.candidates.push(copy);
                }
            }
        }
        Ok(work)
    }

    fn skip(&mut self, label: &BackupLabel, why: Why) {
        self.skipped.push(Skipped { label: label.clone(), why });
    }

    /// `None` where a backup was asked for: it is copied whatever retention says.
    fn kept_by_retention(&self) -> Result<Option<Kept>, Error> {
        let (Some(current), None) = (self.facts.history.current, &self.options.set) else {
            return Ok(None);
        };
        let mark = |label: &BackupLabel| {
            self.facts.source.iter().find(|known| known.manifest.label == *label)?.mark
        };
        let there = self.facts.target.iter().map(|k| BackupFacts::new(&k.manifest, k.mark));
        let new = self.candidates.iter().map(|c| BackupFacts::new(&c.to, mark(&c.to.label)));
        let archives: Vec<ArchiveId> = {
            let mapped =
                self.facts.archives.iter().filter_map(|id| self.facts.history.archive(*id));
            let mut all: Vec<_> = mapped.collect();
            all.extend(
                self.facts
                    .target_archives
                    .iter()
                    .filter(|id| !all.contains(id))
                    .copied()
                    .collect::<Vec<_>>(),
            );
            all
        };
        let inventory = Inventory {
            backups: there.chain(new).collect(),
            unpublished: Vec::new(),
            archives,
            current,
        };
        let Options { retention, now, zone, .. } = self.options;
        let plan = retention::plan(&inventory, retention, &Scope::Retention, *now, zone)?;
        let kept = plan.kept.into_iter().map(|kept| kept.label).collect();
        Ok(Some((kept, plan.archives)))
    }

    /// Takes the candidates that retention keeps and whose needs are met, oldest first.
    fn choose(&mut self, kept: Option<&Kept>) {
        let mut available = self.known.clone();
        let there = self.facts.target.iter().map(|known| known.manifest.label.clone());
        let other = |label: &BackupLabel, skipped: &[Skipped]| {
            skipped.iter().any(|one| one.label == *label && one.why == Why::OtherBackup)
        };
        available.extend(there.filter(|label| !other(label, &self.skipped)));
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.sort_by(|a, b| a.to.label.cmp(&b.to.label));
        for copy in candidates {
            let label = copy.to.label.clone();
            if kept.is_some_and(|(kept, _)| !kept.contains(&label)) {
                self.skip(&label, Why::Retention);
                continue;
            }
            let facts = BackupFacts::new(&copy.to, None);
            match facts.needs.iter().find(|needed| !available.contains(needed)) {
                Some(needed) => self.skip(&label, Why::Needs(needed.clone())),
                None => {
                    available.insert(label);
                    self.backups.push(copy);
                }
            }
        }
    }

    /// The WAL that goes with it.
    fn rules(&self, kept: Option<&Kept>) -> Vec<(ArchiveId, ArchiveId, WalRule)> {
        let rule = |from: ArchiveId| {
            let to = self.facts.history.archive(from)?;
            let rule = match kept {
                None => self.spans(from),
                Some((_, rules)) => match &rules.iter().find(|(id, _)| *id == to)?.1 {
                    ArchiveRule::KeepAll => WalRule::All,
                    ArchiveRule::RemoveAll => return None,
                    ArchiveRule::Keep(needed) => WalRule::Needed(needed.clone()),
                },
            };
            Some((from, to, rule))
        };
        self.facts.archives.iter().filter_map(|id| rule(*id)).collect()
    }

    fn spans(&self, archive: ArchiveId) -> WalRule {
        let of_set = self.facts.source.iter().map(|known| &known.manifest).filter(|manifest| {
            self.known.contains(&manifest.label)
                || self.backups.iter().any(|copy| copy.to.label == manifest.label)
        });
        let of_archive = of_set.filter(|manifest| manifest.archive_id() == archive);
        WalRule::Spans(of_archive.map(|m| (m.wal_start(), m.wal_stop())).collect())
    }
}

/// The backup that was asked for and all it needs; `None` where all are wanted.
fn wanted(facts: &Facts, options: &Options) -> Result<Option<BTreeSet<BackupLabel>>, Error> {
    let Some(set) = &options.set else { return Ok(None) };
    let found = facts.source.iter().find(|known| known.manifest.label == *set);
    let Some(found) = found else {
        let (label, location) = (set.to_string(), facts.location.clone());
        return Err(repo::Error::BackupMissing { label, location }.into());
    };
    let mut wanted = BackupFacts::new(&found.manifest, None).needs;
    wanted.insert(set.clone());
    Ok(Some(wanted))
}
