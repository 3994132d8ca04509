//! Writes what the workers made, in order: frames into bundles, a block map for each file, the file
//! list. Nothing it writes is visible as a backup until the manifest is published.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Error,
    frame::{BLOCK_SIZE, Batch, Piece, StoredFrame},
    source::{FileHeader, FileKind},
};
use crate::{
    codec::BlockHasher,
    repo::{
        block_map::{BlockMap, FrameRef},
        bundle::{BundleWriter, Placed},
        file_list::{BundleKind, BundleRecord, EntryKind, FileEntry, FileListWriter, MapRef},
        layout::BackupPaths,
        manifest::{ObjectRecord, PageErrors, Totals},
    },
    storage::Storage,
    types::CompressType,
};

/// Where the writer writes.
#[derive(Clone, Debug)]
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
}

/// A file whose bytes have not all been placed.
struct Pending {
    header: FileHeader,
    map: BlockMap,
    placed: u64,
    bad_pages: Vec<u32>,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The file list object.
    pub file_list: ObjectRecord,
    /// Sums.
    pub totals: Totals,
    /// Damaged pages by file; page numbers count from the start of the file.
    pub page_errors: Vec<PageErrors>,
}

/// The writing end of the pipeline.
pub(super) struct Writer {
    data: BundleWriter,
    maps: BundleWriter,
    list: FileListWriter,
    hasher: BlockHasher,
    pages_per_segment: u32,
    pending: VecDeque<Pending>,
    totals: Totals,
    page_errors: Vec<PageErrors>,
}

impl Writer {
    /// Starts the objects of a backup.
    pub(super) async fn create(options: WriterOptions) -> Result<Self, Error> {
        let WriterOptions { storage, paths, bundle_size, compress, hasher, page_size } = options;
        let list = FileListWriter::create(&*storage, &paths).await?;
        let bundles = |kind, compress| {
            BundleWriter::new(Arc::clone(&storage), paths.clone(), kind, compress, bundle_size)
        };
        Ok(Self {
            data: bundles(BundleKind::Data, compress),
            maps: bundles(BundleKind::Map, CompressType::None),
            list,
            hasher,
            pages_per_segment: crate::postgres::RELATION_SEGMENT_BYTES / page_size,
            pending: VecDeque::new(),
            totals: Totals::default(),
            page_errors: Vec::new(),
        })
    }

    /// Writes a batch and, where it has one, its frame.
    pub(super) async fn write(
        &mut self,
        batch: Batch,
        frame: Option<StoredFrame>,
    ) -> Result<(), Error> {
        self.pending.extend(batch.begun.into_iter().map(|header| Pending {
            header,
            map: BlockMap::default(),
            placed: 0,
            bad_pages: Vec::new(),
        }));
        self.finish_complete().await?;
        if let Some(frame) = frame {
            self.place(&batch.pieces, frame).await?;
        }
        Ok(())
    }

    async fn place(&mut self, pieces: &[Piece], frame: StoredFrame) -> Result<(), Error> {
        let stored_len = frame.stored.len() as u32;
        let Placed { bundle, offset } = self.data.append(frame.stored.into()).await?;
        let at = FrameRef { reference: 0, bundle, offset, stored_len, raw_len: frame.raw_len };
        let mut digests = frame.digests.as_slice();
        for (index, piece) in pieces.iter().enumerate() {
            let file = self.pending.front_mut().ok_or(Error::WorkerLost)?;
            let (own, rest) = digests.split_at(piece.blocks());
            digests = rest;
            file.map.push(at, piece.raw_offset, own, BLOCK_SIZE);
            file.placed += u64::from(piece.len);
            let bad = frame.bad_pages.iter().filter(|(of, _)| *of == index);
            file.bad_pages.extend(bad.map(|(_, page)| page % self.pages_per_segment));
            self.finish_complete().await?;
        }
        Ok(())
    }

    /// Lists the entries at the front of the queue that wait for no more bytes.
    async fn finish_complete(&mut self) -> Result<(), Error> {
        while let Some(front) = self.pending.pop_front_if(|file| file.is_complete()) {
            self.list_entry(front).await?;
        }
        Ok(())
    }

    async fn list_entry(&mut self, file: Pending) -> Result<(), Error> {
        let kind = match file.header.kind {
            FileKind::File { size, .. } => {
                self.totals.files += 1;
                self.totals.size += size;
                self.totals.size_delta += size;
                EntryKind::File { size, map: self.write_map(&file.map).await?, base: None }
            }
            FileKind::Directory => EntryKind::Dir,
            FileKind::Link { target } => {
                EntryKind::Link { target: super::link_target_text(&target)? }
            }
        };
        let FileHeader { path, mode, modified, uid, gid, .. } = file.header;
        if !file.bad_pages.is_empty() {
            self.page_errors.push(PageErrors { path: path.clone(), pages: file.bad_pages });
        }
        let entry = FileEntry { path, kind, mode, mtime: modified, uid, gid };
        Ok(self.list.file(&entry).await?)
    }

    async fn write_map(&mut self, map: &BlockMap) -> Result<Option<MapRef>, Error> {
        if map.digests.is_empty() {
            return Ok(None);
        }
        let bytes = map.encode();
        let (len, digest) = (bytes.len() as u32, self.hasher.digest(&bytes));
        self.totals.map_size += u64::from(len);
        let Placed { bundle, offset } = self.maps.append(bytes.into()).await?;
        Ok(Some(MapRef { reference: 0, bundle, offset, len, digest }))
    }

    /// Makes everything durable.
    pub(super) async fn finish(mut self) -> Result<Written, Error> {
        if let Some(file) = self.pending.front() {
            return Err(Error::source(&file.header.path, "its bytes did not all arrive"));
        }
        let data = self.data.finish().await?;
        let maps = self.maps.finish().await?;
        self.totals.bundles = data.len() as u32;
        for record in data.iter().chain(&maps) {
            self.list.bundle(record).await?;
        }
        let sum = |records: &[BundleRecord]| records.iter().map(|r| r.record.size).sum::<u64>();
        let file_list = self.list.finish().await?;
        self.totals.repo_size_delta = sum(&data) + sum(&maps) + file_list.size;
        self.totals.repo_size = self.totals.repo_size_delta;
        Ok(Written { file_list, totals: self.totals, page_errors: self.page_errors })
    }
}

impl Pending {
    fn is_complete(&self) -> bool {
        match self.header.kind {
            FileKind::File { size, .. } => self.placed == size,
            FileKind::Directory | FileKind::Link { .. } => true,
        }
    }
}
