//! Waits until the archive has every WAL segment of a backup, as its server wrote them. Without them the backup cannot be
//! restored.

use std::time::{Duration, Instant};

use super::{
    BackupJob, BackupTarget, Error, Result,
    cluster::ConnectedCluster,
    lacking_wal::LackingWal,
    source::{BackupStart, BackupStop},
    wal_proof::Proof,
};
use crate::{
    postgres::{ControlCheckpoint, shown_archive_command},
    repo::archive::WalArchive,
};

const PAUSE: Duration = Duration::from_millis(100);

/// Waits for the segments from start to stop, at most as long as `archive-timeout` says.
pub(super) async fn wait(
    job: &BackupJob,
    cluster: &dyn ConnectedCluster,
    start: &BackupStart,
    stop: &BackupStop,
    restartpoint: Option<ControlCheckpoint>,
) -> Result<()> {
    let Some(timeout) = job.options.archive_timeout else {
        tracing::warn!(
            "archive-check is off: not checking that the WAL of this backup is archived"
        );
        return Ok(());
    };
    let BackupTarget { storage, stanza, entry } = &job.target;
    let archive = WalArchive::new(storage.clone(), stanza, entry.archive_id())?;
    let proof =
        Proof::new(&archive, cluster, job.server_label(), start, stop, restartpoint).await?;
    let (first, last) = proof.ends();
    tracing::info!("check archive for segment(s) {first}:{last}");
    let deadline = Instant::now() + timeout;
    loop {
        let Some(lacking) = proof.lacking().await? else { return proof.check_content().await };
        if Instant::now() >= deadline {
            return Err(not_archived(lacking, timeout, cluster).await);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn not_archived(
    lacking: LackingWal,
    timeout: Duration,
    cluster: &dyn ConnectedCluster,
) -> Error {
    let hint = hint(&lacking, cluster).await;
    Error::NotArchived { lacking, timeout, hint }
}

/// Hint from the archiver's own view. It only adds to an error, so a question that fails is passed over.
async fn hint(lacking: &LackingWal, cluster: &dyn ConnectedCluster) -> String {
    let failure = match cluster.archiver().await {
        Ok(None) => {
            return "the primary archives the last segment when it is full: set archive_timeout on \
                    the primary below the archive-timeout option, or configure the primary as a \
                    pgN, so that it is asked to switch WAL"
                .to_owned();
        }
        Ok(Some(facts)) if facts.failing => format!(
            "it last failed for {} at {}; see the server's log",
            facts.last_failed_wal.unwrap_or_default(),
            facts.last_failed_time.unwrap_or_default()
        ),
        Ok(Some(facts)) => format!(
            "the server reports {} as archived: check that archive_command writes to this \
             repository",
            facts.last_archived_wal.unwrap_or_else(|| "nothing".to_owned())
        ),
        Err(_) => "run the check command".to_owned(),
    };
    let command = cluster.archiver_setting("archive_command").await.ok().flatten();
    let command = command.map_or(String::new(), |command| {
        format!("archive_command is '{}'; ", shown_archive_command(&command))
    });
    let also = match lacking {
        LackingWal::Segments(_) | LackingWal::TimelineHistory(_) => "",
        _ => {
            "\n\
             segments with these names are in the archive: if another server archives into this \
             stanza, such as a restored copy, they may be its WAL. If WAL is not archived by \
             archive_command, use --no-archive-check"
        }
    };
    format!("{command}{failure}{also}")
}
