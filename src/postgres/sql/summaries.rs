//! What a server of 17 or later says of its WAL summaries, by which it knows what changed.

use super::SqlClient;
use crate::{
    postgres::{Error, Result},
    types::{Lsn, TimeLine},
};

/// The state of the server's WAL summaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SummaryFacts {
    /// `summarize_wal`.
    pub enabled: bool,
    /// Where the oldest summary of the timeline begins; `None` where there is none, or where the role may
    /// not see it.
    pub earliest: Option<Lsn>,
    /// When the server started, microseconds since 1970 by its clock.
    pub up_since_us: i64,
}

impl SqlClient {
    /// What the server says of its WAL summaries of `timeline`. Only for servers of 17 or later.
    pub async fn summaries(&self, timeline: TimeLine) -> Result<SummaryFacts> {
        let enabled = self.setting("summarize_wal").await?.as_deref() == Some("on");
        Ok(SummaryFacts {
            enabled,
            earliest: self.earliest_summary(timeline).await?,
            up_since_us: self.postmaster_start_us().await?,
        })
    }

    async fn earliest_summary(&self, timeline: TimeLine) -> Result<Option<Lsn>> {
        let sql = "select min(start_lsn)::text from pg_catalog.pg_available_wal_summaries() \
            where tli = $1";
        match self.value::<Option<String>>(sql, &[&i64::from(timeline.0)]).await {
            Ok(lsn) => Ok(lsn.map(|text| text.parse()).transpose()?),
            Err(Error::PermissionDenied { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
