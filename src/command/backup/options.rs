//! From the configuration to the options of the backup engine.

use crate::{
    backup::BackupOptions,
    config::{Config, RepoConfig},
};

/// The options of a backup into the repository of `repo`.
pub(super) fn options(config: &Config, repo: &RepoConfig) -> BackupOptions {
    let settings = &config.backup;
    BackupOptions {
        kind: settings.kind,
        start_fast: settings.start_fast,
        max_rate_kb: settings.max_rate_kb,
        delta: config.delta,
        check_pages: settings.checksum_page,
        threads: config.process_max.max(1),
        compression: settings.compression,
        bundle_size: repo.bundle_size,
        archive_timeout: config.archive.check.then_some(config.archive.timeout),
        annotations: config.annotations.iter().cloned().collect(),
    }
}
