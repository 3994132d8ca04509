//! Chooses what a diff or incr is compared with. Where nothing fits, a full is made and says why: a
//! schedule continues, and the log and `info` show the reason.

use crate::{
    backup::{BLOCK_SIZE, BackupTarget, Result, source::ClusterFacts},
    repo::{
        self,
        backup_list::{self, ListedBackup},
        file_list::FileList,
        manifest::Manifest,
        stanza::StanzaEntry,
    },
    storage::Storage,
    types::{BackupLabel, BackupType, StanzaName},
};

/// The type of a backup and what it builds on.
pub(super) struct Choice {
    /// The type, which is full where nothing fits.
    pub kind: BackupType,
    /// The prior backup; `None` for a full.
    pub base: Option<PriorBackup>,
    /// Why it is a full although another type was asked for.
    pub full_reason: Option<String>,
}

/// A backup that another one builds on.
#[derive(Debug)]
pub struct PriorBackup {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its files.
    pub list: FileList,
}

impl Choice {
    fn full(full_reason: Option<String>) -> Self {
        Self { kind: BackupType::Full, base: None, full_reason }
    }
}

/// Chooses the prior backup for the type that was asked for.
pub(super) async fn choose(
    requested: BackupType,
    target: &BackupTarget,
    facts: &ClusterFacts,
) -> Result<Choice> {
    let BackupTarget { storage, stanza, entry } = target;
    if requested == BackupType::Full {
        return Ok(Choice::full(None));
    }
    let mut backups = backup_list::list(storage, stanza).await?;
    let base = match newest(&backups, requested).map(|at| backups.remove(at)) {
        None => Err("no prior backup exists".to_owned()),
        Some((label, manifest)) => match usable(manifest, entry, facts, &backups)? {
            Ok(manifest) => read(&**storage, manifest).await?,
            Err(reason) => Err(format!("backup {label} cannot be the prior backup: {reason}")),
        },
    };
    match base {
        Ok(base) => {
            tracing::info!(
                "last backup label = {}, version = {}",
                base.manifest.label,
                base.manifest.program_version
            );
            Ok(Choice { kind: requested, base: Some(base), full_reason: None })
        }
        Err(reason) => {
            tracing::warn!("{reason}, {requested} backup has been changed to full");
            Ok(Choice::full(Some(reason)))
        }
    }
}

/// A diff builds on the newest full, an incr on the newest backup.
fn newest(backups: &[ListedBackup], requested: BackupType) -> Option<usize> {
    let fits =
        |label: &BackupLabel| requested == BackupType::Incr || label.kind() == BackupType::Full;
    backups.iter().rposition(|(label, _)| fits(label))
}

/// The manifest, or why a new backup must not refer to it. Errors that may pass stay the errors that they are.
/// `backups` are the others.
fn usable(
    manifest: std::result::Result<Manifest, repo::Error>,
    entry: &StanzaEntry,
    facts: &ClusterFacts,
    backups: &[ListedBackup],
) -> Result<std::result::Result<Manifest, String>> {
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(error) if error.is_damage() => return Ok(Err(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let reason = mismatch(&manifest, entry, facts).or_else(|| broken_chain(&manifest, backups));
    Ok(reason.map_or(Ok(manifest), Err))
}

fn mismatch(manifest: &Manifest, entry: &StanzaEntry, facts: &ClusterFacts) -> Option<String> {
    let cluster = &manifest.cluster;
    let reason = if cluster.version != facts.version {
        format!("it is of PostgreSQL {}, the cluster is {}", cluster.version, facts.version)
    } else if cluster.system_id != facts.system_id {
        format!("it is of cluster {}, this is {}", cluster.system_id, facts.system_id)
    } else if cluster.history_id != entry.id {
        "the stanza was upgraded since".to_owned()
    } else if cluster.page_size != facts.page_size {
        format!("its pages have {} bytes", cluster.page_size)
    } else if manifest.block.size != BLOCK_SIZE {
        format!("its blocks have {} bytes", manifest.block.size)
    } else {
        return None;
    };
    Some(reason)
}

/// The first of the backups that it refers to which is missing or damaged, as a reason.
fn broken_chain(manifest: &Manifest, backups: &[ListedBackup]) -> Option<String> {
    let is_there = |wanted: &BackupLabel| {
        backups.iter().any(|(label, manifest)| label == wanted && manifest.is_ok())
    };
    let missing = manifest.references.iter().find(|label| !is_there(label))?;
    Some(format!("it refers to backup {missing}, which is missing or damaged"))
}

async fn read(
    storage: &dyn Storage,
    manifest: Manifest,
) -> Result<std::result::Result<PriorBackup, String>> {
    match FileList::read(storage, &manifest).await {
        Ok(list) => Ok(Ok(PriorBackup { manifest, list })),
        Err(error) if error.is_damage() => {
            Ok(Err(format!("backup {} cannot be the prior backup: {error}", manifest.label)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Looks once more for the backups that a new one refers to: a retention run of another host may have
/// removed them.
pub(in crate::backup) async fn check_references(
    storage: &dyn Storage,
    stanza: &StanzaName,
    references: &[BackupLabel],
) -> Result<()> {
    for label in references {
        Manifest::read(storage, stanza, label).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        restore::tests::repository::manifest,
        storage,
        types::{
            ErrorCode, Failure, HistoryId, Lsn, PgVersion, SystemId, TimeLine, WalSegmentSize,
        },
    };

    /// Plans a backup on a prior one whose manifest could not be read.
    fn after(error: repo::Error) -> Result<std::result::Result<Manifest, String>> {
        let of = manifest("20261121-092452F", TimeLine(1), Lsn(1), Lsn(2), 0);
        let version = PgVersion::new(15).unwrap();
        let cluster = repo::stanza::ClusterId { system_id: SystemId(7), version };
        let entry = StanzaEntry {
            id: HistoryId(1),
            cluster,
            control_version: None,
            created: 0,
            nonce: None,
        };
        let facts = ClusterFacts {
            system_id: of.cluster.system_id,
            version,
            version_num: 150_018,
            wal_segment_size: WalSegmentSize::DEFAULT,
            page_size: 8192,
            page_checksums: false,
            data_directory_mode: 0o700,
            in_recovery: false,
        };
        usable(Err(error), &entry, &facts, &[])
    }

    #[test]
    fn every_error_of_a_prior_manifest_keeps_its_kind() {
        let denied = storage::Error::new(storage::ErrorKind::Denied, "read", "repo/manifest");
        let error = after(denied.into()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Access);
        assert!(error.hint().unwrap().contains("credentials"));
        let newer = repo::Error::Version { object: "manifest".to_owned(), found: 2, newest: 1 };
        let error = after(newer).unwrap_err();
        assert_eq!(error.code(), ErrorCode::RepoInvalid);
        assert!(error.hint().unwrap().contains("a newer one"));
        let object = "manifest".to_owned();
        assert!(after(repo::Error::Damaged { object, what: "SHA-256" }).unwrap().is_err());
    }
}
