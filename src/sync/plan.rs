//! Plans the copy from the inventories of both repositories. Pure functions.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{Error, HistoryMap, Options, WalRule, wal_copy::WalCopy};
use crate::{
    repo::{
        self,
        keep::KeepMark,
        manifest::Manifest,
        retention::{self, BackupSummary, Inventory, Scope, wal::ArchiveRule},
        stanza::StanzaEntry,
    },
    types::{ArchiveId, BackupLabel},
};

/// A backup in one of the repositories.
#[derive(Clone, Debug)]
pub struct MarkedBackup {
    pub manifest: Manifest,
    pub mark: Option<KeepMark>,
}

/// The contents of both repositories.
#[derive(Debug, Default)]
pub struct SyncInventory {
    /// The name of the source, for messages.
    pub location: String,
    pub history: HistoryMap,
    /// Oldest first.
    pub source: Vec<MarkedBackup>,
    /// Errors of manifests and marks of the source or of the target.
    pub unreadable: Vec<(BackupLabel, Error)>,
    /// Backups of the target with unreadable manifests.
    pub damaged: BTreeSet<BackupLabel>,
    /// Backups of the target, with the mark of the source if it will be copied.
    pub target: Vec<MarkedBackup>,
    pub archives: Vec<ArchiveId>,
    pub target_archives: Vec<ArchiveId>,
}

/// What to copy, in this order.
#[derive(Debug)]
pub struct SyncPlan {
    /// New entries of the stanza's history.
    pub entries: Vec<StanzaEntry>,
    /// The WAL to copy of each archive of the source.
    pub rules: Vec<(ArchiveId, ArchiveId, WalRule)>,
    /// The WAL missing in the target.
    pub wal: Vec<WalCopy>,
    /// Oldest first, so that a backup is copied after those it refers to.
    pub backups: Vec<BackupCopy>,
    /// Backups that the target has, whose marks and annotations may have changed.
    pub known: Vec<BackupLabel>,
    pub skipped: Vec<Skipped>,
    pub unreadable: Vec<(BackupLabel, Error)>,
}

#[derive(Clone, Debug)]
pub struct BackupCopy {
    /// The manifest in the source.
    pub from: Manifest,
    /// The manifest in the target, which may have another cluster number.
    pub to: Manifest,
    /// Number of objects in the source.
    pub objects: u64,
    /// Stored bytes of the objects.
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub label: BackupLabel,
    pub reason: SkipReason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// The target's retention would expire it at once.
    Retention,
    /// It is of a cluster that the target does not have.
    UnknownCluster,
    /// The target has a different backup with its label.
    OtherBackup,
    /// The target has a backup with its label and an unreadable manifest.
    Unreadable,
    /// A backup that it refers to is neither in the target nor copied.
    Needs(BackupLabel),
    /// It was expired in the source during the copy.
    Expired,
}

impl SkipReason {
    /// Whether the copy is incomplete because of it, without another error that reports it.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::OtherBackup | Self::Needs(_))
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retention => f.write_str("the target's retention would expire it"),
            Self::UnknownCluster => f.write_str("its cluster is not in the history of the target"),
            Self::OtherBackup => f.write_str("the target has a different backup with this label"),
            Self::Unreadable => f.write_str("its manifest in the target cannot be read"),
            Self::Needs(label) => write!(f, "it needs {label}, which cannot be copied"),
            Self::Expired => f.write_str("the source expired it during the copy"),
        }
    }
}

pub fn plan(inventory: SyncInventory, options: &Options) -> Result<SyncPlan, Error> {
    let mut work = PlanBuilder::new(&inventory, options)?;
    let kept = work.kept_by_retention()?;
    work.choose(kept.as_ref());
    let rules = work.rules(kept.as_ref());
    let PlanBuilder { backups, skipped, known, .. } = work;
    Ok(SyncPlan {
        rules,
        wal: Vec::new(),
        backups,
        known: known.into_iter().collect(),
        skipped,
        entries: inventory.history.new,
        unreadable: inventory.unreadable,
    })
}

/// Applies the target's retention to the backups of both repositories together.
type Kept = (BTreeSet<BackupLabel>, Vec<(ArchiveId, ArchiveRule)>);

struct PlanBuilder<'a> {
    inventory: &'a SyncInventory,
    options: &'a Options,
    /// The backups that can be copied.
    candidates: Vec<BackupCopy>,
    backups: Vec<BackupCopy>,
    skipped: Vec<Skipped>,
    known: BTreeSet<BackupLabel>,
}

impl<'a> PlanBuilder<'a> {
    fn new(inventory: &'a SyncInventory, options: &'a Options) -> Result<Self, Error> {
        let wanted = wanted(inventory, options)?;
        let mut work = Self {
            inventory,
            options,
            candidates: Vec::new(),
            backups: Vec::new(),
            skipped: Vec::new(),
            known: BTreeSet::new(),
        };
        let target: BTreeMap<_, _> =
            inventory.target.iter().map(|known| (&known.manifest.label, &known.manifest)).collect();
        for MarkedBackup { manifest, .. } in &inventory.source {
            let label = &manifest.label;
            if wanted.as_ref().is_some_and(|wanted| !wanted.contains(label)) {
                continue;
            }
            let number = inventory.history.number(manifest.cluster.history_id);
            if inventory.damaged.contains(label) {
                work.skip(label, SkipReason::Unreadable);
                continue;
            }
            match (target.get(label), number) {
                (Some(there), _) if there.file_list == manifest.file_list => {
                    work.known.insert(label.clone());
                }
                (Some(_), _) => work.skip(label, SkipReason::OtherBackup),
                (None, None) => work.skip(label, SkipReason::UnknownCluster),
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

    fn skip(&mut self, label: &BackupLabel, reason: SkipReason) {
        self.skipped.push(Skipped { label: label.clone(), reason });
    }

    /// `None` if a set was requested: it is copied regardless of retention.
    fn kept_by_retention(&self) -> Result<Option<Kept>, Error> {
        let (Some(current), None) = (self.inventory.history.current, &self.options.set) else {
            return Ok(None);
        };
        let mark = |label: &BackupLabel| {
            self.inventory.source.iter().find(|known| known.manifest.label == *label)?.mark
        };
        let there = self.inventory.target.iter().map(|k| BackupSummary::new(&k.manifest, k.mark));
        let new = self.candidates.iter().map(|c| BackupSummary::new(&c.to, mark(&c.to.label)));
        let archives: Vec<ArchiveId> = {
            let mapped =
                self.inventory.archives.iter().filter_map(|id| self.inventory.history.archive(*id));
            let mut all: Vec<_> = mapped.collect();
            all.extend(
                self.inventory
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

    /// Selects the candidates that retention keeps and whose references are available, oldest first.
    fn choose(&mut self, kept: Option<&Kept>) {
        let mut available = self.known.clone();
        let there = self.inventory.target.iter().map(|known| known.manifest.label.clone());
        let other = |label: &BackupLabel, skipped: &[Skipped]| {
            skipped.iter().any(|one| one.label == *label && one.reason == SkipReason::OtherBackup)
        };
        available.extend(there.filter(|label| !other(label, &self.skipped)));
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.sort_by(|a, b| a.to.label.cmp(&b.to.label));
        for copy in candidates {
            let label = copy.to.label.clone();
            if kept.is_some_and(|(kept, _)| !kept.contains(&label)) {
                self.skip(&label, SkipReason::Retention);
                continue;
            }
            let inventory = BackupSummary::new(&copy.to, None);
            match inventory.needs.iter().find(|needed| !available.contains(needed)) {
                Some(needed) => self.skip(&label, SkipReason::Needs(needed.clone())),
                None => {
                    available.insert(label);
                    self.backups.push(copy);
                }
            }
        }
    }

    /// The WAL to copy.
    fn rules(&self, kept: Option<&Kept>) -> Vec<(ArchiveId, ArchiveId, WalRule)> {
        let rule = |from: ArchiveId| {
            let to = self.inventory.history.archive(from)?;
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
        self.inventory.archives.iter().filter_map(|id| rule(*id)).collect()
    }

    fn spans(&self, archive: ArchiveId) -> WalRule {
        let of_set = self.inventory.source.iter().map(|known| &known.manifest).filter(|manifest| {
            self.known.contains(&manifest.label)
                || self.backups.iter().any(|copy| copy.to.label == manifest.label)
        });
        let of_archive = of_set.filter(|manifest| manifest.archive_id() == archive);
        WalRule::Spans(of_archive.map(|m| (m.wal_start(), m.wal_stop())).collect())
    }
}

/// The requested backup and all it refers to; `None` if all backups are requested.
fn wanted(
    inventory: &SyncInventory,
    options: &Options,
) -> Result<Option<BTreeSet<BackupLabel>>, Error> {
    let Some(set) = &options.set else { return Ok(None) };
    let found = inventory.source.iter().find(|known| known.manifest.label == *set);
    let Some(found) = found else {
        let (label, location) = (set.to_string(), inventory.location.clone());
        return Err(repo::Error::BackupMissing { label, location }.into());
    };
    let mut wanted = BackupSummary::new(&found.manifest, None).needs;
    wanted.insert(set.clone());
    Ok(Some(wanted))
}
