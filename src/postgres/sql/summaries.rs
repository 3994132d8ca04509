//! State of the WAL summaries of PostgreSQL 17 or later.

use super::SqlClient;
use crate::{
    postgres::{Error, Result},
    types::{Lsn, TimeLine},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SummaryFacts {
    /// `summarize_wal`.
    pub enabled: bool,
    /// Start of the oldest summary of the timeline; `None` if there is none or the role may not see it.
    pub earliest: Option<Lsn>,
    /// When the server started, microseconds since 1970 by its clock.
    pub up_since_us: i64,
}

impl SqlClient {
    /// State of the summaries of `timeline`. Requires PostgreSQL 17.
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
