//! Parses the tar archives in a backup stream chunk by chunk, without temporary files. File contents are slices of the
//! chunks. Every member has one `Begin` and one `End`.
//!
//! Supports what the server writes (`src/port/tar.c`): ustar headers, sizes over 8 GiB in base 256, no extended
//! headers. Servers before 15 omit the two zero blocks at the end of an archive.

use bytes::{Buf, Bytes};

use super::{Error, Result};
use crate::types::DataPath;

const BLOCK: usize = 512;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TarEntryKind {
    File {
        /// In bytes.
        size: u64,
    },
    Directory,
    Link {
        target: Vec<u8>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarEntry {
    /// Without a leading `./` or a trailing `/`; `None` for the root directory.
    pub path: Option<DataPath>,
    pub kind: TarEntryKind,
    pub mode: u32,
    /// Seconds since 1970.
    pub modified: i64,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TarEvent {
    Begin(TarEntry),
    /// Bytes of the current member; never empty.
    Bytes(Bytes),
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Reading a header block.
    Header,
    /// In the contents of a member.
    Data { remaining: u64, padding: usize },
    /// In the padding after a member.
    Padding { remaining: usize },
    /// After the first zero block that ends the archive.
    Terminator,
}

/// Parses one archive.
#[derive(Debug)]
pub struct TarReader {
    state: State,
    header: Box<[u8; BLOCK]>,
    header_length: usize,
    chunk: Bytes,
}

impl Default for TarReader {
    fn default() -> Self {
        Self::new()
    }
}

impl TarReader {
    pub fn new() -> Self {
        Self {
            state: State::Header,
            header: Box::new([0; BLOCK]),
            header_length: 0,
            chunk: Bytes::new(),
        }
    }

    /// Adds the next chunk. Fails unless [`Self::next_event`] returned `None` before, that is, the previous chunk is
    /// consumed.
    pub fn push(&mut self, chunk: Bytes) -> Result<()> {
        if !self.chunk.is_empty() {
            return Err(damaged("a chunk came before the last one was read"));
        }
        self.chunk = chunk;
        Ok(())
    }

    /// The next event; `None` if more bytes are needed.
    pub fn next_event(&mut self) -> Result<Option<TarEvent>> {
        loop {
            match self.state {
                State::Data { remaining: 0, padding } => {
                    self.state = State::Padding { remaining: padding };
                    return Ok(Some(TarEvent::End));
                }
                State::Padding { remaining: 0 } => self.state = State::Header,
                _ if self.chunk.is_empty() => return Ok(None),
                State::Data { remaining, padding } => {
                    return Ok(Some(self.take_data(remaining, padding)));
                }
                State::Padding { remaining } => {
                    let length = remaining.min(self.chunk.len());
                    self.chunk.advance(length);
                    self.state = State::Padding { remaining: remaining - length };
                }
                State::Header => {
                    if let Some(entry) = self.take_header()? {
                        return Ok(Some(TarEvent::Begin(entry)));
                    }
                }
                State::Terminator => {
                    if self.chunk.iter().any(|&b| b != 0) {
                        return Err(damaged("there are bytes after the end of the archive"));
                    }
                    self.chunk.clear();
                }
            }
        }
    }

    /// Checks that the archive is complete: it may end only between members.
    pub fn finish(&self) -> Result<()> {
        match self.state {
            State::Header if self.header_length == 0 => Ok(()),
            State::Padding { remaining: 0 } | State::Terminator => Ok(()),
            _ => Err(damaged("it ends in the middle of a member")),
        }
    }

    fn take_data(&mut self, remaining: u64, padding: usize) -> TarEvent {
        let length = remaining.min(self.chunk.len() as u64);
        self.state = State::Data { remaining: remaining - length, padding };
        TarEvent::Bytes(self.chunk.split_to(length as usize))
    }

    /// Reads header bytes. Returns a member when the block is complete and not the terminator.
    fn take_header(&mut self) -> Result<Option<TarEntry>> {
        let length = (BLOCK - self.header_length).min(self.chunk.len());
        let target = &mut self.header[self.header_length..self.header_length + length];
        self.chunk.copy_to_slice(target);
        self.header_length += length;
        if self.header_length < BLOCK {
            return Ok(None);
        }
        self.header_length = 0;
        if self.header.iter().all(|&b| b == 0) {
            self.state = State::Terminator;
            return Ok(None);
        }
        let entry = parse_header(&self.header)?;
        let size = match entry.kind {
            TarEntryKind::File { size } => size,
            _ => 0,
        };
        let padding = (BLOCK - (size % BLOCK as u64) as usize) % BLOCK;
        self.state = State::Data { remaining: size, padding };
        Ok(Some(entry))
    }
}

fn damaged(reason: impl Into<String>) -> Error {
    Error::Tar(reason.into())
}

mod field {
    use std::ops::Range;

    pub(super) const NAME: Range<usize> = 0..100;
    pub(super) const MODE: Range<usize> = 100..108;
    pub(super) const UID: Range<usize> = 108..116;
    pub(super) const GID: Range<usize> = 116..124;
    pub(super) const SIZE: Range<usize> = 124..136;
    pub(super) const MODIFIED: Range<usize> = 136..148;
    pub(super) const CHECKSUM: Range<usize> = 148..156;
    pub(super) const KIND: usize = 156;
    pub(super) const LINK_TARGET: Range<usize> = 157..257;
    pub(super) const MAGIC: Range<usize> = 257..262;
    pub(super) const PREFIX: Range<usize> = 345..500;
}

fn parse_header(header: &[u8; BLOCK]) -> Result<TarEntry> {
    verify_checksum(header)?;
    let kind = match header[field::KIND] {
        b'0' | 0 => TarEntryKind::File { size: number(&header[field::SIZE], "size")? },
        b'5' => TarEntryKind::Directory,
        b'2' => TarEntryKind::Link { target: text(&header[field::LINK_TARGET]).to_vec() },
        other => return Err(damaged(format!("a member is of the unknown type 0x{other:02x}"))),
    };
    Ok(TarEntry {
        path: path(header, &kind)?,
        kind,
        mode: number(&header[field::MODE], "mode")? as u32 & 0o7777,
        modified: number(&header[field::MODIFIED], "time")? as i64,
        uid: number(&header[field::UID], "owner")? as u32,
        gid: number(&header[field::GID], "group")? as u32,
    })
}

/// The header checksum: sum of all bytes, with the checksum field as blanks.
fn verify_checksum(header: &[u8; BLOCK]) -> Result<()> {
    let expected = number(&header[field::CHECKSUM], "checksum")?;
    let outside = |at: &usize| !field::CHECKSUM.contains(at);
    let bytes = header.iter().enumerate().filter(|(at, _)| outside(at));
    let sum = bytes.map(|(_, &b)| u64::from(b)).sum::<u64>() + 8 * u64::from(b' ');
    if sum == expected {
        Ok(())
    } else {
        Err(damaged(format!("a header's checksum is {sum} and should be {expected}")))
    }
}

fn path(header: &[u8; BLOCK], kind: &TarEntryKind) -> Result<Option<DataPath>> {
    let name = text(&header[field::NAME]);
    let ustar = &header[field::MAGIC] == b"ustar";
    let prefix = if ustar { text(&header[field::PREFIX]) } else { b"" };
    let joined = match prefix {
        b"" => name.to_vec(),
        prefix => [prefix, b"/", name].concat(),
    };
    let trimmed = joined.strip_prefix(b"./").unwrap_or(&joined);
    let is_directory = *kind == TarEntryKind::Directory;
    if is_directory && (trimmed.is_empty() || trimmed == b".") {
        return Ok(None);
    }
    // The server appends a slash to the name of a link, because all its links are to directories (`src/port/tar.c`).
    let trimmed = match kind {
        TarEntryKind::Directory | TarEntryKind::Link { .. } => {
            trimmed.strip_suffix(b"/").unwrap_or(trimmed)
        }
        TarEntryKind::File { .. } => trimmed,
    };
    DataPath::new(trimmed).map(Some).map_err(|e| damaged(e.to_string()))
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or_default()
}

/// Parses a number: octal digits between blanks, or big-endian base 256 if the top bit is set.
fn number(field: &[u8], what: &str) -> Result<u64> {
    let invalid = || damaged(format!("a member's {what} is not a number"));
    let Some((&first, rest)) = field.split_first() else { return Err(invalid()) };
    if first & 0x80 != 0 {
        let (high, low) = rest.split_at(rest.len().saturating_sub(8));
        let fits = first == 0x80 && high.iter().all(|&b| b == 0);
        let value = low.iter().fold(0_u64, |value, &b| value << 8 | u64::from(b));
        return if fits { Ok(value) } else { Err(invalid()) };
    }
    let digits = text(field).trim_ascii();
    digits.iter().try_fold(0_u64, |value, &b| match b {
        b'0'..=b'7' => Ok(value << 3 | u64::from(b - b'0')),
        _ => Err(invalid()),
    })
}

#[cfg(test)]
mod tests;
