//! Hands the raw bytes of frames that follow each other out in pieces that several threads can work on.
//!
//! Frames of zstd that say how long they are, and are no longer than ours, are only cut apart here, which is
//! cheap; the receiver decompresses it. What cannot be cut so, and every other method, is undone here, as by
//! [`FrameReader`].

use std::io::{BufRead, Chain, Cursor, Read};

use zstd::zstd_safe;

use super::{Decompressor, Error, FrameReader, Result};
use crate::types::CompressType;

/// The most raw bytes of a frame that is cut out.
const FRAME_RAW_MAX: usize = 1 << 20;
/// Stored bytes that are taken before the next look whether the frame is whole.
const CUT_STEP: usize = 64 << 10;
/// Raw bytes of a piece that is undone here.
const RAW_STEP: usize = 256 << 10;

/// Yields, piece by piece, exactly as many raw bytes as the caller expects; anything more, less or else is
/// an error.
pub struct PieceReader<R: BufRead> {
    kind: CompressType,
    source: Source<R>,
    /// Raw bytes that the frames must hold, and those of the pieces so far.
    expected: u64,
    found: u64,
}

enum Source<R: BufRead> {
    Frames(R),
    Stream(Box<FrameReader<Rest<R>>>),
    /// An error came out of it.
    Spent,
}

/// What was taken while a frame was looked for, and what follows it.
type Rest<R> = Chain<Cursor<Vec<u8>>, R>;

/// A piece and the buffers that it is in, which can be used again for the next one.
#[derive(Debug, Default)]
pub struct Piece {
    stored: Vec<u8>,
    raw: Vec<u8>,
    /// The frame that is not decompressed yet: its raw size.
    frame: Option<usize>,
}

impl Piece {
    /// Undoes the frame, if the piece still is one, and shows the raw bytes.
    pub fn decompress(&mut self, decompressor: &mut Decompressor) -> Result<&[u8]> {
        if let Some(raw_len) = self.frame.take() {
            self.raw.clear();
            decompressor.decompress_frame(&self.stored, raw_len, &mut self.raw)?;
        }
        Ok(&self.raw)
    }
}

impl<R: BufRead> PieceReader<R> {
    /// A reader of frames that together hold `raw_size` bytes.
    pub fn new(kind: CompressType, stored: R, raw_size: u64) -> Result<Self> {
        let source = match kind {
            CompressType::Zst => Source::Frames(stored),
            _ => Source::Stream(Box::new(FrameReader::new(
                kind,
                rest(Vec::new(), stored),
                raw_size,
            )?)),
        };
        Ok(Self { kind, source, expected: raw_size, found: 0 })
    }

    /// The method of the frames.
    pub fn kind(&self) -> CompressType {
        self.kind
    }

    /// The raw bytes that all frames together must hold.
    pub fn raw_size(&self) -> u64 {
        self.expected
    }

    /// Makes `piece` the next one; `false` only at the proven end, when all expected bytes were in
    /// the pieces and nothing follows. After an error there is nothing more to be had.
    pub fn next(&mut self, piece: &mut Piece) -> Result<bool> {
        match std::mem::replace(&mut self.source, Source::Spent) {
            Source::Frames(mut stored) => match cut(&mut stored, &mut piece.stored) {
                Cut::Frame { raw_len } => {
                    self.source = Source::Frames(stored);
                    self.frame(raw_len, piece)
                }
                Cut::End => {
                    self.source = Source::Frames(stored);
                    self.check(self.found < self.expected).map(|()| false)
                }
                Cut::Unfit => {
                    let stored = rest(std::mem::take(&mut piece.stored), stored);
                    let stream = FrameReader::after(self.found, self.kind, stored, self.expected)?;
                    self.stream(Box::new(stream), piece)
                }
            },
            Source::Stream(stream) => self.stream(stream, piece),
            Source::Spent => {
                let reason = "an earlier piece of it was".to_owned();
                Err(Error::Damaged { kind: self.kind, reason })
            }
        }
    }

    fn frame(&mut self, raw_len: usize, piece: &mut Piece) -> Result<bool> {
        self.found += raw_len as u64;
        self.check(self.found > self.expected)?;
        piece.frame = Some(raw_len);
        Ok(true)
    }

    fn check(&self, is_wrong: bool) -> Result<()> {
        let (kind, expected, found) = (self.kind, self.expected, self.found);
        if is_wrong { Err(Error::Length { kind, expected, found }) } else { Ok(()) }
    }

    fn stream(&mut self, mut stream: Box<FrameReader<Rest<R>>>, piece: &mut Piece) -> Result<bool> {
        piece.frame = None;
        piece.raw.resize(RAW_STEP, 0);
        let filled = stream.fill(&mut piece.raw)?;
        piece.raw.truncate(filled);
        self.source = Source::Stream(stream);
        Ok(filled > 0)
    }
}

fn rest<R: BufRead>(taken: Vec<u8>, stored: R) -> Rest<R> {
    Cursor::new(taken).chain(stored)
}

enum Cut {
    /// The buffer is one whole frame.
    Frame { raw_len: usize },
    /// There is nothing more.
    End,
    /// The buffer is the start of something else; the rest is still in the source.
    Unfit,
}

/// Moves one frame into `frame`. What is wrong with bytes that are none, is for the stream to say.
fn cut<R: BufRead>(stored: &mut R, frame: &mut Vec<u8>) -> Cut {
    frame.clear();
    let stored_max = zstd_safe::compress_bound(FRAME_RAW_MAX);
    while frame.len() <= stored_max {
        let chunk = match stored.fill_buf() {
            Ok([]) if frame.is_empty() => return Cut::End,
            Ok(chunk @ [_, ..]) => chunk,
            Ok([]) | Err(_) => return Cut::Unfit,
        };
        let (before, taken) = (frame.len(), chunk.len().min(CUT_STEP));
        frame.extend_from_slice(&chunk[..taken]);
        let whole = zstd_safe::find_frame_compressed_size(frame).ok();
        stored.consume(whole.map_or(taken, |len| len.saturating_sub(before)));
        if let Some(len) = whole {
            frame.truncate(len);
            return match zstd_safe::get_frame_content_size(frame) {
                Ok(Some(size)) if size <= FRAME_RAW_MAX as u64 => {
                    Cut::Frame { raw_len: size as usize }
                }
                _ => Cut::Unfit,
            };
        }
    }
    Cut::Unfit
}
