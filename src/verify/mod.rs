//! Verifies a repository: reads everything of a stanza, or of one set, and processes it like restore and archive-get,
//! except for writing.
//!
//! In order: the key objects; the stanza's history; manifests, file lists and the other metadata of every backup; the
//! block maps; the bundles; the WAL; then the continuity of the WAL. A fault in one object never ends the
//! verification: it is recorded with the backups it affects.
//!
//! A bundle is read once from start to end, for three checks: its SHA-256, the decompressed length of every frame, and
//! the digest of every block in these frames of every file of every backup. For this the block maps are read first,
//! chain by chain (a full backup with all that depends on it, because blocks are referred to only within a chain), and
//! their claims on each bundle are gathered. A map that several backups share is decoded once, and of a patched map
//! only the blocks that differ from its base are gathered.
//!
//! Memory: one file list at a time, and the claims, which have a limit ([`Options::claims_max`]). When it is reached,
//! the bundles with claims are read and their claims are dropped. If a later map has claims on a bundle that was
//! already read, only these frames are fetched again. Each worker has one frame in memory, compressed and raw.

mod archive;
mod assemble;
mod backups;
mod bundle;
mod chain;
mod claims;
mod error;
mod findings;
mod history;
mod inventory;
mod keys;
mod links;
mod metadata;
mod pool;
mod report;
mod windows;

use std::{sync::Arc, time::Instant};

pub use error::Error;
pub use report::{
    AffectedFile, ArchiveReport, BackupReport, Checked, Fault, FaultKind, LeftOver, Report,
};

use self::{
    archive::Archives, backups::Backups, findings::Findings, inventory::Inventory,
    links::LinksListed,
};
use crate::{
    codec::encrypt::DataKeyId,
    repo::retention,
    storage::Storage,
    types::{BackupLabel, ProgressSink, StanzaName},
};

#[derive(Clone, Debug)]
pub struct Options {
    /// Only this backup, the backups it refers to, and the WAL it needs.
    pub set: Option<BackupLabel>,
    /// The retention of expire: WAL that it removes is not missing.
    pub retention: retention::Settings,
    /// Number of threads that decompress and compute digests.
    pub threads: usize,
    /// The key of an encrypted repository.
    pub data_key: Option<DataKeyId>,
    /// Maximum memory in bytes for the claims of block maps.
    pub claims_max: usize,
}

impl Options {
    /// Enough for the claims of about 80 GiB of raw data.
    pub const CLAIMS_MAX: usize = 128 << 20;
}

/// Verifies a stanza in one repository. Returns an error only if no report is possible: a missing stanza, a store that
/// cannot be listed, a missing set.
pub async fn verify(
    storage: &Arc<dyn Storage>,
    stanza: &StanzaName,
    options: &Options,
    progress: &dyn ProgressSink,
) -> Result<Report, Error> {
    let started = Instant::now();
    let links = Arc::new(LinksListed::new(Arc::clone(storage)));
    let storage: &Arc<dyn Storage> = &(Arc::clone(&links) as Arc<dyn Storage>);
    let mut findings = Findings::default();
    keys::check(&**storage, options, &mut findings).await?;
    let history = history::check(&**storage, stanza, &mut findings).await?;
    let inventory = Inventory::list(&**storage, stanza).await?;
    let mut backups = Backups::read(storage, stanza, &inventory, options, &mut findings).await?;
    let archives =
        Archives::list(storage, stanza, &history, &backups, options, &mut findings).await?;
    progress.start(Some(backups.stored_size(&inventory) + archives.stored_size()));
    backups.check_consistency(&history, &inventory, &mut findings);
    chain::verify(storage, &mut backups, &inventory, options, progress, &mut findings).await?;
    let windows = windows::check(storage, &backups, options, &mut findings).await;
    archives.verify(options, &backups, &windows, progress, &mut findings).await;
    if options.set.is_none() {
        backups.report_orphans(&inventory, &mut findings);
    }
    links.report(&mut findings);
    findings.drop_expired(&**storage, stanza, backups.in_scope()).await;
    progress.finish();
    Ok(assemble::report(findings, &backups, &inventory, archives, windows, started.elapsed()))
}

#[cfg(test)]
mod tests;
