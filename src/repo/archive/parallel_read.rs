//! Decompresses one archived file on several threads.
//!
//! Each thread takes the next frame, decompresses it, and passes the raw bytes through the hasher and into the sink.
//! Decompression runs in parallel; hasher and sink see the frames in file order (see [`InOrder`]).

use std::sync::Mutex;

use super::{
    Error,
    in_order::{InOrder, lock},
    sink::RawSink,
    stored_stream::{ChunkReader, damaged, open},
};
use crate::{
    codec::{Decompressor, FrameBuffer, FrameSplitter, Sha256Hasher},
    types::CompressType,
};

/// State shared by the threads of one file.
pub(super) struct ParallelRead<S> {
    object: String,
    frames: Mutex<FrameQueue>,
    hasher: InOrder<Sha256Hasher>,
    sink: InOrder<S>,
}

struct FrameQueue {
    input: FrameInput,
    /// Frames that were handed out, which is the index of the next one.
    handed_out: u64,
}

enum FrameInput {
    Unopened(ChunkReader),
    Open(FrameSplitter<ChunkReader>),
    /// At the end, or after a failure. Dropping the reader closes the channel, so that the download stops too.
    Closed,
}

struct NextFrame {
    index: u64,
    compress: CompressType,
    /// Raw bytes of the whole file, from its header.
    raw_size: u64,
}

impl<S: RawSink> ParallelRead<S> {
    /// Reads `chunks`, the stored bytes of `object`, into `sink`.
    pub(super) fn new(chunks: ChunkReader, sink: S, object: String) -> Self {
        let input = FrameInput::Unopened(chunks);
        Self {
            object,
            frames: Mutex::new(FrameQueue { input, handed_out: 0 }),
            hasher: InOrder::new(Sha256Hasher::new()),
            sink: InOrder::new(sink),
        }
    }

    /// The main loop of each thread: takes frames until there are none left or another thread failed.
    pub(super) fn run_thread(&self) -> Result<(), S::Error> {
        let mut abort = AbortOnDrop { read: self, armed: true };
        self.read_frames()?;
        abort.armed = false;
        Ok(())
    }

    fn read_frames(&self) -> Result<(), S::Error> {
        let (mut buffer, mut decompressor) = (FrameBuffer::default(), None);
        while let Some(NextFrame { index, compress, raw_size }) = self.next(&mut buffer)? {
            let decompressor = decompressor.get_or_insert_with(|| Decompressor::new(compress));
            let raw = buffer.decompress(decompressor).map_err(|e| damaged(&self.object, e))?;
            let digested = self.hasher.run(index, |hasher| hasher.update(raw));
            let accept = |sink: &mut S| {
                if index == 0 {
                    sink.expect(raw_size);
                }
                sink.accept(raw)
            };
            let accepted = digested.and_then(|()| self.sink.run(index, accept));
            // `None`: another thread failed, and its error is the one to report.
            let Some(accepted) = accepted else { return Ok(()) };
            accepted?;
        }
        Ok(())
    }

    /// Reads the next frame into `buffer`; `None` at the end of the file.
    fn next(&self, buffer: &mut FrameBuffer) -> Result<Option<NextFrame>, Error> {
        let mut frames = lock(&self.frames);
        let index = frames.handed_out;
        frames.handed_out += 1;
        // The input stays `Closed` when an error returns early from here.
        let mut splitter = match std::mem::replace(&mut frames.input, FrameInput::Closed) {
            FrameInput::Unopened(stored) => open(stored, &self.object)?,
            FrameInput::Open(splitter) => splitter,
            FrameInput::Closed => return Ok(None),
        };
        if !splitter.next(buffer).map_err(|e| damaged(&self.object, e))? {
            return Ok(None);
        }
        let next = NextFrame { index, compress: splitter.kind(), raw_size: splitter.raw_size() };
        frames.input = FrameInput::Open(splitter);
        Ok(Some(next))
    }

    /// The hasher and the sink after all frames; `None` if a thread failed.
    pub(super) fn into_parts(self) -> Option<(Sha256Hasher, S)> {
        self.hasher.into_inner().zip(self.sink.into_inner())
    }
}

/// Stops the other threads and the download when a thread fails or panics: its frame never gets its turn, so they
/// would wait for it forever.
struct AbortOnDrop<'a, S> {
    read: &'a ParallelRead<S>,
    armed: bool,
}

impl<S> Drop for AbortOnDrop<'_, S> {
    fn drop(&mut self) {
        if self.armed {
            self.read.hasher.abort();
            self.read.sink.abort();
            lock(&self.read.frames).input = FrameInput::Closed;
        }
    }
}
