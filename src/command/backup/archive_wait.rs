//! Waits until the archive holds every WAL segment that a backup needs: without them it is worthless.

use std::time::{Duration, Instant};

use crate::{
    backup::source::{BackupStart, BackupStop},
    command::{Error, Result, context::Repo},
    config::ArchiveConfig,
    repo::{archive::WalArchive, stanza::StanzaEntry},
    types::{ErrorCode, StanzaName, WalSegment, WalSegmentSize},
};

const PAUSE: Duration = Duration::from_millis(100);
const NAMED_MAX: usize = 5;
