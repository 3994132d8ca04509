//! The options and the target of a backup: small structs in place of the configuration.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    repo::stanza::StanzaEntry,
    storage::Storage,
    types::{BackupType, Compression, StanzaName},
};

/// How a backup is taken.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// The type that was asked for; a full is made where nothing fits that it could build on.
    pub kind: BackupType,
    /// Ask for an immediate checkpoint instead of waiting for the next.
    pub start_fast: bool,
    /// Limit of what is read from the cluster, in kB/s.
    pub max_rate_kb: Option<u32>,
    /// Read and compare all files, whatever their sizes and times.
    pub delta: bool,
    /// Whether pages are checked; `None`: where the cluster has checksums.
    pub check_pages: Option<bool>,
    /// How many worker threads there are.
    pub threads: usize,
    /// How frames are compressed.
    pub compression: Compression,
    /// The stored size at which a bundle is full, in bytes.
    pub bundle_size: u64,
    /// How long to wait for the WAL of the backup in the archive; `None`: not at all.
    pub archive_timeout: Option<Duration>,
    /// Notes to keep with the backup.
    pub annotations: BTreeMap<String, String>,
}

/// The stanza of a repository that a backup is written to.
#[derive(Clone, Debug)]
pub struct BackupTarget {
    /// The repository.
    pub storage: Arc<dyn Storage>,
    /// The stanza.
    pub stanza: StanzaName,
    /// The cluster in the stanza's history.
    pub entry: StanzaEntry,
}
