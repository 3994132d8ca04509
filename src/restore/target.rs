//! The recovery target and the target timeline of a restore.

use std::fmt;

use jiff::Timestamp;

use crate::types::{Lsn, TimeLine};

/// A moment at which recovery is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetTime(pub Timestamp);

impl fmt::Display for TargetTime {
    /// In the one form that every server reads as this moment, whatever its time zone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.strftime("%Y-%m-%d %H:%M:%S.%6f+00").fmt(f)
    }
}

/// Where recovery is to stop, and in what state the server then is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryTarget {
    /// At the end of the archived WAL.
    Latest,
    /// As soon as the copy is consistent.
    Immediate,
    /// At a time.
    Time(TargetTime),
    /// At a position.
    Lsn(Lsn),
    /// At a transaction; the text goes to PostgreSQL as it is.
    Xid(String),
    /// At a restore point.
    Name(String),
    /// Never: the server becomes a standby.
    Standby,
    /// Where the settings in the backup say.
    Preserve,
    /// At the end of what is in pg_wal: no recovery settings are written.
    None,
}

/// What the server does at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TargetAction {
    Pause,
    Promote,
    Shutdown,
}

/// The timeline that recovery follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimelineChoice {
    /// Not said: the newest, except for [`RecoveryTarget::Immediate`].
    Default,
    /// The newest in the archive.
    Latest,
    /// The one of the backup.
    Current,
    /// This one.
    Number(TimeLine),
}

impl RecoveryTarget {
    /// Whether recovery reads WAL behind the end of the backup.
    pub fn goes_on(&self) -> bool {
        !matches!(self, Self::Immediate | Self::Preserve | Self::None)
    }

    /// Whether recovery settings are written.
    pub fn has_settings(&self) -> bool {
        !matches!(self, Self::Preserve | Self::None)
    }
}
