//! Where everything is in a repository. The only place that spells a path of it.
//!
//! ```text
//! stanza/<stanza>/<history id, 8 digits>             one object a cluster of the stanza's history
//! archive/<stanza>/<version>-<history id>/…          the WAL, see `archive`
//! backup/<stanza>/<label>/started                    the notice that the backup has begun
//! backup/<stanza>/<label>/bundle/<number, 8 digits>  the data, frames one after the other
//! backup/<stanza>/<label>/map/<number, 8 digits>     the block maps of the files
//! backup/<stanza>/<label>/files                      the file list
//! backup/<stanza>/<label>/backup_manifest            PostgreSQL's own manifest
//! backup/<stanza>/<label>/manifest                   the manifest, written last: the backup exists
//! backup/<stanza>/<label>/annotation/<number, 8 digits>
//! backup/<stanza>/<label>/lost                       the notice that the manifest was found to be missing
//! backup/<stanza>/<label>/keep/<number, 8 digits>
//! key/<recipient id, 16 hex digits>                  the wrapped data key, where the repository is encrypted
//! ```

use crate::{
    storage::ObjectPath,
    types::{BackupLabel, HistoryId, Invalid, StanzaName},
};

/// The directory that holds a directory for each stanza's history.
pub const STANZA_ROOT: &str = "stanza";
/// The directory that holds a directory for each stanza's backups.
pub const BACKUP_ROOT: &str = "backup";
/// The directory that holds a directory for each stanza's WAL.
pub const ARCHIVE_ROOT: &str = "archive";

/// The directory that holds the wrapped data key of an encrypted repository, once for each recipient.
pub const KEY_ROOT: &str = "key";

/// The history of a stanza.
pub fn stanza_directory(stanza: &StanzaName) -> Result<ObjectPath, Invalid> {
    ObjectPath::new(format!("{STANZA_ROOT}/{stanza}"))
}

/// One cluster of a stanza's history.
pub fn stanza_entry(stanza: &StanzaName, id: HistoryId) -> Result<ObjectPath, Invalid> {
    stanza_directory(stanza)?.join(&numbered(id.0))
}

/// All wrapped keys of a repository.
pub fn key_directory() -> Result<ObjectPath, Invalid> {
    ObjectPath::new(KEY_ROOT)
}

/// All backups of a stanza.
pub fn backup_directory(stanza: &StanzaName) -> Result<ObjectPath, Invalid> {
    ObjectPath::new(format!("{BACKUP_ROOT}/{stanza}"))
}

/// All WAL of a stanza.
pub fn archive_directory(stanza: &StanzaName) -> Result<ObjectPath, Invalid> {
    ObjectPath::new(format!("{ARCHIVE_ROOT}/{stanza}"))
}

/// The objects of one backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupPaths(ObjectPath);

impl BackupPaths {
    /// The paths of `label` in `stanza`.
    pub fn new(stanza: &StanzaName, label: &BackupLabel) -> Result<Self, Invalid> {
        backup_directory(stanza)?.join(label.as_str()).map(Self)
    }

    /// The directory of the backup.
    pub fn directory(&self) -> &ObjectPath {
        &self.0
    }

    /// The manifest: where it is, the backup exists.
    pub fn manifest(&self) -> Result<ObjectPath, Invalid> {
        self.0.join(MANIFEST)
    }

    /// The file list.
    pub fn file_list(&self) -> Result<ObjectPath, Invalid> {
        self.0.join(FILE_LIST)
    }

    /// PostgreSQL's own manifest.
    pub fn backup_manifest(&self) -> Result<ObjectPath, Invalid> {
        self.0.join("backup_manifest")
    }

    /// The notice that the backup has begun, written before anything else of it.
    pub fn started(&self) -> Result<ObjectPath, Invalid> {
        self.0.join(STARTED)
    }

    /// The notice that the manifest of the backup was found to be missing.
    pub fn lost(&self) -> Result<ObjectPath, Invalid> {
        self.0.join(LOST)
    }

    /// A bundle of frames.
    pub fn bundle(&self, number: u32) -> Result<ObjectPath, Invalid> {
        self.0.join(&format!("bundle/{}", numbered(number)))
    }

    /// A bundle of block maps.
    pub fn map(&self, number: u32) -> Result<ObjectPath, Invalid> {
        self.0.join(&format!("map/{}", numbered(number)))
    }

    /// The directory of the annotation changes.
    pub fn annotations(&self) -> Result<ObjectPath, Invalid> {
        self.0.join("annotation")
    }

    /// The directory of the changes of the keep mark.
    pub fn keep(&self) -> Result<ObjectPath, Invalid> {
        self.0.join("keep")
    }
}

/// The file name of the notice that a backup has begun.
pub const STARTED: &str = "started";

/// The file name of the notice that the manifest of a backup was found to be missing.
pub const LOST: &str = "lost";

/// The file name of a file list.
pub const FILE_LIST: &str = "files";

/// The file name of a manifest.
pub const MANIFEST: &str = "manifest";

/// The file name of a number.
pub fn numbered(number: u32) -> String {
    format!("{number:08}")
}

/// The number in a file name that [`numbered`] made; `None` for any other name.
pub fn number_of(file_name: &str) -> Option<u32> {
    let digits = file_name.len() == 8 && file_name.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| file_name.parse().ok()).flatten()
}
