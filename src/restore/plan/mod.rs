//! The plan of a restore: what will be done, as plain data. It is made, checked and shown before
//! the target is touched.

mod databases;
mod entries;
mod kept_links;
mod layout;
mod links;
mod outside;
mod planned_link;
mod tampering;
mod targets;
mod time;
mod timeline;
pub mod wal;

pub use databases::DatabaseChoice;
pub use entries::{
    CONTROL_FILE, CONTROL_FILE_PENDING, Entries, MARKER, MISSING_TO_VERIFY, PlannedDirectory,
};
pub use layout::{Layout, PlacementOptions, Root};
pub use outside::Outside;
pub use planned_link::{NamedBy, PlannedLink};
pub use time::{names_time_zone, parse_target_time};
pub use timeline::{ArchiveView, TimelineDecision};

use crate::repo::manifest::Manifest;

/// What a restore will do.
#[derive(Clone, Debug)]
pub struct RestorePlan {
    /// The backup.
    pub manifest: Manifest,
    /// Where everything goes.
    pub layout: Layout,
    /// What is made there.
    pub entries: Entries,
    /// The timeline that recovery will follow.
    pub timeline: TimelineDecision,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}
