//! Removes a file from a `backup_manifest`, for a copy that is complete without it. All other lines remain as the
//! server wrote them (`AddFileToBackupManifest` in `backup_manifest.c`: one line per file, separated by `,\n`), and
//! the checksum at the end is computed again.

use sha2::{Digest, Sha256};

use super::backup_manifest::BackupManifest;
use crate::postgres::{Error, Result};

const CHECKSUM_LINE: &[u8] = b"\"Manifest-Checksum\"";

/// The manifest without the file at the ASCII path `path`; unchanged if it has no such file.
pub fn manifest_without(manifest: &[u8], path: &str) -> Result<Vec<u8>> {
    BackupManifest::parse(manifest)?;
    let entry = format!("{{ \"Path\": \"{path}\",");
    let mut edited = Vec::with_capacity(manifest.len());
    let mut lines = manifest.split_inclusive(|&b| b == b'\n').peekable();
    let mut found = false;
    while let Some(line) = lines.next() {
        if line.starts_with(entry.as_bytes()) {
            found = true;
            let was_last = lines.peek().is_some_and(|next| next.starts_with(b"]"));
            if was_last && edited.ends_with(b",\n") {
                edited.truncate(edited.len() - 2);
                edited.push(b'\n');
            }
        } else if line.starts_with(CHECKSUM_LINE) {
            let digest = hex::encode(Sha256::digest(&edited));
            edited.extend_from_slice(format!("\"Manifest-Checksum\": \"{digest}\"}}\n").as_bytes());
        } else {
            edited.extend_from_slice(line);
        }
    }
    if !found {
        return Ok(manifest.to_vec());
    }
    // Parse the result: another server may write its lines differently.
    if BackupManifest::parse(&edited)?.files.iter().any(|f| f.path.as_bytes() == path.as_bytes()) {
        Err(Error::format("backup_manifest", format!("'{path}' is in it twice")))
    } else {
        Ok(edited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(files: &[&str]) -> Vec<u8> {
        let lines: Vec<String> = files
            .iter()
            .map(|path| {
                format!("{{ \"Path\": \"{path}\", \"Size\": 1, \"Last-Modified\": \"x\" }}")
            })
            .collect();
        let body = format!(
            "{{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n{}\n],\n\
             \"WAL-Ranges\": [\n{{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \
             \"End-LSN\": \"0/2000100\" }}\n],\n",
            lines.join(",\n")
        );
        let digest = hex::encode(Sha256::digest(body.as_bytes()));
        format!("{body}\"Manifest-Checksum\": \"{digest}\"}}\n").into_bytes()
    }

    #[test]
    fn a_file_is_taken_out_wherever_it_stands() {
        for files in [&["m", "a", "b"][..], &["a", "m", "b"], &["a", "b", "m"]] {
            assert_eq!(manifest_without(&sealed(files), "m").unwrap(), sealed(&["a", "b"]));
        }
    }

    #[test]
    fn what_is_not_there_changes_nothing() {
        let whole = sealed(&["a", "mm"]);
        assert_eq!(manifest_without(&whole, "m").unwrap(), whole);
    }

    #[test]
    fn a_damaged_manifest_is_not_sealed_anew() {
        let mut damaged = sealed(&["a", "m"]);
        damaged[60] ^= 1;
        assert!(manifest_without(&damaged, "m").is_err());
    }
}
