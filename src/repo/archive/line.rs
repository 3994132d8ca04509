//! The threads that read one archived file, and what they share.

use std::sync::Mutex;

use super::{
    Error,
    in_turn::{InTurn, lock},
    read::{ChunkReader, RawSink, damaged, open},
};
use crate::{
    codec::{Decompressor, Piece, PieceReader, Sha256Hasher},
    types::CompressType,
};

/// What the threads of one file share.
pub(super) struct Line<S> {
    object: String,
    pieces: Mutex<Pieces>,
    hasher: InTurn<Sha256Hasher>,
    sink: InTurn<S>,
}

/// Where the pieces come from, and how many were handed out.
struct Pieces {
    source: Source,
    handed_out: u64,
}

enum Source {
    Unopened(ChunkReader),
    Open(PieceReader<ChunkReader>),
    /// No more of it is needed. Dropping it ends the task that reads the store.
    Closed,
}

/// A piece's place in the order, and what its file is.
struct Job {
    turn: u64,
    kind: CompressType,
    raw_size: u64,
}

impl<S: RawSink> Line<S> {
    /// A line from `chunks`, the stored bytes of `object`, to `sink`.
    pub(super) fn new(chunks: ChunkReader, sink: S, object: String) -> Self {
        let source = Source::Unopened(chunks);
        Self {
            object,
            pieces: Mutex::new(Pieces { source, handed_out: 0 }),
            hasher: InTurn::new(Sha256Hasher::new()),
            sink: InTurn::new(sink),
        }
    }

    /// Takes pieces through until there are no more, or until any of the threads failed. Each thread of
    /// the line runs this.
    pub(super) fn work(&self) -> Result<(), S::Error> {
        let mut ended = Ended { line: self, well: false };
        self.take_pieces()?;
        ended.well = true;
        Ok(())
    }

    fn take_pieces(&self) -> Result<(), S::Error> {
        let (mut piece, mut decompressor) = (Piece::default(), None);
        while let Some(Job { turn, kind, raw_size }) = self.next(&mut piece)? {
            let decompressor = decompressor.get_or_insert_with(|| Decompressor::new(kind));
            let raw = piece.decompress(decompressor).map_err(|e| damaged(&self.object, e))?;
            let digested = self.hasher.run(turn, |hasher| hasher.update(raw));
            let accept = |sink: &mut S| {
                if turn == 0 {
                    sink.expect(raw_size);
                }
                sink.accept(raw)
            };
            let taken = digested.and_then(|()| self.sink.run(turn, accept));
            // Where there is no turn, another thread failed, and says why.
            let Some(taken) = taken else { return Ok(()) };
            taken?;
        }
        Ok(())
    }

    /// Makes `piece` the next one; `None` at the end.
    fn next(&self, piece: &mut Piece) -> Result<Option<Job>, Error> {
        let mut pieces = lock(&self.pieces);
        let turn = pieces.handed_out;
        pieces.handed_out += 1;
        let mut reader = match std::mem::replace(&mut pieces.source, Source::Closed) {
            Source::Unopened(stored) => open(stored, &self.object)?,
            Source::Open(reader) => reader,
            Source::Closed => return Ok(None),
        };
        if !reader.next(piece).map_err(|e| damaged(&self.object, e))? {
            return Ok(None);
        }
        let job = Job { turn, kind: reader.kind(), raw_size: reader.raw_size() };
        pieces.source = Source::Open(reader);
        Ok(Some(job))
    }

    /// The digest of all pieces and the sink that took them; `None` where a thread failed.
    pub(super) fn into_parts(self) -> Option<(Sha256Hasher, S)> {
        self.hasher.into_inner().zip(self.sink.into_inner())
    }
}

/// Ends the other threads and the task that reads the store if a thread ends early, even
/// by a panic.
struct Ended<'a, S> {
    line: &'a Line<S>,
    well: bool,
}

impl<S> Drop for Ended<'_, S> {
    fn drop(&mut self) {
        if !self.well {
            self.line.hasher.give_up();
            self.line.sink.give_up();
            lock(&self.line.pieces).source = Source::Closed;
        }
    }
}
