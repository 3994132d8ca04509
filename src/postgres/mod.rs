//! Everything specific to PostgreSQL: connections and protocol, the backup stream, and the files that it writes.
//! Independent of the repository. Differences between versions are handled here.

mod archive_command;
mod base_backup;
mod changed_blocks;
mod connect;
mod data_directory;
mod error;
mod format;
mod own_paths;
mod placement;
mod protocol;
mod refusal;
mod settings;
mod sql;
mod tar;

pub use archive_command::shown_archive_command;
pub use base_backup::{
    BackupEvent, BackupStarted, BaseBackup, BaseBackupOptions, LeftOut, TablespaceRow,
};
pub use changed_blocks::{ChangedBlocks, FileChanges};
pub use connect::{
    ChannelBindingMode, ConnectOptions, ConnectSettings, Endpoint, Password, SslMode, SslOptions,
};
pub use data_directory::{
    DataDirectory, DataDirectoryError, FileTimes, Scan, ScannedEntry, ScannedKind, Unseen, followed,
};
pub use error::{Error, Result, ServerError};
pub use format::{
    backup_end::{
        BACKUP_END_LENGTH, CHECKPOINT_START_LENGTH, backup_end, checkpoint_redo, wal_records,
    },
    backup_label::{BackupLabelFile, plain_backup_label},
    backup_manifest::{BackupManifest, ManifestFile, WalRange},
    config_file::{ConfigLine, config_lines, config_name, config_quoted},
    control_file::{ClusterState, ControlFile, catalog_version_of},
    incremental::{
        IncrementalHeader, IncrementalHeaderReader, PageRun, PageRuns, incremental_target,
    },
    manifest_builder::ManifestBuilder,
    manifest_edit::manifest_without,
    page::{RELATION_SEGMENT_BYTES, check_pages, is_checked_file, page_checksum},
    plain_manifest::{PlainFile, is_incremental_manifest, plain_manifest},
    postmaster_pid::{PostmasterPid, PostmasterStatus},
    wal_header::WalHeader,
};
pub use own_paths::is_of_postgres;
pub use placement::{PlacedDatabase, Placement, Required, RequiredKind, version_directory};
pub use protocol::{CancelToken, ReplicationClient, SystemIdentity};
pub use settings::{UnfitSetting, unfit_setting};
pub use sql::{
    ArchiverFacts, BackupSession, ControlCheckpoint, Database, Grantee, ServerFacts,
    SqlBackupStart, SqlBackupStop, SqlCancelToken, SqlClient, SummaryFacts, TablespaceInfo,
};
pub use tar::{TarEntry, TarEntryKind, TarEvent, TarReader};
