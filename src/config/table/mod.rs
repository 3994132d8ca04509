//! The option table: one row an option, with the typed field and its reader in the same file. The command line, the
//! environment, the configuration files, the help, the completions, the manual page and the documentation are all made
//! from it.

mod archive;
mod backup;
mod expire;
mod general;
mod info;
mod key;
mod log;
mod pg;
mod repo;
mod repo_azure;
mod repo_cipher;
mod repo_gcs;
mod repo_host;
mod repo_retention;
mod repo_s3;
mod repo_sftp;
mod repo_store;
mod restore;
mod sync;
mod transport;

use super::{
    commands::Commands,
    spec::{Group, OptionRef, OptionSpec, Support, numbered, split_name},
};
use crate::types::nearest_of;

pub use archive::ArchiveConfig;
pub use backup::{BackupConfig, BackupStandby, SourceChoice};
pub use expire::{ExpireConfig, KeepConfig};
pub use general::{Config, OutputFormat};
pub(super) use general::{Parts, read};
pub use info::{DetailLevel, InfoConfig, RepoAccessConfig, SortOrder, VerifyConfig, VerifyReport};
pub use key::RepoKeyConfig;
pub use log::{LogConfig, LogFormat, LogLevel};
pub use pg::PgConfig;
pub use repo::{RepoConfig, RepoKind};
pub use repo_azure::{AzureConfig, AzureKeyType};
pub use repo_cipher::{CipherConfig, CipherType, PassSource};
pub use repo_gcs::{GcsConfig, GcsKeyType};
pub use repo_s3::{S3Config, S3KeyType, ServerEncryption};
pub use repo_sftp::SftpConfig;
pub use repo_store::RemoteConfig;
pub use restore::{ArchiveMode, RestoreConfig};
pub use sync::SyncConfig;

/// A part of the table, under the title it has in help.
pub struct Chapter {
    /// The title.
    pub title: &'static str,
    /// Its rows.
    pub rows: &'static [OptionSpec],
}

/// The whole table.
pub static CHAPTERS: &[Chapter] = &[
    Chapter { title: "General options", rows: general::ROWS },
    Chapter { title: "Archive options", rows: archive::ROWS },
    Chapter { title: "Backup options", rows: backup::ROWS },
    Chapter { title: "Expire options", rows: expire::ROWS },
    Chapter { title: "Restore options", rows: restore::ROWS },
    Chapter { title: "Information options", rows: info::ROWS },
    Chapter { title: "Key options", rows: key::ROWS },
    Chapter { title: "Copy options", rows: sync::ROWS },
    Chapter { title: "Log options", rows: log::ROWS },
    Chapter { title: "Cluster options", rows: pg::ROWS },
    Chapter { title: "Repository options", rows: repo::ROWS },
    Chapter { title: "Encryption options", rows: repo_cipher::ROWS },
    Chapter { title: "Retention options", rows: repo_retention::ROWS },
    Chapter { title: "Repository host options", rows: repo_host::ROWS },
    Chapter { title: "Remote repository options", rows: repo_store::ROWS },
    Chapter { title: "S3 options", rows: repo_s3::ROWS },
    Chapter { title: "Azure options", rows: repo_azure::ROWS },
    Chapter { title: "GCS options", rows: repo_gcs::ROWS },
    Chapter { title: "SFTP options", rows: repo_sftp::ROWS },
    Chapter { title: "Transport options", rows: transport::ROWS },
];

/// Every row.
pub fn rows() -> impl Iterator<Item = &'static OptionSpec> {
    CHAPTERS.iter().flat_map(|chapter| chapter.rows)
}

/// The row of that name (`pgN-path`, `stanza`).
pub fn row_named(name: &str) -> Option<&'static OptionSpec> {
    rows().find(|row| row.name == name)
}

/// What connects to a store was an option of each kind of store once; configurations of then still hold.
const OLD_NAMES: [(&str, &str); 11] = [
    ("repoN-azure-ca-file", "repoN-storage-ca-file"),
    ("repoN-azure-ca-path", "repoN-storage-ca-path"),
    ("repoN-azure-host", "repoN-storage-host"),
    ("repoN-azure-port", "repoN-storage-port"),
    ("repoN-azure-verify-tls", "repoN-storage-verify-tls"),
    ("repoN-s3-ca-file", "repoN-storage-ca-file"),
    ("repoN-s3-ca-path", "repoN-storage-ca-path"),
    ("repoN-s3-host", "repoN-storage-host"),
    ("repoN-s3-port", "repoN-storage-port"),
    ("repoN-s3-verify-ssl", "repoN-storage-verify-tls"),
    ("repoN-s3-verify-tls", "repoN-storage-verify-tls"),
];

/// The option that is meant by a name as users write it (`pg1-path`, `stanza`).
pub fn find(name: &str) -> Option<OptionRef> {
    let (row, key) = split_name(name)?;
    let today = OLD_NAMES.iter().find(|(old, _)| *old == row).map(|(_, new)| *new);
    let spec = row_named(today.unwrap_or(&row))?;
    (spec.group().is_some() == (key > 0)).then_some(OptionRef { spec, key })
}

/// The option that is meant where no number is needed, as in a request for help: `pg-path`,
/// `pgN-path` and `pg1-path` are the same.
pub fn find_any_key(name: &str) -> Option<&'static OptionSpec> {
    let with_letter = |group: Group| {
        let tail = name.strip_prefix(group.prefix())?.strip_prefix('-')?;
        row_named(&format!("{}N-{tail}", group.prefix()))
    };
    find(name)
        .map(|found| found.spec)
        .or_else(|| row_named(name))
        .or_else(|| with_letter(Group::Pg))
        .or_else(|| with_letter(Group::Repo))
}

/// The name closest to one that is unknown, numbers kept; `None` where nothing is near.
pub fn nearest(name: &str, commands: Commands) -> Option<String> {
    let digits: String =
        name.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    let key = digits.parse().ok().filter(|key| (1..=super::spec::KEY_MAX).contains(key));
    let candidates = rows()
        .filter(|row| row.commands.meets(commands) && row.support == Support::Used)
        .map(|row| numbered(row, key.unwrap_or(1)));
    nearest_of(name, candidates)
}

#[cfg(test)]
mod tests;
