//! Size and digest of an object, recorded in a manifest or a file list for verification.

use serde::{Deserialize, Serialize};

use crate::types::Sha256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Stored bytes.
    pub size: u64,
    /// Of the stored bytes.
    pub sha256: Sha256,
}
