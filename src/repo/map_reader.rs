//! Reads the block maps of a backup, of its files or of those it shares with the backups it refers to,
//! each proven by its digest. Maps that lie together in a bundle are fetched together.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    Error,
    block_map::{BlockMap, Numbers},
    file_list::{MapPlace, MapRef},
    layout::BackupPaths,
    manifest::Manifest,
    metadata,
    object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
};
use crate::{
    codec::BlockHasher,
    storage::{ObjectPath, Storage},
    types::{BackupLabel, StanzaName},
};

/// Maps that lie together are read together, up to so many bytes.
const WINDOW_MAX: u64 = 1 << 20;
/// So many bytes between two maps are read along with them.
const GAP_MAX: u64 = 64 << 10;
/// How many stretches of map bundles are kept; with their size this bounds the memory.
const WINDOWS_MAX: usize = 8;
/// How many files ahead are looked at for maps to read along.
const AHEAD_MAX: usize = 4096;

/// Reads block maps. References in what it returns are numbered as in the backup that it was made for.
pub struct MapReader {
    storage: Arc<dyn Storage>,
    /// The paths of the backup and, from 1, of its references.
    holders: Vec<BackupPaths>,
    hasher: BlockHasher,
    block_size: u32,
    /// What was fetched lately, the latest first.
    windows: VecDeque<Window>,
}

/// A stretch of a map bundle.
struct Window {
    reference: u32,
    bundle: u32,
    offset: u64,
    bytes: Bytes,
}

/// The map of a file, and the whole map that later backups may give as the base of a patch.
#[derive(Clone, Debug, Default)]
pub struct FileMap {
    /// Every block of the file.
    pub map: Arc<BlockMap>,
    /// The base; the map itself where it is stored whole.
    pub base: Arc<BlockMap>,
}

impl MapReader {
    /// A reader for the maps of a backup.
    pub fn of(storage: Arc<dyn Storage>, manifest: &Manifest) -> Result<Self, Error> {
        let labels = std::iter::once(&manifest.label).chain(&manifest.references);
        let hasher = BlockHasher::new(manifest.block.digest_key.0);
        Self::new(storage, &manifest.stanza, labels, hasher, manifest.block.size)
    }

    /// A reader for the backup that comes first among `labels`; its references follow in their order.
    pub fn new<'a>(
        storage: Arc<dyn Storage>,
        stanza: &StanzaName,
        labels: impl Iterator<Item = &'a BackupLabel>,
        hasher: BlockHasher,
        block_size: u32,
    ) -> Result<Self, Error> {
        let holders: Result<_, _> = labels.map(|label| BackupPaths::new(stanza, label)).collect();
        Ok(Self { storage, holders: holders?, hasher, block_size, windows: VecDeque::new() })
    }

    /// Reads the map of a file of `size` bytes. `ahead` names the maps that will probably be asked for
    /// next; those that lie behind this one come along in the same request.
    pub async fn read(
        &mut self,
        place: &MapPlace,
        size: u64,
        ahead: impl Iterator<Item = MapPlace> + Clone,
    ) -> Result<FileMap, Error> {
        let patches = ahead.clone().map(|place| place.map);
        let bytes = self.fetch(&place.map, patches).await?;
        let Some(base) = &place.base else {
            let map = Arc::new(self.decode(&bytes, &place.map, size)?);
            return Ok(FileMap { base: Arc::clone(&map), map });
        };
        let bases = ahead.filter_map(|place| place.base).map(|base| base.map);
        let base_bytes = self.fetch(&base.map, bases).await?;
        let base_map = self.decode(&base_bytes, &base.map, base.size)?;
        let map = self.decode_patch(&bytes, &place.map, (&base_map, base.size), size)?;
        Ok(FileMap { base: Arc::new(base_map), map: Arc::new(map) })
    }

    fn decode(&self, bytes: &[u8], at: &MapRef, size: u64) -> Result<BlockMap, Error> {
        let object = metadata::object_name(&*self.storage, &self.path(at)?);
        BlockMap::decode(bytes, &object, size, self.block_size, self.numbers(at))
    }

    fn decode_patch(
        &self,
        bytes: &[u8],
        at: &MapRef,
        base: (&BlockMap, u64),
        size: u64,
    ) -> Result<BlockMap, Error> {
        let object = metadata::object_name(&*self.storage, &self.path(at)?);
        BlockMap::decode_patch(bytes, &object, base, size, self.block_size, self.numbers(at))
    }

    fn numbers(&self, at: &MapRef) -> Numbers {
        match at.reference {
            0 => Numbers::of_own(self.holders.len() - 1),
            n => Numbers::of_reference(n),
        }
    }

    /// The map bundle that holds a map.
    fn path(&self, at: &MapRef) -> Result<ObjectPath, Error> {
        match self.holders.get(at.reference as usize) {
            Some(holder) => Ok(holder.map(at.bundle)?),
            None => Err(Error::format(
                self.holders[0].directory().as_str(),
                format!(
                    "a block map is said to be in backup {}, which is not recorded",
                    at.reference
                ),
            )),
        }
    }

    /// The bytes of a map, proven by their digest.
    async fn fetch(
        &mut self,
        at: &MapRef,
        ahead: impl Iterator<Item = MapRef>,
    ) -> Result<Bytes, Error> {
        let index = match self.windows.iter().position(|window| window.holds(at)) {
            Some(index) => index,
            None => self.fetch_window(at, ahead).await?,
        };
        let Some(window) = self.windows.remove(index) else {
            return Err(Error::format("block maps", "a stretch that was read is gone"));
        };
        let from = (at.offset - window.offset) as usize;
        let bytes = window.bytes.slice(from..from + at.len as usize);
        self.windows.push_front(window);
        match self.hasher.digest(&bytes) == at.digest {
            true => Ok(bytes),
            false => Err(Error::Damaged {
                object: metadata::object_name(&*self.storage, &self.path(at)?),
                what: "block map",
            }),
        }
    }

    /// Reads the map and those `ahead` that lie behind it in its bundle; returns the new window's index.
    async fn fetch_window(
        &mut self,
        at: &MapRef,
        ahead: impl Iterator<Item = MapRef>,
    ) -> Result<usize, Error> {
        let end = reach(at, ahead.take(AHEAD_MAX));
        let path = self.path(at)?;
        let bytes = self.fetch_range(&path, at.offset..end).await?;
        self.windows.truncate(WINDOWS_MAX - 1);
        let MapRef { reference, bundle, offset, .. } = *at;
        self.windows.push_back(Window { reference, bundle, offset, bytes });
        Ok(self.windows.len() - 1)
    }

    /// Reads maps; with the first of a bundle comes the header in front of it.
    async fn fetch_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Bytes, Error> {
        if range.start != HEADER_LEN as u64 {
            return Ok(self.storage.get_range(path, range).await?);
        }
        let mut fetched = self.storage.get_range(path, 0..range.end).await?;
        let maps = fetched.split_off(HEADER_LEN);
        let object = metadata::object_name(&*self.storage, path);
        ObjectHeader::decode(&fetched, ObjectKind::MapBundle, &object)?;
        Ok(maps)
    }
}

impl Window {
    fn holds(&self, at: &MapRef) -> bool {
        (self.reference, self.bundle) == (at.reference, at.bundle)
            && self.offset <= at.offset
            && at.end() <= self.offset + self.bytes.len() as u64
    }
}

/// The end of what is read in one request that begins with `at`.
fn reach(at: &MapRef, ahead: impl Iterator<Item = MapRef>) -> u64 {
    let mut end = at.end();
    for next in ahead {
        if (next.reference, next.bundle) != (at.reference, at.bundle) {
            continue;
        }
        let near = next.offset >= at.offset && next.offset <= end.saturating_add(GAP_MAX);
        if !near || next.end().saturating_sub(at.offset) > WINDOW_MAX {
            break;
        }
        end = end.max(next.end());
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::BlockDigest;

    fn at(bundle: u32, offset: u64, len: u32) -> MapRef {
        let digest = BlockDigest([0; BlockDigest::LEN]);
        MapRef { reference: 0, bundle, offset, len, digest }
    }

    #[test]
    fn maps_that_follow_each_other_are_read_together() {
        let first = at(1, 16, 100);
        let ahead = [at(1, 116, 50), at(2, 16, 9), at(1, 170, 30)];
        assert_eq!(reach(&first, ahead.into_iter()), 200);
        let far = at(1, 16 + 100 + GAP_MAX + 1, 5);
        assert_eq!(reach(&first, [far].into_iter()), 116);
        let large = at(1, 116, WINDOW_MAX as u32);
        assert_eq!(reach(&first, [large].into_iter()), 116);
    }
}
