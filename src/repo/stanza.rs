//! The history of a stanza: which clusters it has been. An entry is created by stanza-create, the
//! next by stanza-upgrade; none is ever changed, so an old backup always finds its cluster.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Error, foreign,
    layout::{self, number_of},
    metadata,
    object_header::ObjectKind,
};
use crate::{
    storage::{ErrorKind, Storage},
    types::{ArchiveId, ErrorCode, HistoryId, Nonce, PgVersion, StanzaName, SystemId},
};

const SIZE_MAX: usize = 64 << 10;

/// What identifies a cluster to its stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterId {
    /// The system identifier.
    pub system_id: SystemId,
    /// The major version.
    pub version: PgVersion,
}

impl std::fmt::Display for ClusterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgreSQL {} with system identifier {}", self.version, self.system_id)
    }
}

/// One cluster of a stanza's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StanzaEntry {
    /// Its number, 1 for the first.
    pub id: HistoryId,
    /// The cluster.
    #[serde(flatten)]
    pub cluster: ClusterId,
    /// The version of its control file's format, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_version: Option<u32>,
    /// When the entry was made, seconds since 1970.
    pub created: i64,
    /// Tells this entry from one that another host made at the same moment; older versions wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
}

impl StanzaEntry {
    /// The directory of the cluster's WAL.
    pub fn archive_id(&self) -> ArchiveId {
        ArchiveId { version: self.cluster.version, history_id: self.id }
    }
}

/// The clusters that a stanza has been, oldest first; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaHistory {
    stanza: StanzaName,
    entries: Vec<StanzaEntry>,
}

impl StanzaHistory {
    /// Reads the history; `StanzaMissing` where there is none, `Foreign` where another program's files are instead.
    pub async fn read(storage: &dyn Storage, stanza: &StanzaName) -> Result<Self, Error> {
        match Self::read_opt(storage, stanza).await? {
            Some(history) => Ok(history),
            None => Err(missing(storage, stanza).await),
        }
    }

    /// Reads the history, `None` where there is none.
    pub async fn read_opt(
        storage: &dyn Storage,
        stanza: &StanzaName,
    ) -> Result<Option<Self>, Error> {
        let listing = storage.list(&layout::stanza_directory(stanza)?, false).await?;
        let mut ids: Vec<u32> =
            listing.iter().filter_map(|entry| number_of(entry.path.file_name())).collect();
        ids.sort_unstable();
        let mut entries = Vec::with_capacity(ids.len());
        for id in ids {
            entries.push(read_entry(storage, stanza, HistoryId(id)).await?);
        }
        Ok((!entries.is_empty()).then(|| Self { stanza: stanza.clone(), entries }))
    }

    /// The clusters, oldest first.
    pub fn entries(&self) -> &[StanzaEntry] {
        &self.entries
    }

    /// The cluster that the stanza is now.
    pub fn current(&self) -> &StanzaEntry {
        &self.entries[self.entries.len() - 1]
    }

    /// The entry with this number.
    pub fn entry(&self, id: HistoryId) -> Option<&StanzaEntry> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// The newest entry that is `cluster`; otherwise an error.
    pub fn entry_of(&self, cluster: ClusterId) -> Result<&StanzaEntry, Error> {
        let found = self.entries.iter().rev().find(|entry| entry.cluster == cluster);
        found.ok_or_else(|| self.mismatch(cluster, ErrorCode::ArchiveMismatch))
    }

    /// The current entry, if it is `cluster`; otherwise an error under `code`.
    pub fn expect(&self, cluster: ClusterId, code: ErrorCode) -> Result<&StanzaEntry, Error> {
        let current = self.current();
        match current.cluster == cluster {
            true => Ok(current),
            false => Err(self.mismatch(cluster, code)),
        }
    }

    fn mismatch(&self, found: ClusterId, code: ErrorCode) -> Error {
        Error::StanzaMismatch {
            stanza: self.stanza.to_string(),
            expected: self.current().cluster.to_string(),
            found: found.to_string(),
            code,
        }
    }
}

/// Whether the stanza has a history, by its listing.
pub async fn exists(storage: &dyn Storage, stanza: &StanzaName) -> Result<bool, Error> {
    let listing = storage.list(&layout::stanza_directory(stanza)?, false).await?;
    Ok(listing.iter().any(|entry| number_of(entry.path.file_name()).is_some()))
}

/// Why there is no history. The stanza is missing whatever the look for another program's files comes to.
pub async fn missing(storage: &dyn Storage, stanza: &StanzaName) -> Error {
    match foreign::refuse(storage, stanza).await {
        Err(error @ Error::Foreign { .. }) => error,
        _ => Error::StanzaMissing { stanza: stanza.to_string(), location: storage.location() },
    }
}

/// What [`create`] found or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The entry was made.
    New,
    /// The stanza is this cluster already.
    AlreadyThere,
}

/// Makes the stanza for `cluster`. Fine when it is this cluster already; another cluster is refused.
pub async fn create(
    storage: &dyn Storage,
    stanza: &StanzaName,
    cluster: ClusterId,
    control_version: Option<u32>,
) -> Result<Created, Error> {
    if StanzaHistory::read_opt(storage, stanza).await?.is_none()
        && add(storage, stanza, HistoryId(1), cluster, control_version).await?
    {
        return Ok(Created::New);
    }
    let history = StanzaHistory::read(storage, stanza).await?;
    history.expect(cluster, ErrorCode::FileInvalid).map(|_| Created::AlreadyThere)
}

/// Makes `cluster` the stanza's current one; the earlier entries stay.
pub async fn upgrade(
    storage: &dyn Storage,
    stanza: &StanzaName,
    cluster: ClusterId,
    control_version: Option<u32>,
) -> Result<Created, Error> {
    let history = StanzaHistory::read(storage, stanza).await?;
    if history.current().cluster == cluster {
        return Ok(Created::AlreadyThere);
    }
    let next = HistoryId(history.current().id.0 + 1);
    match add(storage, stanza, next, cluster, control_version).await? {
        true => Ok(Created::New),
        // Another process upgraded at the same moment: valid if it was to the same cluster.
        false => StanzaHistory::read(storage, stanza)
            .await?
            .expect(cluster, ErrorCode::FileInvalid)
            .map(|_| Created::AlreadyThere),
    }
}

/// Creates an entry; `false` where its number is taken.
async fn add(
    storage: &dyn Storage,
    stanza: &StanzaName,
    id: HistoryId,
    cluster: ClusterId,
    control_version: Option<u32>,
) -> Result<bool, Error> {
    let created = Timestamp::now().as_second();
    let entry = StanzaEntry { id, cluster, control_version, created, nonce: None };
    add_entry(storage, stanza, &entry).await
}

/// Creates an entry as it is, with a nonce of its own; `false` where its number is taken.
pub async fn add_entry(
    storage: &dyn Storage,
    stanza: &StanzaName,
    entry: &StanzaEntry,
) -> Result<bool, Error> {
    let path = layout::stanza_entry(stanza, entry.id)?;
    let entry = StanzaEntry { nonce: Some(Nonce::random()), ..entry.clone() };
    let body = metadata::to_json(&entry, path.as_str())?;
    match metadata::write(storage, &path, ObjectKind::Stanza, &body).await {
        Ok(_) => Ok(true),
        Err(Error::Storage(error)) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads and verifies one entry of the history.
pub async fn read_entry(
    storage: &dyn Storage,
    stanza: &StanzaName,
    id: HistoryId,
) -> Result<StanzaEntry, Error> {
    let path = layout::stanza_entry(stanza, id)?;
    let body = metadata::read(storage, &path, ObjectKind::Stanza, SIZE_MAX).await?;
    let entry: StanzaEntry = metadata::from_json(&body, path.as_str())?;
    match entry.id == id {
        true => Ok(entry),
        false => Err(Error::format(path.as_str(), "it is the entry of another number")),
    }
}
