//! Waits until the archive holds every WAL segment that a backup needs, as this server wrote them: without them it is
//! worthless.

use std::time::{Duration, Instant};

use super::{
    cluster::Cluster,
    job::Job,
    wal_proof::{Lacking, Proof},
};
use crate::{
    backup::source::{BackupStart, BackupStop},
    command::{Error, Result, archive_command::shown},
    postgres::SqlClient,
    repo::archive::WalArchive,
    types::ErrorCode,
};

const PAUSE: Duration = Duration::from_millis(100);

/// Waits for the segments from start to stop, at most as long as `archive-timeout` says.
pub(super) async fn wait(
    job: &Job<'_>,
    cluster: &Cluster,
    start: &BackupStart,
    stop: &BackupStop,
) -> Result<()> {
    let config = &job.config.archive;
    if !config.check {
        tracing::warn!(
            "archive-check is off: whether the WAL of this backup is archived is not known"
        );
        return Ok(());
    }
    let archive = WalArchive::new(job.repo.storage.clone(), job.stanza, job.entry.archive_id())?;
    let proof = Proof::new(&archive, cluster, job.label.to_string(), start, stop).await?;
    let (first, last) = proof.ends();
    tracing::info!("check archive for segment(s) {first}:{last}");
    let deadline = Instant::now() + config.timeout;
    loop {
        let Some(lacking) = proof.lacking().await? else { return proof.check_content().await };
        if Instant::now() >= deadline {
            return Err(not_archived(&lacking, config.timeout, cluster).await);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn not_archived(lacking: &Lacking, timeout: Duration, cluster: &Cluster) -> Error {
    let hint = match cluster.archiving_server() {
        Some(server) => why(server, lacking).await,
        None => "the primary archives the last segment when it is full: set archive_timeout there to \
                 less than archive-timeout here, or name the primary among the pgN options, so that \
                 it is asked to end the segment"
            .to_owned(),
    };
    let what = format!("{lacking} within {}s", timeout.as_secs());
    Error::Check { what, code: ErrorCode::ArchiveTimeout, hint }
}

/// What the server that archives knows of it.
async fn why(server: &SqlClient, lacking: &Lacking) -> String {
    let command = server.setting_if_visible("archive_command").await.ok().flatten();
    let command =
        command.map_or(String::new(), |c| format!("archive_command is '{}'; ", shown(&c)));
    let failure = match server.archiver().await {
        Ok(facts) if facts.failing => format!(
            "it last failed for {} at {}, see the server's log",
            facts.last_failed_wal.unwrap_or_default(),
            facts.last_failed_time.unwrap_or_default()
        ),
        Ok(facts) => format!(
            "the server takes {} as archived, so does the command store it in this repository?",
            facts.last_archived_wal.unwrap_or_else(|| "nothing".to_owned())
        ),
        Err(_) => "run check to see whether the command reaches this repository".to_owned(),
    };
    let also = match lacking {
        Lacking::Segments(_) | Lacking::TimelineHistory(_) => "",
        _ => {
            "\nsegments of these names are there: if another server archives into this stanza, such as a restored \
              copy, they may be its WAL. Where WAL comes in another way than by archive_command, use \
              --no-archive-check"
        }
    };
    format!("{command}{failure}{also}")
}
