//! Newtypes for every identity the program handles, and the error discipline all modules share.
//!
//! Nothing here does I/O. A bare `u64` or `String` never stands for a position, a name or a
//! digest above this layer, so two of them cannot be mixed up.

mod archive_file;
mod archive_id;
mod backup_label;
mod compress_type;
mod data_path;
mod digest;
mod failure;
mod lsn;
mod nearest;
mod nonce;
mod pg_version;
pub mod progress;
mod redacted;
mod stanza;
mod system_id;
#[cfg(test)]
pub(crate) mod test_vectors;
mod timeline;
mod timeline_history;
mod wal_segment;

pub use archive_file::ArchiveFile;
pub use archive_id::{ArchiveId, HistoryId};
pub use backup_label::{BackupLabel, BackupType};
pub use compress_type::{CompressType, Compression};
pub use data_path::{DataPath, escape_path, unescape_path};
pub use digest::{BlockDigest, Sha256};
pub use failure::{ErrorCode, Failure, Invalid};
pub use lsn::Lsn;
pub use nearest::nearest_of;
pub use nonce::Nonce;
pub use pg_version::PgVersion;
pub use progress::{NoProgress, ProgressSink};
pub use redacted::without_passwords;
pub use stanza::StanzaName;
pub use system_id::{Oid, SystemId};
pub use timeline::TimeLine;
pub use timeline_history::{HistoryEntry, TimelineHistory, TimelineSegments};
pub use wal_segment::{WalSegment, WalSegmentSize};
