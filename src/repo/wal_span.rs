//! Start and stop of a backup in the WAL.

use serde::{Deserialize, Serialize};

use crate::types::{Lsn, TimeLine};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span<T> {
    pub start: T,
    pub stop: T,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalPosition {
    pub lsn: Lsn,
    pub timeline: TimeLine,
}
