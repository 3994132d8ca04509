//! The recovery target: where recovery stops, what the server does there, and which timeline it follows.

use std::{fmt, str::FromStr};

use jiff::Timestamp;

use super::{Invalid, Lsn, TimeLine, words::words};

words! {
    /// The words of `restore --type`.
    pub enum TargetKind ("recovery target type") {
        Default = "default",
        Immediate = "immediate",
        Lsn = "lsn",
        Name = "name",
        None = "none",
        Preserve = "preserve",
        Standby = "standby",
        Time = "time",
        Xid = "xid",
    }
}

impl TargetKind {
    /// Whether the target is named by a text.
    pub fn needs_text(self) -> bool {
        match self {
            Self::Lsn | Self::Name | Self::Time | Self::Xid => true,
            Self::Default | Self::Immediate | Self::None | Self::Preserve | Self::Standby => false,
        }
    }
}

/// A moment at which recovery is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetTime(pub Timestamp);

impl fmt::Display for TargetTime {
    /// In the one form that every server reads as this moment, whatever its time zone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.strftime("%Y-%m-%d %H:%M:%S.%6f+00").fmt(f)
    }
}

/// Where recovery is to stop. A configuration has the text of a time, which a restore reads in the host's time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryTarget<Time = TargetTime> {
    /// At the end of the archived WAL (`default`).
    Latest,
    /// As soon as the cluster is consistent.
    Immediate,
    /// At a time.
    Time(Time),
    /// At a WAL position.
    Lsn(Lsn),
    /// At a transaction; the text goes to PostgreSQL as it is.
    Xid(String),
    /// At a restore point.
    Name(String),
    /// Never: the server becomes a standby.
    Standby,
    /// Where the recovery settings in the backup say.
    Preserve,
    /// At the end of pg_wal: no recovery settings are written.
    None,
}

impl<Time> RecoveryTarget<Time> {
    /// Whether recovery reads WAL behind the end of the backup.
    pub fn goes_on(&self) -> bool {
        !matches!(self, Self::Immediate | Self::Preserve | Self::None)
    }

    /// Whether recovery settings are written.
    pub fn has_settings(&self) -> bool {
        !matches!(self, Self::Preserve | Self::None)
    }

    /// The same target with another form of its time.
    pub fn try_map_time<Other, E>(
        self,
        map: impl FnOnce(Time) -> Result<Other, E>,
    ) -> Result<RecoveryTarget<Other>, E> {
        Ok(match self {
            Self::Latest => RecoveryTarget::Latest,
            Self::Immediate => RecoveryTarget::Immediate,
            Self::Time(time) => RecoveryTarget::Time(map(time)?),
            Self::Lsn(lsn) => RecoveryTarget::Lsn(lsn),
            Self::Xid(text) => RecoveryTarget::Xid(text),
            Self::Name(text) => RecoveryTarget::Name(text),
            Self::Standby => RecoveryTarget::Standby,
            Self::Preserve => RecoveryTarget::Preserve,
            Self::None => RecoveryTarget::None,
        })
    }
}

words! {
    /// What the server does at the recovery target.
    pub enum TargetAction ("target action") {
        Pause = "pause",
        Promote = "promote",
        Shutdown = "shutdown",
    }
}

/// The timeline that recovery follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetTimeline {
    /// Not given: the newest, except for [`RecoveryTarget::Immediate`].
    Default,
    /// The newest in the archive.
    Latest,
    /// The timeline of the backup.
    Current,
    /// A timeline by its number.
    Number(TimeLine),
}

impl FromStr for TargetTimeline {
    type Err = Invalid;

    /// `latest`, `current` or a number, hexadecimal after `0x`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let number = match text.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        };
        match (text, number) {
            ("latest", _) => Ok(Self::Latest),
            ("current", _) => Ok(Self::Current),
            (_, Some(number)) if number > 0 => Ok(Self::Number(TimeLine(number))),
            _ => {
                let reason = "it must be latest, current or the number of a timeline";
                Err(Invalid::new("timeline", text, reason))
            }
        }
    }
}
