//! The history of a stanza: the clusters it has been used for. stanza-create writes the first entry, each stanza-upgrade
//! another; entries are never changed, so an old backup always finds its cluster.

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

/// Identifies a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterId {
    pub system_id: SystemId,
    /// Major version.
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
    /// 1 for the first.
    pub id: HistoryId,
    #[serde(flatten)]
    pub cluster: ClusterId,
    /// `pg_control_version`; `None` if pg_control could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_version: Option<u32>,
    /// Seconds since 1970.
    pub created: i64,
    /// Distinguishes the entry from one that another host wrote at the same moment; `None` in older versions' entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
}

impl StanzaEntry {
    pub fn archive_id(&self) -> ArchiveId {
        ArchiveId { version: self.cluster.version, history_id: self.id }
    }
}

/// Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaHistory {
    stanza: StanzaName,
    /// Oldest first.
    entries: Vec<StanzaEntry>,
}

impl StanzaHistory {
    /// [`Error::StanzaMissing`] if there is no history, [`Error::Foreign`] if another program's files are there instead.
    pub async fn read(storage: &dyn Storage, stanza: &StanzaName) -> Result<Self, Error> {
        match Self::read_opt(storage, stanza).await? {
            Some(history) => Ok(history),
            None => Err(missing(storage, stanza).await),
        }
    }

    /// `None` if there is no history.
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

    /// Oldest first.
    pub fn entries(&self) -> &[StanzaEntry] {
        &self.entries
    }

    /// The entry of the stanza's current cluster.
    pub fn current(&self) -> &StanzaEntry {
        &self.entries[self.entries.len() - 1]
    }

    pub fn entry(&self, id: HistoryId) -> Option<&StanzaEntry> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// The newest entry of `cluster`; [`Error::StanzaMismatch`] if it has none.
    pub fn entry_of(&self, cluster: ClusterId) -> Result<&StanzaEntry, Error> {
        let found = self.entries.iter().rev().find(|entry| entry.cluster == cluster);
        found.ok_or_else(|| self.mismatch(cluster, ErrorCode::ArchiveMismatch))
    }

    /// The current entry; [`Error::StanzaMismatch`] with `code` if it is not that of `cluster`.
    pub fn expect(&self, cluster: ClusterId, code: ErrorCode) -> Result<&StanzaEntry, Error> {
        let current = self.current();
        if current.cluster == cluster { Ok(current) } else { Err(self.mismatch(cluster, code)) }
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

/// Whether the stanza has a history, from a listing alone.
pub async fn exists(storage: &dyn Storage, stanza: &StanzaName) -> Result<bool, Error> {
    let listing = storage.list(&layout::stanza_directory(stanza)?, false).await?;
    Ok(listing.iter().any(|entry| number_of(entry.path.file_name()).is_some()))
}

/// The error for a stanza without history. A failed search for another program's files does not change it.
pub async fn missing(storage: &dyn Storage, stanza: &StanzaName) -> Error {
    match foreign::refuse(storage, stanza).await {
        Err(error @ Error::Foreign { .. }) => error,
        _ => Error::StanzaMissing { stanza: stanza.to_string(), location: storage.location() },
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    New,
    /// The stanza's current entry is that of this cluster already.
    AlreadyThere,
}

/// Creates the stanza for `cluster`; [`Error::StanzaMismatch`] if it exists for another cluster.
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

/// Adds `cluster` to the history as its current entry.
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
    if add(storage, stanza, next, cluster, control_version).await? {
        return Ok(Created::New);
    }
    // Another command took the number since the history was read: fine if it upgraded to the same cluster.
    let history = StanzaHistory::read(storage, stanza).await?;
    history.expect(cluster, ErrorCode::FileInvalid).map(|_| Created::AlreadyThere)
}

/// Creates an entry; `false` if its number is taken.
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

/// Creates a copy of `entry` with a new nonce; `false` if its number is taken.
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

pub async fn read_entry(
    storage: &dyn Storage,
    stanza: &StanzaName,
    id: HistoryId,
) -> Result<StanzaEntry, Error> {
    let path = layout::stanza_entry(stanza, id)?;
    let body = metadata::read(storage, &path, ObjectKind::Stanza, SIZE_MAX).await?;
    let entry: StanzaEntry = metadata::from_json(&body, path.as_str())?;
    if entry.id == id {
        Ok(entry)
    } else {
        Err(Error::format(path.as_str(), "it is the entry of another history id"))
    }
}
