//! All knowledge of PostgreSQL: how to connect and speak to a server, what its backup stream holds,
//! and the files it writes. Knows no repository; what a version does differently is decided here.

mod base_backup;
mod connect;
mod error;
mod protocol;
mod tar;

pub use base_backup::{BackupEvent, BackupOptions, BackupStarted, BaseBackup, TablespaceRow};
pub use connect::{
    ChannelBindingMode, ConnectOptions, ConnectSettings, Endpoint, Password, SslMode, SslOptions,
};
pub use error::{Error, Result, ServerError};
pub use protocol::{CancelToken, ReplicationClient, SystemIdentity};
pub use tar::{TarEntry, TarEntryKind, TarEvent, TarReader};
