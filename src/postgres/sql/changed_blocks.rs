//! Reads the WAL summaries of PostgreSQL 17 or later: waits until they reach the requested position, checks that there
//! is no gap, and collects the changed blocks.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use tokio::time::{sleep, timeout};
use tokio_postgres::{
    Row,
    types::{PgLsn, ToSql},
};
use tracing::debug;

use super::{SqlClient, column};
use crate::{
    postgres::{
        Error, Result,
        changed_blocks::{ChangedBlocks, SummaryRow},
    },
    types::{Lsn, Oid, TimeLine},
};

/// Timeout without progress; the same as the server's own (`WaitForWalSummarization` in
/// `src/backend/postmaster/walsummarizer.c`).
const STALL: Duration = Duration::from_secs(60);
/// Poll interval. It is short because a checkpoint wakes the summarizer.
const POLL_FIRST: Duration = Duration::from_millis(5);
const POLL_MAX: Duration = Duration::from_millis(500);
/// Summaries read by one query.
const SUMMARIES_PER_QUERY: usize = 256;

const STATE: &str = "select summarized_tli, summarized_lsn, pending_lsn, \
    pg_catalog.current_setting('summarize_wal')::bool from pg_catalog.pg_get_wal_summarizer_state()";
const LIST: &str = "select start_lsn, end_lsn from pg_catalog.pg_available_wal_summaries() \
    where tli = $1 and end_lsn > $2 and start_lsn < $3 order by start_lsn";
/// If a summary was removed meanwhile, the function raises an error: it never returns an empty result for it.
const CONTENTS: &str = "select c.reltablespace, c.reldatabase, c.relfilenode, c.relforknumber, \
    c.relblocknumber, c.is_limit_block \
    from unnest($2::pg_lsn[], $3::pg_lsn[]) as s (start_lsn, end_lsn) \
    cross join lateral pg_catalog.pg_wal_summary_contents($1, s.start_lsn, s.end_lsn) c";

/// Progress of the WAL summarizer.
struct Summarizer {
    timeline: TimeLine,
    /// End of the last summary on disk.
    summarized: Lsn,
    /// End of the WAL that is summarized in memory.
    pending: Lsn,
    enabled: bool,
}

impl SqlClient {
    /// Waits until the server has summarized its WAL up to `up_to`, the redo position of a checkpoint on `timeline`.
    /// [`Error::Summaries`] if `summarize_wal` is off or there is no progress for a minute. Requires PostgreSQL 17.
    pub async fn wait_for_summaries(&self, timeline: TimeLine, up_to: Lsn) -> Result<()> {
        let mut stall = Stall { pending: Lsn::default(), since: Instant::now() };
        let mut pause = POLL_FIRST;
        loop {
            let state = self.summarizer().await?;
            if state.timeline >= timeline && state.summarized >= up_to {
                return Ok(());
            }
            if let Some(why) = stall.reason(&state, Instant::now()) {
                return Err(missing(format!(
                    "{why}: WAL is summarized up to {} on timeline {}, and needed up to {up_to} on \
                     timeline {timeline}",
                    state.summarized, state.timeline
                )));
            }
            sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }

    /// Blocks changed by the WAL of `timeline` from `from` to `to`, from the server's summaries; call
    /// [`Self::wait_for_summaries`] first. [`Error::Summaries`] if the summaries have a gap. Summaries may begin
    /// before `from` or end after `to`, so the result can contain more blocks, never fewer. Requires PostgreSQL 17.
    pub async fn changed_blocks(
        &self,
        timeline: TimeLine,
        from: Lsn,
        to: Lsn,
    ) -> Result<ChangedBlocks> {
        let files = self.summary_files(timeline, from, to).await?;
        if let Some(gap) = first_gap(&files, from, to) {
            return Err(missing(format!(
                "no summary covers {gap} on timeline {timeline}, but all from {from} to {to} are needed"
            )));
        }
        let mut changed = ChangedBlocks::default();
        let mut rows = 0;
        for files in files.chunks(SUMMARIES_PER_QUERY) {
            rows += self.gather(timeline, files, &mut changed).await.map_err(about_summaries)?;
        }
        debug!("{} WAL summaries from {from} to {to} have {rows} entries", files.len());
        Ok(changed)
    }

    async fn summarizer(&self) -> Result<Summarizer> {
        let row = self.row(STATE, &[]).await?;
        Ok(Summarizer {
            timeline: TimeLine(column::<i64>(&row, 0)? as u32),
            summarized: lsn(&row, 1)?,
            pending: lsn(&row, 2)?,
            enabled: column(&row, 3)?,
        })
    }

    /// The summaries that overlap with the range, sorted by start.
    async fn summary_files(
        &self,
        timeline: TimeLine,
        from: Lsn,
        to: Lsn,
    ) -> Result<Vec<(Lsn, Lsn)>> {
        let parameters: [&(dyn ToSql + Sync); 3] =
            [&i64::from(timeline.0), &PgLsn::from(from.0), &PgLsn::from(to.0)];
        let rows = self.rows(LIST, &parameters).await?;
        rows.iter().map(|row| Ok((lsn(row, 0)?, lsn(row, 1)?))).collect()
    }

    /// Adds the blocks of these summaries and returns the number of rows. Rows are streamed, not collected.
    async fn gather(
        &self,
        timeline: TimeLine,
        files: &[(Lsn, Lsn)],
        changed: &mut ChangedBlocks,
    ) -> Result<u64> {
        let (starts, ends): (Vec<PgLsn>, Vec<PgLsn>) =
            files.iter().map(|(start, end)| (PgLsn::from(start.0), PgLsn::from(end.0))).unzip();
        let parameters: [&(dyn ToSql + Sync); 3] = [&i64::from(timeline.0), &starts, &ends];
        let stream = self.in_time(self.client.query_raw(CONTENTS, parameters)).await?;
        let mut stream = pin!(stream);
        let mut count = 0;
        while let Some(row) = self.in_time(stream.try_next()).await? {
            changed.add(&summary_row(&row)?);
            count += 1;
        }
        Ok(count)
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let seconds = self.query_timeout.as_secs();
        match timeout(self.query_timeout, work).await {
            Ok(result) => result.map_err(|error| self.query_error(CONTENTS, &error)),
            Err(_) => Err(Error::Timeout { doing: "reading WAL summaries", seconds }),
        }
    }
}

/// Detects that the summarizer makes no progress.
struct Stall {
    pending: Lsn,
    since: Instant,
}

impl Stall {
    /// Why to stop waiting; `None` to continue.
    fn reason(&mut self, state: &Summarizer, now: Instant) -> Option<&'static str> {
        if state.pending > self.pending {
            *self = Self { pending: state.pending, since: now };
        }
        if !state.enabled {
            Some("summarize_wal is off")
        } else if now - self.since >= STALL {
            Some("the server makes no progress with them")
        } else {
            None
        }
    }
}

/// The first position from `from` to `to` that no summary covers. `files` are sorted by start.
fn first_gap(files: &[(Lsn, Lsn)], from: Lsn, to: Lsn) -> Option<Lsn> {
    let mut reached = from;
    for (start, end) in files {
        if *start > reached {
            break;
        }
        reached = reached.max(*end);
    }
    (reached < to).then_some(reached)
}

fn summary_row(row: &Row) -> Result<SummaryRow> {
    let block: i64 = column(row, 4)?;
    let block = u32::try_from(block)
        .map_err(|_| Error::protocol(format!("a WAL summary has the block {block}")))?;
    Ok(SummaryRow {
        tablespace: Oid(column(row, 0)?),
        database: Oid(column(row, 1)?),
        relation: Oid(column(row, 2)?),
        fork: column(row, 3)?,
        block,
        is_limit: column(row, 5)?,
    })
}

fn lsn(row: &Row, at: usize) -> Result<Lsn> {
    Ok(Lsn(column::<PgLsn>(row, at)?.into()))
}

fn missing(reason: String) -> Error {
    Error::Summaries { reason }
}

/// A damaged or just removed summary rules out summaries, not the backup.
fn about_summaries(error: Error) -> Error {
    match error {
        Error::Server { source, .. } if source.refuses_incremental() => missing(source.to_string()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_found() {
        let gap = |files: &[(u64, u64)], from, to| {
            let files: Vec<_> = files.iter().map(|(start, end)| (Lsn(*start), Lsn(*end))).collect();
            first_gap(&files, Lsn(from), Lsn(to)).map(|lsn| lsn.0)
        };
        assert_eq!(gap(&[(0, 10), (10, 20), (20, 30)], 5, 30), None);
        assert_eq!(gap(&[(0, 10), (5, 20), (6, 7), (20, 30)], 0, 25), None);
        assert_eq!(gap(&[(0, 10), (11, 20)], 5, 20), Some(10));
        assert_eq!(gap(&[(6, 20)], 5, 20), Some(5));
        assert_eq!(gap(&[(0, 10), (10, 20)], 5, 21), Some(20));
        assert_eq!(gap(&[], 5, 6), Some(5));
        assert_eq!(gap(&[], 5, 5), None);
        assert_eq!(gap(&[], 6, 5), None);
    }

    #[test]
    fn only_a_minute_without_progress_is_too_long() {
        let begin = Instant::now();
        let mut stall = Stall { pending: Lsn(0), since: begin };
        let mut reason = |pending, seconds, enabled| {
            let state = Summarizer {
                timeline: TimeLine(1),
                summarized: Lsn(0),
                pending: Lsn(pending),
                enabled,
            };
            stall.reason(&state, begin + Duration::from_secs(seconds))
        };
        assert_eq!(reason(10, 0, true), None);
        assert_eq!(reason(10, 59, true), None);
        assert_eq!(reason(11, 70, true), None);
        assert_eq!(reason(11, 129, true), None);
        assert_eq!(reason(11, 130, true), Some("the server makes no progress with them"));
        assert_eq!(reason(12, 131, false), Some("summarize_wal is off"));
    }
}
