//! Maps cluster numbers of the source's history to those of the target: each repository has its own numbers.

use std::collections::BTreeMap;

use super::Error;
use crate::{
    repo::stanza::StanzaEntry,
    types::{ArchiveId, HistoryId, StanzaName},
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryMap {
    numbers: BTreeMap<HistoryId, HistoryId>,
    /// Entries to create in the target, with its numbers.
    pub new: Vec<StanzaEntry>,
    /// The current cluster of the stanza in the target after the copy.
    pub current: Option<ArchiveId>,
}

impl HistoryMap {
    /// Compares the histories, both sorted by time. Upgrades of the source after the newest cluster of the target are
    /// added to the target, as by stanza-upgrade. An older cluster that the target never had is not added.
    pub fn new(
        stanza: &StanzaName,
        source: &[StanzaEntry],
        target: &[StanzaEntry],
    ) -> Result<Self, Error> {
        let mut map = Self::default();
        let mut from = 0;
        let mut behind = Vec::new();
        for entry in source {
            let found = target[from..].iter().position(|known| known.cluster == entry.cluster);
            match found {
                Some(at) => {
                    map.numbers.insert(entry.id, target[from + at].id);
                    from += at + 1;
                    behind.clear();
                }
                None => behind.push(entry),
            }
        }
        let is_other = !target.is_empty() && map.numbers.is_empty();
        if is_other || (!behind.is_empty() && from < target.len()) {
            let name = |entries: &[StanzaEntry]| {
                entries.last().map(|entry| entry.cluster.to_string()).unwrap_or_default()
            };
            let (found, expected) = (name(target), name(source));
            return Err(Error::OtherCluster { stanza: stanza.to_string(), found, expected });
        }
        let mut last = target.last().map_or(0, |entry| entry.id.0);
        for entry in behind {
            // If the history is empty, the numbers are the same.
            last = if target.is_empty() { entry.id.0 } else { last + 1 };
            map.numbers.insert(entry.id, HistoryId(last));
            map.new.push(StanzaEntry { id: HistoryId(last), ..entry.clone() });
        }
        map.current = map.new.last().or(target.last()).map(StanzaEntry::archive_id);
        Ok(map)
    }

    /// The number in the target; `None` if the target does not have the cluster.
    pub fn number(&self, source: HistoryId) -> Option<HistoryId> {
        self.numbers.get(&source).copied()
    }

    pub fn archive(&self, source: ArchiveId) -> Option<ArchiveId> {
        Some(ArchiveId { history_id: self.number(source.history_id)?, ..source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        repo::stanza::ClusterId,
        types::{Failure, SystemId},
    };

    fn history(clusters: &[u64]) -> Vec<StanzaEntry> {
        let entry = |(index, id): (usize, &u64)| StanzaEntry {
            id: HistoryId(index as u32 + 1),
            cluster: ClusterId { system_id: SystemId(*id), version: "15".parse().unwrap() },
            control_version: None,
            created: 7,
            nonce: None,
        };
        clusters.iter().enumerate().map(entry).collect()
    }

    fn map(source: &[u64], target: &[u64]) -> Result<(Vec<Option<u32>>, Vec<u32>), Error> {
        let (source, target) = (history(source), history(target));
        let map = HistoryMap::new(&"demo".parse().unwrap(), &source, &target)?;
        let numbers = source.iter().map(|entry| map.number(entry.id).map(|id| id.0)).collect();
        Ok((numbers, map.new.iter().map(|entry| entry.id.0).collect()))
    }

    #[test]
    fn clusters_are_found_whatever_their_numbers() {
        assert_eq!(map(&[1, 2], &[]).unwrap(), (vec![Some(1), Some(2)], vec![1, 2]));
        assert_eq!(map(&[1, 2], &[1, 2]).unwrap(), (vec![Some(1), Some(2)], vec![]));
        assert_eq!(map(&[1], &[1, 2]).unwrap(), (vec![Some(1)], vec![]));
        assert_eq!(map(&[1, 2], &[1]).unwrap(), (vec![Some(1), Some(2)], vec![2]));
        // The target was created after the upgrade, so the older cluster is not copied.
        assert_eq!(map(&[1, 2], &[2]).unwrap(), (vec![None, Some(1)], vec![]));
        assert_eq!(map(&[2, 3], &[1, 2]).unwrap(), (vec![Some(2), Some(3)], vec![3]));
    }

    #[test]
    fn another_cluster_is_an_error() {
        for (source, target) in [(&[1][..], &[2][..]), (&[1, 2], &[1, 3])] {
            let error = map(source, target).unwrap_err();
            assert_eq!(error.code(), crate::types::ErrorCode::BackupMismatch, "{error}");
        }
    }
}
