//! Recognises the files of other programs in the path of a repository, so that no stanza is created among them and
//! none of them is deleted as if it were ours.
//!
//! pgBackRest keeps `backup/<stanza>/backup.info` and `archive/<stanza>/archive.info`, each with a copy. Its directories
//! of backups and WAL have the same names as ours, so these files are what tells the two apart. Where they are gone, the
//! manifests of its backups do, and its WAL, which has a SHA-1 in its names.

use std::collections::BTreeSet;

use super::{
    Error,
    layout::{self, ARCHIVE_ROOT, BACKUP_ROOT, STANZA_ROOT},
    metadata::object_name,
};
use crate::{
    storage::{self, EntryKind, ObjectPath, Storage},
    types::{BackupLabel, StanzaName, WalSegment},
};

const BACKUP_INFO: [&str; 2] = ["backup.info", "backup.info.copy"];
const ARCHIVE_INFO: [&str; 2] = ["archive.info", "archive.info.copy"];
/// The first bytes of a file that pgBackRest encrypted, as of all output of `openssl enc`.
const SALTED: &[u8] = b"Salted__";

/// The directory of pgBackRest that keeps the manifests of expired backups.
const BACKUP_HISTORY: &str = "backup.history";
/// How the names of pgBackRest's manifests begin.
const BACKUP_MANIFEST: &str = "backup.manifest";
/// The length of a SHA-1 in hexadecimal digits.
const SHA1_LEN: usize = 40;

/// Files that only a data directory has; the first one that is made in it is `PG_VERSION`.
const OF_DATA_DIRECTORY: [&str; 2] = ["PG_VERSION", "global/pg_control"];
/// WAL-G: base backups and WAL.
const WAL_G: [&str; 2] = ["basebackups_005", "wal_005"];
/// Barman: base backups and WAL of one server.
const BARMAN: [&str; 2] = ["base", "wals"];

/// Directories that are searched for the files of a pgBackRest stanza.
const STANZAS_MAX: usize = 64;
/// How many directories of a stanza are looked into on each level for what is left of pgBackRest's files.
const DIRECTORIES_MAX: usize = 4;

/// [`Error::Foreign`] if another program's files are in the directories of the stanza or at the root.
pub async fn refuse(storage: &dyn Storage, stanza: &StanzaName) -> Result<(), Error> {
    if let Some(error) = of_stanza(storage, stanza).await? {
        return Err(error);
    }
    match of_root(storage).await? {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// [`Error::Foreign`] for pgBackRest's files of the stanza; `None` if there are none.
pub async fn of_stanza(storage: &dyn Storage, stanza: &StanzaName) -> Result<Option<Error>, Error> {
    let backup = layout::backup_directory(stanza)?;
    if let Some(error) = info_file(storage, &backup, BACKUP_INFO).await? {
        return Ok(Some(error));
    }
    if let Some(error) =
        info_file(storage, &layout::archive_directory(stanza)?, ARCHIVE_INFO).await?
    {
        return Ok(Some(error));
    }
    if holds_any(storage, &layout::stanza_directory(stanza)?).await? {
        Ok(None)
    } else {
        remains(storage, stanza.as_str()).await
    }
}

/// The error that names the tree that the object is of, where it is a known one of another program.
pub async fn of_object(storage: &dyn Storage, path: &ObjectPath) -> Result<Option<Error>, Error> {
    let mut parts = path.as_str().split('/');
    if let (Some(BACKUP_ROOT | ARCHIVE_ROOT), Some(name)) = (parts.next(), parts.next())
        && let Ok(stanza) = name.parse()
        && let Some(error) = of_stanza(storage, &stanza).await?
    {
        return Ok(Some(error));
    }
    of_root(storage).await
}

/// [`Error::Foreign`] for a known tree of another program at the root; `None` if there is none.
pub async fn of_root(storage: &dyn Storage) -> Result<Option<Error>, Error> {
    let named =
        |path: &ObjectPath, tree| Error::Foreign { object: object_name(storage, path), tree };
    for name in OF_DATA_DIRECTORY {
        let path = ObjectPath::new(name)?;
        match storage.stat(&path).await {
            Ok(_) => return Ok(Some(named(&path, "a PostgreSQL data directory"))),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(error) = pgbackrest(storage).await? {
        return Ok(Some(error));
    }
    for ([first, second], tree) in [(WAL_G, "a WAL-G storage"), (BARMAN, "a Barman server")] {
        let (first, second) = (ObjectPath::new(first)?, ObjectPath::new(second)?);
        if holds_any(storage, &first).await? && holds_any(storage, &second).await? {
            return Ok(Some(named(&first, tree)));
        }
    }
    Ok(None)
}

async fn holds_any(storage: &dyn Storage, directory: &ObjectPath) -> Result<bool, Error> {
    Ok(!storage.list(directory, false).await?.is_empty())
}

/// A stanza of pgBackRest, whatever its name. Stanzas that have a history of ours are left out.
async fn pgbackrest(storage: &dyn Storage) -> Result<Option<Error>, Error> {
    let ours = directories(storage, STANZA_ROOT).await?;
    for (root, names) in [(BACKUP_ROOT, BACKUP_INFO), (ARCHIVE_ROOT, ARCHIVE_INFO)] {
        let found = directories(storage, root).await?;
        for name in found.difference(&ours).take(STANZAS_MAX) {
            let directory = ObjectPath::new(root)?.join(name)?;
            if let Some(error) = info_file(storage, &directory, names).await? {
                return Ok(Some(error));
            }
        }
        for name in found.difference(&ours).take(STANZAS_MAX) {
            if let Some(error) = remains(storage, name).await? {
                return Ok(Some(error));
            }
        }
    }
    Ok(None)
}

/// A stanza of pgBackRest without its info files.
async fn remains(storage: &dyn Storage, stanza: &str) -> Result<Option<Error>, Error> {
    let found = match manifest_of_backup(storage, stanza).await? {
        Some(path) => Some(path),
        None => segment(storage, stanza).await?,
    };
    Ok(match found {
        Some(path) => Some(of_pgbackrest(storage, &path).await),
        None => None,
    })
}

async fn manifest_of_backup(
    storage: &dyn Storage,
    stanza: &str,
) -> Result<Option<ObjectPath>, Error> {
    let root = ObjectPath::new(BACKUP_ROOT)?.join(stanza)?;
    let names = directories(storage, root.as_str()).await?;
    if names.contains(BACKUP_HISTORY) {
        return Ok(Some(root.join(BACKUP_HISTORY)?));
    }
    let labels = names.iter().rev().filter(|name| name.parse::<BackupLabel>().is_ok());
    for label in labels.take(DIRECTORIES_MAX) {
        let manifests = storage.list_prefix(&root.join(label)?, BACKUP_MANIFEST).await?;
        if let Some(manifest) = manifests.into_iter().next() {
            return Ok(Some(manifest.path));
        }
    }
    Ok(None)
}

async fn segment(storage: &dyn Storage, stanza: &str) -> Result<Option<ObjectPath>, Error> {
    let root = ObjectPath::new(ARCHIVE_ROOT)?.join(stanza)?;
    for id in directories(storage, root.as_str()).await?.iter().take(DIRECTORIES_MAX) {
        let archive = root.join(id)?;
        let names = directories(storage, archive.as_str()).await?;
        for name in names.iter().take(DIRECTORIES_MAX) {
            let entries = storage.list(&archive.join(name)?, false).await?;
            let segment = entries.into_iter().find(|entry| has_sha1(entry.path.file_name()));
            if let Some(segment) = segment {
                return Ok(Some(segment.path));
            }
        }
    }
    Ok(None)
}

/// Whether the name is that of a WAL file of pgBackRest: `<segment>-<SHA-1>`, and the suffix of a compression.
fn has_sha1(name: &str) -> bool {
    let Some((file, rest)) = name.split_once('-') else { return false };
    let digest = rest.split('.').next().unwrap_or_default();
    file.get(..24).is_some_and(|segment| segment.parse::<WalSegment>().is_ok())
        && digest.len() == SHA1_LEN
        && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
}

async fn directories(storage: &dyn Storage, root: &str) -> Result<BTreeSet<String>, Error> {
    let entries = storage.list(&ObjectPath::new(root)?, false).await?;
    let directories = entries.iter().filter(|entry| entry.kind == EntryKind::Directory);
    Ok(directories.map(|entry| entry.path.file_name().to_owned()).collect())
}

async fn info_file(
    storage: &dyn Storage,
    directory: &ObjectPath,
    names: [&str; 2],
) -> Result<Option<Error>, Error> {
    let entries = storage.list_prefix(directory, names[0]).await?;
    let Some(entry) = entries.iter().find(|entry| names.contains(&entry.path.file_name())) else {
        return Ok(None);
    };
    Ok(Some(of_pgbackrest(storage, &entry.path).await))
}

async fn of_pgbackrest(storage: &dyn Storage, path: &ObjectPath) -> Error {
    let object = object_name(storage, path);
    let tree = if is_salted(storage, path).await {
        "an encrypted pgBackRest repository"
    } else {
        "a pgBackRest repository"
    };
    Error::Foreign { object, tree }
}

/// Only for the wording of the error: a failure to read counts as not encrypted.
async fn is_salted(storage: &dyn Storage, path: &ObjectPath) -> bool {
    let start: storage::Result<_> = storage.get_range(path, 0..SALTED.len() as u64).await;
    start.is_ok_and(|start| start == SALTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        repo::{
            encrypted::EncryptedStorage,
            recipient::PassPhrase,
            stanza::{self, ClusterId, StanzaHistory},
        },
        storage::PosixStorage,
        types::{ErrorCode, Failure, SystemId},
    };

    async fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, PosixStorage) {
        let dir = tempfile::tempdir().unwrap();
        let storage = PosixStorage::new(dir.path());
        for (path, content) in files {
            storage
                .put(&ObjectPath::new(*path).unwrap(), content.to_string().into())
                .await
                .unwrap();
        }
        (dir, storage)
    }

    fn demo() -> StanzaName {
        "demo".parse().unwrap()
    }

    #[tokio::test]
    async fn an_existing_repository_of_pgbackrest_is_named_for_what_it_is() {
        for (path, content, words) in [
            ("backup/demo/backup.info", "[backrest]\n", "a pgBackRest repository"),
            ("backup/demo/backup.info.copy", "Salted__xyz", "an encrypted pgBackRest repository"),
            ("archive/demo/archive.info", "[backrest]\n", "a pgBackRest repository"),
            ("archive/demo/archive.info.copy", "", "a pgBackRest repository"),
            ("archive/other/archive.info", "[backrest]\n", "a pgBackRest repository"),
        ] {
            let (_dir, storage) = tree(&[(path, content)]).await;
            let error = StanzaHistory::read(&storage, &demo()).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::RepoInvalid);
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.to_string().contains(path), "{error}");
            assert!(error.hint().unwrap().contains("repoN-path"), "{error:?}");
            assert!(!error.hint().unwrap().contains("stanza-delete"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn with_a_pass_phrase_it_is_not_taken_for_an_unencrypted_repository_of_ours() {
        let (_dir, storage) = tree(&[("backup/demo/backup.info", "Salted__xyz")]).await;
        let encrypted =
            EncryptedStorage::new(std::sync::Arc::new(storage), PassPhrase::new("pass"));
        let error = encrypted.keyring().unlock().await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::RepoInvalid);
        assert!(error.to_string().contains("encrypted pgBackRest"), "{error}");
    }

    #[tokio::test]
    async fn a_repository_of_pgbackrest_without_its_info_files_is_named() {
        let sha1 = "ab".repeat(20);
        let segment = |suffix: &str| {
            format!("archive/demo/15-1/0000000100000000/000000010000000000000001-{sha1}{suffix}")
        };
        for (path, content, words) in [
            ("backup/demo/20261121-092452F/backup.manifest", "[backrest]", "a pgBackRest"),
            ("backup/demo/20261121-092452F/backup.manifest.copy", "Salted__x", "an encrypted"),
            ("backup/demo/backup.history/2026/20261121-092452F.manifest.gz", "x", "a pgBackRest"),
            (&segment(""), "x", "a pgBackRest"),
            (&segment(".gz"), "Salted__x", "an encrypted"),
        ] {
            let (_dir, storage) = tree(&[(path, content)]).await;
            for stanza in ["demo", "other"] {
                let error = refuse(&storage, &stanza.parse().unwrap()).await.unwrap_err();
                assert_eq!(error.code(), ErrorCode::RepoInvalid);
                assert!(error.to_string().contains(words), "{path}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_left_of_a_stanza_of_ours_is_not_called_anothers() {
        let digest = "ab".repeat(32);
        let segment =
            format!("archive/demo/15-1/0000000100000000/000000010000000000000001-{digest}.zst");
        let files = [("backup/demo/20261121-092452F/bundle/00000001", "x"), (&*segment, "x")];
        let (_dir, storage) = tree(&files).await;
        refuse(&storage, &demo()).await.unwrap();
    }

    #[tokio::test]
    async fn trees_of_other_programs_are_named() {
        for (files, words) in [
            (vec![("global/pg_control", "x"), ("PG_VERSION", "15")], "data directory"),
            (vec![("PG_VERSION", "15"), ("base/1/1259", "x")], "data directory"),
            (vec![("PG_VERSION", "15")], "data directory"),
            (vec![("basebackups_005/a", "x"), ("wal_005/b", "x")], "WAL-G"),
            (vec![("base/2/data.tar", "x"), ("wals/b", "x")], "Barman"),
        ] {
            let (_dir, storage) = tree(&files).await;
            let error = refuse(&storage, &demo()).await.unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        let (_dir, storage) = tree(&[("notes/readme", "x"), ("base/x", "y")]).await;
        refuse(&storage, &demo()).await.unwrap();
    }

    #[tokio::test]
    async fn a_stanza_of_ours_beside_it_goes_on() {
        let (_dir, storage) = tree(&[("backup/old/backup.info", "[backrest]\n")]).await;
        let cluster = ClusterId { system_id: SystemId(7), version: "15".parse().unwrap() };
        stanza::create(&storage, &demo(), cluster, None).await.unwrap();
        StanzaHistory::read(&storage, &demo()).await.unwrap();
    }
}
