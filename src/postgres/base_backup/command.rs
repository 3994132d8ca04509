//! The BASE_BACKUP command in the grammar of each version (`src/backend/replication/repl_gram.y`).

use bytes::Bytes;

use crate::types::PgVersion;

/// Options of BASE_BACKUP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseBackupOptions {
    pub label: String,
    /// Request an immediate checkpoint.
    pub checkpoint_fast: bool,
    /// Maximum rate in kB/s (32..=1048576).
    pub max_rate_kb: Option<u32>,
    /// Whether the server verifies page checksums, in the process that sends.
    pub verify_checksums: bool,
    /// PostgreSQL's manifest of the prior backup, to request an incremental backup (17 on).
    pub prior_manifest: Option<Bytes>,
    /// Whether to send tablespaces as links and directories of the data directory instead of a `tablespace_map`. Up to
    /// 15, this is the only way to back up in-place tablespaces.
    pub tablespaces_inside: bool,
}

impl BaseBackupOptions {
    /// The command. NOWAIT, because the caller checks the WAL archive itself. TABLESPACE_MAP also removes the limit on
    /// the length of a tablespace's path.
    pub fn command(&self, version: PgVersion) -> String {
        match version.major() {
            ..=14 => self.positional(),
            _ => self.parenthesised(),
        }
    }

    fn positional(&self) -> String {
        let mut command = format!("BASE_BACKUP LABEL {} PROGRESS", quote(&self.label));
        if self.checkpoint_fast {
            command.push_str(" FAST");
        }
        command.push_str(" NOWAIT");
        if let Some(rate) = self.max_rate_kb {
            command.push_str(&format!(" MAX_RATE {rate}"));
        }
        if !self.tablespaces_inside {
            command.push_str(" TABLESPACE_MAP");
        }
        if !self.verify_checksums {
            command.push_str(" NOVERIFY_CHECKSUMS");
        }
        command + " MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'"
    }

    fn parenthesised(&self) -> String {
        let checkpoint = if self.checkpoint_fast { "fast" } else { "spread" };
        let mut command = format!(
            "BASE_BACKUP (LABEL {}, PROGRESS, CHECKPOINT '{checkpoint}', WAIT false",
            quote(&self.label)
        );
        if let Some(rate) = self.max_rate_kb {
            command.push_str(&format!(", MAX_RATE {rate}"));
        }
        if self.prior_manifest.is_some() {
            command.push_str(", INCREMENTAL");
        }
        if !self.tablespaces_inside {
            command.push_str(", TABLESPACE_MAP");
        }
        let verify = self.verify_checksums;
        command.push_str(&format!(
            ", VERIFY_CHECKSUMS {verify}, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C')"
        ));
        command
    }
}

/// A string literal of the replication grammar: only quotes are doubled.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_grammar() {
        let options = BaseBackupOptions {
            label: "it's".to_owned(),
            checkpoint_fast: true,
            max_rate_kb: Some(32),
            ..Default::default()
        };
        assert_eq!(
            options.command(PgVersion::new(14).unwrap()),
            "BASE_BACKUP LABEL 'it''s' PROGRESS FAST NOWAIT MAX_RATE 32 TABLESPACE_MAP \
             NOVERIFY_CHECKSUMS MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'"
        );
        assert_eq!(
            options.command(PgVersion::new(15).unwrap()),
            "BASE_BACKUP (LABEL 'it''s', PROGRESS, CHECKPOINT 'fast', WAIT false, MAX_RATE 32, \
             TABLESPACE_MAP, VERIFY_CHECKSUMS false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C')"
        );
        let plain = BaseBackupOptions { verify_checksums: true, ..Default::default() };
        assert_eq!(
            plain.command(PgVersion::new(13).unwrap()),
            "BASE_BACKUP LABEL '' PROGRESS NOWAIT TABLESPACE_MAP MANIFEST 'yes' \
             MANIFEST_CHECKSUMS 'CRC32C'"
        );
        assert!(plain.command(PgVersion::NEWEST).contains("CHECKPOINT 'spread'"));
        let incremental =
            BaseBackupOptions { prior_manifest: Some(Bytes::new()), ..Default::default() };
        assert!(incremental.command(PgVersion::NEWEST).contains(", INCREMENTAL, "));
        assert!(!plain.command(PgVersion::NEWEST).contains("INCREMENTAL"));
        let inside = BaseBackupOptions { tablespaces_inside: true, ..Default::default() };
        for version in [PgVersion::OLDEST, PgVersion::NEWEST] {
            assert!(!inside.command(version).contains("TABLESPACE_MAP"), "{version}");
        }
    }
}
