//! Where the bytes of a restore come from: the bundles of the backup and of those it refers to.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use crate::{
    codec::BlockHasher,
    repo::{
        self,
        block_map::BlockMap,
        file_list::{EntryKind, FileEntry, MapRef},
        layout::BackupPaths,
        manifest::Manifest,
        metadata,
        object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
    },
    restore::{Error, plan::size_of},
    storage::{ObjectPath, Storage},
    types::CompressType,
};

/// Block maps that lie together are read together, up to so many bytes.
const MAP_READ_MAX: u64 = 4 << 20;

/// Entries whose maps are looked up at a time, and the bytes of those maps.
const ENTRIES_MAX: usize = 512;
const MAPS_MAX: u64 = 8 << 20;

/// The repository as the workers see it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) storage: Arc<dyn Storage>,
    /// The paths of the backup and, from 1, of its references.
    holders: Vec<BackupPaths>,
    pub(super) hasher: BlockHasher,
    pub(super) block_size: u32,
    /// How the frames of a bundle are compressed, for the bundles that were looked at.
    compression: Mutex<HashMap<(u32, u32), CompressType>>,
}

impl Source {
    pub(super) fn new(storage: Arc<dyn Storage>, manifest: &Manifest) -> Result<Self, Error> {
        let labels = std::iter::once(&manifest.label).chain(&manifest.references);
        let holders: Result<_, _> =
            labels.map(|label| BackupPaths::new(&manifest.stanza, label)).collect();
        Ok(Self {
            storage,
            holders: holders?,
            hasher: BlockHasher::new(manifest.block.digest_key.0),
            block_size: manifest.block.size,
            compression: Mutex::new(HashMap::new()),
        })
    }

    /// The object of a bundle. Block maps were checked to refer to known backups only.
    pub(super) fn bundle(&self, reference: u32, bundle: u32) -> Result<ObjectPath, repo::Error> {
        let holder = self.holders.get(reference as usize);
        let holder = holder.ok_or_else(|| repo::Error::Format {
            object: self.holders[0].directory().to_string(),
            what: format!("a block map refers to backup {reference}, which is not recorded"),
        })?;
        Ok(holder.bundle(bundle)?)
    }

    /// How the frames of a bundle are compressed; its header is read once.
    pub(super) async fn compression(
        &self,
        reference: u32,
        bundle: u32,
    ) -> Result<CompressType, repo::Error> {
        let key = (reference, bundle);
        let known = || self.compression.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kind) = known().get(&key) {
            return Ok(*kind);
        }
        let path = self.bundle(reference, bundle)?;
        let header = self.storage.get_range(&path, 0..HEADER_LEN as u64).await?;
        let object = self.object(&path);
        let header = ObjectHeader::decode(&header, ObjectKind::Bundle, &object)?;
        known().insert(key, header.compress);
        Ok(header.compress)
    }

    /// An object as errors name it.
    pub(super) fn object(&self, path: &ObjectPath) -> String {
        metadata::object_name(&*self.storage, path)
    }

    /// How many of `entries`, one at least, to look up at a time: what their maps take is bounded.
    pub(super) fn batch(&self, entries: &[FileEntry]) -> usize {
        let mut bytes = 0;
        let fits = |entry: &&FileEntry| {
            bytes += map_ref(entry).map_or(0, |map| u64::from(map.len));
            bytes <= MAPS_MAX
        };
        entries.iter().take(ENTRIES_MAX).take_while(fits).count().max(1)
    }

    /// The block maps of neighbouring entries of the file list, each proven by its digest. Entries
    /// without a map get an empty one.
    pub(super) async fn maps(&self, entries: &[FileEntry]) -> Result<Vec<BlockMap>, Error> {
        let mut maps = Vec::with_capacity(entries.len());
        let mut rest = entries;
        while !rest.is_empty() {
            let (together, range) = together(rest);
            let (now, later) = rest.split_at(together);
            rest = later;
            let Some((first, end)) = range else {
                maps.extend(now.iter().map(|_| BlockMap::default()));
                continue;
            };
            let path = self.holders[0].map(first.bundle)?;
            let fetched = self.fetch_maps(&path, first.offset..end).await;
            let fetched =
                fetched.map_err(|source| Error::Fetch { file: now[0].path.clone(), source })?;
            for entry in now {
                maps.push(self.map(entry, &path, &fetched, first.offset)?);
            }
        }
        Ok(maps)
    }

    /// Reads maps; with the first of a bundle comes the header in front of it.
    async fn fetch_maps(&self, path: &ObjectPath, range: Range<u64>) -> Result<Bytes, repo::Error> {
        let header_len = HEADER_LEN as u64;
        if range.start != header_len {
            return Ok(self.storage.get_range(path, range).await?);
        }
        let mut fetched = self.storage.get_range(path, 0..range.end).await?;
        let maps = fetched.split_off(HEADER_LEN);
        ObjectHeader::decode(&fetched, ObjectKind::MapBundle, &self.object(path))?;
        Ok(maps)
    }

    fn map(
        &self,
        entry: &FileEntry,
        path: &ObjectPath,
        fetched: &Bytes,
        start: u64,
    ) -> Result<BlockMap, Error> {
        let Some(at) = map_ref(entry) else { return Ok(BlockMap::default()) };
        let from = (at.offset - start) as usize;
        let bytes = &fetched[from..from + at.len as usize];
        let failed = |source| Error::Fetch { file: entry.path.clone(), source };
        if self.hasher.digest(bytes) != at.digest {
            let object = self.object(path);
            return Err(failed(repo::Error::Damaged { object, what: "block map" }));
        }
        let (size, references) = (size_of(entry), self.holders.len() - 1);
        BlockMap::decode(bytes, &self.object(path), size, self.block_size, references)
            .map_err(failed)
    }
}

fn map_ref(entry: &FileEntry) -> Option<MapRef> {
    match entry.kind {
        EntryKind::File { map, .. } => map,
        EntryKind::Dir | EntryKind::Link { .. } => None,
    }
}

/// How many entries can share one read, and which: the first map and the end of the last.
fn together(entries: &[FileEntry]) -> (usize, Option<(MapRef, u64)>) {
    let mut range: Option<(MapRef, u64)> = None;
    for (index, entry) in entries.iter().enumerate() {
        let Some(map) = map_ref(entry) else { continue };
        let map_end = map.offset.saturating_add(map.len.into());
        match &mut range {
            None => range = Some((map, map_end)),
            Some((first, end))
                if map.bundle == first.bundle
                    && map.offset == *end
                    && map_end - first.offset <= MAP_READ_MAX =>
            {
                *end = map_end;
            }
            Some(_) => return (index, range),
        }
    }
    (entries.len(), range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::BlockDigest;

    fn entry(map: Option<(u32, u64, u32)>) -> FileEntry {
        let digest = BlockDigest([0; BlockDigest::LEN]);
        let map = map.map(|(bundle, offset, len)| MapRef { bundle, offset, len, digest });
        let path = crate::types::DataPath::new(b"f").unwrap();
        let kind = EntryKind::File { size: 1, map };
        FileEntry { path, kind, mode: 0o600, mtime: 0, uid: 0, gid: 0 }
    }

    #[test]
    fn maps_that_follow_each_other_are_read_together() {
        let entries = [
            entry(None),
            entry(Some((1, 16, 100))),
            entry(None),
            entry(Some((1, 116, 50))),
            entry(Some((1, 200, 50))),
        ];
        let (count, range) = together(&entries);
        assert_eq!(count, 4);
        let (first, end) = range.unwrap();
        assert_eq!((first.offset, end), (16, 166));
        assert_eq!(together(&entries[..1]), (1, None));
        let far = [entry(Some((1, 16, 100))), entry(Some((2, 116, 50)))];
        assert_eq!(together(&far).0, 1, "another bundle");
        let large = [entry(Some((1, 16, 4 << 20))), entry(Some((1, 16 + (4 << 20), 50)))];
        assert_eq!(together(&large).0, 1, "too large together");
    }
}
