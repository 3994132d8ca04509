//! What a manifest or a file list records of another object, so that a reader can verify it.

use serde::{Deserialize, Serialize};

use crate::types::Sha256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Stored bytes.
    pub size: u64,
    /// Of the stored bytes.
    pub sha256: Sha256,
}
