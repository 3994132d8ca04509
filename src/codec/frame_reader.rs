//! Streams the raw bytes of consecutive frames in constant memory.

use std::io::{self, BufRead, Read};

use lz4_flex::frame::FrameDecoder;

use super::{Error, Result};
use crate::types::CompressType;

/// Yields exactly as many raw bytes as the caller expects, then the end; more, fewer or damaged bytes are an error.
pub struct FrameReader<R: BufRead> {
    kind: CompressType,
    engine: Engine<R>,
    /// Raw bytes that all frames must hold.
    expected: u64,
    /// Raw bytes so far.
    found: u64,
}

enum Engine<R: BufRead> {
    None(R),
    Zst(zstd::stream::read::Decoder<'static, R>),
    Lz4(Box<Lz4Frames<R>>),
    Gz(Box<flate2::bufread::MultiGzDecoder<R>>),
}

/// Bounds the decoder's memory. No frame of ours needs a larger window at any level: frames have at most 4 MiB.
const ZST_WINDOW_LOG_MAX: u32 = 23;

impl<R: BufRead> FrameReader<R> {
    /// `raw_size` are the raw bytes of all frames together.
    pub fn new(kind: CompressType, stored: R, raw_size: u64) -> Result<Self> {
        Self::after(0, kind, stored, raw_size)
    }

    /// A reader of the frames that follow the first `found` of `raw_size` bytes.
    pub(super) fn after(found: u64, kind: CompressType, stored: R, raw_size: u64) -> Result<Self> {
        let engine = match kind {
            CompressType::None => Engine::None(stored),
            CompressType::Zst => Engine::Zst(zst_decoder(stored)?),
            CompressType::Lz4 => Engine::Lz4(Box::new(Lz4Frames::new(stored))),
            CompressType::Gz => Engine::Gz(Box::new(flate2::bufread::MultiGzDecoder::new(stored))),
        };
        Ok(Self { kind, engine, expected: raw_size, found })
    }

    /// Fills `buffer` from its start and returns the number of bytes; 0 only at the verified end: all expected bytes were
    /// read and none follow. An error of the source becomes `Damaged` with its text.
    pub fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.step(&mut buffer[filled..])? {
                0 => break,
                n => filled += n,
            }
        }
        self.found += filled as u64;
        let length = Error::Length { kind: self.kind, expected: self.expected, found: self.found };
        match filled {
            _ if self.found > self.expected => Err(length),
            0 if self.found < self.expected && !buffer.is_empty() => Err(length),
            n => Ok(n),
        }
    }

    fn step(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let kind = self.kind;
        let read = match &mut self.engine {
            Engine::None(stored) => stored.read(buffer),
            Engine::Zst(decoder) => decoder.read(buffer),
            Engine::Lz4(frames) => frames.step(buffer),
            Engine::Gz(decoder) => gz_step(decoder, buffer),
        };
        read.map_err(|error| Error::Damaged { kind, reason: error.to_string() })
    }
}

fn zst_decoder<R: BufRead>(stored: R) -> Result<zstd::stream::read::Decoder<'static, R>> {
    let damaged = |e: io::Error| Error::Damaged { kind: CompressType::Zst, reason: e.to_string() };
    let mut decoder = zstd::stream::read::Decoder::with_buffer(stored).map_err(damaged)?;
    decoder.window_log_max(ZST_WINDOW_LOG_MAX).map_err(damaged)?;
    Ok(decoder)
}

/// The decoder returns 0 at the end of every frame, but also if the source ends after any four bytes in the place of a
/// magic number. So the bytes of each frame are counted.
struct Lz4Frames<R: BufRead> {
    decoder: FrameDecoder<Counted<R>>,
    /// Bytes of the source up to the end of the previous frame.
    ended_at: u64,
}

/// The shortest LZ4 frame: magic number, descriptor, end mark.
const LZ4_FRAME_LEN_MIN: u64 = 4 + 3 + 4;

impl<R: BufRead> Lz4Frames<R> {
    fn new(stored: R) -> Self {
        Self { decoder: FrameDecoder::new(Counted { stored, taken: 0 }), ended_at: 0 }
    }

    fn step(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.decoder.read(buffer)?;
            if n > 0 {
                return Ok(n);
            }
            let source = self.decoder.get_mut();
            if source.taken != self.ended_at && source.taken - self.ended_at < LZ4_FRAME_LEN_MIN {
                let reason = "trailing bytes follow the last frame";
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            self.ended_at = source.taken;
            if source.stored.fill_buf()?.is_empty() {
                return Ok(0);
            }
        }
    }
}

/// A source that counts the bytes that were read.
struct Counted<R> {
    stored: R,
    taken: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stored.read(buffer)?;
        self.taken += n as u64;
        Ok(n)
    }
}

/// The decoder accepts an empty source as an empty file, and stops at the first byte that does not begin a gzip member.
/// The raw size catches the former; the latter is checked here.
fn gz_step<R: BufRead>(
    decoder: &mut flate2::bufread::MultiGzDecoder<R>,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let n = decoder.read(buffer)?;
    if n == 0 && !buffer.is_empty() && !decoder.get_mut().fill_buf()?.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes follow the last member"));
    }
    Ok(n)
}
