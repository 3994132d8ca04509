//! Verifies a chain: a full backup and all that depends on it. Gathers what its block maps claim of the bundles,
//! verifies the bundles, and determines which files of which backups their faults affect.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    Error, FaultKind, Options,
    backups::{Backups, Bundles},
    bundle::{BundleJob, BundleOutcome},
    claims::{BundleClaims, BundleKey, Claims, DamagedBlocks},
    findings::Findings,
    inventory::Inventory,
    metadata, pool,
    report::AffectedFile,
};
use crate::{
    codec::BlockHasher,
    repo::{
        self,
        block_map::FrameRef,
        file_list::{BundleKind, BundleRecord, FileEntry, FileList, MapLocation, MapRef},
        layout::BackupPaths,
        manifest::{Manifest, ObjectRecord, Totals},
        map_reader::{FileMap, MapReader},
        object_header::ObjectKind,
    },
    storage::{ObjectPath, Storage},
    types::{BackupLabel, BlockDigest, ProgressSink},
    work,
};

pub(super) async fn verify(
    storage: &Arc<dyn Storage>,
    backups: &mut Backups,
    inventory: &Inventory,
    options: &Options,
    progress: &dyn ProgressSink,
    findings: &mut Findings,
) -> Result<(), Error> {
    for labels in backups.chains() {
        let chain = Chain {
            storage,
            inventory,
            options,
            progress,
            holders: Vec::new(),
            seen: HashSet::new(),
            claims: Claims::default(),
            read: HashSet::new(),
            bad: DamagedBlocks::default(),
            objects: HashMap::new(),
        };
        chain.verify(&labels, backups, findings).await?;
    }
    Ok(())
}

/// Used only if no manifest of the chain can be read; then no block is compared with a digest.
const BLOCK_SIZE: u32 = 8192;

/// Files between two yields, so that a signal can end the command.
const YIELD_EVERY: usize = 256;

struct Reading {
    record: Option<ObjectRecord>,
    whole: bool,
    claims: BundleClaims,
}

/// Identifies a decoded map: holder, bundle, offset, file size, digest.
type MapKey = (usize, u32, u64, u64, BlockDigest);

struct Chain<'a> {
    storage: &'a Arc<dyn Storage>,
    inventory: &'a Inventory,
    options: &'a Options,
    progress: &'a dyn ProgressSink,
    /// The backups of the chain, and missing backups that they refer to.
    holders: Vec<BackupLabel>,
    /// The maps whose claims were gathered; a patch with its base.
    seen: HashSet<(MapKey, Option<MapKey>)>,
    claims: Claims,
    /// Bundles that were read completely.
    read: HashSet<BundleKey>,
    bad: DamagedBlocks,
    /// The object of each bundle with a fault.
    objects: HashMap<BundleKey, String>,
}

impl Chain<'_> {
    async fn verify(
        mut self,
        labels: &[BackupLabel],
        backups: &mut Backups,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        self.holders = labels.to_vec();
        for label in labels {
            let Some(manifest) = backups.manifest(label).cloned() else { continue };
            metadata::check(&**self.storage, &manifest, self.inventory, self.progress, findings)
                .await;
            if let Some(files) = self.file_list(&manifest, backups, findings).await {
                self.gather(&manifest, &files, backups, findings).await?;
            }
        }
        let claims = self.claims.take(None);
        self.prove(claims, backups, findings).await?;
        self.prove_rest(labels, backups, findings).await?;
        if !self.bad.is_empty() {
            self.attribute(labels, backups, findings).await?;
        }
        Ok(())
    }

    /// Reads a file list and compares it with its manifest.
    async fn file_list(
        &mut self,
        manifest: &Manifest,
        backups: &mut Backups,
        findings: &mut Findings,
    ) -> Option<Vec<FileEntry>> {
        let object = self.inventory.path(&manifest.label, "files");
        self.progress.advance(manifest.file_list.size);
        let list = match FileList::read(&**self.storage, manifest).await {
            Ok(list) => list,
            Err(error) => {
                findings.add_error(object, &error).of(&manifest.label);
                return None;
            }
        };
        findings.count(manifest.file_list.size, 0);
        let totals = manifest.totals;
        // With millions of files this takes seconds, and signals must be handled meanwhile.
        let compared = work::blocking(move || {
            let bundles = bundles_of(&list);
            let wrong = contradictions(&totals, &list, &bundles);
            (list, bundles, wrong)
        });
        let (list, bundles, wrong) = match compared.await {
            Ok(compared) => compared,
            Err(error) => {
                findings.add_error(object, &error.into()).of(&manifest.label);
                return None;
            }
        };
        for what in wrong {
            findings.add(&object, FaultKind::Inconsistent, what).of(&manifest.label);
        }
        backups.keep_bundles(&manifest.label, bundles);
        Some(list.files)
    }

    /// Reads the block maps of a backup's files and gathers their claims.
    async fn gather(
        &mut self,
        manifest: &Manifest,
        files: &[FileEntry],
        backups: &Backups,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let holders = self.holder_numbers(manifest);
        let mut maps = MapReader::of(Arc::clone(self.storage), manifest)?;
        for (index, entry) in files.iter().enumerate() {
            if index % YIELD_EVERY == 0 {
                tokio::task::yield_now().await;
            }
            let Some(place) = entry.map_location() else { continue };
            let key = keys(&place, entry.size(), &holders);
            if self.seen.contains(&key) {
                continue;
            }
            let ahead = files[index + 1..].iter().filter_map(FileEntry::map_location);
            match maps.read_part(&place, entry.size(), ahead).await {
                Ok(map) => self.claim(manifest, entry, &place, &map, key, &holders),
                Err((at, error)) => self.map_fault(manifest, entry, &at, &error, findings),
            }
            if self.claims.bytes() > self.options.claims_max {
                let filling = self.filling(manifest, &holders);
                let claims = self.claims.take(filling);
                self.prove(claims, backups, findings).await?;
            }
        }
        Ok(())
    }

    fn claim(
        &mut self,
        manifest: &Manifest,
        entry: &FileEntry,
        place: &MapLocation,
        map: &FileMap,
        key: (MapKey, Option<MapKey>),
        holders: &[usize],
    ) {
        let block_size = manifest.block.size;
        let bundle_of =
            |frame: &FrameRef| Some((*holders.get(frame.reference as usize)?, frame.bundle));
        let Some((base_key, base)) = key.1.zip(place.base) else {
            self.claims.add(&map.map, None, entry.size(), block_size, bundle_of);
            self.seen.insert(key);
            return;
        };
        if self.seen.insert((base_key, None)) {
            self.claims.add(&map.base, None, base.size, block_size, bundle_of);
        }
        self.claims.add(&map.map, Some(&map.base), entry.size(), block_size, bundle_of);
        self.seen.insert(key);
    }

    fn map_fault(
        &self,
        manifest: &Manifest,
        entry: &FileEntry,
        at: &MapRef,
        error: &repo::Error,
        findings: &mut Findings,
    ) {
        let object = match manifest.referenced_label(at.reference) {
            Some(label) => self.inventory.path(label, &name_of(BundleKind::Map, at.bundle)),
            // The file list refers to a backup that is not in the manifest.
            None => self.inventory.path(&manifest.label, "files"),
        };
        findings.add_error(object, error).file(AffectedFile {
            backup: manifest.label.clone(),
            path: entry.path.clone(),
            blocks: entry.size().div_ceil(manifest.block.size.into()),
            first: 0,
        });
    }

    /// The newest bundle of this backup with claims: more are expected, so it is not verified yet.
    fn filling(&self, manifest: &Manifest, holders: &[usize]) -> Option<BundleKey> {
        let own = *holders.first()?;
        debug_assert_eq!(self.holders.get(own), Some(&manifest.label));
        self.claims.newest_of(own)
    }

    /// The indexes in the chain of the backup and, from 1, of its references.
    fn holder_numbers(&mut self, manifest: &Manifest) -> Vec<usize> {
        let labels = std::iter::once(&manifest.label).chain(&manifest.references);
        labels.map(|label| self.holder_number(label)).collect()
    }

    fn holder_number(&mut self, label: &BackupLabel) -> usize {
        match self.holders.iter().position(|known| known == label) {
            Some(number) => number,
            None => {
                self.holders.push(label.clone());
                self.holders.len() - 1
            }
        }
    }

    /// Verifies the bundles whose claims were gathered.
    async fn prove(
        &mut self,
        claims: BTreeMap<BundleKey, BundleClaims>,
        backups: &Backups,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let mut jobs = Vec::with_capacity(claims.len());
        for (key, claims) in claims {
            let label = self.holders[key.0].clone();
            let name = name_of(BundleKind::Data, key.1);
            // Only a bundle in the backup's own file list is read completely.
            let record = backups.bundles(&label).and_then(|bundles| bundles.get(&name)).copied();
            let whole = record.is_some() && self.read.insert(key);
            let reading = Reading { record, whole, claims };
            jobs.push(self.job(&label, &name, Some(key), reading, backups)?);
        }
        self.run(jobs, backups, findings).await
    }

    /// Verifies the bundles without claims, and the map bundles.
    async fn prove_rest(
        &mut self,
        labels: &[BackupLabel],
        backups: &Backups,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let mut jobs = Vec::new();
        for (holder, label) in labels.iter().enumerate() {
            for (name, record) in backups.bundles(label).into_iter().flatten() {
                let number = name.strip_prefix("bundle/").and_then(|number| number.parse().ok());
                let key = number.map(|number| (holder, number));
                if key.is_none_or(|key| self.read.insert(key)) {
                    let (record, claims) = (Some(*record), BundleClaims::default());
                    let reading = Reading { record, whole: true, claims };
                    jobs.push(self.job(label, name, key, reading, backups)?);
                }
            }
        }
        self.run(jobs, backups, findings).await
    }

    fn job(
        &self,
        label: &BackupLabel,
        name: &str,
        key: Option<BundleKey>,
        reading: Reading,
        backups: &Backups,
    ) -> Result<BundleJob, Error> {
        // All backups of a chain have the same digest key and block size; `check_consistency` verified it.
        let of_chain = || self.holders.iter().find_map(|label| backups.manifest(label));
        let block = backups.manifest(label).or_else(of_chain).map(|manifest| &manifest.block);
        Ok(BundleJob {
            path: BackupPaths::new(&backups.stanza, label)?.directory().join(name)?,
            kind: if key.is_some() { ObjectKind::Bundle } else { ObjectKind::MapBundle },
            key,
            record: reading.record,
            whole: reading.whole,
            claims: reading.claims,
            hasher: BlockHasher::new(block.map_or([0; 32], |block| block.digest_key.0)),
            block_size: block.map_or(BLOCK_SIZE, |block| block.size),
        })
    }

    async fn run(
        &mut self,
        jobs: Vec<BundleJob>,
        backups: &Backups,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let outcomes = pool::run(self.storage, jobs, self.options.threads, self.progress).await?;
        for outcome in outcomes {
            findings.count(outcome.read, outcome.raw);
            findings.checked.busy += outcome.busy;
            findings.checked.busy_raw += outcome.raw;
            self.note(outcome, backups, findings);
        }
        Ok(())
    }

    fn note(&mut self, outcome: BundleOutcome, backups: &Backups, findings: &mut Findings) {
        let object = outcome.path.to_string();
        let holder = holder_of(&outcome.path);
        for (kind, what) in &outcome.wrong {
            let fault = findings.add(&object, *kind, what);
            fault.of_all(&holder);
        }
        if let Some(sha256) = outcome.other_sha256 {
            let bundles = holder.as_ref().and_then(|label| backups.bundles(label));
            let found = bundles.into_iter().flatten().find(|(_, record)| record.sha256 == sha256);
            if let Some((name, _)) = found {
                findings.add(&object, FaultKind::Damaged, format!("it has the content of {name}"));
            }
        }
        let Some(key) = outcome.key else { return };
        if outcome.all_bad {
            self.bad.bundles.insert(key);
        }
        let unproven = outcome.bad_frames.into_iter().chain(outcome.unread_frames);
        self.bad.frames.extend(unproven.map(|offset| (key, offset)));
        let blocks = outcome.bad_blocks.into_iter();
        self.bad.blocks.extend(blocks.map(|(frame, at, digest)| (key, frame, at, digest)));
        self.objects.insert(key, object);
    }

    /// Reads the maps again to find the files with blocks in faulty bundles.
    async fn attribute(
        &mut self,
        labels: &[BackupLabel],
        backups: &Backups,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        for label in labels {
            let Some(manifest) = backups.manifest(label) else { continue };
            let list = match FileList::read(&**self.storage, manifest).await {
                Ok(list) => list,
                Err(error) => {
                    // It could be read before: which files are affected is unknown now.
                    let object = self.inventory.path(label, "files");
                    findings.add_error(object, &error).of(label);
                    continue;
                }
            };
            let holders = self.holder_numbers(manifest);
            let bundle_of =
                |frame: &FrameRef| Some((*holders.get(frame.reference as usize)?, frame.bundle));
            let mut maps = MapReader::of(Arc::clone(self.storage), manifest)?;
            for (index, entry) in list.files.iter().enumerate() {
                if index % YIELD_EVERY == 0 {
                    tokio::task::yield_now().await;
                }
                let Some(place) = entry.map_location() else { continue };
                let ahead = list.files[index + 1..].iter().filter_map(FileEntry::map_location);
                let read = match maps.read_part(&place, entry.size(), ahead).await {
                    Ok(read) => read,
                    Err((at, error)) => {
                        self.map_fault(manifest, entry, &at, &error, findings);
                        continue;
                    }
                };
                let affected =
                    self.bad.affected(&read.map, entry.size(), manifest.block.size, bundle_of);
                for (key, (blocks, first)) in affected {
                    let Some(object) = self.objects.get(&key) else { continue };
                    let (backup, path) = (label.clone(), entry.path.clone());
                    findings.affected(object, AffectedFile { backup, path, blocks, first });
                }
            }
        }
        Ok(())
    }
}

/// The keys of a file's map and of its base.
fn keys(place: &MapLocation, size: u64, holders: &[usize]) -> (MapKey, Option<MapKey>) {
    let key = |at: &MapRef, size| {
        let holder = holders.get(at.reference as usize).copied().unwrap_or(usize::MAX);
        (holder, at.bundle, at.offset, size, at.digest)
    };
    (key(&place.map, size), place.base.map(|base| key(&base.map, base.size)))
}

/// The backup in whose directory an object lies.
fn holder_of(path: &ObjectPath) -> Option<BackupLabel> {
    path.parent().parent().file_name().parse().ok()
}

/// The name of a bundle below the directory of its backup.
fn name_of(kind: BundleKind, number: u32) -> String {
    match kind {
        BundleKind::Data => format!("bundle/{number:08}"),
        BundleKind::Map => format!("map/{number:08}"),
    }
}

fn bundles_of(list: &FileList) -> Bundles {
    let named = |record: &BundleRecord| (name_of(record.bundle, record.number), record.record);
    list.bundles.iter().map(named).collect()
}

/// Contradictions between a file list and its manifest.
fn contradictions(totals: &Totals, list: &FileList, bundles: &Bundles) -> Vec<String> {
    let is_file =
        |entry: &&FileEntry| matches!(entry.kind, crate::repo::file_list::EntryKind::File { .. });
    let files = list.files.iter().filter(is_file).count() as u64;
    let size: u64 = list.files.iter().map(FileEntry::size).fold(0, u64::saturating_add);
    let data = bundles.keys().filter(|name| name.starts_with("bundle/")).count() as u64;
    let mut wrong = Vec::new();
    let mut compare = |what: &str, listed: u64, recorded: u64| {
        if listed != recorded {
            wrong.push(format!("it lists {listed} {what}, but the manifest records {recorded}"));
        }
    };
    compare("files", files, totals.files);
    compare("bytes of files", size, totals.size);
    compare("bundles", data, totals.bundles.into());
    if bundles.len() != list.bundles.len() {
        wrong.push("it lists a bundle twice".to_owned());
    }
    let mut seen = HashSet::new();
    if let Some(twice) = list.files.iter().find(|entry| !seen.insert(&entry.path)) {
        wrong.push(format!("it lists '{}' twice", twice.path));
    }
    wrong
}
