//! Hints for the source about the prior backup, so that it can leave out unchanged files and blocks.

use super::{BackupPlan, ChangeDetection};
use crate::{
    backup::{
        Result,
        pipeline::prior::Prior,
        source::{ChangeHint, SourceHints},
    },
    postgres::BackupManifest,
    repo::{manifest::Manifest, pg_manifest},
    storage::Storage,
    work,
};

/// The hints for the source; `None` where it is to yield everything, which is compared block by block. `makes_manifest`
/// says whether the source's server makes the new backup_manifest, `delta` that all files are to be read.
pub(in crate::backup) async fn hints(
    storage: &dyn Storage,
    plan: &mut BackupPlan,
    prior: Option<&mut Prior>,
    makes_manifest: bool,
    delta: bool,
) -> Result<Option<SourceHints>> {
    let (Some(base), Some(prior)) = (&plan.base, prior) else { return Ok(None) };
    let by_summaries = plan.changes == Some(ChangeDetection::Summaries);
    let hint = match (makes_manifest, by_summaries) {
        // A server that sends its files looks at summaries alone, never at times.
        (true, false) => return Ok(None),
        (true, true) => match pg_manifest::read(storage, &base.manifest).await {
            Ok(manifest) => ChangeHint::Summaries { backup_manifest: manifest.into() },
            // Only the server needs it: blocks can be compared without.
            Err(error) if error.is_damage() => {
                let changes = ChangeDetection::Fallback { reason: error.to_string() };
                changes.report();
                plan.changes = Some(changes);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        },
        (false, by_summaries) => {
            // The new backup_manifest is made here, and needs the checksums of the files that are not read.
            learn_checksums(storage, &base.manifest, prior).await?;
            match (by_summaries, times(delta, &base.manifest)) {
                (true, _) => ChangeHint::Summaries { backup_manifest: Default::default() },
                (false, Some(times)) => times,
                (false, None) => return Ok(None),
            }
        }
    };
    Ok(Some(SourceHints { files: prior.files(), wal: base.manifest.wal, hint }))
}

/// Files that are not read have the checksums they had. Without them the new backup_manifest has the
/// sizes alone.
async fn learn_checksums(storage: &dyn Storage, base: &Manifest, prior: &mut Prior) -> Result<()> {
    let reason = match pg_manifest::read(storage, base).await {
        Ok(bytes) => {
            let files = prior.files();
            // With millions of files this takes seconds, and signals must be handled meanwhile.
            let parsing = work::blocking(move || {
                BackupManifest::parse(&bytes).map(|manifest| files.checksums(&manifest))
            });
            match parsing.await? {
                Ok(checksums) => {
                    prior.learn_checksums(checksums);
                    return Ok(());
                }
                Err(error) => error.to_string(),
            }
        }
        Err(error) if error.is_damage() => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    tracing::warn!("unchanged files will have no checksum in the backup_manifest: {reason}");
    Ok(())
}

/// Sizes and times of files, where they can be compared with those of the prior backup: its copying began at a known time.
fn times(delta: bool, base: &Manifest) -> Option<ChangeHint> {
    if delta {
        return None;
    }
    let since_us = base.copy_start_us;
    if since_us.is_none() {
        tracing::info!(
            "reading and comparing all files: backup {} was not read from a data directory",
            base.label
        );
    }
    since_us.map(|since_us| ChangeHint::Times { since_us })
}
