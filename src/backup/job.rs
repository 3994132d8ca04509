//! A backup in progress. Its notice claims the label, and shows every other host that it has begun.

use rand::RngExt;

use super::{
    BackupOptions, BackupPlan, BackupTarget, Error, Result,
    pipeline::prior::Prior,
    plan::{check_references, choose_label},
};
use crate::{
    repo::{self, layout::BackupPaths, started::Started},
    storage::ErrorKind,
    types::BackupLabel,
    work,
};

/// Tries to take a label before another host takes the one of the same second.
const TRIES_MAX: usize = 10;

/// A backup in progress.
#[derive(Debug)]
pub struct BackupJob {
    /// The stanza it is written to.
    pub target: BackupTarget,
    /// How it is taken.
    pub options: BackupOptions,
    /// The plan, with the label that was claimed.
    pub plan: BackupPlan,
    /// The backup's paths in the repository.
    pub(super) paths: BackupPaths,
    /// The key of the block digests.
    pub(super) digest_key: [u8; 32],
    /// When it began, microseconds since 1970.
    pub(super) started_us: i64,
    /// The notice that it has begun, by which its objects are known to be its own.
    notice: Started,
}

impl BackupJob {
    /// A backup that starts now: takes a label and leaves the notice that it has begun.
    pub async fn begin(
        target: BackupTarget,
        options: BackupOptions,
        mut plan: BackupPlan,
    ) -> Result<Self> {
        let (paths, notice) = claim_label(&target, &mut plan).await?;
        let started_us = jiff::Timestamp::now().as_microsecond();
        let digest_key = digest_key(&plan);
        let job = Self { target, options, plan, paths, digest_key, started_us, notice };
        // An expire of another host may have removed them before the notice was there. From now on it sees the notice, and
        // leaves alone what the notice names.
        job.check_references().await?;
        Ok(job)
    }

    /// The label.
    pub fn label(&self) -> &BackupLabel {
        &self.plan.label
    }

    /// The label that the server is given, which ends up in its backup history file.
    pub(super) fn server_label(&self) -> String {
        format!("pgstrata backup {}", self.plan.label)
    }

    /// Makes sure that the backups which this one refers to are there.
    pub(super) async fn check_references(&self) -> Result<()> {
        let BackupTarget { storage, stanza, .. } = &self.target;
        check_references(&**storage, stanza, &self.plan.references).await
    }

    /// The prior backup, for the comparison. To be called once: it takes the file list out of the plan.
    pub(super) async fn take_prior(&mut self) -> Result<Option<Prior>> {
        let Some(base) = &mut self.plan.base else { return Ok(None) };
        let list = std::mem::take(&mut base.list);
        let (storage, manifest) = (self.target.storage.clone(), base.manifest.clone());
        let label = self.plan.label.clone();
        // With millions of files this takes seconds, and signals must be handled meanwhile.
        let indexing = work::blocking(move || Prior::new(storage, &manifest, list, &label));
        Ok(Some(indexing.await??))
    }

    /// Whether the label is still this backup's: an expire that saw no sign of life for a day takes the notice away, and
    /// with it what this backup has written. A notice with another nonce is of another backup.
    pub(super) async fn owns_label(&self) -> std::result::Result<bool, repo::Error> {
        let found = Started::read_opt(&*self.target.storage, &self.paths).await?;
        Ok(found.as_ref() == Some(&self.notice))
    }

    /// An error unless the label is still this backup's.
    pub(super) async fn check_notice(&self) -> Result<()> {
        match self.owns_label().await? {
            true => Ok(()),
            false => Err(self.removed()),
        }
    }

    /// The error of a backup whose objects were taken away.
    pub(super) fn removed(&self) -> Error {
        Error::LabelLost { label: self.plan.label.clone() }
    }
}

/// The key of the block digests: a chain shares one, because digests of different keys do not compare.
fn digest_key(plan: &BackupPlan) -> [u8; 32] {
    match &plan.base {
        Some(base) => base.manifest.block.digest_key.0,
        None => rand::rng().random(),
    }
}

/// Takes the label of the plan, or a later one where another host has taken that. The notice is the claim: it is created
/// and never overwritten, so of two hosts that chose one label in the same second one gets it.
async fn claim_label(
    target: &BackupTarget,
    plan: &mut BackupPlan,
) -> Result<(BackupPaths, Started)> {
    let BackupTarget { storage, stanza, .. } = target;
    let mut tries = 0;
    loop {
        let paths = BackupPaths::new(stanza, &plan.label)?;
        tries += 1;
        // It names what the backup builds on, which an expire of another host then leaves alone. Its nonce tells it from
        // a notice of another backup that took the label after an expire removed this one.
        let notice = Started::now(plan.references.clone(), None);
        match notice.write(&**storage, &paths).await {
            Ok(()) => return Ok((paths, notice)),
            Err(repo::Error::Storage(error))
                if error.kind() == ErrorKind::AlreadyExists && tries < TRIES_MAX => {}
            Err(error) => return Err(error.into()),
        }
        let prior = plan.base.as_ref().map(|base| &base.manifest.label);
        plan.label = choose_label(&**storage, stanza, plan.label.kind(), prior).await?;
    }
}
