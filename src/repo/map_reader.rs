//! Reads the block maps of a backup, of its files or of those it shares with the backups it refers to,
//! each proven by its digest. Maps that lie together in a bundle are fetched together.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    Error,
    block_map::{BlockMap, Numbers},
    file_list::{MapPlace, MapRef},
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

/// Largest range in which adjacent maps are read together, in bytes.
const WINDOW_MAX: u64 = 1 << 20;
/// Largest gap between two maps that are read together, in bytes.
const GAP_MAX: u64 = 64 << 10;
/// How many ranges of map bundles are kept, and how many bytes of them beside the one in use.
const WINDOWS_MAX: usize = 8;
const KEPT_MAX: u64 = WINDOWS_MAX as u64 * WINDOW_MAX;
/// A map of more bytes is decoded on a thread where work may block: it takes long enough to be interrupted.
const APART_MIN: u32 = 4 << 20;
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

    /// Reads the map of a file of `size` bytes, as [`Self::read_part`] does.
    pub async fn read(
        &mut self,
        place: &MapPlace,
        size: u64,
        ahead: impl Iterator<Item = MapPlace> + Clone,
    ) -> Result<FileMap, Error> {
        self.read_part(place, size, ahead).await.map_err(|(_, error)| error)
    }

    /// Reads the map of a file of `size` bytes; an error comes with the part that it is about. `ahead` names the maps that will probably be asked for
    /// next; those that lie behind this one come along in the same request.
    pub async fn read_part(
        &mut self,
        place: &MapPlace,
        size: u64,
        ahead: impl Iterator<Item = MapPlace> + Clone,
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

    /// The bytes of the map of a file of `size` bytes.
    async fn fetch_of(
        &mut self,
        at: &MapRef,
        size: u64,
        ahead: impl Iterator<Item = MapRef>,
    ) -> Result<Bytes, Error> {
        self.check_len(at, size)?;
        self.fetch(at, ahead).await
    }

    /// Refuses a map that is longer than that of a file of `size` bytes can be, before memory is taken for it.
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
        apart(at.len, move || BlockMap::decode(&bytes, &object, size, block_size, numbers)).await
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
        let base_of = move || {
            let base = (&*base, base_size);
            BlockMap::decode_patch(&bytes, &object, base, size, block_size, numbers)
        };
        apart(len, base_of).await
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
            return Err(Error::Bug { what: "a range of a map bundle that was read is gone" });
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
        while self.windows.iter().map(|window| window.bytes.len() as u64).sum::<u64>() > KEPT_MAX {
            self.windows.pop_back();
        }
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

/// Runs `work` on `len` bytes of a map: apart where that takes long, so that a signal is heard meanwhile.
async fn apart<T: Send + 'static>(
    len: u32,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match len < APART_MIN {
        true => work(),
        false => work::blocking(work).await?,
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
        assert_eq!(reach(&first, ahead.into_iter()), 200);
        let far = at(1, 16 + 100 + GAP_MAX + 1, 5);
        assert_eq!(reach(&first, [far].into_iter()), 116);
        let large = at(1, 116, WINDOW_MAX as u32);
        assert_eq!(reach(&first, [large].into_iter()), 116);
    }

    #[tokio::test]
    async fn a_map_that_is_longer_than_its_file_allows_is_not_fetched() {
        let manifest = manifest("20261121-092452F", TimeLine(1), Lsn(1), Lsn(2), 0);
        let mut maps = MapReader::of(Arc::new(MemoryStorage::default()), &manifest).unwrap();
        // The bundle does not exist: had it been asked for, that would be the error.
        let place = MapPlace { map: at(1, 16, u32::MAX), base: None };
        let refused = maps.read(&place, 8192, std::iter::empty()).await.unwrap_err();
        let said = refused.to_string();
        assert!(said.ends_with("block map is 4294967295, and cannot be more than 80"), "{said}");
        let place = MapPlace { map: at(1, 16, u32::MAX), base: None };
        let refused = maps.read(&place, u64::MAX, std::iter::empty()).await.unwrap_err();
        assert!(refused.to_string().contains("cannot be more than 1073741824"), "{refused}");
    }
}
