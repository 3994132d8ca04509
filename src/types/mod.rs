//! Newtypes of all identifiers, values that the configuration and the engines share, and the error trait of all
//! modules.
//!
//! No I/O. Other modules use no plain `u64` or `String` for a position, a name or a digest, so that they cannot be
//! confused.

mod archive_file;
mod archive_id;
mod backup_label;
mod compress_type;
mod counted;
mod data_path;
mod digest;
mod failure;
mod lsn;
mod nearest;
mod nonce;
mod pg_version;
pub mod progress;
mod recovery;
mod redacted;
mod remote;
mod retention;
mod secret;
mod stanza;
mod system_id;
#[cfg(test)]
pub(crate) mod test_vectors;
mod timeline;
mod timeline_history;
mod wal_segment;
pub(crate) mod words;

pub use archive_file::ArchiveFile;
pub use archive_id::{ArchiveId, HistoryId};
pub use backup_label::{BackupLabel, BackupType};
pub use compress_type::{CompressType, Compression};
pub use counted::counted;
pub use data_path::{DataPath, escape_path, unescape_path};
pub use digest::{BlockDigest, Sha256};
pub use failure::{ErrorCode, Failure, Invalid, open_files_hint};
pub use lsn::Lsn;
pub use nearest::nearest_of;
pub use nonce::Nonce;
pub use pg_version::PgVersion;
pub use progress::{NoProgress, ProgressSink};
pub use recovery::{RecoveryTarget, TargetAction, TargetKind, TargetTime, TargetTimeline};
pub use redacted::without_passwords;
pub use remote::{FingerprintHash, HostKeyCheck, ObjectLock, ObjectLockMode, UriStyle};
pub use retention::{Calendar, FullType, RetentionSettings};
pub use secret::Secret;
pub use stanza::StanzaName;
pub use system_id::{Oid, SystemId};
pub use timeline::TimeLine;
pub use timeline_history::{HistoryEntry, TimelineHistory, TimelineSegments};
pub use wal_segment::{WalSegment, WalSegmentSize};
