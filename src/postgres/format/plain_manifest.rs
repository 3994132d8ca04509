//! Converts the `backup_manifest` of an incremental backup for a restored full copy, which has whole files instead of
//! incremental ones and a `backup_label` without the lines of the prior backup. All other lines remain as the server
//! wrote them (`AddFileToBackupManifest` in `src/backend/backup/backup_manifest.c`: one line per file), and the
//! checksum at the end is computed again.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::{
    backup_manifest::{BackupManifest, ManifestFile},
    incremental::incremental_target,
};
use crate::{
    postgres::{Error, Result},
    types::DataPath,
};

const FILE: &str = "backup_manifest";
const CHECKSUM_LINE: &[u8] = b"\"Manifest-Checksum\"";
const BACKUP_LABEL: &[u8] = b"backup_label";

/// A file of the full copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainFile {
    /// In bytes.
    pub size: u64,
    /// CRC-32C if known. Without it `pg_verifybackup` checks only the size.
    pub crc32c: Option<u32>,
}

/// Whether the manifest lists incremental files.
pub fn is_incremental_manifest(manifest: &BackupManifest) -> bool {
    manifest.files.iter().any(|file| incremental_target(&file.path).is_some())
}

/// The manifest with the names, sizes and checksums of whole files. `file` returns the file of the copy for each path
/// with an incremental file and for `backup_label`. The manifest of a full backup is returned unchanged.
pub fn plain_manifest<'a>(
    manifest: &'a [u8],
    file: &dyn Fn(&DataPath) -> Option<PlainFile>,
) -> Result<Cow<'a, [u8]>> {
    let parsed = BackupManifest::parse(manifest)?;
    if !is_incremental_manifest(&parsed) {
        return Ok(Cow::Borrowed(manifest));
    }
    let mut entries = parsed.files.iter();
    let mut edited = Vec::with_capacity(manifest.len());
    for line in manifest.split_inclusive(|&b| b == b'\n') {
        if line.starts_with(b"{ \"Path\":") || line.starts_with(b"{ \"Encoded-Path\":") {
            let entry = entries.next().ok_or_else(|| invalid("its lines are not its files"))?;
            edited.extend_from_slice(&plain_line(line, entry, file)?);
        } else if line.starts_with(CHECKSUM_LINE) {
            let digest = hex::encode(Sha256::digest(&edited));
            edited.extend_from_slice(format!("\"Manifest-Checksum\": \"{digest}\"}}\n").as_bytes());
        } else {
            edited.extend_from_slice(line);
        }
    }
    check(&edited, &parsed)?;
    Ok(Cow::Owned(edited))
}

/// The line of a file, rewritten if the copy has a different file.
fn plain_line<'a>(
    line: &'a [u8],
    entry: &ManifestFile,
    file: &dyn Fn(&DataPath) -> Option<PlainFile>,
) -> Result<Cow<'a, [u8]>> {
    let target = match incremental_target(&entry.path) {
        Some(target) => target,
        None if entry.path.as_bytes() == BACKUP_LABEL => entry.path.clone(),
        None => return Ok(Cow::Borrowed(line)),
    };
    let missing = || invalid(format!("the copy has no '{target}'"));
    let plain = file(&target).ok_or_else(missing)?;
    let modified = value_of(line, "Last-Modified")?;
    let checksum = match plain.crc32c {
        Some(crc) => format!(
            ", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"{}\"",
            hex::encode(crc.to_le_bytes())
        ),
        None => String::new(),
    };
    // The separator, if any, and the end of the line.
    let closed = line.iter().rposition(|&b| b == b'}').map_or(line.len(), |at| at + 1);
    let mut plain_line = format!(
        "{{ \"Path\": \"{target}\", \"Size\": {}, \"Last-Modified\": \"{modified}\"{checksum} }}",
        plain.size
    )
    .into_bytes();
    plain_line.extend_from_slice(&line[closed..]);
    Ok(Cow::Owned(plain_line))
}

/// A value without quotes in a line as the server writes it.
fn value_of<'a>(line: &'a [u8], name: &str) -> Result<&'a str> {
    let text = std::str::from_utf8(line).map_err(|_| invalid("a line is not UTF-8"))?;
    text.split_once(&format!("\"{name}\": \""))
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(value, _)| value)
        .ok_or_else(|| invalid(format!("a file has no {name}")))
}

/// Parse the result: another server may write its lines differently.
fn check(edited: &[u8], before: &BackupManifest) -> Result<()> {
    let after = BackupManifest::parse(edited)?;
    if !is_incremental_manifest(&after) && after.files.len() == before.files.len() {
        Ok(())
    } else {
        Err(invalid("its lines are not its files"))
    }
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::format(FILE, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(path: &str, size: u64, crc: Option<&str>) -> String {
        let checksum = crc.map_or(String::new(), |crc| {
            format!(", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"{crc}\"")
        });
        format!(
            "{{ \"Path\": \"{path}\", \"Size\": {size}, \"Last-Modified\": \
             \"2026-11-21 11:43:49 GMT\"{checksum} }}"
        )
    }

    fn sealed(files: &[String]) -> Vec<u8> {
        let body = format!(
            "{{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": 7,\n\"Files\": [\n{}\n],\n\
             \"WAL-Ranges\": [\n{{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \
             \"End-LSN\": \"0/2000100\" }}\n],\n",
            files.join(",\n")
        );
        let digest = hex::encode(Sha256::digest(body.as_bytes()));
        format!("{body}\"Manifest-Checksum\": \"{digest}\"}}\n").into_bytes()
    }

    fn copy(path: &DataPath) -> Option<PlainFile> {
        match path.as_bytes() {
            b"backup_label" => Some(PlainFile { size: 200, crc32c: Some(0x0403_0201) }),
            b"base/5/16384.1" => Some(PlainFile { size: 16384, crc32c: None }),
            b"base/5/16385" => Some(PlainFile { size: 8192, crc32c: Some(0x0403_0201) }),
            _ => None,
        }
    }

    #[test]
    fn files_get_their_plain_names_and_sizes() {
        let incremental = sealed(&[
            line("backup_label", 260, Some("aabbccdd")),
            line("base/5/INCREMENTAL.16384.1", 12, Some("aabbccdd")),
            line("base/5/16386", 8192, Some("aabbccdd")),
            line("base/5/INCREMENTAL.16385", 12, Some("aabbccdd")),
        ]);
        let plain = plain_manifest(&incremental, &copy).unwrap();
        let expected = sealed(&[
            line("backup_label", 200, Some("01020304")),
            line("base/5/16384.1", 16384, None),
            line("base/5/16386", 8192, Some("aabbccdd")),
            line("base/5/16385", 8192, Some("01020304")),
        ]);
        assert_eq!(String::from_utf8_lossy(&plain), String::from_utf8_lossy(&expected));
    }

    #[test]
    fn a_plain_manifest_stays_as_it_is() {
        let plain = sealed(&[line("backup_label", 260, None), line("base/5/16384", 8192, None)]);
        let same = plain_manifest(&plain, &|_| None).unwrap();
        assert!(matches!(same, Cow::Borrowed(bytes) if bytes == plain));
    }

    #[test]
    fn a_file_that_the_copy_lacks_is_an_error() {
        let incremental = sealed(&[line("base/5/INCREMENTAL.9", 12, None)]);
        assert!(plain_manifest(&incremental, &copy).is_err());
    }

    #[test]
    fn a_damaged_manifest_is_not_sealed_anew() {
        let mut damaged = sealed(&[line("base/5/INCREMENTAL.16385", 12, None)]);
        damaged[60] ^= 1;
        assert!(plain_manifest(&damaged, &copy).is_err());
    }
}
