//! Decompresses a frame whose raw length is known. Nothing in the frame is trusted.

use std::io::{Cursor, Read};

use lz4_flex::frame::FrameDecoder;
use zstd::zstd_safe;

use super::{Error, Result, compress::GZ_WINDOW_BITS};
use crate::types::CompressType;

/// Decompresses frames of one compression type.
pub struct Decompressor {
    engine: Engine,
}

enum Engine {
    None,
    Zst(zstd_safe::DCtx<'static>),
    Lz4,
    Gz(flate2::Decompress),
}

impl Decompressor {
    pub fn new(kind: CompressType) -> Self {
        let engine = match kind {
            CompressType::None => Engine::None,
            CompressType::Zst => Engine::Zst(zstd_safe::DCtx::create()),
            CompressType::Lz4 => Engine::Lz4,
            CompressType::Gz => Engine::Gz(flate2::Decompress::new_gzip(GZ_WINDOW_BITS)),
        };
        Self { engine }
    }

    /// Appends `raw_len` bytes to `out`. `stored` must be exactly one frame with that many raw bytes. After an error `out`
    /// has its previous length.
    pub fn decompress_frame(
        &mut self,
        stored: &[u8],
        raw_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let before = out.len();
        // Room for one byte more, by which a frame that is too long is noticed.
        let room = raw_len.saturating_add(1);
        out.try_reserve_exact(room).map_err(|_| Error::Memory { bytes: room })?;
        let done = match &mut self.engine {
            Engine::None => plain(stored, raw_len, out),
            Engine::Zst(context) => zst(context, stored, raw_len, out),
            Engine::Lz4 => lz4(stored, raw_len, out),
            Engine::Gz(state) => gz(state, stored, raw_len, out),
        };
        if done.is_err() {
            out.truncate(before);
        }
        done
    }
}

fn damaged(kind: CompressType, reason: impl ToString) -> Error {
    Error::Damaged { kind, reason: reason.to_string() }
}

fn length(kind: CompressType, expected: usize, found: u64) -> Error {
    Error::Length { kind, expected: expected as u64, found }
}

fn plain(stored: &[u8], raw_len: usize, out: &mut Vec<u8>) -> Result<()> {
    if stored.len() != raw_len {
        return Err(length(CompressType::None, raw_len, stored.len() as u64));
    }
    out.extend_from_slice(stored);
    Ok(())
}

fn zst(
    context: &mut zstd_safe::DCtx<'static>,
    stored: &[u8],
    raw_len: usize,
    out: &mut Vec<u8>,
) -> Result<()> {
    const KIND: CompressType = CompressType::Zst;
    let failed = |code| damaged(KIND, zstd_safe::get_error_name(code));
    // The size that the frame declares is checked before anything is decompressed.
    match zstd_safe::get_frame_content_size(stored) {
        Ok(Some(size)) if size == raw_len as u64 => {}
        Ok(Some(size)) => return Err(length(KIND, raw_len, size)),
        Ok(None) => return Err(damaged(KIND, "the frame does not declare its size")),
        Err(_) => return Err(damaged(KIND, "the frame header is not valid")),
    }
    if zstd_safe::find_frame_compressed_size(stored).map_err(failed)? != stored.len() {
        return Err(Error::Trailing { kind: KIND });
    }
    let before = out.len();
    let mut cursor = Cursor::new(std::mem::take(out));
    cursor.set_position(before as u64);
    let written = context.decompress(&mut cursor, stored);
    *out = cursor.into_inner();
    let written = written.map_err(failed)?;
    if written == raw_len && out.len() == before + raw_len {
        Ok(())
    } else {
        Err(length(KIND, raw_len, written as u64))
    }
}

fn lz4(stored: &[u8], raw_len: usize, out: &mut Vec<u8>) -> Result<()> {
    const KIND: CompressType = CompressType::Lz4;
    // The decoder accepts a frame without its end mark.
    match lz4_frame_len(stored) {
        Some(len) if len == stored.len() => {}
        Some(_) => return Err(Error::Trailing { kind: KIND }),
        None => return Err(damaged(KIND, "it ends too early")),
    }
    let before = out.len();
    let mut decoder = FrameDecoder::new(stored);
    let read = (&mut decoder).take(raw_len as u64).read_to_end(out);
    read.map_err(|error| damaged(KIND, error))?;
    let found = (out.len() - before) as u64;
    if found != raw_len as u64 {
        return Err(length(KIND, raw_len, found));
    }
    match decoder.read(&mut [0]).map_err(|error| damaged(KIND, error))? {
        0 => Ok(()),
        _ => Err(length(KIND, raw_len, found + 1)),
    }
}

/// The length of the LZ4 frame at the start of `stored`, end mark included; `None` if it is truncated. The decoder checks
/// the content of the fields.
fn lz4_frame_len(stored: &[u8]) -> Option<usize> {
    let flags = *stored.get(4)?;
    let field = |bit: u8, len: usize| if flags & bit != 0 { len } else { 0 };
    let (content_size, dictionary) = (field(0x08, 8), field(0x01, 4));
    let (block_checksum, content_checksum) = (field(0x10, 4), field(0x04, 4));
    // Magic number, two descriptor bytes, their optional fields, and the descriptor's checksum.
    let mut at = 4 + 2 + content_size + dictionary + 1;
    loop {
        let size = u32::from_le_bytes(*stored.get(at..)?.first_chunk()?);
        at += 4;
        if size == 0 {
            at += content_checksum;
            return (at <= stored.len()).then_some(at);
        }
        // The highest bit says that the block is not compressed.
        at += (size & 0x7FFF_FFFF) as usize + block_checksum;
    }
}

fn gz(
    state: &mut flate2::Decompress,
    stored: &[u8],
    raw_len: usize,
    out: &mut Vec<u8>,
) -> Result<()> {
    const KIND: CompressType = CompressType::Gz;
    *state = flate2::Decompress::new_gzip(GZ_WINDOW_BITS);
    let before = out.len();
    out.resize(before + raw_len + 1, 0);
    let status = state.decompress(stored, &mut out[before..], flate2::FlushDecompress::Finish);
    let status = status.map_err(|error| damaged(KIND, error))?;
    let found = state.total_out();
    out.truncate(before + raw_len);
    if found > raw_len as u64 {
        return Err(length(KIND, raw_len, found));
    }
    if status != flate2::Status::StreamEnd {
        return Err(damaged(KIND, "it ends too early"));
    }
    if found != raw_len as u64 {
        return Err(length(KIND, raw_len, found));
    }
    if state.total_in() == stored.len() as u64 {
        Ok(())
    } else {
        Err(Error::Trailing { kind: KIND })
    }
}
