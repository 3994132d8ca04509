//! An encrypted store is a store like any other, and what is below it shows nothing and can change nothing unseen.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use proptest::prelude::*;

use super::*;
use crate::{
    codec::encrypt::{HEADER_LEN, Kdf, SEALED_LEN},
    repo::{self, recipient::RecipientId, recipient::list},
    storage::{
        FileWatch, PosixStorage, conformance,
        fault::{Fault, FaultyStorage, Operation, Rule},
    },
    types::{ErrorCode, Failure},
};

const CHEAP: Kdf = Kdf { memory_kib: 8, passes: 1, lanes: 1 };
const CHUNK: usize = CHUNK_LEN;

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

struct Bench {
    dir: tempfile::TempDir,
    storage: EncryptedStorage,
    below: Arc<Counting>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let below = Arc::new(Counting {
            inner: PosixStorage::new(dir.path()).on_this_thread(&FileWatch::default()),
            calls: Mutex::default(),
        });
        let storage = EncryptedStorage::with_key(below.clone(), DataKey::generate().unwrap());
        Self { dir, storage, below }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn put(&self, name: &str, data: &[u8]) {
        self.storage.put(&path(name), Bytes::copy_from_slice(data)).await.unwrap();
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        let mut download = self.storage.get(&path(name)).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = download.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        assert_eq!(bytes.len() as u64, download.size());
        Ok(bytes)
    }

    async fn range(&self, name: &str, range: Range<usize>) -> Result<Bytes> {
        self.storage.get_range(&path(name), range.start as u64..range.end as u64).await
    }

    fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.below.calls.lock().unwrap())
    }
}

/// A store that notes what it is asked for.
#[derive(Debug)]
struct Counting {
    inner: PosixStorage,
    calls: Mutex<Vec<&'static str>>,
}

impl Counting {
    fn note(&self, call: &'static str) {
        self.calls.lock().unwrap().push(call);
    }
}

#[async_trait]
impl Storage for Counting {
    fn location(&self) -> String {
        self.inner.location()
    }
    async fn put(&self, path: &ObjectPath, data: Bytes) -> Result<()> {
        self.inner.put(path, data).await
    }
    async fn put_stream(&self, path: &ObjectPath) -> Result<Box<dyn Upload>> {
        self.inner.put_stream(path).await
    }
    async fn get(&self, path: &ObjectPath) -> Result<Box<dyn Download>> {
        self.note("get");
        self.inner.get(path).await
    }
    async fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Bytes> {
        self.note(if range.end == HEADER_LEN as u64 { "header" } else { "range" });
        self.inner.get_range(path, range).await
    }
    async fn stat(&self, path: &ObjectPath) -> Result<Entry> {
        self.note("stat");
        self.inner.stat(path).await
    }
    async fn list(&self, directory: &ObjectPath, recurse: bool) -> Result<Vec<Entry>> {
        self.note("list");
        self.inner.list(directory, recurse).await
    }
    async fn list_prefix(&self, directory: &ObjectPath, prefix: &str) -> Result<Vec<Entry>> {
        self.inner.list_prefix(directory, prefix).await
    }
    async fn delete(&self, paths: &[ObjectPath]) -> Result<()> {
        self.inner.delete(paths).await
    }
}

#[tokio::test]
async fn an_encrypted_store_keeps_the_promises_of_a_store() {
    conformance::run_all(Arc::new(Bench::new().storage)).await;
    let dir = tempfile::tempdir().unwrap();
    let inner = Arc::new(PosixStorage::new(dir.path()));
    let storage = EncryptedStorage::with_key(inner, DataKey::generate().unwrap());
    conformance::run_all(Arc::new(storage)).await;
}

#[tokio::test]
async fn many_ranges_of_a_bundle_cost_one_look_at_its_header() {
    let bench = Bench::new();
    let data = bytes(10 * CHUNK + 100);
    bench.put("b", &data).await;
    for n in 3..9 {
        let range = n * CHUNK + 5..n * CHUNK + 600;
        assert_eq!(bench.range("b", range.clone()).await.unwrap(), data[range]);
    }
    assert_eq!(bench.calls(), [vec!["header"], vec!["range"; 6]].concat());
    // The end of the object is found once.
    for _ in 0..2 {
        assert_eq!(
            bench.range("b", 10 * CHUNK..10 * CHUNK + 100).await.unwrap(),
            data[10 * CHUNK..]
        );
    }
    assert_eq!(bench.calls(), ["range", "stat", "range", "range"]);
}

#[tokio::test]
async fn a_range_near_the_start_is_one_request() {
    let bench = Bench::new();
    let data = bytes(4 * CHUNK);
    bench.put("b", &data).await;
    assert_eq!(bench.range("b", 0..16).await.unwrap(), data[..16]);
    assert_eq!(bench.calls(), ["range"]);
    assert_eq!(bench.range("b", CHUNK..2 * CHUNK).await.unwrap(), data[CHUNK..2 * CHUNK]);
    assert_eq!(bench.calls(), ["range"]);
}

#[tokio::test]
async fn an_object_made_again_under_its_name_is_read_as_it_is_now() {
    let bench = Bench::new();
    bench.put("b", &vec![1; 3 * CHUNK]).await;
    assert_eq!(bench.range("b", 2 * CHUNK..2 * CHUNK + 9).await.unwrap(), vec![1; 9]);
    fs::remove_file(bench.file("b")).unwrap();
    let other = EncryptedStorage { ciphers: Arc::default(), ..bench.storage.clone() };
    other.put(&path("b"), vec![2; 4 * CHUNK].into()).await.unwrap();
    assert_eq!(bench.range("b", 2 * CHUNK..2 * CHUNK + 9).await.unwrap(), vec![2; 9]);
}

#[tokio::test]
async fn every_flipped_byte_is_damage_however_it_is_read() {
    let bench = Bench::new();
    let data = bytes(CHUNK + 20);
    bench.put("o", &data).await;
    let file = bench.file("o");
    let intact = fs::read(&file).unwrap();
    let near = |at: usize| at.saturating_sub(20)..(at + 20).min(intact.len());
    let places = [HEADER_LEN, HEADER_LEN + SEALED_LEN, intact.len()].into_iter().flat_map(near);
    for at in (0..HEADER_LEN).chain(places) {
        let mut wrong = intact.clone();
        wrong[at] ^= 2;
        fs::write(&file, &wrong).unwrap();
        let is_version = (8..10).contains(&at);
        let expected = if is_version { ErrorCode::RepoInvalid } else { ErrorCode::Checksum };
        let error = bench.read("o").await.unwrap_err();
        assert_eq!(error.code(), expected, "byte {at}: {error}");
        bench.storage.ciphers.forget(&[path("o")]);
        let error = bench.range("o", 0..data.len()).await.unwrap_err();
        assert_eq!(error.code(), expected, "byte {at}: {error}");
    }
    fs::write(&file, &intact).unwrap();
    assert_eq!(bench.read("o").await.unwrap(), data);
}

#[tokio::test]
async fn every_truncation_is_found_and_shown_sensibly() {
    let bench = Bench::new();
    let data = bytes(2 * CHUNK + 20);
    bench.put("o", &data).await;
    let intact = fs::read(bench.file("o")).unwrap();
    let ends = [HEADER_LEN, HEADER_LEN + SEALED_LEN, HEADER_LEN + 2 * SEALED_LEN, intact.len()];
    for len in ends.into_iter().flat_map(|end| end.saturating_sub(20)..end + 20).chain([0, 1]) {
        if len >= intact.len() {
            continue;
        }
        fs::write(bench.file("o"), &intact[..len]).unwrap();
        let entry = bench.storage.stat(&path("o")).await.unwrap();
        let EntryKind::Object { size } = entry.kind else { panic!("{entry:?}") };
        assert!(size <= len as u64);
        let error = bench.read("o").await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Truncated),
            "{len}: {error}"
        );
        bench.storage.ciphers.forget(&[path("o")]);
        for range in [0..data.len(), 2 * CHUNK..data.len()] {
            let error = bench.range("o", range).await.unwrap_err();
            let kind = error.kind();
            assert!(matches!(kind, ErrorKind::Damaged | ErrorKind::Truncated), "{len}: {error}");
        }
    }
}

#[tokio::test]
async fn a_moved_object_is_damage() {
    let bench = Bench::new();
    bench.put("backup/a/manifest", b"of a").await;
    bench.put("backup/b/manifest", b"of b").await;
    fs::copy(bench.file("backup/a/manifest"), bench.file("backup/b/manifest")).unwrap();
    let error = bench.read("backup/b/manifest").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert_eq!(bench.read("backup/a/manifest").await.unwrap(), b"of a");
}

#[tokio::test]
async fn an_object_that_is_not_encrypted_is_damage_in_an_encrypted_repository() {
    let bench = Bench::new();
    bench.below.inner.put(&path("o"), vec![b'p'; 300].into()).await.unwrap();
    let error = bench.read("o").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Damaged, ErrorCode::Checksum));
    assert!(error.to_string().contains("it is not encrypted"), "{error}");
    assert!(bench.range("o", 0..5).await.is_err());
}

fn opened_by(root: &Path, pass: &str) -> EncryptedStorage {
    EncryptedStorage::new(Arc::new(PosixStorage::new(root)), PassPhrase::new(pass))
}

#[tokio::test]
async fn a_pass_phrase_opens_what_it_made_and_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let storage = opened_by(dir.path(), "right");
    assert!(storage.keyring().create("first", CHEAP).await.unwrap());
    storage.put(&path("stanza/db/1"), Bytes::from_static(b"text")).await.unwrap();
    assert!(!opened_by(dir.path(), "right").keyring().create("again", CHEAP).await.unwrap());

    let again = opened_by(dir.path(), "right");
    assert_eq!(again.get_range(&path("stanza/db/1"), 0..4).await.unwrap(), "text");
    assert_eq!(again.keyring().recipient().await.unwrap(), Some(RecipientId::FIRST));

    let wrong = opened_by(dir.path(), "wrong");
    for error in [
        wrong.get(&path("stanza/db/1")).await.err().unwrap(),
        wrong.get_range(&path("stanza/db/1"), 0..4).await.unwrap_err(),
        wrong.put(&path("x"), Bytes::new()).await.unwrap_err(),
        wrong.put_stream(&path("x")).await.err().unwrap(),
        wrong.keyring().unlock().await.unwrap_err(),
    ] {
        assert_eq!(error.code(), ErrorCode::Crypto, "{error}");
        assert!(error.to_string().contains("none of its key objects (1 found)"), "{error}");
        assert!(error.hint().unwrap().contains("cipher-pass"), "{error}");
    }
    let error = wrong.keyring().create("other", CHEAP).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Crypto);
    // Absence needs no key.
    assert!(wrong.get(&path("absent")).await.err().unwrap().is_not_found());
    assert_eq!(wrong.list(&path("stanza/db"), false).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_repository_that_is_not_encrypted_is_never_made_so() {
    let dir = tempfile::tempdir().unwrap();
    let plain = PosixStorage::new(dir.path());
    plain.put(&path("stanza/db/1"), Bytes::from_static(b"pgstrata........")).await.unwrap();
    let storage = opened_by(dir.path(), "p");
    let error = storage.keyring().create("c", CHEAP).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Crypto);
    assert!(error.to_string().contains("it is not encrypted"), "{error}");
    assert!(list(&plain).await.unwrap().is_empty());
    let error = storage.get(&path("stanza/db/1")).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::Crypto, "{error}");
}

#[tokio::test]
async fn an_empty_repository_has_no_key_yet() {
    let dir = tempfile::tempdir().unwrap();
    let storage = opened_by(dir.path(), "p");
    storage.keyring().unlock().await.unwrap();
    let error = storage.put(&path("a"), Bytes::new()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::FileMissing);
    assert!(error.hint().unwrap().contains("stanza-create"), "{error}");
}

#[tokio::test]
async fn of_many_that_make_the_key_at_once_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let makers = (0..8).map(|_| {
        let storage = opened_by(dir.path(), "p");
        async move { storage.keyring().create("c", CHEAP).await.map(|made| (made, storage)) }
    });
    let made = futures_util::future::join_all(makers).await;
    let made: Vec<_> = made.into_iter().map(|result| result.unwrap()).collect();
    assert_eq!(made.iter().filter(|(made, _)| *made).count(), 1);
    for (number, (_, storage)) in made.iter().enumerate() {
        storage.put(&path(&format!("o/{number}")), Bytes::from_static(b"x")).await.unwrap();
    }
    let storage = opened_by(dir.path(), "p");
    for number in 0..8 {
        assert_eq!(storage.get_range(&path(&format!("o/{number}")), 0..1).await.unwrap(), "x");
    }
}

#[tokio::test]
async fn recipients_come_and_go_and_the_last_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let storage = opened_by(dir.path(), "one");
    storage.keyring().create("first", CHEAP).await.unwrap();
    storage.put(&path("o"), Bytes::from_static(b"text")).await.unwrap();
    let (second, key) = (RecipientId::random(), storage.keyring().data_key().await.unwrap());
    storage.keyring().add(second, "second", PassPhrase::new("two"), &key, CHEAP).await.unwrap();
    for pass in ["one", "two"] {
        let storage = opened_by(dir.path(), pass);
        assert_eq!(storage.get_range(&path("o"), 0..4).await.unwrap(), "text");
    }
    // A key object that is damaged does not keep the others from opening.
    let file = dir.path().join(RecipientId::FIRST.path().unwrap().as_str());
    let intact = fs::read(&file).unwrap();
    fs::write(&file, &intact[..50]).unwrap();
    assert!(opened_by(dir.path(), "two").keyring().data_key().await.is_ok());
    fs::write(&file, &intact).unwrap();

    storage.keyring().remove(RecipientId::FIRST).await.unwrap();
    assert!(opened_by(dir.path(), "one").keyring().data_key().await.is_err());
    assert!(storage.keyring().remove(second).await.is_err());
    assert!(opened_by(dir.path(), "two").keyring().data_key().await.is_ok(), "it was put back");
}

/// Removes the first of two recipients while something happens in the store; whether the pass phrase of each still opens.
async fn removed_while(
    rule: impl FnOnce(&ObjectPath) -> Rule,
) -> (std::result::Result<(), repo::Error>, [bool; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let below = Arc::new(FaultyStorage::new(Arc::new(PosixStorage::new(dir.path()))));
    let storage = EncryptedStorage::new(below.clone(), PassPhrase::new("one"));
    storage.keyring().create("first", CHEAP).await.unwrap();
    let (second, key) = (RecipientId::random(), storage.keyring().data_key().await.unwrap());
    storage.keyring().add(second, "second", PassPhrase::new("two"), &key, CHEAP).await.unwrap();
    below.add(rule(&second.path().unwrap()));
    let removed = storage.keyring().remove(RecipientId::FIRST).await;
    below.clear();
    let opens = async |pass| opened_by(dir.path(), pass).keyring().data_key().await.is_ok();
    (removed, [opens("one").await, opens("two").await])
}

/// Regression: two processes that each removed one of the last two recipients, or a listing that failed after the removal,
/// left a repository that no pass phrase opened.
#[tokio::test]
async fn a_recipient_is_put_back_where_another_is_not_proven_to_be_left() {
    let first = RecipientId::FIRST.path().unwrap();
    let delete = |fault| Rule::always(Operation::Delete, fault).on(first.as_str());
    let (removed, opens) = removed_while(|second| delete(Fault::Lose(second.clone()))).await;
    assert!(matches!(removed, Err(repo::Error::LastKey { .. })), "{removed:?}");
    assert_eq!(opens, [true, false]);
    // The look before the removal lists once.
    let no_list = Rule::always(Operation::List, Fault::Fail(ErrorKind::Transient)).at(1, 9);
    let (removed, opens) = removed_while(|_| no_list).await;
    assert!(matches!(removed, Err(repo::Error::Storage(_))), "{removed:?}");
    assert_eq!(opens, [true, true]);
    // Of a removal whose answer is lost it does not matter whether it was done.
    let (removed, opens) = removed_while(|_| delete(Fault::FailAfter(ErrorKind::Transient))).await;
    assert!(removed.is_err());
    assert_eq!(opens, [false, true]);
    let flipped = |second: &ObjectPath| {
        Rule::always(Operation::Read, Fault::FlipRead(20)).on(second.as_str())
    };
    let (removed, opens) = removed_while(flipped).await;
    assert!(matches!(removed, Err(repo::Error::LastKey { .. })), "{removed:?}");
    assert_eq!(opens, [true, true]);
}

/// The store lost them, or a user deleted them: the error must not say that the repository is not encrypted.
#[tokio::test]
async fn a_repository_that_lost_its_key_objects_says_so_and_gets_no_new_key() {
    let dir = tempfile::tempdir().unwrap();
    let storage = opened_by(dir.path(), "p");
    storage.keyring().create("first", CHEAP).await.unwrap();
    storage.put(&path("stanza/db/00000001"), Bytes::from_static(b"text")).await.unwrap();
    fs::remove_dir_all(dir.path().join("key")).unwrap();
    let again = opened_by(dir.path(), "p");
    for error in [
        again.keyring().unlock().await.unwrap_err(),
        again.get(&path("stanza/db/00000001")).await.err().unwrap(),
    ] {
        assert_eq!(error.code(), ErrorCode::Crypto);
        assert!(error.to_string().contains("its key objects are missing"), "{error}");
        assert!(error.hint().unwrap().contains("from a copy"), "{error}");
    }
    let error = opened_by(dir.path(), "p").keyring().create("c", CHEAP).await.unwrap_err();
    assert!(error.to_string().contains("its key objects are missing"), "{error}");
    assert!(list(&PosixStorage::new(dir.path())).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_damaged_key_object_is_not_called_a_wrong_pass_phrase() {
    let dir = tempfile::tempdir().unwrap();
    opened_by(dir.path(), "p").keyring().create("first", CHEAP).await.unwrap();
    let file = dir.path().join(RecipientId::FIRST.path().unwrap().as_str());
    let mut bytes = fs::read(&file).unwrap();
    bytes[100] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = opened_by(dir.path(), "p").keyring().unlock().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Crypto);
    let told = error.to_string();
    assert!(told.contains("none of its key objects (1 found, 1 unreadable)"), "{told}");
    assert!(error.hint().unwrap().contains("from a copy"), "{error}");
}

#[tokio::test]
async fn an_empty_repository_opens_once_somebody_made_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let early = opened_by(dir.path(), "p");
    early.keyring().unlock().await.unwrap();
    opened_by(dir.path(), "p").keyring().create("first", CHEAP).await.unwrap();
    early.put(&path("a"), Bytes::new()).await.unwrap();
}

/// `repo-key` on another host changes one pass phrase while WAL is archived with another.
#[tokio::test]
async fn a_recipient_that_goes_while_others_open_keeps_none_of_them_out() {
    let dir = tempfile::tempdir().unwrap();
    let storage = opened_by(dir.path(), "one");
    storage.keyring().create("first", CHEAP).await.unwrap();
    let (second, key) = (RecipientId::random(), storage.keyring().data_key().await.unwrap());
    storage.keyring().add(second, "second", PassPhrase::new("two"), &key, CHEAP).await.unwrap();
    // It was listed, and is gone when it is read.
    let below = FaultyStorage::new(Arc::new(PosixStorage::new(dir.path())));
    let first = RecipientId::FIRST.path().unwrap();
    below.add(Rule::always(Operation::Get, Fault::Lose(first.clone())).on(first.as_str()));
    let other = EncryptedStorage::new(Arc::new(below), PassPhrase::new("two"));
    assert_eq!(*other.keyring().data_key().await.unwrap(), *key);
    assert_eq!(other.keyring().recipients(Some(&key)).await.unwrap().len(), 1);
    // And whose it was is told the pass phrase, not that something is damaged.
    let error = opened_by(dir.path(), "one").keyring().unlock().await.unwrap_err();
    assert!(error.to_string().ends_with("none of its key objects (1 found)"), "{error}");
}

#[tokio::test]
async fn nothing_plain_is_stored() {
    let bench = Bench::new();
    let marker = b"a text that must not be seen";
    bench.put("o", &marker.repeat(5000)).await;
    let mut upload = bench.storage.put_stream(&path("s")).await.unwrap();
    upload.write(Bytes::from(marker.repeat(5000))).await.unwrap();
    upload.finish().await.unwrap();
    for name in ["o", "s"] {
        let stored = fs::read(bench.file(name)).unwrap();
        assert!(!stored.windows(8).any(|part| part == &marker[..8]), "{name}");
        assert_eq!(bench.read(name).await.unwrap(), marker.repeat(5000));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_object_and_any_range_of_it_comes_back(
        len in prop_oneof![0..200usize, CHUNK - 2..CHUNK + 3, 0..4 * CHUNK, Just(3 * CHUNK)],
        pieces in prop::collection::vec(1..100_000usize, 1..6),
        ranges in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (bench, data) = (Bench::new(), bytes(len));
            bench.put("o", &data).await;
            let mut upload = bench.storage.put_stream(&path("s")).await.unwrap();
            let (mut rest, mut sizes) = (&data[..], pieces.iter().cycle());
            while !rest.is_empty() {
                let (piece, left) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
                rest = left;
            }
            upload.finish().await.unwrap();
            for name in ["o", "s"] {
                assert!(bench.read(name).await.unwrap() == data);
                for (one, two) in &ranges {
                    let (one, two) = (one.index(len + 1), two.index(len + 1));
                    let range = one.min(two)..one.max(two);
                    assert!(bench.range(name, range.clone()).await.unwrap() == data[range]);
                }
                let beyond = bench.range(name, 0..len + 1).await.unwrap_err();
                assert_eq!(beyond.kind(), ErrorKind::Truncated);
            }
        });
    }
}
