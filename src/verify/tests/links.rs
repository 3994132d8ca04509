//! Links in a repository: each is named as what it is, and hides nothing else.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::*;
use crate::storage::PosixStorage;

/// The repository of a bench in a directory.
struct OnDisk {
    dir: tempfile::TempDir,
    bench: Bench,
}

impl OnDisk {
    async fn new() -> Self {
        let (dir, bench) = (tempfile::tempdir().unwrap(), Bench::new().await);
        for path in bench.memory.paths() {
            let file = dir.path().join(path.as_str());
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bench.memory.object(&path)).unwrap();
        }
        let storage: Arc<dyn Storage> = Arc::new(PosixStorage::new(dir.path()));
        Self { dir, bench: Bench { storage, ..bench } }
    }

    /// Moves an object out of the repository and links to it.
    fn link(&self, part: &str) -> PathBuf {
        let path = self.dir.path().join(self.bench.object(part).as_str());
        self.link_path(&path);
        path
    }

    fn link_path(&self, path: &Path) {
        let elsewhere = self.dir.path().join("elsewhere").join(path.file_name().unwrap());
        fs::create_dir_all(elsewhere.parent().unwrap()).unwrap();
        fs::rename(path, &elsewhere).unwrap();
        symlink(&elsewhere, path).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_a_fault_of_its_object_and_the_rest_is_read() {
    let disk = OnDisk::new().await;
    disk.link(&format!("{DIFF}/bundle/00000001"));
    disk.link("000000010000000000000003-");
    symlink("/nowhere", disk.dir.path().join("backup/demo/other")).unwrap();
    disk.bench.flip(&format!("{FULL}/bundle/00000001"), |len| len - 100);
    let full = disk.bench.object(&format!("{FULL}/bundle/00000001"));
    fs::write(disk.dir.path().join(full.as_str()), disk.bench.memory.object(&full)).unwrap();
    insta::assert_snapshot!(disk.bench.faults().await);
    // All others refuse what they cannot see.
    let refused = disk.bench.storage.list(&ObjectPath::new("backup/demo").unwrap(), true).await;
    assert!(refused.unwrap_err().to_string().contains("symbolic link"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_a_directory_is_named() {
    let disk = OnDisk::new().await;
    disk.link_path(&disk.dir.path().join("backup/demo").join(INCR));
    disk.link_path(&disk.dir.path().join("archive/demo/15-1/0000000100000000"));
    insta::assert_snapshot!(disk.bench.faults().await);
}
