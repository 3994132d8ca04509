//! Bundles: objects of a few tens of MiB that hold frames, or block maps, one after the other, so that
//! a million small files are a few hundred objects.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Error,
    file_list::{BundleKind, BundleRecord},
    layout::BackupPaths,
    manifest::ObjectRecord,
    object_header::{ObjectHeader, ObjectKind},
    object_writer::ObjectWriter,
};
use crate::{
    storage::{ObjectPath, Storage},
    types::CompressType,
    work::Task,
};
use bytes::Bytes;

/// How many full bundles may be on their way to disk while the next is written.
const FINISHING_MAX: usize = 2;

/// Where an appended piece was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The number of the bundle.
    pub bundle: u32,
    /// The offset in the bundle object, in bytes.
    pub offset: u64,
}

/// Appends pieces to bundles, beginning a new one when the current one is full.
pub struct BundleWriter {
    storage: Arc<dyn Storage>,
    paths: BackupPaths,
    kind: BundleKind,
    compress: CompressType,
    size_max: u64,
    number: u32,
    current: Option<ObjectWriter>,
    /// Aborted with this: a backup that is given up must not continue publishing bundles behind the back of its caller.
    finishing: VecDeque<(u32, Task<Result<ObjectRecord, Error>>)>,
    records: Vec<BundleRecord>,
}

impl BundleWriter {
    /// A writer of bundles of one kind; a bundle is full at `size_max` stored bytes.
    pub fn new(
        storage: Arc<dyn Storage>,
        paths: BackupPaths,
        kind: BundleKind,
        compress: CompressType,
        size_max: u64,
    ) -> Self {
        Self {
            storage,
            paths,
            kind,
            compress,
            size_max,
            number: 0,
            current: None,
            finishing: VecDeque::new(),
            records: Vec::new(),
        }
    }

    /// Appends a piece; it never spans two bundles.
    pub async fn append(&mut self, piece: Bytes) -> Result<Placed, Error> {
        if self.current.as_ref().is_some_and(|bundle| bundle.size() >= self.size_max) {
            self.begin_finish().await?;
        }
        let bundle = match &mut self.current {
            Some(bundle) => bundle,
            none => none.insert(
                start(&*self.storage, &self.paths, self.kind, self.compress, {
                    self.number += 1;
                    self.number
                })
                .await?,
            ),
        };
        let placed = Placed { bundle: self.number, offset: bundle.size() };
        bundle.write(piece).await?;
        Ok(placed)
    }

    /// Makes every bundle durable and tells what they are.
    pub async fn finish(mut self) -> Result<Vec<BundleRecord>, Error> {
        self.begin_finish().await?;
        while !self.finishing.is_empty() {
            self.end_finish().await?;
        }
        Ok(std::mem::take(&mut self.records))
    }

    async fn begin_finish(&mut self) -> Result<(), Error> {
        let Some(bundle) = self.current.take() else { return Ok(()) };
        if self.finishing.len() >= FINISHING_MAX {
            self.end_finish().await?;
        }
        self.finishing.push_back((self.number, Task::start(bundle.finish())));
        Ok(())
    }

    async fn end_finish(&mut self) -> Result<(), Error> {
        let Some((number, task)) = self.finishing.pop_front() else { return Ok(()) };
        let record = task.await??;
        self.records.push(BundleRecord { bundle: self.kind, number, record });
        Ok(())
    }
}

async fn start(
    storage: &dyn Storage,
    paths: &BackupPaths,
    kind: BundleKind,
    compress: CompressType,
    number: u32,
) -> Result<ObjectWriter, Error> {
    let path = path_of(paths, kind, number)?;
    let kind = match kind {
        BundleKind::Data => ObjectKind::Bundle,
        BundleKind::Map => ObjectKind::MapBundle,
    };
    ObjectWriter::new(storage.put_stream(&path).await?, ObjectHeader::new(kind, compress)).await
}

/// The path of a bundle of this kind.
pub fn path_of(paths: &BackupPaths, kind: BundleKind, number: u32) -> Result<ObjectPath, Error> {
    Ok(match kind {
        BundleKind::Data => paths.bundle(number)?,
        BundleKind::Map => paths.map(number)?,
    })
}
