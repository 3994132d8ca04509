//! Compresses independent frames. The library's state is kept between frames, because setting it up costs more than
//! compressing a small frame.

use std::io::{Cursor, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use zstd::zstd_safe;

use super::{Error, Result};
use crate::types::{CompressType, Compression};

/// Compresses frames with one compression type and level.
pub struct Compressor {
    engine: Engine,
}

enum Engine {
    None,
    Zst(zstd_safe::CCtx<'static>),
    Lz4(Box<FrameEncoder<Vec<u8>>>),
    Gz(flate2::Compress),
}

/// Output buffer that is added when deflate has no room left.
const GZ_STEP: usize = 32 << 10;
/// Window bits of gzip: the format's 32 KiB.
pub(super) const GZ_WINDOW_BITS: u8 = 15;

impl Compressor {
    /// An error if the compression type does not have the level.
    pub fn new(compression: Compression) -> Result<Self> {
        check_level(compression)?;
        let engine = match compression.kind {
            CompressType::None => Engine::None,
            CompressType::Zst => Engine::Zst(zst_context(compression.level)?),
            CompressType::Lz4 => Engine::Lz4(Box::new(lz4_encoder())),
            CompressType::Gz => Engine::Gz(flate2::Compress::new_gzip(
                flate2::Compression::new(compression.level.unsigned_abs()),
                GZ_WINDOW_BITS,
            )),
        };
        Ok(Self { engine })
    }

    /// Appends one frame with all of `raw` to `out`. With `none` the frame is the bytes themselves.
    pub fn compress_frame(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match &mut self.engine {
            Engine::None => out.extend_from_slice(raw),
            Engine::Zst(context) => zst_frame(context, raw, out)?,
            Engine::Lz4(encoder) => lz4_frame(encoder, raw, out)?,
            Engine::Gz(state) => gz_frame(state, raw, out)?,
        }
        Ok(())
    }
}

fn check_level(compression: Compression) -> Result<()> {
    let (range, allowed) = match compression.kind {
        CompressType::None => return Ok(()),
        CompressType::Zst => (-7..=22, "-7 to 22"),
        CompressType::Lz4 => (-5..=12, "-5 to 12"),
        CompressType::Gz => (0..=9, "0 to 9"),
    };
    if range.contains(&compression.level) {
        Ok(())
    } else {
        Err(Error::Level { kind: compression.kind, level: compression.level, allowed })
    }
}

fn failed(kind: CompressType, reason: impl ToString) -> Error {
    Error::Compress { kind, reason: reason.to_string() }
}

fn zst_failed(code: usize) -> Error {
    failed(CompressType::Zst, zstd_safe::get_error_name(code))
}

/// Tables for levels 3 and 4 (two hash tables, for long and for short matches). The library's own take
/// 768 KiB, more than a core's cache holds beside the frame; on database pages these, of 192 KiB,
/// are faster and, since they forget stale matches sooner, find the better ones. Measured in
/// `docs/decisions/0009-zstd-level-3.md`, with the window: matches from farther away are few and dear.
const ZST_DOUBLE_FAST: [zstd_safe::CParameter; 3] = [
    zstd_safe::CParameter::HashLog(15),
    zstd_safe::CParameter::ChainLog(14),
    zstd_safe::CParameter::WindowLog(19),
];

fn zst_context(level: i32) -> Result<zstd_safe::CCtx<'static>> {
    let mut context = zstd_safe::CCtx::try_create()
        .ok_or_else(|| failed(CompressType::Zst, "no memory for the context"))?;
    let basic = [
        zstd_safe::CParameter::CompressionLevel(level),
        zstd_safe::CParameter::ContentSizeFlag(true),
        // Our own digests cover the raw bytes; a second checksum would only cost time.
        zstd_safe::CParameter::ChecksumFlag(false),
    ];
    let tables = if (3..=4).contains(&level) { &ZST_DOUBLE_FAST[..] } else { &[] };
    for parameter in basic.iter().chain(tables) {
        context.set_parameter(*parameter).map_err(zst_failed)?;
    }
    Ok(context)
}

fn zst_frame(context: &mut zstd_safe::CCtx<'static>, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let before = out.len();
    out.reserve(zstd_safe::compress_bound(raw.len()));
    let mut cursor = Cursor::new(std::mem::take(out));
    cursor.set_position(before as u64);
    let written = context.compress2(&mut cursor, raw);
    *out = cursor.into_inner();
    out.truncate(before + written.map_err(zst_failed)?);
    Ok(())
}

/// Blocks of a frame do not refer to each other, which costs no ratio at this size and lets the
/// encoder keep a small buffer.
fn lz4_encoder() -> FrameEncoder<Vec<u8>> {
    let info = FrameInfo::new().block_size(BlockSize::Max1MB).block_mode(BlockMode::Independent);
    FrameEncoder::with_frame_info(info, Vec::new())
}

fn lz4_frame(encoder: &mut FrameEncoder<Vec<u8>>, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
    if raw.is_empty() {
        // The encoder writes an empty frame only as its first.
        *encoder = lz4_encoder();
    }
    *encoder.get_mut() = std::mem::take(out);
    let done = encoder.write_all(raw).map_err(|e| failed(CompressType::Lz4, e));
    let done = done.and_then(|()| encoder.try_finish().map_err(|e| failed(CompressType::Lz4, e)));
    *out = std::mem::take(encoder.get_mut());
    done
}

fn gz_frame(state: &mut flate2::Compress, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
    state.reset();
    loop {
        out.reserve(GZ_STEP.max(raw.len() / 2));
        let rest = raw.get(state.total_in() as usize..).unwrap_or_default();
        match state.compress_vec(rest, out, flate2::FlushCompress::Finish) {
            Ok(flate2::Status::StreamEnd) => return Ok(()),
            Ok(flate2::Status::Ok) => {}
            Ok(flate2::Status::BufError) => return Err(failed(CompressType::Gz, "no progress")),
            Err(error) => return Err(failed(CompressType::Gz, error)),
        }
    }
}
