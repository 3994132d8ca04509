//! Proves what a repository holds: reads everything of a stanza, or of one set, and does with it what
//! a restore and archive-get would do, except for writing.
//!
//! In order: the key objects; the stanza's history; manifests, file lists and the other metadata of every backup; the
//! block maps; the bundles; the WAL; then the gaps between all these. A fault in one object never stops
//! the rest: it is noted, with the backups it affects, and the next object is read.
//!
//! A bundle is read once, from its start to its end, and serves three proofs: its SHA-256, every frame
//! decompressed to its raw length, and every block of every file of every backup that lies in those
//! frames against its digest. For this the block maps are read first, chain by chain (a full with all
//! that depends on it, as blocks are referred to within a chain only), and what they claim of each
//! bundle is gathered. Each map is decoded once however many backups share it, and of a patched map
//! only what its base does not say already is gathered.
//!
//! Memory: one file list at a time, and the claims, which have a budget ([`Options::claims_max`]). When
//! the budget is spent, the bundles whose claims are gathered are read and their claims dropped. Should a
//! later map claim something of a bundle that was read already, only the frames in question are
//! fetched again. A worker holds one frame, compressed and raw.

mod archive;
mod backups;
mod bundle;
mod chain;
mod claims;
mod error;
mod history;
mod inventory;
mod keys;
mod metadata;
mod pool;
mod report;
mod windows;

use std::{sync::Arc, time::Instant};

pub use error::Error;
pub use report::{
    AffectedFile, ArchiveReport, BackupReport, Checked, Fault, FaultKind, LeftOver, Report,
};

use self::{archive::Archives, backups::Backups, inventory::Inventory, report::Findings};
use crate::{
    codec::encrypt::DataKeyId,
    repo::retention,
    storage::Storage,
    types::{BackupLabel, ProgressSink, StanzaName},
};

/// What is to be verified, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only this backup, what it refers to, and the WAL it needs.
    pub set: Option<BackupLabel>,
    /// What expire keeps: WAL that it removes is not missed.
    pub retention: retention::Settings,
    /// How many threads decompress and digest.
    pub threads: usize,
    /// What the objects of an encrypted repository are encrypted with.
    pub data_key: Option<DataKeyId>,
    /// How many bytes of memory the claims of block maps may take.
    pub claims_max: usize,
}

impl Options {
    /// Enough for the claims of about 80 GiB of raw data.
    pub const CLAIMS_MAX: usize = 128 << 20;
}

/// Verifies a stanza in one repository. An error is only what keeps anything from being told: a stanza
/// that does not exist, a store that cannot be listed, a set that is not there.
pub async fn verify(
    storage: &Arc<dyn Storage>,
    stanza: &StanzaName,
    options: &Options,
    progress: &dyn ProgressSink,
) -> Result<Report, Error> {
    let started = Instant::now();
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
        inventory.report_strangers(&backups, &mut findings);
    }
    findings.drop_expired(&**storage, stanza, &backups).await;
    progress.finish();
    Ok(findings.report(&backups, &inventory, archives, windows, started.elapsed()))
}

#[cfg(test)]
mod tests;
