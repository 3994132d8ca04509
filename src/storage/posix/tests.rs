//! What is particular to files and directories; the promises common to all stores are tested by
//! the conformance suite.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::types::Failure;

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

fn store() -> (tempfile::TempDir, PosixStorage) {
    let dir = tempfile::tempdir().unwrap();
    let store = PosixStorage::new(dir.path().join("repo"));
    (dir, store)
}

#[tokio::test]
async fn posix_keeps_the_promises_of_a_store() {
    let same = |store: PosixStorage| store.on_this_thread(&FileWatch::default());
    for on in [|store: PosixStorage| store, same] {
        let (_dir, store) = store();
        crate::storage::conformance::run_all(Arc::new(on(store))).await;
    }
}

#[tokio::test]
async fn files_and_directories_have_their_modes_and_no_temporary_stays() {
    let (dir, store) = store();
    store.put(&path("a/b/c"), Bytes::from_static(b"x")).await.unwrap();
    let mode =
        |p: &str| std::fs::metadata(dir.path().join(p)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("repo"), mode("repo/a"), mode("repo/a/b")), (0o750, 0o750, 0o750));
    assert_eq!(mode("repo/a/b/c"), 0o640);
    assert_eq!(std::fs::read_dir(dir.path().join("repo/a/b")).unwrap().count(), 1);
}

#[tokio::test]
async fn what_a_killed_writer_left_is_invisible_and_removed_when_it_is_old() {
    let (dir, store) = store();
    store.put(&path("a/b"), Bytes::from_static(b"x")).await.unwrap();
    let left = dir.path().join("repo/a/.tmp-0123456789abcdef");
    std::fs::write(&left, b"half").unwrap();
    assert_eq!(store.list(&path("a"), true).await.unwrap().len(), 1);
    assert!(store.list_prefix(&path("a"), ".tmp-").await.unwrap().is_empty());
    std::fs::create_dir_all(dir.path().join("repo/a/empty/below")).unwrap();
    let minute = Duration::from_secs(60);
    assert_eq!(store.remove_stale(&path("a"), minute).await.unwrap(), 0);
    assert!(left.exists() && dir.path().join("repo/a/empty/below").exists());
    assert_eq!(store.remove_stale(&path("b"), Duration::ZERO).await.unwrap(), 0);
    assert_eq!(store.remove_stale(&path("a"), Duration::ZERO).await.unwrap(), 1);
    assert!(!left.exists() && !dir.path().join("repo/a/empty").exists());
    assert!(store.stat(&path("a/b")).await.is_ok());
}

#[tokio::test]
async fn links_below_the_root_are_neither_followed_nor_taken_for_absent() {
    let (dir, store) = store();
    store.put(&path("a/b"), Bytes::from_static(b"x")).await.unwrap();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), b"s").unwrap();
    symlink(outside.join("secret"), dir.path().join("repo/a/file")).unwrap();
    symlink(&outside, dir.path().join("repo/a/dir")).unwrap();
    for name in ["a/file", "a/dir/secret"] {
        let kinds = [
            store.get(&path(name)).await.err().map(|e| e.kind()),
            store.stat(&path(name)).await.err().map(|e| e.kind()),
            store.get_range(&path(name), 0..1).await.err().map(|e| e.kind()),
        ];
        assert_eq!(kinds, [Some(ErrorKind::Denied); 3], "{name}");
    }
    let write = store.put(&path("a/dir/new"), Bytes::new()).await.unwrap_err();
    assert_eq!(write.kind(), ErrorKind::Denied);
    assert!(store.list(&path("a/dir"), false).await.is_err());
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    // A listing that left them out would say that nothing is there.
    for recurse in [true, false] {
        let error = store.list(&path("a"), recurse).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.hint().unwrap().contains("link"));
    }
    assert!(store.list_prefix(&path("a"), "fi").await.is_err());
    assert_eq!(store.list_prefix(&path("a"), "b").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_big_upload_survives_cancellation_without_leaving_a_file() {
    let (dir, store) = store();
    let mut upload = store.put_stream(&path("a/big")).await.unwrap();
    let chunk = Bytes::from(vec![1; 3 << 20]);
    upload.write(chunk.clone()).await.unwrap();
    drop(tokio::time::timeout(Duration::ZERO, upload.write(chunk)).await);
    drop(upload);
    for _ in 0..200 {
        if std::fs::read_dir(dir.path().join("repo/a")).unwrap().count() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a temporary file stayed");
}

#[tokio::test]
async fn a_file_where_a_directory_must_be_is_an_error_to_a_writer() {
    let (_dir, store) = store();
    store.put(&path("a"), Bytes::new()).await.unwrap();
    assert!(store.put(&path("a/b"), Bytes::new()).await.is_err());
}

#[tokio::test]
async fn a_file_system_that_does_not_answer_is_not_waited_for_without_an_end() {
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let stuck = move || {
        let _ = ended.recv();
        Ok(())
    };
    let bound = |wait_max| Bound { wait_max, location: "/repo".to_owned() };
    let error = within(&bound(Duration::from_millis(20)), 0, stuck).await.unwrap_err();
    assert!(
        error.to_string().contains("'/repo': a file operation did not finish within"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Transient);
    drop(end);
    assert_eq!(within(&bound(Duration::from_secs(60)), 0, || Ok(7)).await.unwrap(), 7);
}
