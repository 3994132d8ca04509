//! Decides how changes since the prior backup are detected: by the server's WAL summaries if these can be relied on, else by
//! comparing every block, which is slower and as good.

use crate::{
    backup::{BLOCK_SIZE, Error, Result, cluster::ConnectedCluster},
    repo::manifest::{ChangeRecord, ChangesBy, Manifest, WalPosition},
    types::{Lsn, TimeLine},
};

/// The first major version that has WAL summaries.
const SUMMARIES_SINCE: u32 = 17;

/// How changes since the prior backup are detected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeDetection {
    /// The server is asked, and sends nothing else.
    Summaries,
    /// Blocks are compared, because the server cannot do better.
    Blocks,
    /// Blocks are compared, because the server is not set up to do better.
    NotSetUp {
        /// What is missing.
        reason: String,
    },
    /// Blocks are compared although the server is set up to do better.
    Fallback {
        /// Why.
        reason: String,
    },
}

impl ChangeDetection {
    /// The change detection to fall back to after the server's incremental backup failed with `error`; `None` if any
    /// backup would have failed.
    pub fn after(error: &Error) -> Option<Self> {
        error.is_about_incremental().then(|| Self::Fallback { reason: error.to_string() })
    }

    /// For the manifest.
    pub fn record(&self) -> ChangeRecord {
        let (by, reason) = match self {
            Self::Summaries => (ChangesBy::Summaries, None),
            Self::Blocks => (ChangesBy::Blocks, None),
            Self::NotSetUp { reason } | Self::Fallback { reason } => {
                (ChangesBy::Blocks, Some(reason.clone()))
            }
        };
        ChangeRecord { by, reason }
    }

    /// Says it in the log: what was to be expected quietly, what was not loudly.
    pub(in crate::backup) fn report(&self) {
        match self {
            Self::Summaries => tracing::info!("finding changes in the server's WAL summaries"),
            Self::Blocks => {}
            Self::NotSetUp { reason } => {
                tracing::info!("finding changes by comparing blocks, because {reason}");
            }
            Self::Fallback { reason } => {
                tracing::warn!("finding changes by comparing blocks, because {reason}");
            }
        }
    }
}

/// The facts that the decision is made from: the server as it is now, and the prior backup.
struct DetectionFacts {
    version_num: u32,
    page_size: u32,
    several_sources: bool,
    timeline: TimeLine,
    enabled: bool,
    earliest: Option<Lsn>,
    up_since_us: i64,
    prior_version_num: u32,
    prior_start: WalPosition,
    prior_stop: WalPosition,
    prior_started_us: i64,
}

/// Decides how changes since `prior` are detected.
pub(super) async fn decide(
    cluster: &dyn ConnectedCluster,
    prior: &Manifest,
) -> Result<ChangeDetection> {
    let server = cluster.source().facts();
    if server.version_num / 10_000 < SUMMARIES_SINCE {
        return Ok(ChangeDetection::Blocks);
    }
    let timeline = cluster.source().timeline();
    let summaries = cluster.summaries(timeline).await?;
    Ok(judge(&DetectionFacts {
        version_num: server.version_num,
        page_size: server.page_size,
        several_sources: cluster.details().several_sources,
        timeline,
        enabled: summaries.enabled,
        earliest: summaries.earliest,
        up_since_us: summaries.up_since_us,
        prior_version_num: prior.cluster.version_num,
        prior_start: prior.wal.start,
        prior_stop: prior.wal.stop,
        prior_started_us: prior.timestamp_us.start,
    }))
}

fn judge(facts: &DetectionFacts) -> ChangeDetection {
    // First, because a server that was never set up for it is no reason to warn.
    if !facts.enabled {
        let reason = "summarize_wal is off; with summarize_wal=on the server reads and sends only \
                      changed blocks"
            .to_owned();
        return ChangeDetection::NotSetUp { reason };
    }
    match obstacle(facts) {
        Some(reason) => ChangeDetection::Fallback { reason },
        None => ChangeDetection::Summaries,
    }
}

/// Why the server's answer cannot be had, or not be relied on.
fn obstacle(facts: &DetectionFacts) -> Option<String> {
    let DetectionFacts { prior_start: start, prior_stop: stop, timeline, .. } = facts;
    // Summaries count in pages. A page that has not changed must be a block that has not changed.
    if facts.page_size != BLOCK_SIZE {
        return Some(format!("the server's pages have {} bytes", facts.page_size));
    }
    if let Some(fixed) = fixed_in(facts.version_num) {
        return Some(format!(
            "PostgreSQL {} can miss changes in its WAL summaries, {} does not",
            shown(facts.version_num),
            shown(fixed)
        ));
    }
    // The summaries since the prior backup are as old as that: an update does not make them again.
    if fixed_in(facts.prior_version_num).is_some() {
        return Some(format!(
            "the WAL summaries since the prior backup are of PostgreSQL {}, which can miss changes",
            shown(facts.prior_version_num)
        ));
    }
    // Of another timeline the prior backup may have blocks from behind the fork, which this timeline never had.
    if let Some(other) = [start, stop].into_iter().find(|at| at.timeline != *timeline) {
        return Some(format!(
            "the prior backup is of timeline {}, the server is on timeline {timeline}",
            other.timeline
        ));
    }
    // The prior backup may be another server's. What this one ran before its last start is not known.
    if facts.several_sources && facts.up_since_us > facts.prior_started_us {
        return Some(
            "the server was started after the prior backup, which may be from another server: its \
             WAL summaries may be from a version that can miss changes"
                .to_owned(),
        );
    }
    // Pages that changed while the prior backup was taken are in it old or new. So summaries are needed from its start on,
    // not from its stop. Where the earliest one is not known, the server itself refuses if it lacks any.
    let earliest = facts.earliest.filter(|earliest| *earliest > start.lsn)?;
    Some(format!(
        "the oldest WAL summary of the server begins at {earliest}, the prior backup at {}",
        start.lsn
    ))
}

/// The minor version that can be relied on, where `version_num` cannot. Before it the summarizer
/// (`src/backend/postmaster/walsummarizer.c`) misses visibility maps that are cleared, and may not get over the end of a
/// timeline.
fn fixed_in(version_num: u32) -> Option<u32> {
    let fixed = match version_num / 10_000 {
        17 => 170_011,
        18 => 180_006,
        _ => return None,
    };
    (version_num < fixed).then_some(fixed)
}

fn shown(version_num: u32) -> String {
    format!("{}.{}", version_num / 10_000, version_num % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lsn: u64, timeline: u32) -> WalPosition {
        WalPosition { lsn: Lsn(lsn), timeline: TimeLine(timeline) }
    }

    fn good() -> DetectionFacts {
        DetectionFacts {
            version_num: 170_011,
            page_size: BLOCK_SIZE,
            several_sources: false,
            timeline: TimeLine(2),
            enabled: true,
            earliest: Some(Lsn(100)),
            up_since_us: 50,
            prior_version_num: 170_011,
            prior_start: at(100, 2),
            prior_stop: at(200, 2),
            prior_started_us: 60,
        }
    }

    #[test]
    fn a_server_that_can_be_relied_on_is_asked() {
        assert_eq!(judge(&good()), ChangeDetection::Summaries);
        let unseen = DetectionFacts { earliest: None, ..good() };
        assert_eq!(judge(&unseen), ChangeDetection::Summaries);
        let one_of_two = DetectionFacts { several_sources: true, ..good() };
        assert_eq!(judge(&one_of_two), ChangeDetection::Summaries);
        for version_num in [180_006, 190_000] {
            let newer = DetectionFacts { version_num, prior_version_num: version_num, ..good() };
            assert_eq!(judge(&newer), ChangeDetection::Summaries);
        }
    }

    #[test]
    fn what_is_switched_off_is_no_surprise() {
        let off = DetectionFacts { enabled: false, version_num: 170_001, ..good() };
        assert!(matches!(judge(&off), ChangeDetection::NotSetUp { .. }));
    }

    #[test]
    fn each_obstacle_has_its_reason() {
        let of = |facts: DetectionFacts| match judge(&facts) {
            ChangeDetection::Fallback { reason } => reason,
            other => panic!("{other:?}"),
        };
        let reasons = [
            of(DetectionFacts { page_size: 4096, ..good() }),
            of(DetectionFacts { version_num: 170_010, ..good() }),
            of(DetectionFacts { version_num: 180_005, ..good() }),
            of(DetectionFacts { prior_version_num: 170_010, ..good() }),
            of(DetectionFacts { timeline: TimeLine(3), ..good() }),
            of(DetectionFacts { prior_start: at(100, 1), ..good() }),
            of(DetectionFacts { several_sources: true, up_since_us: 61, ..good() }),
            of(DetectionFacts { earliest: Some(Lsn(101)), ..good() }),
        ];
        insta::assert_snapshot!(reasons.join("\n"));
    }

    #[test]
    fn only_errors_about_the_incremental_backup_are_fallen_back_from() {
        let path = crate::types::DataPath::new(b"base/5/1").unwrap();
        let about =
            crate::postgres::Error::IncrementalFile { path, reason: "it is odd".to_owned() };
        let fallback = ChangeDetection::after(&about.into()).unwrap();
        assert_eq!(fallback.record().by, ChangesBy::Blocks);
        assert!(fallback.record().reason.unwrap().contains("base/5/1"));
        assert!(ChangeDetection::after(&crate::work::Error::Cancelled.into()).is_none());
        assert_eq!(ChangeDetection::Summaries.record().by, ChangesBy::Summaries);
        assert_eq!(ChangeDetection::Blocks.record().reason, None);
    }
}
