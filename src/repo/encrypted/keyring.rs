//! The data key of a repository and its recipients. The data key is unwrapped once, for the first caller that needs it.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::refusal::Refusal;
use crate::{
    codec::encrypt::{CIPHER_MAGIC, DataKey, Kdf},
    repo::{
        self, foreign,
        layout::{ARCHIVE_ROOT, BACKUP_ROOT, STANZA_ROOT},
        metadata::object_name,
        recipient::{self, PassPhrase, Recipient, RecipientId},
    },
    storage::{self, EntryKind, ErrorKind, ObjectPath, Storage},
    types::{ErrorCode, Failure},
    work,
};

/// A recipient, or the error that reading its key object gave.
type ReadRecipient = (RecipientId, Result<Recipient, repo::Error>);

/// The data key and the recipient whose pass phrase unlocked it, or why none did. This does not change while the process
/// runs, so it is kept.
type Unlocked = Result<(Option<RecipientId>, Arc<DataKey>), Refusal>;

/// Why the attempt to unlock gave no lasting result; the next caller tries again.
enum NotUnlocked {
    /// The repository holds nothing yet.
    Empty,
    Failed(storage::Error),
}

#[derive(Default)]
struct Search {
    found: Option<(RecipientId, DataKey)>,
    recipients: usize,
    /// Recipients whose key objects cannot be read.
    unreadable: usize,
}

#[derive(Debug)]
pub struct Keyring {
    storage: Arc<dyn Storage>,
    pass: Option<PassPhrase>,
    unlocked: OnceCell<Unlocked>,
}

impl Keyring {
    pub(super) fn new(storage: Arc<dyn Storage>, pass: PassPhrase) -> Self {
        Self { storage, pass: Some(pass), unlocked: OnceCell::new() }
    }

    pub(super) fn with_key(storage: Arc<dyn Storage>, key: DataKey) -> Self {
        let unlocked = OnceCell::new_with(Some(Ok((None, Arc::new(key)))));
        Self { storage, pass: None, unlocked }
    }

    pub async fn data_key(&self) -> storage::Result<Arc<DataKey>> {
        match self.open().await? {
            Ok((_, key)) => Ok(key),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// Unlocks the repository; an empty one without a key is no error.
    pub async fn unlock(&self) -> storage::Result<()> {
        match self.open().await? {
            Ok(_) | Err(Refusal::NoKey) => Ok(()),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// The recipient whose pass phrase unlocked the repository.
    pub async fn recipient(&self) -> storage::Result<Option<RecipientId>> {
        match self.open().await? {
            Ok((recipient, _)) => Ok(recipient),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// Creates the data key of an empty repository; `false` if it has one already, which is then unlocked.
    pub async fn create(&self, comment: &str, kdf: Kdf) -> Result<bool, repo::Error> {
        if !recipient::list(&*self.storage).await?.is_empty() {
            self.data_key().await?;
            return Ok(false);
        }
        match without_key(&*self.storage).await? {
            Refusal::NoKey => {}
            refusal => return Err(self.refused(refusal).into()),
        }
        let Some(pass) = self.pass.clone() else { return Ok(false) };
        let failed = |error: crate::codec::Error| self.error("write").caused_by(error);
        let key = DataKey::generate().map_err(failed)?;
        let made = match self.add(RecipientId::FIRST, comment, pass, &key, kdf).await {
            // A concurrent command created the data key first: that one is used.
            Err(repo::Error::Storage(e)) if e.kind() == ErrorKind::AlreadyExists => false,
            added => added.map(|()| true)?,
        };
        self.data_key().await?;
        Ok(made)
    }

    /// Wraps the data key for a new recipient.
    pub async fn add(
        &self,
        id: RecipientId,
        comment: &str,
        pass: PassPhrase,
        key: &DataKey,
        kdf: Kdf,
    ) -> Result<(), repo::Error> {
        let (comment, key) = (comment.to_owned(), key.clone());
        let data = self.derive(move || recipient::encode(id, &comment, &pass, &key, kdf)).await??;
        Ok(self.storage.put(&id.path()?, data).await?)
    }

    /// Removes a recipient; [`repo::Error::LastKey`] if no other recipient opens the repository.
    pub async fn remove(&self, id: RecipientId) -> Result<(), repo::Error> {
        let path = id.path()?;
        let last = || repo::Error::LastKey { object: object_name(&*self.storage, &path) };
        let key = self.data_key().await?;
        if !self.is_opened_by_another(id, &key).await? {
            return Err(last());
        }
        let kept = recipient::read_stored(&*self.storage, &path).await?;
        let deleted = self.storage.delete(std::slice::from_ref(&path)).await;
        // Checked again after the removal: of two concurrent removals each may have seen the other's recipient before.
        // Unless another recipient is proven to be left, the key object is put back.
        let why = match (deleted, self.is_opened_by_another(id, &key).await) {
            (deleted, Ok(true)) => return Ok(deleted?),
            (_, Ok(false)) => last(),
            (_, Err(error)) => error,
        };
        match self.storage.put(&path, kept).await {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
            _ => Err(why),
        }
    }

    /// Whether a recipient other than `id` holds the data key.
    async fn is_opened_by_another(
        &self,
        id: RecipientId,
        key: &DataKey,
    ) -> Result<bool, repo::Error> {
        let recipients = self.recipients(Some(key)).await?;
        Ok(recipients.iter().any(|(other, read)| *other != id && read.is_ok()))
    }

    /// All recipients; an unreadable key object is listed with its error. With `key`, so is a recipient of another data key.
    pub async fn recipients(
        &self,
        key: Option<&DataKey>,
    ) -> Result<Vec<ReadRecipient>, repo::Error> {
        let ids = recipient::list(&*self.storage).await?;
        let mut recipients = Vec::with_capacity(ids.len());
        for id in ids {
            let read = match (Recipient::read(&*self.storage, id).await, key) {
                // Removed since the listing.
                (Err(error), _) if error.is_not_found() => continue,
                (Ok(recipient), Some(key)) => self.expect_key(recipient, key),
                (read, _) => read,
            };
            recipients.push((id, read));
        }
        Ok(recipients)
    }

    fn expect_key(&self, recipient: Recipient, key: &DataKey) -> Result<Recipient, repo::Error> {
        let path = recipient.id.path()?;
        recipient.expect(key.id(), &object_name(&*self.storage, &path))
    }

    /// The recipient of `key` that `pass` unlocks.
    pub async fn find(
        &self,
        pass: &PassPhrase,
        key: &DataKey,
    ) -> Result<Option<RecipientId>, repo::Error> {
        Ok(self.search(pass, Some(key)).await?.found.map(|(id, _)| id))
    }

    async fn search(
        &self,
        pass: &PassPhrase,
        key: Option<&DataKey>,
    ) -> Result<Search, repo::Error> {
        let ids = recipient::list(&*self.storage).await?;
        let mut search = Search { recipients: ids.len(), ..Search::default() };
        for id in ids {
            let recipient = match Recipient::read(&*self.storage, id).await {
                // Removed since the listing.
                Err(error) if error.is_not_found() => continue,
                // One damaged key object must not lock out the other recipients.
                Err(error) if error.is_damage() || error.code() == ErrorCode::RepoInvalid => {
                    tracing::warn!("{error}");
                    search.unreadable += 1;
                    continue;
                }
                recipient => recipient?,
            };
            if key.is_some_and(|key| key.id() != recipient.data_key) {
                continue;
            }
            let pass = pass.clone();
            let opened = self.derive(move || recipient.open(&pass)).await??;
            if let Some(opened) = opened.filter(|opened| key.is_none_or(|key| key == opened)) {
                search.found = Some((id, opened));
                break;
            }
        }
        Ok(search)
    }

    async fn open(&self) -> storage::Result<Unlocked> {
        match self.unlocked.get_or_try_init(|| self.try_unlock()).await {
            Ok(unlocked) => Ok(unlocked.clone()),
            Err(NotUnlocked::Empty) => Ok(Err(Refusal::NoKey)),
            Err(NotUnlocked::Failed(error)) => Err(error),
        }
    }

    async fn try_unlock(&self) -> Result<Unlocked, NotUnlocked> {
        let failed = |error| {
            NotUnlocked::Failed(match error {
                repo::Error::Storage(error) => error,
                error => {
                    let failed = self.error("open").with_code(error.code());
                    match error.hint() {
                        Some(hint) => failed.with_hint(hint).caused_by(error),
                        None => failed.caused_by(error),
                    }
                }
            })
        };
        let Some(pass) = &self.pass else { return Err(NotUnlocked::Empty) };
        let search = self.search(pass, None).await.map_err(failed)?;
        let Search { found, recipients, unreadable } = search;
        if let Some((id, key)) = found {
            return Ok(Ok((Some(id), Arc::new(key))));
        }
        if recipients > 0 {
            return Ok(Err(Refusal::WrongPass { recipients, unreadable }));
        }
        match without_key(&*self.storage).await.map_err(failed)? {
            Refusal::NoKey => Err(NotUnlocked::Empty),
            refusal => Ok(Err(refusal)),
        }
    }

    /// Runs a key derivation, which takes tens of milliseconds of CPU time, outside the runtime's threads.
    async fn derive<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, storage::Error> {
        let done = work::blocking(work).await;
        done.map_err(|error| self.error("open").caused_by(error))
    }

    fn refused(&self, refusal: Refusal) -> storage::Error {
        let (code, hint) = (refusal.code(), refusal.hint());
        let error = self.error("open").with_code(code);
        match hint {
            Some(hint) => error.with_hint(hint).caused_by(refusal),
            None => error.caused_by(refusal),
        }
    }

    fn error(&self, operation: &'static str) -> storage::Error {
        storage::Error::new(ErrorKind::Other, operation, self.storage.location())
            .with_code(ErrorCode::Crypto)
    }
}

/// Why a repository without key objects cannot be unlocked.
async fn without_key(storage: &dyn Storage) -> Result<Refusal, repo::Error> {
    if let Some(error) = foreign::of_root(storage).await? {
        return Err(error);
    }
    for root in [STANZA_ROOT, BACKUP_ROOT, ARCHIVE_ROOT] {
        if !storage.list(&ObjectPath::new(root)?, false).await?.is_empty() {
            return Ok(if is_encrypted(storage).await? {
                Refusal::KeyLost
            } else {
                Refusal::NotEncrypted
            });
        }
    }
    Ok(Refusal::NoKey)
}

/// Whether the stanza histories are encrypted, from the first object that is found.
async fn is_encrypted(storage: &dyn Storage) -> Result<bool, repo::Error> {
    let magic = CIPHER_MAGIC.len() as u64;
    let entries = storage.list(&ObjectPath::new(STANZA_ROOT)?, true).await?;
    let long = |kind| matches!(kind, EntryKind::Object { size } if size >= magic);
    match entries.iter().find(|entry| long(entry.kind)) {
        Some(entry) => Ok(storage.get_range(&entry.path, 0..magic).await? == CIPHER_MAGIC[..]),
        None => Ok(false),
    }
}
