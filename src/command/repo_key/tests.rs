//! What can be done to recipients, and what is refused.

use std::path::Path;

use super::*;
use crate::{
    repo::encrypted::EncryptedStorage,
    storage::{ObjectPath, PosixStorage, Storage},
};

const CHEAP: Kdf = Kdf { memory_kib: 8, passes: 1, lanes: 1 };

fn opened_by(root: &Path, pass: &str) -> EncryptedStorage {
    EncryptedStorage::new(Arc::new(PosixStorage::new(root)), PassPhrase::new(pass))
}

async fn made(root: &Path) -> EncryptedStorage {
    let storage = opened_by(root, "old");
    storage.keyring().create("first", CHEAP).await.unwrap();
    storage.put(&ObjectPath::new("o").unwrap(), "text".into()).await.unwrap();
    opened_by(root, "old")
}

fn request(pass: &str, dry_run: bool) -> Request<'static> {
    Request { pass: PassPhrase::new(pass), comment: None, dry_run }
}

async fn opens(root: &Path, pass: &str) -> bool {
    let read = opened_by(root, pass).get_range(&ObjectPath::new("o").unwrap(), 0..4).await;
    read.is_ok_and(|bytes| bytes == "text")
}

#[tokio::test]
async fn a_changed_pass_phrase_opens_and_the_old_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let storage = made(dir.path()).await;
    change(storage.keyring(), &request("new", true)).await.unwrap();
    assert!(opens(dir.path(), "old").await && !opens(dir.path(), "new").await);
    change(storage.keyring(), &request("new", false)).await.unwrap();
    assert!(opens(dir.path(), "new").await && !opens(dir.path(), "old").await);
    let recipients = opened_by(dir.path(), "new").keyring().recipients(None).await.unwrap();
    assert_eq!(recipients.len(), 1);
    let recipient = recipients[0].1.as_ref().unwrap();
    assert_eq!((recipient.comment.as_str(), recipient.kdf), ("first", Kdf::DEFAULT));
}

#[tokio::test]
async fn a_change_that_was_cut_short_is_ended_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let storage = made(dir.path()).await;
    let key = storage.keyring().data_key().await.unwrap();
    let id = RecipientId::random();
    storage.keyring().add(id, "", PassPhrase::new("new"), &key, CHEAP).await.unwrap();
    change(storage.keyring(), &request("new", false)).await.unwrap();
    assert!(opens(dir.path(), "new").await && !opens(dir.path(), "old").await);
    assert_eq!(storage.keyring().recipients(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_pass_phrase_is_added_once() {
    let dir = tempfile::tempdir().unwrap();
    let storage = made(dir.path()).await;
    add(storage.keyring(), &request("two", true)).await.unwrap();
    assert!(!opens(dir.path(), "two").await);
    add(storage.keyring(), &request("two", false)).await.unwrap();
    assert!(opens(dir.path(), "two").await && opens(dir.path(), "old").await);
    for pass in ["two", "old"] {
        let error = add(storage.keyring(), &request(pass, false)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::OptionInvalidValue, "{error}");
    }
    let error = change(storage.keyring(), &request("old", false)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::OptionInvalidValue, "{error}");
}

#[tokio::test]
async fn the_status_tells_who_opens() {
    let dir = tempfile::tempdir().unwrap();
    let storage = made(dir.path()).await;
    let recipients = storage.keyring().recipients(None).await.unwrap();
    let text = report::text(&recipients, Some(RecipientId::FIRST));
    assert!(text.contains("0000000000000001"), "{text}");
    assert!(text.contains("argon2id, m=8 KiB, t=1, p=1"), "{text}");
    let json = report::json(1, "aes-256-gcm", &recipients, None).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["recipient"][0]["opens"], false);
    assert_eq!(json["recipient"][0]["kdf"]["name"], "argon2id");
    assert_eq!(json["repo-key"], 1);
}

/// Puts the key object of another repository into this one, whose pass phrase is `pass`.
async fn foreign(root: &Path, pass: &str) -> RecipientId {
    let (id, key) = (RecipientId::random(), DataKey::generate().unwrap());
    let storage = opened_by(root, "old");
    storage.keyring().add(id, "", PassPhrase::new(pass), &key, CHEAP).await.unwrap();
    id
}

/// The old key object is removed once the new pass phrase opens this repository, not another one.
#[tokio::test]
async fn the_key_object_of_another_repository_is_never_taken_for_a_way_in() {
    let dir = tempfile::tempdir().unwrap();
    let storage = made(dir.path()).await;
    let other = foreign(dir.path(), "new").await;
    change(storage.keyring(), &request("new", false)).await.unwrap();
    let key = storage.keyring().data_key().await.unwrap();
    let recipients = opened_by(dir.path(), "new").keyring().recipients(Some(&key)).await.unwrap();
    let of: Vec<bool> = recipients.iter().map(|(id, read)| *id == other || read.is_ok()).collect();
    assert_eq!(of, [true, true]);
    let found = storage.keyring().find(&PassPhrase::new("new"), &key).await.unwrap().unwrap();
    assert_ne!(found, other);
}

async fn told(root: &Path, pass: &str) -> (String, Result<()>) {
    let (encrypted, mut out) = (opened_by(root, pass), Vec::new());
    let storage: Arc<dyn Storage> = Arc::new(encrypted.clone());
    let repo = Repo { key: 1, storage, encrypted: Some(encrypted.clone()) };
    let shown = status(&repo, encrypted.keyring(), OutputFormat::Text, &mut out).await;
    (String::from_utf8(out).unwrap(), shown)
}

#[tokio::test]
async fn the_status_fails_where_a_way_in_is_lost_and_shows_all() {
    let dir = tempfile::tempdir().unwrap();
    let storage = made(dir.path()).await;
    told(dir.path(), "old").await.1.unwrap();
    let other = foreign(dir.path(), "x").await;
    let (text, shown) = told(dir.path(), "old").await;
    let error = shown.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Checksum, "{error}");
    assert!(error.to_string().contains("1 of 2 key objects"), "{error}");
    assert!(text.contains("of another repository") && text.contains(" yes "), "{text}");
    storage.keyring().remove(other).await.unwrap();
    told(dir.path(), "old").await.1.unwrap();
    let error = told(dir.path(), "wrong").await.1.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Crypto, "{error}");
}
