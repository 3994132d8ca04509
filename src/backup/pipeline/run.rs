//! Runs the stages of a backup side by side.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    frame::{Batch, FileChunk, WorkedFrame},
    packer::Packer,
    prior::Prior,
    workers::{Promised, WorkerOptions, Workers},
    writer::{Writer, WriterOptions, Written},
};
use crate::{
    backup::{
        Error,
        landmarks::Landmarks,
        source::{BackupSource, BackupStart, BackupStop, Deferred, SourceEvent},
    },
    codec::BlockHasher,
    postgres::ManifestBuilder,
    repo::layout::BackupPaths,
    storage::Storage,
    types::{Compression, progress::ProgressSink},
    work::{self, Task},
};

/// The place that a backup is written to.
#[derive(Clone, Debug)]
pub struct PipelineTarget {
    /// The repository.
    pub storage: Arc<dyn Storage>,
    /// The backup's paths in it.
    pub paths: BackupPaths,
}

/// How a backup is written.
#[derive(Clone, Debug)]
pub struct PipelineOptions {
    /// How many worker threads there are.
    pub threads: usize,
    /// How frames are compressed.
    pub compression: Compression,
    /// The stored size at which a bundle is full, in bytes.
    pub bundle_size: u64,
    /// The key of the block digests.
    pub digest_key: [u8; 32],
    /// Whether pages with checksums are checked.
    pub check_pages: bool,
}

/// A backup whose data is durable but which is not published yet.
#[derive(Debug)]
pub struct PipelineOutput {
    /// The stop of the backup.
    pub stop: BackupStop,
    /// When the source said so, microseconds since 1970.
    pub stopped_us: i64,
    /// PostgreSQL's backup_manifest: the server's, or one like it.
    pub backup_manifest: Bytes,
    /// The objects and sums.
    pub written: Written,
    /// Proof that it is the whole cluster.
    pub landmarks: Landmarks,
}

type Frame = Promised<WorkedFrame>;
type Queue = mpsc::Sender<(Batch, Option<Frame>)>;

/// Takes everything that `source`, already started, yields, compares it with `prior`, and writes what
/// has changed to `target`; without a prior backup, everything.
pub async fn run(
    source: &mut dyn BackupSource,
    start: &BackupStart,
    prior: Option<Prior>,
    target: PipelineTarget,
    options: &PipelineOptions,
    progress: &dyn ProgressSink,
) -> Result<PipelineOutput, Error> {
    let facts = source.facts();
    let hasher = BlockHasher::new(options.digest_key);
    // A source that has no manifest of the server's leaves it to the writer to make one.
    let manifest =
        (!source.makes_manifest()).then(|| ManifestBuilder::new(facts.version, facts.system_id));
    let workers = Workers::start(&WorkerOptions {
        threads: options.threads,
        compression: options.compression,
        hasher: hasher.clone(),
        compare: prior.is_some(),
        page_size: facts.page_size,
        crc: manifest.is_some(),
        start_lsn: start.lsn,
    })?;
    let writer = WriterOptions {
        storage: target.storage,
        paths: target.paths,
        bundle_size: options.bundle_size,
        compress: options.compression.kind,
        hasher,
        page_size: facts.page_size,
        manifest,
    };
    let packer = Packer::new(facts.page_size, options.check_pages, workers.buffer().await?);
    let writer = Writer::create(writer, workers.compressing()).await?;
    // Bounded: frames that are worked on and not yet written wait here, and a full queue makes the source wait.
    let (queue, waiting) = mpsc::channel(4 * options.threads + 4);
    // It is aborted when this future is dropped.
    let writing = Task::start(write_all(writer, waiting));
    progress.start(start.size_estimate);
    let landmarks = Landmarks::default();
    let producer = Producer { workers: &workers, queue, packer, prior, progress, landmarks };
    let produced = producer.run(source).await;
    // Now the queue is closed, so the writer ends when it has written what is in it.
    let stopped_us = jiff::Timestamp::now().as_microsecond();
    // The writer's error is the cause when both stages failed.
    let (written, (stop, landmarks)) = (writing.await??, produced?);
    progress.finish();
    let (written, made) = written.finish().await?;
    let backup_manifest = match (&stop.backup_manifest, made) {
        (Some(given), _) => given.clone(),
        (None, Some(made)) => made.finish(&stop.wal_ranges(start)).into(),
        (None, None) => return Err(Error::Source("it has no backup_manifest".to_owned())),
    };
    Ok(PipelineOutput { stop, stopped_us, backup_manifest, written, landmarks })
}

async fn write_all(
    mut writer: Writer,
    mut waiting: mpsc::Receiver<(Batch, Option<Frame>)>,
) -> Result<Writer, Error> {
    // Frames are awaited in the order in which they were given out, whichever worker ends first: the writer relies on the
    // order of the source.
    while let Some((batch, frame)) = waiting.recv().await {
        let frame = match frame {
            Some(frame) => Some(frame.await??),
            None => None,
        };
        writer.write(batch, frame).await?;
    }
    Ok(writer)
}

/// The stages up to the workers: reads the source, packs, gives frames out.
struct Producer<'a> {
    workers: &'a Workers,
    queue: Queue,
    packer: Packer,
    prior: Option<Prior>,
    progress: &'a dyn ProgressSink,
    landmarks: Landmarks,
}

impl Producer<'_> {
    async fn run(
        mut self,
        source: &mut dyn BackupSource,
    ) -> Result<(BackupStop, Landmarks), Error> {
        loop {
            match source.next().await? {
                SourceEvent::Begin(header) => {
                    self.landmarks.note(&header.path, &header.kind);
                    let known = match &mut self.prior {
                        Some(prior) => prior.known(&header).await?,
                        None => None,
                    };
                    if self.packer.begin(header, known)? {
                        self.hand_on().await?;
                    }
                }
                SourceEvent::Bytes(data) => self.add(data).await?,
                SourceEvent::Deferred(deferred) => self.defer(deferred).await?,
                SourceEvent::Settle => self.settle().await?,
                SourceEvent::Unchanged(len) => {
                    self.progress.advance(len);
                    if self.packer.unchanged(len)? {
                        self.hand_on().await?;
                    }
                }
                SourceEvent::End => {
                    if self.packer.end()? {
                        self.hand_on().await?;
                    }
                }
                SourceEvent::Stop(stop) => {
                    if self.packer.between()? {
                        self.hand_on().await?;
                    }
                    return Ok((stop, self.landmarks));
                }
            }
        }
    }

    async fn add(&mut self, mut data: Bytes) -> Result<(), Error> {
        self.progress.advance(data.len() as u64);
        loop {
            self.packer.add(&mut data)?;
            if data.is_empty() {
                return Ok(());
            }
            self.hand_on().await?;
        }
    }

    async fn defer(&mut self, mut deferred: Deferred) -> Result<(), Error> {
        loop {
            let before = deferred.len;
            self.packer.defer(&mut deferred)?;
            self.progress.advance(before - deferred.len);
            if deferred.len == 0 {
                return Ok(());
            }
            self.hand_on().await?;
        }
    }

    /// Has everything worked on that was given so far. The source asks for it before it stops the backup: what is read
    /// after the stop may have changes whose WAL lies behind the stop, which recovery does not replay.
    async fn settle(&mut self) -> Result<(), Error> {
        if self.packer.between()? {
            self.hand_on().await?;
        }
        self.workers.settle().await
    }

    async fn hand_on(&mut self) -> Result<(), Error> {
        let (batch, frame) = match self.packer.has_bytes() {
            false => (self.packer.take_batch(), None),
            true => {
                let (batch, raw) = self.packer.take(self.workers.buffer().await?);
                let chunks: Vec<FileChunk> = batch.chunks().cloned().collect();
                (batch, Some(self.workers.give(raw, chunks).await?))
            }
        };
        self.queue.send((batch, frame)).await.map_err(|_| work::Error::Cancelled.into())
    }
}
