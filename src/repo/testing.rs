//! Small repositories for the tests of engines and commands.

use std::{path::Path, sync::Arc};

use serde_json::json;

use super::{
    contents,
    manifest::Manifest,
    stanza::{self, ClusterId},
};
use crate::{
    storage::{PosixStorage, Storage},
    types::{StanzaName, SystemId},
};

/// The stanza of the tests.
pub(crate) fn stanza_name() -> StanzaName {
    "demo".parse().unwrap()
}

/// A cluster of version 15.
pub(crate) fn cluster(system_id: u64) -> ClusterId {
    ClusterId { system_id: SystemId(system_id), version: "15".parse().unwrap() }
}

/// The storage of a repository with the stanza of the tests.
pub(crate) async fn storage_with_stanza(root: &Path) -> Arc<dyn Storage> {
    let storage = PosixStorage::new(root);
    stanza::create(&storage, &stanza_name(), cluster(7), None).await.unwrap();
    Arc::new(storage)
}

/// Publishes a backup with something in the place of each of its objects.
pub(crate) async fn publish(storage: &dyn Storage, manifest: &Manifest) {
    contents::put_stubs(storage, manifest).await.unwrap();
    manifest.publish(storage).await.unwrap();
}

/// The manifest of a backup that refers to `references`.
pub(crate) fn manifest(label: &str, references: &[&str]) -> Manifest {
    let object = json!({ "size": 1, "sha256": "00".repeat(32) });
    let position = |lsn: &str| json!({ "lsn": lsn, "timeline": 1 });
    serde_json::from_value(json!({
        "program-version": "0.1.0",
        "label": label,
        "stanza": "demo",
        "prior": references.last(),
        "references": references,
        "cluster": {
            "history-id": 1, "system-id": 7, "version": "15", "version-num": 150018,
            "wal-segment-size": 16777216, "page-size": 8192, "page-checksums": true, "data-directory-mode": 448,
        },
        "source": "stream",
        "timestamp-us": { "start": 1_795_253_092_000_000_i64, "stop": 1_795_253_094_000_000_i64 },
        "wal": { "start": position("0/4000028"), "stop": position("0/5000000") },
        "compression": { "type": "zst", "level": 3 },
        "block": { "size": 8192, "digest-key": "11".repeat(32) },
        "databases": [
            { "oid": 1, "name": "template1" }, { "oid": 5, "name": "postgres" },
        ],
        "totals": {
            "files": 10, "size": 5_000_000, "size-delta": 5_000_000, "repo-size": 1_000_000,
            "repo-size-delta": 1_000_000, "map-size": 1000, "bundles": 1,
        },
        "archive-checked": true,
        "file-list": object,
        "backup-manifest": object,
    }))
    .unwrap()
}
