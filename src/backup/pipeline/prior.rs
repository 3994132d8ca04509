//! The backup that a new one is compared with: which files it has, and, file by file as they are
//! asked for, where their blocks are. Nothing of its data is read, only its block maps.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use super::BLOCK_SIZE;
use crate::{
    backup::{
        Error,
        source::{FileHeader, FileKind, PriorFile, PriorFiles},
    },
    codec::BlockHasher,
    postgres::BackupManifest,
    repo::{
        self,
        block_map::BlockMap,
        file_list::{BaseRef, FileList, MapLocation, MapRef},
        manifest::Manifest,
        map_reader::{FileMap, MapReader},
    },
    storage::Storage,
    types::{BackupLabel, BlockDigest, DataPath},
};

/// The prior backup.
pub struct Prior {
    files: Arc<FileIndex>,
    maps: MapReader,
}

/// The files of the prior backup, in the order they were stored.
#[derive(Debug)]
pub struct FileIndex {
    files: Vec<Indexed>,
    by_path: HashMap<DataPath, u32>,
    /// By file name and size together: a database that was copied or moved keeps both.
    by_name: HashMap<u64, u32>,
    name_hasher: RandomState,
    bad_pages: HashMap<DataPath, Vec<u32>>,
}

#[derive(Debug)]
struct Indexed {
    facts: PriorFile,
    place: Option<MapLocation>,
    /// CRC-32C of the file, where it is known.
    crc32c: Option<u32>,
}

/// The blocks of one file in the prior backup. References are numbered as in the new backup.
#[derive(Debug)]
pub struct PriorBlocks {
    /// The size that the file had, in bytes.
    pub size: u64,
    /// The place of its map.
    pub place: MapLocation,
    /// Its map, unless no block of the file is looked at.
    pub map: Option<FileMap>,
    /// CRC-32C of the file, where it is known.
    pub crc32c: Option<u32>,
    /// Its damaged pages, ascending.
    pub bad_pages: Vec<u32>,
}

impl PriorBlocks {
    /// The digest of a block; `None` behind the end.
    pub fn digest(&self, block: usize) -> Option<BlockDigest> {
        self.map.as_ref()?.map.digests.get(block).copied()
    }

    /// Whether the blocks up to `end` of a file that is `size` bytes long now can be those of this one:
    /// a short last block only where both files end alike.
    pub fn covers(&self, end: u64, size: u64) -> bool {
        let whole = self.size - self.size % u64::from(BLOCK_SIZE);
        end <= whole || (self.size == size && end <= size)
    }

    /// The whole map that a patch can refer to.
    pub fn base(&self) -> Option<(BaseRef, &BlockMap)> {
        let own = BaseRef { map: self.place.map, size: self.size };
        Some((self.place.base.unwrap_or(own), &self.map.as_ref()?.base))
    }
}

/// The references of a backup that is compared with `prior`: the whole chain, oldest first.
pub fn references(prior: &Manifest) -> Vec<BackupLabel> {
    prior.references.iter().chain([&prior.label]).cloned().collect()
}

impl Prior {
    /// The backup of `manifest`, whose file list was read, for a new backup called `label`.
    pub fn new(
        storage: Arc<dyn Storage>,
        manifest: &Manifest,
        list: FileList,
        label: &BackupLabel,
    ) -> Result<Self, Error> {
        let references = references(manifest);
        let labels = std::iter::once(label).chain(&references);
        let hasher = BlockHasher::new(manifest.block.digest_key.0);
        let maps = MapReader::new(storage, &manifest.stanza, labels, hasher, manifest.block.size)?;
        let files = Arc::new(FileIndex::new(manifest, list, references.len() as u32));
        Ok(Self { files, maps })
    }

    /// Takes over the checksums of its files, in their order. To be called before the source takes [`Prior::files`].
    pub fn learn_checksums(&mut self, checksums: Vec<Option<u32>>) {
        let Some(index) = Arc::get_mut(&mut self.files) else { return };
        for (file, crc32c) in index.files.iter_mut().zip(checksums) {
            file.crc32c = crc32c;
        }
    }

    /// Its files.
    pub fn files(&self) -> Arc<FileIndex> {
        Arc::clone(&self.files)
    }

    /// Looks up the prior backup's blocks of a file that begins, or of the file that it may have been copied from.
    pub(super) async fn known(
        &mut self,
        header: &FileHeader,
    ) -> Result<Option<Arc<PriorBlocks>>, Error> {
        let FileKind::File { size, unchanged } = header.kind else { return Ok(None) };
        // A copy is only ever compared. What the source says has not changed is what the same path had.
        let found = match unchanged {
            0 => self.files.find_or_copied(&header.path, size),
            _ => self.files.find(&header.path),
        };
        let Some(index) = found else { return Ok(None) };
        let prior_size = self.files.files[index].facts.size;
        let untouched = unchanged > 0 && unchanged == size && size == prior_size;
        match self.read(index, &header.path, untouched).await {
            Ok(known) => Ok(known.map(Arc::new)),
            // The file is stored whole then, which needs nothing of the prior backup.
            Err(error) if unchanged == 0 && error.is_damage() => {
                tracing::warn!(
                    "storing all blocks of '{}', because the prior backup is damaged: {error}; run \
                     verify",
                    header.path
                );
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the map of a file, unless the file is `untouched`: then no block of it is looked at.
    async fn read(
        &mut self,
        index: usize,
        path: &DataPath,
        untouched: bool,
    ) -> Result<Option<PriorBlocks>, repo::Error> {
        let Indexed { facts: PriorFile { size, .. }, place, crc32c } = self.files.files[index];
        let Some(place) = place else { return Ok(None) };
        let ahead = self.files.files[index + 1..].iter().filter_map(|file| file.place);
        let map = match untouched {
            true => None,
            false => Some(self.maps.read(&place, size, ahead).await?),
        };
        let bad_pages = self.files.bad_pages.get(path).cloned().unwrap_or_default();
        Ok(Some(PriorBlocks { size, place, map, crc32c, bad_pages }))
    }
}

impl FileIndex {
    /// `own` is the number that the new backup has for the prior one.
    fn new(manifest: &Manifest, list: FileList, own: u32) -> Self {
        let mut files = Vec::with_capacity(list.files.len());
        let mut by_path = HashMap::with_capacity(list.files.len());
        let mut by_name = HashMap::new();
        let name_hasher = RandomState::new();
        for entry in list.files {
            let number = files.len() as u32;
            let (size, place) =
                (entry.size(), entry.map_location().map(|place| numbered(place, own)));
            if place.is_none() && !matches!(entry.kind, repo::file_list::EntryKind::File { .. }) {
                continue;
            }
            let facts = PriorFile { size, modified: entry.mtime };
            files.push(Indexed { facts, place, crc32c: None });
            by_name.entry(name_key(&name_hasher, &entry.path, size)).or_insert(number);
            by_path.insert(entry.path, number);
        }
        let bad_pages = manifest.page_errors.iter();
        let bad_pages = bad_pages.map(|file| (file.path.clone(), file.pages.clone())).collect();
        Self { files, by_path, by_name, name_hasher, bad_pages }
    }

    /// What PostgreSQL's manifest says of the files, in their order.
    pub fn checksums(&self, manifest: &BackupManifest) -> Vec<Option<u32>> {
        let mut checksums = vec![None; self.files.len()];
        for file in &manifest.files {
            let Some(number) = self.find(&file.path) else { continue };
            let same_size = file.size == self.files[number].facts.size;
            checksums[number] = file.crc32c.filter(|_| same_size);
        }
        checksums
    }

    fn find(&self, path: &DataPath) -> Option<usize> {
        self.by_path.get(path).map(|number| *number as usize)
    }

    fn find_or_copied(&self, path: &DataPath, size: u64) -> Option<usize> {
        let copied = || self.by_name.get(&name_key(&self.name_hasher, path, size));
        self.find(path).or_else(|| copied().map(|number| *number as usize))
    }
}

impl PriorFiles for FileIndex {
    fn file(&self, path: &DataPath) -> Option<PriorFile> {
        self.by_path.get(path).map(|number| self.files[*number as usize].facts)
    }
}

/// Two files with one key are only ever compared, so a key that meets by chance does no harm.
fn name_key(hasher: &RandomState, path: &DataPath, size: u64) -> u64 {
    let name = path.as_bytes().rsplit(|byte| *byte == b'/').next();
    hasher.hash_one((name, size))
}

/// The place of a map as the new backup numbers it; what the prior calls 0 is the prior itself.
fn numbered(place: MapLocation, own: u32) -> MapLocation {
    let map = |map: MapRef| MapRef {
        reference: if map.reference == 0 { own } else { map.reference },
        ..map
    };
    MapLocation {
        map: map(place.map),
        base: place.base.map(|base| BaseRef { map: map(base.map), ..base }),
    }
}
