//! What `info` knows of a stanza. Serialised, this is the JSON form: fields stand in the alphabetical
//! order of their keys.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::types::{
    ArchiveId, BackupLabel, BackupType, DataPath, HistoryId, Lsn, Oid, PgVersion, SystemId,
    TimeLine, WalSegment,
};

/// The state of a stanza as a whole, or of a stanza in one repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusCode {
    /// There are backups.
    Ok = 0,
    /// The repository knows nothing of the stanza.
    MissingStanzaPath = 1,
    /// The stanza exists, but has no backup.
    NoBackup = 2,
    /// The stanza's directory exists, but its history does not.
    MissingStanzaData = 3,
    /// The repositories differ.
    Mixed = 4,
    /// The repositories hold different clusters.
    DatabaseMismatch = 5,
    /// `--set` names a backup that does not exist.
    BackupMissing = 6,
    /// An error; the repository's entry says which.
    Other = 99,
}

impl StatusCode {
    /// The text that goes with the number.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::MissingStanzaPath => "missing stanza path",
            Self::NoBackup => "no valid backups",
            Self::MissingStanzaData => "missing stanza data",
            Self::Mixed => "different across repos",
            Self::DatabaseMismatch => "database mismatch across repos",
            Self::BackupMissing => "requested backup not found",
            Self::Other => "other",
        }
    }
}

impl Serialize for StatusCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}

/// Everything about one stanza.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StanzaInfo {
    /// The WAL of each cluster in each repository.
    pub archive: Vec<ArchiveInfo>,
    /// The backups of all repositories, in the order they ended.
    pub backup: Vec<BackupInfo>,
    /// How the repositories are encrypted, `mixed` where they differ.
    pub cipher: String,
    /// The clusters that the stanza has been, oldest first, repository by repository.
    pub db: Vec<DbInfo>,
    pub name: String,
    /// The repositories.
    pub repo: Vec<RepoInfo>,
    /// The state of the whole.
    pub status: StanzaStatus,
}

impl StanzaInfo {
    /// The form that shows only the status and what runs.
    pub(super) fn progress(&self) -> ProgressInfo<'_> {
        ProgressInfo { name: &self.name, status: &self.status }
    }

    /// The cluster that the stanza is now, by the first repository that knows it.
    pub(super) fn current(&self) -> Option<&DbInfo> {
        let first = self.db.first()?.repo_key;
        self.db.iter().rfind(|db| db.repo_key == first)
    }
}

/// A stanza in brief.
#[derive(Debug, Serialize)]
pub(super) struct ProgressInfo<'a> {
    name: &'a str,
    status: &'a StanzaStatus,
}

/// The WAL of one cluster in one repository.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArchiveInfo {
    /// The timelines that continue beside a newer one; not in pgBackRest's output.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub branch: Vec<BranchInfo>,
    /// The cluster and the repository.
    pub database: DatabaseRef,
    /// The segments that are missing between those that are there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gap: Vec<GapInfo>,
    /// The directory of the cluster's WAL.
    pub id: ArchiveId,
    /// The newest segment.
    pub max: Option<WalSegment>,
    /// The oldest segment.
    pub min: Option<WalSegment>,
}

/// A timeline that continues although a newer one left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BranchInfo {
    /// The newer timeline.
    pub beside: TimeLine,
    /// Where the newer one left it.
    pub lsn: Lsn,
    /// Its newest segment.
    pub max: WalSegment,
    /// All of it in a sentence.
    pub text: String,
    /// When the newest segment was archived, seconds since 1970, where it is known.
    pub time: Option<i64>,
    pub timeline: TimeLine,
}

/// Segments of one timeline that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GapInfo {
    /// How many.
    pub count: u64,
    /// The first.
    pub start: WalSegment,
    /// The last.
    pub stop: WalSegment,
}

/// How far a backup can be rolled forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecoveryInfo {
    /// What is missing behind the window's end although there is newer WAL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<GapInfo>,
    /// Why the timeline history does not tell which WAL the backup needs, so that it cannot be recovered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<String>,
    /// The position at which the window ends.
    pub lsn: Lsn,
    /// What is missing between the backup's start and stop, without which it cannot be recovered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<GapInfo>,
    /// The last segment that recovery can read.
    pub stop: WalSegment,
    /// When that segment came into the archive, seconds since 1970, where it is known.
    pub time: Option<i64>,
}

/// A cluster by its number in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DatabaseRef {
    /// The number in the stanza's history.
    pub id: HistoryId,
    /// The number of the repository.
    pub repo_key: u16,
}

/// A cluster that the stanza is or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DbInfo {
    /// The number in the stanza's history.
    pub id: HistoryId,
    /// The number of the repository.
    pub repo_key: u16,
    pub system_id: SystemId,
    /// The major version.
    pub version: PgVersion,
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RepoInfo {
    /// How it is encrypted.
    pub cipher: String,
    /// Its number.
    pub key: u16,
    /// The state of the stanza in it.
    pub status: RepoStatus,
}

/// The state of a stanza in one repository.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RepoStatus {
    /// The number.
    pub code: StatusCode,
    /// The code's message, or the errors where the code is `Other`, one a line.
    pub message: String,
}

/// The state of a stanza as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StanzaStatus {
    /// The number.
    pub code: StatusCode,
    /// What runs.
    pub lock: Locks,
    /// The code's message.
    pub message: &'static str,
}

/// What runs on a stanza.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Locks {
    /// Backup, expire and the like.
    pub backup: BackupLock,
    pub restore: RestoreLock,
}

/// The backup lock over all repositories. Sizes in bytes, once they are known.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BackupLock {
    /// Whether it is held in any repository.
    pub held: bool,
    /// The repositories whose sizes are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repo: Vec<RepoLock>,
    /// The sum of their sizes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How much of that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_cplt: Option<u64>,
}

/// The progress of a backup in one repository, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RepoLock {
    /// The number of the repository.
    pub key: u16,
    /// The size of the whole.
    pub size: u64,
    /// How much of it is done.
    pub size_cplt: u64,
}

/// The restore lock. Sizes in bytes, once they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RestoreLock {
    /// Whether it is held.
    pub held: bool,
    /// The size of the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How much of it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_cplt: Option<u64>,
}

/// A backup. The fields that only `--set` shows are `None` without it; `link` and `tablespace` are
/// then `null` where there is nothing to list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BackupInfo {
    /// What users wrote on it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotation: BTreeMap<String, String>,
    /// The WAL it needs to become consistent.
    pub archive: Span<WalSegment>,
    pub backrest: ProgramInfo,
    /// The cluster and the repository.
    pub database: DatabaseRef,
    /// The databases, without templates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_ref: Option<Vec<DatabaseInfo>>,
    /// Whether damaged pages were found.
    pub error: bool,
    /// The files with damaged pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_list: Option<Vec<DataPath>>,
    pub info: Sizes,
    /// How long it is kept whatever retention says; shown for marked backups only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<KeepInfo>,
    pub label: BackupLabel,
    /// Symbolic links.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<Option<Vec<LinkInfo>>>,
    /// Start and stop positions.
    pub lsn: Span<Lsn>,
    /// Notes on the backup for the user; not in pgBackRest's output.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub note: Vec<String>,
    /// The backup it is the difference to.
    pub prior: Option<BackupLabel>,
    /// How far it can be rolled forward, where the archive could be listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryInfo>,
    /// The backups it needs.
    pub reference: Option<Vec<BackupLabel>>,
    /// Where its files were read, `stream` or `local`; not in pgBackRest's output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tablespace: Option<Option<Vec<TablespaceInfo>>>,
    /// Start and stop, seconds since 1970.
    pub timestamp: Span<i64>,
    #[serde(rename = "type")]
    pub kind: BackupType,
}

/// The keep mark of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KeepInfo {
    /// When it ends, seconds since 1970; `null` where it holds until it is removed.
    pub until: Option<i64>,
}

/// A start and a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span<T> {
    /// Where or when it began.
    pub start: T,
    /// Where or when it ended.
    pub stop: T,
}

/// The program that made a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramInfo {
    /// The version of the repository format.
    pub format: u16,
    /// The version of the program.
    pub version: String,
}

/// Sizes of a backup in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Bytes of the cluster that this backup stores itself.
    pub delta: u64,
    /// What it takes in the repository.
    pub repository: RepositorySizes,
    /// Bytes of the cluster.
    pub size: u64,
}

/// What a backup takes in the repository, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RepositorySizes {
    /// By itself.
    pub delta: u64,
    /// With the backups it needs.
    pub size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseInfo {
    pub name: String,
    /// Its object identifier.
    pub oid: Oid,
}

/// A symbolic link of the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkInfo {
    /// Where it points.
    pub destination: String,
    /// Its path in the data directory.
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TablespaceInfo {
    /// Its directory on the server.
    pub destination: String,
    /// Its name, where the backup could see it.
    pub name: Option<String>,
    /// Its object identifier.
    pub oid: Oid,
}

/// What stands for a cipher that differs between repositories.
pub const MIXED: &str = "mixed";
