//! Bundles: objects of tens of MiB that hold many frames or block maps, so that a million small files are a few hundred
//! objects.

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

/// Full bundles that may be waiting for durability while the next one is written.
const FINISHING_MAX: usize = 2;

/// Where a frame or block map is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundlePosition {
    /// Bundle number, from 1.
    pub bundle: u32,
    /// In the bundle object, its header included.
    pub offset: u64,
}

/// Appends frames or block maps to bundles; starts a new bundle when the current one is full.
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
    /// A bundle is full once it has `size_max` stored bytes; it may exceed that by one frame.
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

    /// Appends bytes that are read as a unit: they never span two bundles.
    pub async fn append(&mut self, data: Bytes) -> Result<BundlePosition, Error> {
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
        let position = BundlePosition { bundle: self.number, offset: bundle.size() };
        bundle.write(data).await?;
        Ok(position)
    }

    /// Makes every bundle durable; returns their records.
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

pub fn path_of(paths: &BackupPaths, kind: BundleKind, number: u32) -> Result<ObjectPath, Error> {
    Ok(match kind {
        BundleKind::Data => paths.bundle(number)?,
        BundleKind::Map => paths.map(number)?,
    })
}
