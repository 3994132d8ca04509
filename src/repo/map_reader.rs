//! Reads the block maps of a backup, wherever in its chain they are stored, and verifies each by its digest. Adjacent
//! maps of a bundle are fetched with one request.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    Error,
    block_map::{BlockMap, ReferenceNumbers},
    file_list::{MapLocation, MapRef},
    layout::BackupPaths,
    limits,
    manifest::Manifest,
    metadata,
    object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
};
use crate::{
    codec::BlockHasher,
    storage::{ObjectPath, Storage},
    types::{BackupLabel, BlockDigest, StanzaName},
    work,
};

/// Bytes that are fetched with one request at most, unless a single map is larger.
const WINDOW_MAX: u64 = 1 << 20;
/// Bytes between two maps that are fetched for the sake of one request.
const GAP_MAX: u64 = 64 << 10;
/// Windows that are kept, and their bytes beside the one in use.
const WINDOWS_MAX: usize = 8;
const KEPT_MAX: u64 = WINDOWS_MAX as u64 * WINDOW_MAX;
/// Maps of more bytes are decoded on a blocking thread, so that a signal can still end the command.
const BLOCKING_LEN_MIN: u32 = 4 << 20;
/// How many of the next files are searched for adjacent maps.
const AHEAD_MAX: usize = 4096;

/// The references in the maps it returns are those of the backup that it was created for.
pub struct MapReader {
    storage: Arc<dyn Storage>,
    /// The backup, and from index 1 its references.
    holders: Vec<BackupPaths>,
    hasher: BlockHasher,
    block_size: u32,
    /// Most recently used first.
    windows: VecDeque<Window>,
}

/// A range of a map bundle that was fetched.
struct Window {
    reference: u32,
    bundle: u32,
    offset: u64,
    bytes: Bytes,
}

/// The map of a file, and the map that a later backup may use as the base of a patch.
#[derive(Clone, Debug, Default)]
pub struct FileMap {
    pub map: Arc<BlockMap>,
    /// The same as `map` if that is stored whole.
    pub base: Arc<BlockMap>,
}

impl MapReader {
    pub fn of(storage: Arc<dyn Storage>, manifest: &Manifest) -> Result<Self, Error> {
        let labels = std::iter::once(&manifest.label).chain(&manifest.references);
        let hasher = BlockHasher::new(manifest.block.digest_key.0);
        Self::new(storage, &manifest.stanza, labels, hasher, manifest.block.size)
    }

    /// `labels` are the backup and then its references, in their order.
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

    /// [`Self::read_part`] without the part in the error.
    pub async fn read(
        &mut self,
        place: &MapLocation,
        size: u64,
        ahead: impl Iterator<Item = MapLocation> + Clone,
    ) -> Result<FileMap, Error> {
        self.read_part(place, size, ahead).await.map_err(|(_, error)| error)
    }

    /// Reads the map of a file of `size` bytes. `ahead` are the maps that will be read next: those that follow this one in
    /// its bundle are fetched with the same request. An error comes with the part, map or base, that it is about.
    pub async fn read_part(
        &mut self,
        place: &MapLocation,
        size: u64,
        ahead: impl Iterator<Item = MapLocation> + Clone,
    ) -> Result<FileMap, (MapRef, Error)> {
        let of = |at: MapRef| move |error| (at, error);
        let patches = ahead.clone().map(|place| place.map);
        let bytes = self.fetch_of(&place.map, size, patches).await.map_err(of(place.map))?;
        let Some(base) = &place.base else {
            let map = self.decode(bytes, &place.map, size).await.map_err(of(place.map))?;
            let map = Arc::new(map);
            return Ok(FileMap { base: Arc::clone(&map), map });
        };
        let bases = ahead.filter_map(|place| place.base).map(|base| base.map);
        let base_bytes = self.fetch_of(&base.map, base.size, bases).await.map_err(of(base.map))?;
        let decoded = self.decode(base_bytes, &base.map, base.size).await;
        let base_map = Arc::new(decoded.map_err(of(base.map))?);
        let of_base = (Arc::clone(&base_map), base.size);
        let map = self.decode_patch(bytes, &place.map, of_base, size).await;
        Ok(FileMap { base: base_map, map: Arc::new(map.map_err(of(place.map))?) })
    }

    /// [`Self::fetch`] for a file of `size` bytes.
    async fn fetch_of(
        &mut self,
        at: &MapRef,
        size: u64,
        ahead: impl Iterator<Item = MapRef>,
    ) -> Result<Bytes, Error> {
        self.check_len(at, size)?;
        self.fetch(at, ahead).await
    }

    /// Refuses a map that is longer than the map of a file of `size` bytes can be, before memory is allocated for it.
    fn check_len(&self, at: &MapRef, size: u64) -> Result<(), Error> {
        let max = limits::map_len_max(size, self.block_size);
        if u64::from(at.len) <= max {
            return Ok(());
        }
        let object = metadata::object_name(&*self.storage, &self.path(at)?);
        limits::check(&object, "the recorded size of a block map", at.len.into(), max)
    }

    async fn decode(&self, bytes: Bytes, at: &MapRef, size: u64) -> Result<BlockMap, Error> {
        let object = metadata::object_name(&*self.storage, &self.path(at)?);
        let (block_size, numbers) = (self.block_size, self.numbers(at));
        decode_maybe_blocking(at.len, move || {
            BlockMap::decode(&bytes, &object, size, block_size, numbers)
        })
        .await
    }

    async fn decode_patch(
        &self,
        bytes: Bytes,
        at: &MapRef,
        (base, base_size): (Arc<BlockMap>, u64),
        size: u64,
    ) -> Result<BlockMap, Error> {
        let object = metadata::object_name(&*self.storage, &self.path(at)?);
        let (block_size, numbers) = (self.block_size, self.numbers(at));
        let len = at.len.max((base.digests.len() * BlockDigest::LEN) as u32);
        let decode = move || {
            let base = (&*base, base_size);
            BlockMap::decode_patch(&bytes, &object, base, size, block_size, numbers)
        };
        decode_maybe_blocking(len, decode).await
    }

    fn numbers(&self, at: &MapRef) -> ReferenceNumbers {
        match at.reference {
            0 => ReferenceNumbers::of_own(self.holders.len() - 1),
            n => ReferenceNumbers::of_reference(n),
        }
    }

    /// The path of the bundle that holds the map.
    fn path(&self, at: &MapRef) -> Result<ObjectPath, Error> {
        match self.holders.get(at.reference as usize) {
            Some(holder) => Ok(holder.map(at.bundle)?),
            None => Err(Error::format(
                self.holders[0].directory().as_str(),
                format!(
                    "it refers to a block map in backup number {}, which it does not list",
                    at.reference
                ),
            )),
        }
    }

    /// The bytes of a map, verified by their digest.
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
            return Err(Error::Bug { what: "a window of a map bundle is gone" });
        };
        let from = (at.offset - window.offset) as usize;
        let bytes = window.bytes.slice(from..from + at.len as usize);
        self.windows.push_front(window);
        if self.hasher.digest(&bytes) == at.digest {
            Ok(bytes)
        } else {
            Err(Error::Damaged {
                object: metadata::object_name(&*self.storage, &self.path(at)?),
                what: "block map",
            })
        }
    }

    /// Fetches the map and those `ahead` that follow it in its bundle; returns the index of the new window.
    async fn fetch_window(
        &mut self,
        at: &MapRef,
        ahead: impl Iterator<Item = MapRef>,
    ) -> Result<usize, Error> {
        let end = window_end(at, ahead.take(AHEAD_MAX));
        let path = self.path(at)?;
        let bytes = self.fetch_range(&path, at.offset..end).await?;
        self.windows.truncate(WINDOWS_MAX - 1);
        while self.windows.iter().map(|window| window.bytes.len() as u64).sum::<u64>() > KEPT_MAX {
            self.windows.pop_back();
        }
        let MapRef { reference, bundle, offset, .. } = *at;
        self.windows.push_back(Window { reference, bundle, offset, bytes });
        Ok(self.windows.len() - 1)
    }

    /// Fetches maps; with the first one of a bundle also the object header, to verify it.
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

/// Runs `work`, which takes time in proportion to `len` bytes, on a blocking thread if that is long.
async fn decode_maybe_blocking<T: Send + 'static>(
    len: u32,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    if len < BLOCKING_LEN_MIN { work() } else { work::blocking(work).await? }
}

impl Window {
    fn holds(&self, at: &MapRef) -> bool {
        (self.reference, self.bundle) == (at.reference, at.bundle)
            && self.offset <= at.offset
            && at.end() <= self.offset + self.bytes.len() as u64
    }
}

/// Where the request that begins with `at` ends.
fn window_end(at: &MapRef, ahead: impl Iterator<Item = MapRef>) -> u64 {
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
    use crate::{
        restore::tests::{memory::MemoryStorage, repository::manifest},
        types::{Lsn, TimeLine},
    };

    fn at(bundle: u32, offset: u64, len: u32) -> MapRef {
        let digest = BlockDigest([0; BlockDigest::LEN]);
        MapRef { reference: 0, bundle, offset, len, digest }
    }

    #[test]
    fn maps_that_follow_each_other_are_read_together() {
        let first = at(1, 16, 100);
        let ahead = [at(1, 116, 50), at(2, 16, 9), at(1, 170, 30)];
        assert_eq!(window_end(&first, ahead.into_iter()), 200);
        let far = at(1, 16 + 100 + GAP_MAX + 1, 5);
        assert_eq!(window_end(&first, [far].into_iter()), 116);
        let large = at(1, 116, WINDOW_MAX as u32);
        assert_eq!(window_end(&first, [large].into_iter()), 116);
    }

    #[tokio::test]
    async fn a_map_that_is_longer_than_its_file_allows_is_not_fetched() {
        let manifest = manifest("20261121-092452F", TimeLine(1), Lsn(1), Lsn(2), 0);
        let mut maps = MapReader::of(Arc::new(MemoryStorage::default()), &manifest).unwrap();
        // The bundle does not exist: had it been asked for, that would be the error.
        let place = MapLocation { map: at(1, 16, u32::MAX), base: None };
        let refused = maps.read(&place, 8192, std::iter::empty()).await.unwrap_err();
        let said = refused.to_string();
        assert!(said.ends_with("block map is 4294967295, and cannot be more than 80"), "{said}");
        let place = MapLocation { map: at(1, 16, u32::MAX), base: None };
        let refused = maps.read(&place, u64::MAX, std::iter::empty()).await.unwrap_err();
        assert!(refused.to_string().contains("cannot be more than 1073741824"), "{refused}");
    }
}
