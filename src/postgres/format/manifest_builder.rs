//! Writes a `backup_manifest` byte for byte like the server (`src/backend/backup/backup_manifest.c`), for a backup
//! with the local source: version 1 for 13 to 16, 2 from 17 on. `pg_verifybackup` reads it, and the server accepts it
//! as the manifest of a prior backup.

use std::fmt::Write;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::backup_manifest::WalRange;
use crate::types::{DataPath, PgVersion, SystemId};

/// A manifest being written. The text is kept in memory, about 150 bytes per file.
#[derive(Debug)]
pub struct ManifestBuilder {
    text: String,
    is_first: bool,
}

impl ManifestBuilder {
    pub fn new(version: PgVersion, system_id: SystemId) -> Self {
        let head = match version.major() {
            ..=16 => "1".to_owned(),
            _ => format!("2,\n\"System-Identifier\": {system_id}"),
        };
        let text = format!("{{ \"PostgreSQL-Backup-Manifest-Version\": {head},\n\"Files\": [");
        Self { text, is_first: true }
    }

    /// Adds a file: size in bytes, modification time in seconds since 1970, and CRC-32C. Without the CRC
    /// `pg_verifybackup` checks only the size.
    pub fn file(&mut self, path: &DataPath, size: u64, modified: i64, crc32c: Option<u32>) {
        self.text.push_str(if self.is_first { "\n{ " } else { ",\n{ " });
        self.is_first = false;
        match std::str::from_utf8(path.as_bytes()) {
            Ok(name) => {
                self.text.push_str("\"Path\": \"");
                escape(&mut self.text, name);
            }
            Err(_) => {
                self.text.push_str("\"Encoded-Path\": \"");
                self.text.push_str(&hex::encode(path.as_bytes()));
            }
        }
        let modified = moment(modified).strftime("%Y-%m-%d %H:%M:%S GMT");
        self.add(format_args!("\", \"Size\": {size}, \"Last-Modified\": \"{modified}\""));
        if let Some(crc) = crc32c {
            // In the byte order of the server, little endian.
            let crc = hex::encode(crc.to_le_bytes());
            self.add(format_args!(", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"{crc}\""));
        }
        self.text.push_str(" }");
    }

    /// The complete manifest, with the WAL that the backup needs (newest timeline first) and its checksum.
    pub fn finish(mut self, wal: &[WalRange]) -> Vec<u8> {
        self.text.push_str("\n],\n\"WAL-Ranges\": [\n");
        for (at, WalRange { timeline, start, end }) in wal.iter().enumerate() {
            let separator = if at == 0 { "" } else { ",\n" };
            self.add(format_args!(
                "{separator}{{ \"Timeline\": {timeline}, \"Start-LSN\": \"{start}\", \
                 \"End-LSN\": \"{end}\" }}"
            ));
        }
        self.text.push_str("\n],\n");
        let digest = hex::encode(Sha256::digest(self.text.as_bytes()));
        self.add(format_args!("\"Manifest-Checksum\": \"{digest}\"}}\n"));
        self.text.into_bytes()
    }

    fn add(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(arguments);
    }
}

/// Times outside the supported years are replaced by the nearest supported one.
fn moment(seconds: i64) -> Timestamp {
    let nearest = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(nearest)
}

/// Escapes like `escape_json` in `src/backend/utils/adt/json.c`, without the quotes.
fn escape(text: &mut String, name: &str) {
    for c in name.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        postgres::{BackupManifest, ManifestFile},
        types::{Lsn, TimeLine},
    };

    const SYSTEM_ID: SystemId = SystemId(7_710_589_136_226_350_806);

    fn builder(major: u16) -> ManifestBuilder {
        ManifestBuilder::new(PgVersion::new(major).unwrap(), SYSTEM_ID)
    }

    fn path(bytes: &[u8]) -> DataPath {
        DataPath::new(bytes).unwrap()
    }

    fn finished(builder: ManifestBuilder) -> String {
        let range = |timeline, start, end| WalRange {
            timeline: TimeLine(timeline),
            start: Lsn(start),
            end: Lsn(end),
        };
        let manifest = builder.finish(&[
            range(3, 0x1_0200_0080, 0x1_0200_0100),
            range(2, 0x1_0200_0028, 0x1_0200_0080),
        ]);
        BackupManifest::parse(&manifest).unwrap();
        String::from_utf8(manifest).unwrap()
    }

    #[test]
    fn text_is_that_of_the_server() {
        let mut first = builder(16);
        first.file(&path(b"backup_label"), 227, 1_763_725_429, Some(0x0D0C_0B0A));
        first.file(&path(b"a\"\\\x01\n\xc3\xbc"), 1, 0, Some(1));
        first.file(&path(b"base/\xff"), 0, -1, None);
        let expected = r#"{ "PostgreSQL-Backup-Manifest-Version": 1,
"Files": [
{ "Path": "backup_label", "Size": 227, "Last-Modified": "2025-11-21 11:43:49 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "0a0b0c0d" },
{ "Path": "a\"\\\u0001\nü", "Size": 1, "Last-Modified": "1970-01-01 00:00:00 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "01000000" },
{ "Encoded-Path": "626173652fff", "Size": 0, "Last-Modified": "1969-12-31 23:59:59 GMT" }
],
"WAL-Ranges": [
{ "Timeline": 3, "Start-LSN": "1/2000080", "End-LSN": "1/2000100" },
{ "Timeline": 2, "Start-LSN": "1/2000028", "End-LSN": "1/2000080" }
],
"Manifest-Checksum": "#;
        let text = finished(first);
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(text.len(), expected.len() + 64 + "\"\"}\n".len());
        let second = finished(builder(17));
        let head = "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\
            \"System-Identifier\": 7710589136226350806,\n\"Files\": [\n],\n\"WAL-Ranges\": [\n";
        assert!(second.starts_with(head), "{second}");
    }

    #[test]
    fn any_time_can_be_written() {
        let mut builder = builder(15);
        for modified in [i64::MIN, i64::MAX, 0] {
            builder.file(&path(b"x"), 0, modified, None);
        }
        assert!(finished(builder).contains("9999-12-30"));
    }

    proptest! {
        #[test]
        fn reads_back_as_it_was_made(
            files in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 1..20), any::<u64>(), any::<i64>(), any::<Option<u32>>()),
                0..20,
            ),
            major in 13u16..=18,
            ranges in prop::collection::vec(any::<(u32, u64, u64)>(), 1..4),
        ) {
            let mut builder = builder(major);
            let mut expected = Vec::new();
            for (name, size, modified, crc32c) in files {
                let Ok(path) = DataPath::new(&name) else { continue };
                builder.file(&path, size, modified, crc32c);
                expected.push(ManifestFile { path, size, crc32c });
            }
            let range = |(timeline, start, end)| WalRange {
                timeline: TimeLine(timeline), start: Lsn(start), end: Lsn(end)
            };
            let ranges: Vec<_> = ranges.into_iter().map(range).collect();
            let manifest = builder.finish(&ranges);
            let parsed = BackupManifest::parse(&manifest).unwrap();
            prop_assert_eq!(parsed.system_id, (major >= 17).then_some(SYSTEM_ID));
            prop_assert_eq!(parsed.version, if major >= 17 { 2 } else { 1 });
            prop_assert_eq!(parsed.files, expected);
            prop_assert_eq!(parsed.wal_ranges, ranges);
        }
    }
}
