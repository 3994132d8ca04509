//! Packs the bytes of files into frames: a file that brings a frame's size of bytes or more has frames
//! of its own, smaller ones share. What the prior backup has goes along as lengths only.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    BLOCK_SIZE,
    frame::{Batch, Begun, FileChunk, FrameBuffer, Part},
    prior::PriorBlocks,
};
use crate::{
    backup::{
        Error,
        source::{Deferred, FileBytes, FileHeader, FileKind},
    },
    postgres::{self, RELATION_SEGMENT_BYTES},
    repo::block_map::FRAME_RAW_MAX,
    types::DataPath,
};

/// A batch is handed on when this many entries or parts have gathered, however small its frame is.
const GATHERED_MAX: usize = 4096;

/// The file whose bytes are arriving.
#[derive(Debug)]
struct Current {
    path: DataPath,
    size: u64,
    /// The bytes of it that are unchanged, as the source announced.
    unchanged: u64,
    received: u64,
    known: Option<Arc<PriorBlocks>>,
    /// The relation's segment number, where the file's pages carry checksums.
    segment: Option<u32>,
}

/// Cuts files into chunks and gathers the chunks in frames.
#[derive(Debug)]
pub(super) struct Packer {
    page_size: u32,
    check_pages: bool,
    raw: FrameBuffer,
    batch: Batch,
    current: Option<Current>,
    /// Bytes of the current chunk that may still come before it must end.
    room: usize,
}

/// A finished batch and the raw bytes of its frame, empty where it has none.
pub(super) type Packed = (Batch, FrameBuffer);

impl Packer {
    /// A packer that fills `buffer` first; `check_pages` marks the chunks whose pages have checksums.
    pub(super) fn new(page_size: u32, check_pages: bool, buffer: FrameBuffer) -> Self {
        Self {
            page_size,
            check_pages,
            raw: buffer,
            batch: Batch::default(),
            current: None,
            room: 0,
        }
    }

    /// Begins an entry; `known` is what the prior backup has of it. Says whether [`Packer::take`] must be
    /// called before bytes are added.
    pub(super) fn begin(
        &mut self,
        header: FileHeader,
        known: Option<Arc<PriorBlocks>>,
    ) -> Result<bool, Error> {
        if self.current.is_some() {
            return Err(Error::source(&header.path, "it begins before the previous entry ended"));
        }
        let (size, unchanged) = match header.kind {
            FileKind::File { size, unchanged } => (size, unchanged),
            FileKind::Directory | FileKind::Link { .. } => (0, 0),
        };
        if unchanged > 0 && known.is_none() {
            return Err(Error::source(&header.path, "the prior backup does not have it"));
        }
        let segment = if self.check_pages { postgres::is_checked_file(&header.path) } else { None };
        let file = Current {
            path: header.path.clone(),
            size,
            unchanged,
            received: 0,
            known: known.clone(),
            segment,
        };
        // The frame so far goes out without this entry, so that its frames are its own.
        let flush = file.fills_frames() && !self.raw.is_empty();
        self.current = Some(file);
        self.room = 0;
        self.batch.begun.push(Begun { header, known });
        Ok(flush || self.batch.begun.len() >= GATHERED_MAX)
    }

    /// Adds bytes of the current file. What is left in `data` waits for [`Packer::take`].
    pub(super) fn add(&mut self, data: &mut Bytes) -> Result<(), Error> {
        self.check_room_for(data.len() as u64)?;
        while !data.is_empty() && self.has_chunk(None)? {
            let part = data.split_to(self.room.min(data.len()));
            self.raw.extend(part.len()).copy_from_slice(&part);
            self.advance(part.len());
        }
        Ok(())
    }

    /// Adds bytes of the current file that are yet to be read. What is left waits for [`Packer::take`].
    pub(super) fn defer(&mut self, deferred: &mut Deferred) -> Result<(), Error> {
        self.check_room_for(deferred.len)?;
        while deferred.len > 0 && self.has_chunk(Some(&deferred.file))? {
            let part = deferred.len.min(self.room as u64);
            self.raw.extend(part as usize);
            self.advance(part as usize);
            deferred.len -= part;
        }
        Ok(())
    }

    fn check_room_for(&self, len: u64) -> Result<(), Error> {
        match &self.current {
            None => Err(Error::Source("bytes outside of any entry".to_owned())),
            Some(file) if file.received.saturating_add(len) > file.size => {
                Err(Error::source(&file.path, "it is longer than was announced"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Makes sure that there is a chunk with room, whose bytes are read from `unread` or come by
    /// themselves; false where the frame must go first.
    fn has_chunk(&mut self, unread: Option<&Arc<dyn FileBytes>>) -> Result<bool, Error> {
        let Some(file) = &self.current else { return Ok(false) };
        if self.room > 0 {
            return match self.batch.parts.last() {
                Some(Part::Chunk(last)) if last.unread.is_some() == unread.is_some() => Ok(true),
                _ => Err(Error::source(&file.path, "some of its bytes are deferred, others not")),
            };
        }
        let Some(chunk) = next_chunk(file, self.raw.len(), self.page_size) else {
            return Ok(false);
        };
        self.room = chunk.len as usize;
        self.batch.parts.push(Part::Chunk(FileChunk { unread: unread.cloned(), ..chunk }));
        Ok(true)
    }

    fn advance(&mut self, len: usize) {
        self.room -= len;
        if let Some(file) = &mut self.current {
            file.received += len as u64;
        }
    }

    /// Adds bytes of the current file that the prior backup has. Says whether [`Packer::take`] is due.
    pub(super) fn unchanged(&mut self, len: u64) -> Result<bool, Error> {
        self.cut_chunk()?;
        let Some(file) = &mut self.current else {
            return Err(Error::Source("unchanged bytes outside of any entry".to_owned()));
        };
        let end = file.received.checked_add(len).filter(|end| *end <= file.size);
        let end =
            end.ok_or_else(|| Error::source(&file.path, "it is longer than was announced"))?;
        let whole = end % u64::from(BLOCK_SIZE) == 0 || end == file.size;
        if !whole || !file.known.as_ref().is_some_and(|known| known.covers(end, file.size)) {
            return Err(Error::source(&file.path, "the prior backup does not have these blocks"));
        }
        file.received = end;
        self.batch.parts.push(Part::Unchanged(len));
        Ok(self.batch.parts.len() >= GATHERED_MAX)
    }

    /// Ends the current chunk where bytes of another kind follow.
    fn cut_chunk(&mut self) -> Result<(), Error> {
        let room = std::mem::take(&mut self.room) as u32;
        match self.batch.parts.last_mut() {
            Some(Part::Chunk(chunk)) if room > 0 => chunk.len -= room,
            _ => {}
        }
        match &self.current {
            Some(file) if file.received % u64::from(BLOCK_SIZE) != 0 => {
                Err(Error::source(&file.path, "unchanged bytes begin inside a block"))
            }
            _ => Ok(()),
        }
    }

    /// Ends the current entry. Says whether [`Packer::take`] is due.
    pub(super) fn end(&mut self) -> Result<bool, Error> {
        let file = self
            .current
            .take()
            .ok_or_else(|| Error::Source("an entry ends that did not begin".to_owned()))?;
        match file.received == file.size {
            true => Ok(file.fills_frames()),
            false => Err(Error::source(&file.path, "it is shorter than was announced")),
        }
    }

    /// Checks that no entry is open. Says whether [`Packer::take`] is due.
    pub(super) fn between(&self) -> Result<bool, Error> {
        match &self.current {
            Some(file) => Err(Error::source(&file.path, "the backup continues without it")),
            None => Ok(!self.batch.begun.is_empty() || !self.raw.is_empty()),
        }
    }

    /// Whether the batch has bytes, and so needs a frame.
    pub(super) fn has_bytes(&self) -> bool {
        !self.raw.is_empty()
    }

    /// Hands a batch on that has no bytes.
    pub(super) fn take_batch(&mut self) -> Batch {
        std::mem::take(&mut self.batch)
    }

    /// Hands the batch on and continues with an empty `buffer`.
    pub(super) fn take(&mut self, buffer: FrameBuffer) -> Packed {
        debug_assert!(self.room == 0);
        (std::mem::take(&mut self.batch), std::mem::replace(&mut self.raw, buffer))
    }
}

/// The next chunk of `file` in a frame that holds `used` bytes; `None` where the frame must go first.
fn next_chunk(file: &Current, used: usize, page_size: u32) -> Option<FileChunk> {
    let space = FRAME_RAW_MAX - used;
    let left = file.size - file.received;
    let blocks = space - space % BLOCK_SIZE as usize;
    let len = if left <= space as u64 { left as usize } else { blocks };
    let pages_per_segment = u64::from(RELATION_SEGMENT_BYTES / page_size);
    let first_page = file.segment.map(|segment| {
        (u64::from(segment) * pages_per_segment + file.received / u64::from(page_size)) as u32
    });
    (len > 0).then(|| FileChunk {
        raw_offset: used as u32,
        len: len as u32,
        first_block: (file.received / u64::from(BLOCK_SIZE)) as usize,
        first_page,
        known: file.known.clone(),
        unread: None,
    })
}

impl Current {
    /// Whether it is large enough for its own frames.
    fn fills_frames(&self) -> bool {
        self.size.saturating_sub(self.unchanged) >= FRAME_RAW_MAX as u64
    }
}
