//! Plans a backup before anything is written: its type and label, the prior backup that it builds on, and how changes since
//! then are detected.

mod base;
mod change_detection;
mod label;
pub(super) mod source_hints;

pub use base::PriorBackup;
pub(super) use base::check_references;
pub use change_detection::ChangeDetection;
pub(super) use label::choose as choose_label;

use super::{
    BackupTarget, Result, cluster::ConnectedCluster, pipeline::prior::references,
    source::SourceKind,
};
use crate::types::{BackupLabel, BackupType};

/// The plan of a backup.
#[derive(Debug)]
pub struct BackupPlan {
    /// The label, unless a backup of another host takes it first. It says the type, which is full where nothing fits.
    pub label: BackupLabel,
    /// The prior backup, whose blocks are compared; `None` for a full.
    pub base: Option<PriorBackup>,
    /// Why it is a full although another type was asked for.
    pub full_reason: Option<String>,
    /// How changes since the prior backup are detected; `None` for a full.
    pub changes: Option<ChangeDetection>,
    /// The backups that the new one will refer to, oldest first: the whole chain.
    pub references: Vec<BackupLabel>,
    /// The source of the files.
    pub source: SourceKind,
}

/// Plans a backup of the type `requested`. `changes` is given if change detection was decided before.
pub async fn plan(
    target: &BackupTarget,
    cluster: &dyn ConnectedCluster,
    requested: BackupType,
    changes: Option<ChangeDetection>,
) -> Result<BackupPlan> {
    let source = cluster.source();
    let chosen = base::choose(requested, target, source.facts()).await?;
    let changes = match (&chosen.base, changes) {
        (None, _) => None,
        (Some(_), Some(changes)) => Some(changes),
        (Some(base), None) => Some(change_detection::decide(cluster, &base.manifest).await?),
    };
    if let Some(changes) = &changes {
        changes.report();
    }
    let prior = chosen.base.as_ref().map(|base| &base.manifest);
    let label = prior.map(|prior| &prior.label);
    Ok(BackupPlan {
        label: label::choose(&*target.storage, &target.stanza, chosen.kind, label).await?,
        references: prior.map(references).unwrap_or_default(),
        source: source.kind(),
        base: chosen.base,
        full_reason: chosen.full_reason,
        changes,
    })
}
