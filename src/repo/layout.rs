//! The paths of a repository. No other file spells one.
//!
//! ```text
//! stanza/<stanza>/<history id, 8 digits>             one object per cluster of the stanza's history
//! archive/<stanza>/<version>-<history id>/…          the WAL, see `archive`
//! backup/<stanza>/<label>/started                    the notice: a backup has begun
//! backup/<stanza>/<label>/bundle/<number, 8 digits>  frames of file data
//! backup/<stanza>/<label>/map/<number, 8 digits>     the block maps of the files
//! backup/<stanza>/<label>/files                      the file list
//! backup/<stanza>/<label>/backup_manifest            PostgreSQL's own manifest
//! backup/<stanza>/<label>/manifest                   the manifest, written last: the backup exists
//! backup/<stanza>/<label>/annotation/<number, 8 digits>
//! backup/<stanza>/<label>/lost                       the notice of an expire that found the manifest missing
//! backup/<stanza>/<label>/keep/<number, 8 digits>
//! key/<recipient id, 16 hex digits>                  the wrapped data key, where the repository is encrypted
//! ```

use crate::{
    storage::ObjectPath,
    types::{BackupLabel, HistoryId, Invalid, StanzaName},
};

/// Parent of the history directory of each stanza.
pub const STANZA_ROOT: &str = "stanza";
/// Parent of the backup directory of each stanza.
pub const BACKUP_ROOT: &str = "backup";
/// Parent of the WAL directory of each stanza.
pub const ARCHIVE_ROOT: &str = "archive";
/// Holds the wrapped data key of an encrypted repository, once per recipient.
pub const KEY_ROOT: &str = "key";

pub fn stanza_directory(stanza: &StanzaName) -> Result<ObjectPath, Invalid> {
    ObjectPath::new(format!("{STANZA_ROOT}/{stanza}"))
}

pub fn stanza_entry(stanza: &StanzaName, id: HistoryId) -> Result<ObjectPath, Invalid> {
    stanza_directory(stanza)?.join(&numbered(id.0))
}

pub fn key_directory() -> Result<ObjectPath, Invalid> {
    ObjectPath::new(KEY_ROOT)
}

pub fn backup_directory(stanza: &StanzaName) -> Result<ObjectPath, Invalid> {
    ObjectPath::new(format!("{BACKUP_ROOT}/{stanza}"))
}

pub fn archive_directory(stanza: &StanzaName) -> Result<ObjectPath, Invalid> {
    ObjectPath::new(format!("{ARCHIVE_ROOT}/{stanza}"))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupPaths(ObjectPath);

impl BackupPaths {
    pub fn new(stanza: &StanzaName, label: &BackupLabel) -> Result<Self, Invalid> {
        backup_directory(stanza)?.join(label.as_str()).map(Self)
    }

    pub fn directory(&self) -> &ObjectPath {
        &self.0
    }

    pub fn manifest(&self) -> Result<ObjectPath, Invalid> {
        self.0.join(MANIFEST)
    }

    pub fn file_list(&self) -> Result<ObjectPath, Invalid> {
        self.0.join(FILE_LIST)
    }

    /// PostgreSQL's own manifest, not ours.
    pub fn backup_manifest(&self) -> Result<ObjectPath, Invalid> {
        self.0.join("backup_manifest")
    }

    /// The notice: the first object of a backup.
    pub fn started(&self) -> Result<ObjectPath, Invalid> {
        self.0.join(STARTED)
    }

    /// Created by an expire that found the manifest missing.
    pub fn lost(&self) -> Result<ObjectPath, Invalid> {
        self.0.join(LOST)
    }

    pub fn bundle(&self, number: u32) -> Result<ObjectPath, Invalid> {
        self.0.join(&format!("bundle/{}", numbered(number)))
    }

    /// A bundle of block maps.
    pub fn map(&self, number: u32) -> Result<ObjectPath, Invalid> {
        self.0.join(&format!("map/{}", numbered(number)))
    }

    /// Directory of the annotation changes.
    pub fn annotations(&self) -> Result<ObjectPath, Invalid> {
        self.0.join("annotation")
    }

    /// Directory of the changes of the keep mark.
    pub fn keep(&self) -> Result<ObjectPath, Invalid> {
        self.0.join("keep")
    }
}

pub const STARTED: &str = "started";
pub const LOST: &str = "lost";
pub const FILE_LIST: &str = "files";
pub const MANIFEST: &str = "manifest";

/// The file name of a numbered object.
pub fn numbered(number: u32) -> String {
    format!("{number:08}")
}

/// The inverse of [`numbered`]; `None` for any other name.
pub fn number_of(file_name: &str) -> Option<u32> {
    let digits = file_name.len() == 8 && file_name.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| file_name.parse().ok()).flatten()
}
