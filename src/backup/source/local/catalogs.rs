//! The data directory compared with the server's catalogs. "Not found" says that this process does not see
//! a file; only the server can say that there is none.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use super::blocking;
use crate::{
    backup::{Error, landmarks::Landmarks, source::FileKind},
    postgres::{BackupSession, DataDirectory, Placement, Required, Scan, ScannedKind, Unseen},
    types::DataPath,
};

/// What of `required` cannot be seen here, while the server says that it has it.
pub(super) async fn still_unseen(
    session: &BackupSession,
    directory: &Arc<DataDirectory>,
    version_directory: &str,
    required: BTreeSet<Required>,
) -> Result<Vec<Unseen>, Error> {
    let looked = look(directory, required).await?;
    if looked.is_empty() {
        return Ok(looked);
    }
    // It may have been dropped between the question and the look.
    let missing = looked.into_iter().map(|unseen| unseen.required).collect();
    let still = session.sql().still_required(version_directory, missing).await?;
    look(directory, still).await
}

async fn look(
    directory: &Arc<DataDirectory>,
    required: BTreeSet<Required>,
) -> Result<Vec<Unseen>, Error> {
    let directory = Arc::clone(directory);
    blocking(move || Ok(directory.unseen(&required))).await
}

/// The server's catalogs when the backup began, and the directories that were gone since.
pub(super) struct Catalogs {
    version_directory: String,
    placement: Placement,
    vanished: Arc<Vanished>,
}

impl Catalogs {
    /// The catalogs, read once the backup has begun and before the directory is scanned: everything in them
    /// was there when the scan began.
    pub(super) async fn read(
        session: &BackupSession,
        directory: &Arc<DataDirectory>,
        version_directory: String,
    ) -> Result<Self, Error> {
        let placement = session.sql().placement().await?;
        let vanished = Arc::new(Vanished {
            directory: Arc::clone(directory),
            required: placement.required(&version_directory)?,
            lost: Mutex::default(),
        });
        Ok(Self { version_directory, placement, vanished })
    }

    /// Takes note of files that are gone.
    pub(super) fn vanished(&self) -> Arc<Vanished> {
        Arc::clone(&self.vanished)
    }

    /// The scan must have found every tablespace and database that the server still has.
    pub(super) async fn check_scan(
        &self,
        session: &BackupSession,
        scan: &Scan,
    ) -> Result<(), Error> {
        let mut found = Landmarks::default();
        for entry in &scan.entries {
            let kind = match &entry.kind {
                ScannedKind::File { size } => FileKind::File { size: *size, unchanged: 0 },
                _ => FileKind::Directory,
            };
            found.note(&entry.path, &kind);
        }
        let missing = found.missing(&self.placement.required(&self.version_directory)?);
        self.refuse(session, missing).await
    }

    /// When all files have been read: every tablespace and database that the server still has was there all
    /// the time.
    pub(super) async fn check_end(
        &self,
        session: &BackupSession,
        directory: &Arc<DataDirectory>,
    ) -> Result<(), Error> {
        let required = self.placement.required(&self.version_directory)?;
        let unseen = still_unseen(session, directory, &self.version_directory, required).await?;
        if !unseen.is_empty() {
            return Err(Error::Unseen { path: directory.path().to_owned(), unseen });
        }
        self.refuse(session, self.vanished.lost()).await
    }

    async fn refuse(
        &self,
        session: &BackupSession,
        missing: BTreeSet<Required>,
    ) -> Result<(), Error> {
        let still = session.sql().still_required(&self.version_directory, missing).await?;
        match still.is_empty() {
            true => Ok(()),
            false => {
                let reason = "it was not found when the directory was read".to_owned();
                let unseen =
                    still.into_iter().map(|required| Unseen { required, reason: reason.clone() });
                let path = self.vanished.directory.path().to_owned();
                Err(Error::Unseen { path, unseen: unseen.collect() })
            }
        }
    }
}

/// Judges files that are gone when they are to be read. A relation that was dropped leaves its directory
/// behind; a file system that went away takes the directory along.
#[derive(Debug)]
pub(super) struct Vanished {
    directory: Arc<DataDirectory>,
    required: BTreeSet<Required>,
    /// What of `required` could not be seen when a file below the same directory was gone.
    lost: Mutex<BTreeSet<Required>>,
}

impl Vanished {
    /// Takes note that the file at `path` is gone.
    pub(super) fn note(&self, path: &DataPath) {
        let parent = path.parent();
        let beside =
            |one: &&Required| one.path.parent() == parent || Some(&one.path) == parent.as_ref();
        let beside: BTreeSet<Required> = self.required.iter().filter(beside).cloned().collect();
        let unseen = self.directory.unseen(&beside);
        if !unseen.is_empty() {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            lost.extend(unseen.into_iter().map(|unseen| unseen.required));
        }
    }

    fn lost(&self) -> BTreeSet<Required> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{postgres::PlacedDatabase, types::Oid};

    #[test]
    fn a_file_is_gone_only_where_its_database_is_still_there() {
        let dir = tempfile::tempdir().unwrap();
        for oid in ["5", "6"] {
            fs::create_dir_all(dir.path().join("base").join(oid)).unwrap();
            fs::write(dir.path().join("base").join(oid).join("PG_VERSION"), "15\n").unwrap();
        }
        let database = |name: &str| PlacedDatabase { name: name.to_owned(), tablespace: Oid(1663) };
        let databases = [(Oid(5), database("postgres")), (Oid(6), database("app"))].into();
        let placement = Placement { databases, ..Placement::default() };
        let vanished = Vanished {
            directory: Arc::new(DataDirectory::open(dir.path()).unwrap()),
            required: placement.required("PG_15_1").unwrap(),
            lost: Mutex::default(),
        };
        let gone = |path: &str| vanished.note(&DataPath::new(path.as_bytes()).unwrap());
        gone("base/5/16384");
        assert!(vanished.lost().is_empty(), "a table was dropped");
        // What is left behind when a disk is taken away is an empty mount point.
        fs::remove_file(dir.path().join("base/6/PG_VERSION")).unwrap();
        gone("base/6/16384");
        let lost: Vec<String> = vanished.lost().iter().map(|one| one.owner.clone()).collect();
        assert_eq!(lost, ["database 'app'"]);
    }
}
