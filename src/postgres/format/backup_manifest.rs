//! Parses PostgreSQL's `backup_manifest`, version 1 (13 to 16) and 2 (17 on): the files of a backup and the WAL that
//! it needs (`src/backend/backup/backup_manifest.c`).

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de};
use sha2::{Digest, Sha256};

use crate::{
    postgres::{Error, Result},
    types::{DataPath, Lsn, SystemId, TimeLine},
};

const FILE: &str = "backup_manifest";
const CHECKSUM_KEY: &[u8] = b"\"Manifest-Checksum\"";

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BackupManifest {
    #[serde(rename = "PostgreSQL-Backup-Manifest-Version")]
    pub version: u32,
    /// From version 2 on.
    #[serde(rename = "System-Identifier", default)]
    pub system_id: Option<SystemId>,
    /// Every file of the backup except the manifest and pg_wal.
    #[serde(rename = "Files")]
    pub files: Vec<ManifestFile>,
    /// The WAL that recovery needs to become consistent, newest timeline first.
    #[serde(rename = "WAL-Ranges")]
    pub wal_ranges: Vec<WalRange>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// Relative to the data directory.
    pub path: DataPath,
    /// In bytes.
    pub size: u64,
    /// CRC-32C of the content; `None` if the manifest was made without checksums.
    pub crc32c: Option<u32>,
}

/// A range of WAL on one timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct WalRange {
    #[serde(rename = "Timeline")]
    pub timeline: TimeLine,
    /// Position of the first byte.
    #[serde(rename = "Start-LSN")]
    pub start: Lsn,
    /// Position after the last byte.
    #[serde(rename = "End-LSN")]
    pub end: Lsn,
}

impl BackupManifest {
    /// Verifies the checksum at the end of the manifest and parses it.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        verify_checksum(bytes)?;
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|e| Error::format(FILE, e.to_string()))?;
        match manifest.version {
            1 | 2 => Ok(manifest),
            other => Err(Error::format(FILE, format!("its version {other} is not known"))),
        }
    }
}

/// The SHA-256 in the last line covers everything before that line.
fn verify_checksum(bytes: &[u8]) -> Result<()> {
    let missing = || Error::format(FILE, "it does not end with its checksum");
    let line_at = bytes
        .windows(CHECKSUM_KEY.len())
        .rposition(|window| window == CHECKSUM_KEY)
        .ok_or_else(missing)?;
    let quoted = bytes[line_at + CHECKSUM_KEY.len()..].split(|&b| b == b'"').nth(1);
    let expected = quoted.and_then(|hex| hex::decode(hex).ok()).ok_or_else(missing)?;
    let found = Sha256::digest(&bytes[..line_at]);
    if found[..] == expected[..] {
        Ok(())
    } else {
        Err(Error::Checksum {
            file: FILE,
            reason: format!(
                "its SHA-256 is {} and should be {}",
                hex::encode(found),
                hex::encode(expected)
            ),
        })
    }
}

/// A file in the JSON of the manifest. Names that are not UTF-8 are in hexadecimal.
#[derive(Deserialize)]
struct RawFile<'a> {
    #[serde(rename = "Path", borrow, default)]
    path: Option<Cow<'a, str>>,
    #[serde(rename = "Encoded-Path", borrow, default)]
    encoded_path: Option<Cow<'a, str>>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Checksum-Algorithm", borrow, default)]
    algorithm: Option<Cow<'a, str>>,
    #[serde(rename = "Checksum", borrow, default)]
    checksum: Option<Cow<'a, str>>,
}

impl<'de> Deserialize<'de> for ManifestFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let raw = RawFile::deserialize(deserializer)?;
        let path = match (&raw.path, &raw.encoded_path) {
            (Some(path), None) => DataPath::new(path.as_bytes()),
            (None, Some(hex)) => {
                DataPath::new(&hex::decode(hex.as_bytes()).map_err(de::Error::custom)?)
            }
            _ => return Err(de::Error::custom("a file has not exactly one path")),
        };
        Ok(Self {
            path: path.map_err(de::Error::custom)?,
            size: raw.size,
            crc32c: crc32c(&raw).map_err(de::Error::custom)?,
        })
    }
}

/// The bytes of the checksum are in the byte order of the server, little endian.
fn crc32c(raw: &RawFile<'_>) -> std::result::Result<Option<u32>, &'static str> {
    let (Some("CRC32C"), Some(hex)) = (raw.algorithm.as_deref(), raw.checksum.as_deref()) else {
        return Ok(None);
    };
    let mut bytes = [0; 4];
    hex::decode_to_slice(hex, &mut bytes).map_err(|_| "a CRC32C is not four bytes in hex")?;
    Ok(Some(u32::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(version: &str, files: &str) -> Vec<u8> {
        let body = format!(
            "{{ \"PostgreSQL-Backup-Manifest-Version\": {version},\n\"Files\": [\n{files}],\n\
             \"WAL-Ranges\": [\n{{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \
             \"End-LSN\": \"0/2000100\" }}\n],\n"
        );
        let digest = hex::encode(Sha256::digest(body.as_bytes()));
        format!("{body}\"Manifest-Checksum\": \"{digest}\"}}\n").into_bytes()
    }

    const FILES: &str = "{ \"Path\": \"backup_label\", \"Size\": 227, \"Last-Modified\": \
        \"2026-11-21 11:43:49 GMT\", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"0a0b0c0d\" },\n\
        { \"Encoded-Path\": \"626173652fff\", \"Size\": 0, \"Last-Modified\": \"x\" }\n";

    #[test]
    fn both_versions() {
        let manifest = BackupManifest::parse(&sealed("1", FILES)).unwrap();
        assert_eq!((manifest.version, manifest.system_id), (1, None));
        assert_eq!(manifest.files[0].crc32c, Some(0x0D0C_0B0A));
        assert_eq!(manifest.files[1].path.as_bytes(), b"base/\xff");
        assert_eq!(manifest.files[1].crc32c, None);
        assert_eq!(manifest.wal_ranges[0].end, Lsn(0x200_0100));
        let second = sealed("2,\n\"System-Identifier\": 7710589124815058522", FILES);
        let manifest = BackupManifest::parse(&second).unwrap();
        assert_eq!(manifest.system_id, Some(SystemId(7_710_589_124_815_058_522)));
    }

    #[test]
    fn damage_is_found() {
        let whole = sealed("1", FILES);
        for at in 0..whole.len() - 70 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(BackupManifest::parse(&damaged).is_err(), "byte {at}");
        }
        assert!(BackupManifest::parse(&whole[..whole.len() - 100]).is_err());
    }

    #[test]
    fn hostile_content_is_refused() {
        assert!(BackupManifest::parse(&sealed("3", FILES)).is_err());
        for file in [
            "{ \"Path\": \"../x\", \"Size\": 0 }",
            "{ \"Path\": \"/x\", \"Size\": 0 }",
            "{ \"Path\": \"x\", \"Size\": -1 }",
            "{ \"Size\": 1 }",
            "{ \"Encoded-Path\": \"zz\", \"Size\": 1 }",
        ] {
            assert!(BackupManifest::parse(&sealed("1", file)).is_err(), "{file}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = BackupManifest::parse(&bytes);
            let _ = BackupManifest::parse(&sealed("1", &String::from_utf8_lossy(&bytes)));
        }
    }
}
