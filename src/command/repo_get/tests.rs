//! Objects of each kind, read back.

use super::*;
use crate::{
    command::testing::{manifest, repo_with_stanza, stanza_name},
    repo::{
        archive::{PutOptions, PutOutcome, RawSource},
        manifest::Manifest,
    },
    types::{CompressType, Compression, Failure},
};

const FULL: &str = "20261121-092452F";

async fn show(repo: &Repo, path: &str, raw: bool) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    get(repo, &ObjectPath::new(path).unwrap(), raw, &mut out).await.map(|()| out)
}

/// A file of the archive, in memory.
struct Memory {
    bytes: Vec<u8>,
    at: usize,
}

impl RawSource for Memory {
    type Error = repo::Error;

    fn fill(&mut self, buffer: &mut Vec<u8>, limit: usize) -> std::result::Result<(), repo::Error> {
        let end = (self.at + limit).min(self.bytes.len());
        buffer.clear();
        buffer.extend_from_slice(&self.bytes[self.at..end]);
        self.at = end;
        Ok(())
    }

    fn rewind(&mut self) -> std::result::Result<(), repo::Error> {
        self.at = 0;
        Ok(())
    }

    fn changed(&self) -> repo::Error {
        repo::Error::Duplicate { what: "changed".to_owned() }
    }
}

async fn store_wal(repo: &Repo, bytes: &[u8]) -> ObjectPath {
    let archive =
        WalArchive::new(repo.storage.clone(), &stanza_name(), "15-1".parse().unwrap()).unwrap();
    let options = PutOptions {
        compression: Compression { kind: CompressType::Zst, level: 1 },
        workers: 1,
        raw_size: bytes.len() as u64,
    };
    let file = "000000010000000000000001".parse().unwrap();
    let source = Memory { bytes: bytes.to_vec(), at: 0 };
    match archive.put(file, source, options).await.unwrap() {
        PutOutcome::Stored(stored) | PutOutcome::Existed(stored) => stored.path,
    }
}

#[tokio::test]
async fn metadata_is_shown_as_its_json_and_raw_as_stored() {
    let dir = tempfile::tempdir().unwrap();
    let repo = repo_with_stanza(dir.path(), 1).await;
    let manifest = manifest(FULL, &[]);
    manifest.publish(&*repo.storage).await.unwrap();
    let path = format!("backup/demo/{FULL}/manifest");
    let json = show(&repo, &path, false).await.unwrap();
    assert_eq!(serde_json::from_slice::<Manifest>(&json).unwrap(), manifest);
    let raw = show(&repo, &path, true).await.unwrap();
    assert_eq!(raw, std::fs::read(dir.path().join(&path)).unwrap());
    assert_eq!(raw.len(), json.len() + HEADER_LEN + 32);
    assert!(show(&repo, "stanza/demo/00000001", false).await.unwrap().starts_with(b"{\"id\":1,"));
}

#[tokio::test]
async fn wal_is_shown_decompressed_and_proven() {
    let dir = tempfile::tempdir().unwrap();
    let repo = repo_with_stanza(dir.path(), 1).await;
    let wal: Vec<u8> = (0..3_000_000u32).map(|i| (i >> 8) as u8).collect();
    let path = store_wal(&repo, &wal).await;
    assert!(show(&repo, path.as_str(), false).await.unwrap() == wal);
    let file = dir.path().join(path.as_str());
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert!(show(&repo, path.as_str(), false).await.is_err());
    assert!(show(&repo, path.as_str(), true).await.is_ok());
}

#[tokio::test]
async fn what_is_not_there_or_not_ours_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let repo = repo_with_stanza(dir.path(), 1).await;
    for raw in [false, true] {
        let error = show(&repo, "backup/none", raw).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::FileMissing);
        assert!(matches!(error, Error::Storage(error) if error.is_not_found()));
    }
    std::fs::write(dir.path().join("stray"), "not ours").unwrap();
    assert_eq!(show(&repo, "stray", false).await.unwrap_err().code(), ErrorCode::Format);
    assert_eq!(show(&repo, "stray", true).await.unwrap(), b"not ours");
    let bundle = ObjectHeader::new(ObjectKind::Bundle, CompressType::Zst).encode();
    std::fs::write(dir.path().join("bundle"), bundle).unwrap();
    let error = show(&repo, "bundle", false).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::FeatureNotSupported);
}

#[tokio::test]
async fn a_file_of_pgbackrest_is_named_for_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let repo = repo_with_stanza(dir.path(), 1).await;
    let file = "backup/other/backup.info";
    std::fs::create_dir_all(dir.path().join("backup/other")).unwrap();
    std::fs::write(dir.path().join(file), "[backrest]\n").unwrap();
    let error = show(&repo, file, false).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::RepoInvalid);
    assert!(error.to_string().contains("a pgBackRest repository"), "{error}");
    assert_eq!(show(&repo, file, true).await.unwrap(), b"[backrest]\n");
}
