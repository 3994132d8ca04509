//! Where the bytes of a restore come from: the bundles of the backup and of those it refers to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    codec::BlockHasher,
    repo::{
        self,
        layout::BackupPaths,
        manifest::Manifest,
        metadata,
        object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
    },
    restore::Error,
    storage::{ObjectPath, Storage},
    types::CompressType,
};

/// The repository as the workers see it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) storage: Arc<dyn Storage>,
    /// The paths of the backup and, from 1, of its references.
    holders: Vec<BackupPaths>,
    pub(super) hasher: BlockHasher,
    pub(super) block_size: u32,
    /// How the frames of a bundle are compressed, for the bundles that were looked at.
    compression: Mutex<HashMap<(u32, u32), CompressType>>,
}

impl Source {
    pub(super) fn new(storage: Arc<dyn Storage>, manifest: &Manifest) -> Result<Self, Error> {
        let labels = std::iter::once(&manifest.label).chain(&manifest.references);
        let holders: Result<_, _> =
            labels.map(|label| BackupPaths::new(&manifest.stanza, label)).collect();
        Ok(Self {
            storage,
            holders: holders?,
            hasher: BlockHasher::new(manifest.block.digest_key.0),
            block_size: manifest.block.size,
            compression: Mutex::new(HashMap::new()),
        })
    }

    /// The object of a bundle. Block maps were checked to refer to known backups only.
    pub(super) fn bundle(&self, reference: u32, bundle: u32) -> Result<ObjectPath, repo::Error> {
        let holder = self.holders.get(reference as usize);
        let holder = holder.ok_or_else(|| repo::Error::Format {
            object: self.holders[0].directory().to_string(),
            what: format!("a block map refers to backup {reference}, which is not recorded"),
        })?;
        Ok(holder.bundle(bundle)?)
    }

    /// How the frames of a bundle are compressed; its header is read once.
    pub(super) async fn compression(
        &self,
        reference: u32,
        bundle: u32,
    ) -> Result<CompressType, repo::Error> {
        let key = (reference, bundle);
        let known = || self.compression.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kind) = known().get(&key) {
            return Ok(*kind);
        }
        let path = self.bundle(reference, bundle)?;
        let header = self.storage.get_range(&path, 0..HEADER_LEN as u64).await?;
        self.learn_compression(reference, bundle, &header)
    }

    /// The same from the first bytes of the bundle, which were read.
    pub(super) fn learn_compression(
        &self,
        reference: u32,
        bundle: u32,
        start: &[u8],
    ) -> Result<CompressType, repo::Error> {
        let object = self.object(&self.bundle(reference, bundle)?);
        let header = ObjectHeader::decode(start, ObjectKind::Bundle, &object)?;
        let mut known = self.compression.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((reference, bundle), header.compress);
        Ok(header.compress)
    }

    /// An object as errors name it.
    pub(super) fn object(&self, path: &ObjectPath) -> String {
        metadata::object_name(&*self.storage, path)
    }
}
