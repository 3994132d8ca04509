//! Turns an incremental file of the server into the events of the file it stands for: bytes for what
//! changed, and the length of what the prior backup has already.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{FileHeader, FileKind, PriorFiles, SourceEvent};
use crate::postgres::{Error, IncrementalHeaderReader, PageRun, PageRuns, Result};

/// Zeros in one event.
const ZEROS: &[u8] = &[0; 128 << 10];

/// An incremental file that is arriving.
#[derive(Debug)]
pub(super) struct Rebuild {
    /// The header of the file it stands for; its kind is known once the first bytes are.
    header: FileHeader,
    /// The whole pages that the prior backup has of the file.
    prior_pages: u64,
    page_size: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The header of the incremental file is not complete.
    Header(IncrementalHeaderReader),
    /// In a range of changed pages; `left` bytes of it follow.
    Pages { runs: PageRuns, left: u64 },
}

impl Rebuild {
    /// Begins the file of `header`, which has the path and attributes of the file, and the size of the
    /// incremental one. Refuses one that the prior backup does not have: its unchanged pages would be
    /// nowhere.
    pub(super) fn new(header: FileHeader, page_size: u32, prior: &dyn PriorFiles) -> Result<Self> {
        let Some(prior) = prior.file(&header.path) else {
            let reason = "the prior backup does not have this file".to_owned();
            return Err(Error::IncrementalFile { path: header.path, reason });
        };
        let size = match header.kind {
            FileKind::File { size, .. } => size,
            FileKind::Directory | FileKind::Link { .. } => 0,
        };
        Ok(Self {
            prior_pages: prior.size / u64::from(page_size.max(1)),
            page_size,
            state: State::Header(IncrementalHeaderReader::new(size, page_size)),
            header,
        })
    }

    /// Takes bytes of the incremental file and appends what they tell to `ready`.
    pub(super) fn push(
        &mut self,
        mut bytes: Bytes,
        ready: &mut VecDeque<SourceEvent>,
    ) -> Result<()> {
        if matches!(self.state, State::Header(_)) {
            self.take_header(&mut bytes, ready)?;
        }
        while !bytes.is_empty() {
            let State::Pages { left, .. } = &mut self.state else { return Ok(()) };
            if *left == 0 {
                return Err(self.invalid("it is longer than its header says"));
            }
            let part = bytes.split_to((*left).min(bytes.len() as u64) as usize);
            *left -= part.len() as u64;
            ready.push_back(SourceEvent::Bytes(part));
            self.advance(ready);
        }
        Ok(())
    }

    /// Ends the file.
    pub(super) fn end(self, ready: &mut VecDeque<SourceEvent>) -> Result<()> {
        match self.state {
            State::Pages { left: 0, .. } => {
                ready.push_back(SourceEvent::End);
                Ok(())
            }
            _ => Err(self.invalid("it is shorter than its header says")),
        }
    }

    fn take_header(&mut self, bytes: &mut Bytes, ready: &mut VecDeque<SourceEvent>) -> Result<()> {
        let State::Header(reader) = &mut self.state else { return Ok(()) };
        let taken = reader.take(bytes);
        let Some(found) = taken.map_err(|error| self.invalid(&error.to_string()))? else {
            return Ok(());
        };
        let bytes_of = |pages: u32| u64::from(pages) * u64::from(self.page_size);
        let kind = FileKind::File {
            size: bytes_of(found.pages()),
            unchanged: bytes_of(found.unchanged_pages(self.prior_pages)),
        };
        ready.push_back(SourceEvent::Begin(FileHeader { kind, ..self.header.clone() }));
        self.state = State::Pages { runs: found.runs(self.prior_pages), left: 0 };
        self.advance(ready);
        Ok(())
    }

    /// Continues with the next run whose bytes must come, past those that need none.
    fn advance(&mut self, ready: &mut VecDeque<SourceEvent>) {
        let page_size = u64::from(self.page_size);
        let State::Pages { runs, left } = &mut self.state else { return };
        while *left == 0 {
            match runs.next() {
                None => return,
                Some(PageRun::Changed(pages)) => *left = u64::from(pages) * page_size,
                Some(PageRun::Unchanged(pages)) => {
                    ready.push_back(SourceEvent::Unchanged(u64::from(pages) * page_size));
                }
                Some(PageRun::Zero(pages)) => send_zeros(u64::from(pages) * page_size, ready),
            }
        }
    }

    fn invalid(&self, reason: &str) -> Error {
        Error::IncrementalFile { path: self.header.path.clone(), reason: reason.to_owned() }
    }
}

fn send_zeros(mut left: u64, ready: &mut VecDeque<SourceEvent>) {
    while left > 0 {
        let length = left.min(ZEROS.len() as u64);
        ready.push_back(SourceEvent::Bytes(Bytes::from_static(&ZEROS[..length as usize])));
        left -= length;
    }
}

#[cfg(test)]
mod tests;
