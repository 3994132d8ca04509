//! Writes what the workers made, in order: frames into bundles, a block map for each file that has
//! changed, the file list. Nothing it writes is visible as a backup until the manifest is published.

use std::{collections::VecDeque, sync::Arc};

use super::{
    BLOCK_SIZE,
    frame::{Batch, Begun, FileChunk, FrameContent, Part, WorkedFrame},
    gather::{self, Gatherer},
    pending_file::PendingFile,
    workers::Compressing,
};
use crate::{
    backup::{
        Error,
        source::{FileHeader, FileKind},
    },
    codec::BlockHasher,
    postgres::{self, ManifestBuilder},
    repo::{
        block_map::FrameRef,
        bundle::{BundlePosition, BundleWriter},
        file_list::{
            BundleKind, BundleRecord, EntryKind, FileEntry, FileListWriter, MapLocation, MapRef,
        },
        layout::BackupPaths,
        limits::MAP_LEN_MAX,
        manifest::{MisalignedFile, PageErrors, Totals},
    },
    storage::Storage,
    types::{BlockDigest, CompressType, DataPath, escape_path},
};

/// Maximum number of files that wait for the frame of their gathered blocks; then the frame is closed.
const WAITING_MAX: usize = 65_536;

/// Packer and writer disagree on what a frame holds.
const NO_PLACE: Error = Error::Bug { what: "a frame has bytes of no file" };

/// Where the writer writes.
#[derive(Debug)]
pub(super) struct WriterOptions {
    /// The repository.
    pub storage: Arc<dyn Storage>,
    /// The backup's paths in it.
    pub paths: BackupPaths,
    /// The stored size at which a bundle is full, in bytes.
    pub bundle_size: u64,
    /// How frames are compressed; recorded in the headers of the bundles.
    pub compress: CompressType,
    /// Digests the block maps.
    pub hasher: BlockHasher,
    /// Pages of this size make up relation files.
    pub page_size: u32,
    /// Makes a backup_manifest of the stored files, if the server makes none.
    pub manifest: Option<ManifestBuilder>,
}

/// The result of the writer.
#[derive(Debug)]
pub struct Written {
    /// The file list, which has all its lines. It is finished right before the manifest is written: only a backup that
    /// has it can have had a manifest, so one that was interrupted earlier is no lost one.
    pub list: FileListWriter,
    /// Sums, without the file list.
    pub totals: Totals,
    /// Damaged pages by file; page numbers count from the start of the file.
    pub page_errors: Vec<PageErrors>,
    /// Relation files that end inside a page.
    pub misaligned_files: Vec<MisalignedFile>,
}

/// The writing end of the pipeline.
pub(super) struct Writer {
    data: BundleWriter,
    maps: BundleWriter,
    list: FileListWriter,
    manifest: Option<ManifestBuilder>,
    gatherer: Gatherer,
    hasher: BlockHasher,
    pages_per_segment: u32,
    /// The files in line: those whose bytes have not all come, and those that wait for a frame.
    pending: VecDeque<PendingFile>,
    /// The first of them whose bytes have not all come.
    filling: usize,
    totals: Totals,
    page_errors: Vec<PageErrors>,
    page_size: u32,
    misaligned_files: Vec<MisalignedFile>,
}

/// The destination of the new blocks of a frame.
enum Destination {
    /// Stored already.
    Frame(FrameRef),
    /// To be gathered; the blocks that are left of the frame.
    Gathered(Vec<u8>),
}

/// The blocks of one chunk.
struct Blocks<'a> {
    chunk: &'a FileChunk,
    digests: &'a [BlockDigest],
    known: &'a [bool],
}

impl Writer {
    /// Starts the objects of a backup.
    pub(super) async fn create(
        options: WriterOptions,
        compressing: Compressing,
    ) -> Result<Self, Error> {
        let WriterOptions { storage, paths, bundle_size, compress, hasher, page_size, manifest } =
            options;
        let list = FileListWriter::create(&*storage, &paths).await?;
        let bundles = |kind, compress| {
            BundleWriter::new(Arc::clone(&storage), paths.clone(), kind, compress, bundle_size)
        };
        Ok(Self {
            data: bundles(BundleKind::Data, compress),
            maps: bundles(BundleKind::Map, CompressType::None),
            list,
            manifest,
            gatherer: Gatherer::new(compressing),
            hasher,
            pages_per_segment: crate::postgres::RELATION_SEGMENT_BYTES / page_size,
            pending: VecDeque::new(),
            filling: 0,
            totals: Totals::default(),
            page_errors: Vec::new(),
            page_size,
            misaligned_files: Vec::new(),
        })
    }

    /// Writes a batch and, where it has one, its frame.
    pub(super) async fn write(
        &mut self,
        batch: Batch,
        frame: Option<WorkedFrame>,
    ) -> Result<(), Error> {
        let entries = batch.begun.into_iter();
        self.pending.extend(entries.map(|Begun { header, known }| PendingFile::new(header, known)));
        // Entries begin in a batch before their bytes come in it: they are in line by now.
        match frame {
            Some(frame) => self.place(&batch.parts, frame).await?,
            None => self.pass(&batch.parts).await?,
        }
        // Files behind one that waits for its frame wait too, because the list keeps the order of the source. That must
        // not grow with the number of files.
        if self.pending.len() >= WAITING_MAX {
            self.gatherer.close(&mut self.data).await?;
        }
        self.finish_complete().await
    }

    /// Parts without a frame: all of them unchanged.
    async fn pass(&mut self, parts: &[Part]) -> Result<(), Error> {
        for part in parts {
            match part {
                Part::Unchanged(len) => self.unchanged(*len).await?,
                Part::Chunk(_) => return Err(NO_PLACE),
            }
        }
        Ok(())
    }

    async fn place(&mut self, parts: &[Part], frame: WorkedFrame) -> Result<(), Error> {
        let mut to = match frame.content {
            FrameContent::Whole(stored) => {
                Destination::Frame(gather::place(stored, &mut self.data).await?)
            }
            FrameContent::Changed(blocks) => Destination::Gathered(blocks),
        };
        let (mut at, mut taken, mut index) = (0, 0, 0);
        for part in parts {
            let chunk = match part {
                Part::Chunk(chunk) => chunk,
                Part::Unchanged(len) => {
                    self.unchanged(*len).await?;
                    continue;
                }
            };
            let range = at..at + chunk.blocks();
            at = range.end;
            let bad = frame.bad_pages.iter().filter(|(of, _)| *of == index);
            let pages_per_segment = self.pages_per_segment;
            let pages = bad.map(|(_, page)| page % pages_per_segment);
            let file = self.filling()?;
            file.bad_pages.extend(pages);
            if let Some(crc) = frame.crcs.get(index) {
                file.add_crc(*crc, chunk.len);
            }
            let known = frame.known.get(range.clone()).unwrap_or_default();
            let blocks = Blocks { chunk, digests: &frame.digests[range], known };
            self.place_chunk(&blocks, &mut to, &mut taken).await?;
            index += 1;
        }
        Ok(())
    }

    /// Places the blocks of a chunk; `taken` bytes of what is gathered are placed already.
    async fn place_chunk(
        &mut self,
        blocks: &Blocks<'_>,
        to: &mut Destination,
        taken: &mut usize,
    ) -> Result<(), Error> {
        let chunk = blocks.chunk;
        let mut at = 0;
        for (known, alike) in blocks.runs() {
            let from = at * BLOCK_SIZE as usize;
            let len = (alike.len() * BLOCK_SIZE as usize).min(chunk.len as usize - from);
            at += alike.len();
            if known {
                self.filling()?.prior(alike.len(), len as u64);
                continue;
            }
            self.totals.size_delta += len as u64;
            match to {
                Destination::Frame(frame) => {
                    let frame = *frame;
                    self.filling()?.stored(
                        frame,
                        chunk.raw_offset + from as u32,
                        alike,
                        len as u64,
                    );
                }
                Destination::Gathered(changed) => {
                    let slot =
                        self.gatherer.take(&changed[*taken..][..len], &mut self.data).await?;
                    *taken += len;
                    self.filling()?.gathered(slot, alike, len as u64);
                }
            }
        }
        self.gatherer.pass(chunk.len.into(), &mut self.data).await
    }

    async fn unchanged(&mut self, len: u64) -> Result<(), Error> {
        let file = self.filling()?;
        file.unchanged(len);
        self.gatherer.pass(len, &mut self.data).await
    }

    /// The file whose bytes come next: bytes come in the order in which files began, so it is the first that lacks some.
    fn filling(&mut self) -> Result<&mut PendingFile, Error> {
        while self.pending.get(self.filling).is_some_and(PendingFile::is_filled) {
            self.filling += 1;
        }
        self.pending.get_mut(self.filling).ok_or(NO_PLACE)
    }

    /// Lists the entries at the front of the queue that wait for nothing.
    async fn finish_complete(&mut self) -> Result<(), Error> {
        while let Some(file) = self.pending.pop_front_if(|file| {
            file.is_filled()
                && file.last_slot().is_none_or(|slot| self.gatherer.placed(slot).is_some())
        }) {
            self.filling = self.filling.saturating_sub(1);
            self.list_entry(file).await?;
        }
        // Files are listed in order, so no file asks for a frame before those that the first one waits for.
        if let Some(first) = self.pending.front().and_then(PendingFile::first_slot) {
            self.gatherer.forget_before(first);
        }
        Ok(())
    }

    async fn list_entry(&mut self, mut file: PendingFile) -> Result<(), Error> {
        let pages = file.all_bad_pages();
        let place = self.map_location(&file).await?;
        let kind = match &file.header.kind {
            FileKind::File { size, .. } => {
                self.totals.files += 1;
                self.totals.size += size;
                let (map, base) = place.map_or((None, None), |at| (Some(at.map), at.base));
                EntryKind::File { size: *size, map, base }
            }
            FileKind::Directory => EntryKind::Dir,
            FileKind::Link { target } => EntryKind::Link { target: escape_path(target) },
        };
        let crc = file.crc();
        let FileHeader { path, mode, modified, uid, gid, link, .. } = file.header;
        let link = link.map(|target| escape_path(&target));
        if let (Some(manifest), EntryKind::File { size, .. }) = (&mut self.manifest, &kind) {
            manifest.file(&path, *size, modified, crc);
        }
        if !pages.is_empty() {
            self.page_errors.push(PageErrors { path: path.clone(), pages });
        }
        if let EntryKind::File { size, .. } = &kind
            && size % u64::from(self.page_size) != 0
            && postgres::is_checked_file(&path).is_some()
        {
            self.misaligned_files.push(MisalignedFile { path: path.clone(), size: *size });
        }
        let entry = FileEntry { path, kind, mode, mtime: modified, uid, gid, link };
        Ok(self.list.file(&entry).await?)
    }

    /// Where the map of a file is: that of the prior backup where nothing changed, else a patch to it or a
    /// whole one, whichever is worth it.
    async fn map_location(&mut self, file: &PendingFile) -> Result<Option<MapLocation>, Error> {
        if file.size() == 0 {
            return Ok(None);
        }
        // Every block is where it was: the file refers to the map of the prior backup, and no map is written.
        if let Some(place) = file.unchanged_place() {
            return Ok(Some(place));
        }
        let map = file.map(&self.gatherer)?;
        let whole = map.encode();
        if let Some((base, base_map)) = file.known.as_ref().and_then(|known| known.base()) {
            let patch = map.encode_patch(base_map, BLOCK_SIZE);
            // A patch costs a second read, and makes later maps depend on the base: it must save something.
            if 2 * patch.len() < whole.len() {
                let map = self.write_map(&file.header.path, patch).await?;
                return Ok(Some(MapLocation { map, base: Some(base) }));
            }
        }
        let map = self.write_map(&file.header.path, whole).await?;
        Ok(Some(MapLocation { map, base: None }))
    }

    /// Writes the map of a file, unless it is larger than readers take.
    async fn write_map(&mut self, path: &DataPath, bytes: Vec<u8>) -> Result<MapRef, Error> {
        let len = u32::try_from(bytes.len()).ok().filter(|len| u64::from(*len) <= MAP_LEN_MAX);
        let len = len.ok_or_else(|| Error::TooLarge { path: path.clone() })?;
        let digest = self.hasher.digest(&bytes);
        self.totals.map_size += u64::from(len);
        let BundlePosition { bundle, offset } = self.maps.append(bytes.into()).await?;
        Ok(MapRef { reference: 0, bundle, offset, len, digest })
    }

    /// Makes everything durable but the file list. With it comes the manifest that was to be made, not yet complete.
    pub(super) async fn finish(mut self) -> Result<(Written, Option<ManifestBuilder>), Error> {
        // Gathered frames first: maps say where they are, and the list says where maps are. Each object is durable when
        // its writer has finished, and nothing refers to one that is not.
        self.gatherer.finish(&mut self.data).await?;
        self.finish_complete().await?;
        if let Some(file) = self.pending.front() {
            return Err(Error::source(&file.header.path, "its bytes did not all arrive"));
        }
        let data = self.data.finish().await?;
        let maps = self.maps.finish().await?;
        self.totals.bundles = data.len() as u32;
        self.totals.map_bundles = Some(maps.len() as u32);
        for record in data.iter().chain(&maps) {
            self.list.bundle(record).await?;
        }
        let sum = |records: &[BundleRecord]| records.iter().map(|r| r.record.size).sum::<u64>();
        self.totals.repo_size_delta = sum(&data) + sum(&maps);
        self.totals.repo_size = self.totals.repo_size_delta;
        let written = Written {
            list: self.list,
            totals: self.totals,
            page_errors: self.page_errors,
            misaligned_files: self.misaligned_files,
        };
        Ok((written, self.manifest))
    }
}

impl<'a> Blocks<'a> {
    /// Blocks that follow each other and are all known, or all new.
    fn runs(&self) -> impl Iterator<Item = (bool, &'a [BlockDigest])> {
        let (known, digests) = (self.known, self.digests);
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = &digests[at..];
            let is_known = |block: usize| known.get(block).copied().unwrap_or(false);
            let first = is_known(at);
            let len = (at..digests.len()).take_while(|block| is_known(*block) == first).count();
            at += len;
            (len > 0).then(|| (first, &rest[..len]))
        })
    }
}
