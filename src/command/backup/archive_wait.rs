//! Waits until the archive holds every WAL segment that a backup needs: without them it is worthless.

use std::time::{Duration, Instant};

use super::{cluster::Cluster, job::Job};
use crate::{
    backup::source::{BackupStart, BackupStop},
    command::{Error, Result, archive_command::shown},
    repo::archive::{SegmentRange, WalArchive},
    types::{ErrorCode, WalSegment},
};

const PAUSE: Duration = Duration::from_millis(100);
const NAMED_MAX: usize = 5;

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
    let size = cluster.source.facts().wal_segment_size;
    let first = WalSegment::containing(start.lsn, start.timeline, size);
    let last = WalSegment::ending_at(stop.lsn, stop.timeline, size);
    let range = SegmentRange { first, last, size };
    tracing::info!("check archive for segment(s) {first}:{last}");
    let deadline = Instant::now() + config.timeout;
    loop {
        let missing = archive.missing(range, NAMED_MAX).await?;
        if missing.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(not_archived(&missing, config.timeout, cluster).await);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn not_archived(missing: &[WalSegment], timeout: Duration, cluster: &Cluster) -> Error {
    let names: Vec<String> = missing.iter().map(WalSegment::to_string).collect();
    Error::Check {
        what: format!(
            "WAL segment(s) {} did not reach the archive within {}s",
            names.join(", "),
            timeout.as_secs()
        ),
        code: ErrorCode::ArchiveTimeout,
        hint: why(cluster).await,
    }
}

/// What the server that archives knows of it.
async fn why(cluster: &Cluster) -> String {
    let Some(server) = cluster.archiving_server() else {
        return "the primary archives the last segment when it is full: set archive_timeout there to \
                less than archive-timeout here, or name the primary among the pgN options, so that \
                it is asked to end the segment"
            .to_owned();
    };
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
    format!("{command}{failure}")
}
