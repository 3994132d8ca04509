//! Separates consecutive frames so that several threads can decompress them.
//!
//! zstd frames that declare their size, and are no larger than ours, are only separated here, which is cheap; the thread
//! that receives one decompresses it. Other zstd frames and all other compression types are decompressed here, by a
//! [`FrameReader`].

use std::io::{BufRead, Chain, Cursor, Read};

use zstd::zstd_safe;

use super::{Decompressor, Error, FrameReader, Result};
use crate::types::CompressType;

/// Raw bytes of the largest frame that is separated.
const FRAME_RAW_MAX: usize = 1 << 20;
/// Stored bytes that are read before the next check whether the frame is complete.
const SPLIT_STEP: usize = 64 << 10;
/// Raw bytes that are decompressed here at a time.
const RAW_STEP: usize = 256 << 10;

/// Yields exactly as many raw bytes as the caller expects; more, fewer or damaged bytes are an error.
pub struct FrameSplitter<R: BufRead> {
    kind: CompressType,
    source: Input<R>,
    /// Raw bytes that all frames must hold, and those of the frames so far.
    expected: u64,
    found: u64,
}

enum Input<R: BufRead> {
    Frames(R),
    Stream(Box<FrameReader<Remainder<R>>>),
    /// After an error.
    Failed,
}

/// The bytes that were read in search of a frame, and what follows them.
type Remainder<R> = Chain<Cursor<Vec<u8>>, R>;

/// One frame or a range of raw bytes. The buffers are reused for the next one.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    stored: Vec<u8>,
    raw: Vec<u8>,
    /// The raw length of the frame in `stored`, while it is not decompressed.
    compressed: Option<usize>,
}

impl FrameBuffer {
    /// Decompresses the frame, unless [`FrameSplitter`] did, and returns the raw bytes.
    pub fn decompress(&mut self, decompressor: &mut Decompressor) -> Result<&[u8]> {
        if let Some(raw_len) = self.compressed.take() {
            self.raw.clear();
            decompressor.decompress_frame(&self.stored, raw_len, &mut self.raw)?;
        }
        Ok(&self.raw)
    }
}

impl<R: BufRead> FrameSplitter<R> {
    /// `raw_size` are the raw bytes of all frames together.
    pub fn new(kind: CompressType, stored: R, raw_size: u64) -> Result<Self> {
        let source = match kind {
            CompressType::Zst => Input::Frames(stored),
            _ => {
                Input::Stream(Box::new(FrameReader::new(kind, rest(Vec::new(), stored), raw_size)?))
            }
        };
        Ok(Self { kind, source, expected: raw_size, found: 0 })
    }

    pub fn kind(&self) -> CompressType {
        self.kind
    }

    /// Raw bytes that all frames together must hold.
    pub fn raw_size(&self) -> u64 {
        self.expected
    }

    /// Reads the next frame into `buffer`; `false` only at the verified end: all expected bytes were read and nothing
    /// follows. After an error every further call is an error.
    pub fn next(&mut self, buffer: &mut FrameBuffer) -> Result<bool> {
        match std::mem::replace(&mut self.source, Input::Failed) {
            Input::Frames(mut stored) => match split(&mut stored, &mut buffer.stored) {
                Split::Frame { raw_len } => {
                    self.source = Input::Frames(stored);
                    self.frame(raw_len, buffer)
                }
                Split::End => {
                    self.source = Input::Frames(stored);
                    self.check(self.found < self.expected).map(|()| false)
                }
                Split::Unfit => {
                    let stored = rest(std::mem::take(&mut buffer.stored), stored);
                    let stream = FrameReader::after(self.found, self.kind, stored, self.expected)?;
                    self.stream(Box::new(stream), buffer)
                }
            },
            Input::Stream(stream) => self.stream(stream, buffer),
            Input::Failed => {
                let reason = "an earlier frame was damaged".to_owned();
                Err(Error::Damaged { kind: self.kind, reason })
            }
        }
    }

    fn frame(&mut self, raw_len: usize, buffer: &mut FrameBuffer) -> Result<bool> {
        self.found += raw_len as u64;
        self.check(self.found > self.expected)?;
        buffer.compressed = Some(raw_len);
        Ok(true)
    }

    fn check(&self, is_wrong: bool) -> Result<()> {
        let (kind, expected, found) = (self.kind, self.expected, self.found);
        if is_wrong { Err(Error::Length { kind, expected, found }) } else { Ok(()) }
    }

    fn stream(
        &mut self,
        mut stream: Box<FrameReader<Remainder<R>>>,
        buffer: &mut FrameBuffer,
    ) -> Result<bool> {
        buffer.compressed = None;
        buffer.raw.resize(RAW_STEP, 0);
        let filled = stream.fill(&mut buffer.raw)?;
        buffer.raw.truncate(filled);
        self.source = Input::Stream(stream);
        Ok(filled > 0)
    }
}

fn rest<R: BufRead>(taken: Vec<u8>, stored: R) -> Remainder<R> {
    Cursor::new(taken).chain(stored)
}

enum Split {
    /// The buffer holds one complete frame.
    Frame {
        raw_len: usize,
    },
    End,
    /// The buffer holds the start of something that cannot be separated; the rest is still in the source.
    Unfit,
}

/// Reads one frame into `frame`. Damage is [`Split::Unfit`]: the [`FrameReader`] that takes over reports it.
fn split<R: BufRead>(stored: &mut R, frame: &mut Vec<u8>) -> Split {
    frame.clear();
    let stored_max = zstd_safe::compress_bound(FRAME_RAW_MAX);
    while frame.len() <= stored_max {
        let chunk = match stored.fill_buf() {
            Ok([]) if frame.is_empty() => return Split::End,
            Ok(chunk @ [_, ..]) => chunk,
            Ok([]) | Err(_) => return Split::Unfit,
        };
        let (before, taken) = (frame.len(), chunk.len().min(SPLIT_STEP));
        frame.extend_from_slice(&chunk[..taken]);
        let whole = zstd_safe::find_frame_compressed_size(frame).ok();
        stored.consume(whole.map_or(taken, |len| len.saturating_sub(before)));
        if let Some(len) = whole {
            frame.truncate(len);
            return match zstd_safe::get_frame_content_size(frame) {
                Ok(Some(size)) if size <= FRAME_RAW_MAX as u64 => {
                    Split::Frame { raw_len: size as usize }
                }
                _ => Split::Unfit,
            };
        }
    }
    Split::Unfit
}
