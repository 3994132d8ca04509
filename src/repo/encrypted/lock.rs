//! The data key behind its recipients: opened once, by the first that needs it.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::{
    codec::encrypt::{DataKey, Kdf},
    repo::{
        self,
        layout::{ARCHIVE_ROOT, BACKUP_ROOT, STANZA_ROOT},
        recipient::{self, PassPhrase, Recipient, RecipientId},
    },
    storage::{self, ErrorKind, ObjectPath, Storage},
    types::{ErrorCode, Failure},
};

/// Why a repository does not open. It stays so for as long as the process runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The pass phrase is nobody's.
    #[error("the pass phrase opens none of its {recipients} key object(s)")]
    WrongPass {
        /// How many recipients there are.
        recipients: usize,
    },
    /// There are objects, but no key.
    #[error("it holds stanzas and no key object: it is not encrypted")]
    NotEncrypted,
    /// There is nothing yet.
    #[error("it has no key object yet")]
    NoKey,
}

impl Failure for Refusal {
    fn code(&self) -> ErrorCode {
        match self {
            Self::WrongPass { .. } | Self::NotEncrypted => ErrorCode::Crypto,
            Self::NoKey => ErrorCode::FileMissing,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::WrongPass { .. } => {
                "check repoN-cipher-pass or repoN-cipher-pass-file: is it that of this repository, \
                 and was it changed with repo-key?"
            }
            Self::NotEncrypted => {
                "a repository is encrypted from its first stanza on or never: leave \
                 repoN-cipher-type out, or use a new repository"
            }
            Self::NoKey => "has stanza-create been run, and is the repository path the right one?",
        };
        Some(text.to_owned())
    }
}

/// What became of a look at a key object.
type Looked = (RecipientId, Result<Recipient, repo::Error>);

/// The data key and whose pass phrase opened it, or why none did.
type Opened = Result<(Option<RecipientId>, Arc<DataKey>), Refusal>;

/// The recipients of a repository, and the data key once one of them opened it.
#[derive(Debug)]
pub struct KeyLock {
    storage: Arc<dyn Storage>,
    pass: Option<PassPhrase>,
    opened: OnceCell<Opened>,
}

impl KeyLock {
    pub(super) fn new(storage: Arc<dyn Storage>, pass: PassPhrase) -> Self {
        Self { storage, pass: Some(pass), opened: OnceCell::new() }
    }

    pub(super) fn opened(storage: Arc<dyn Storage>, key: DataKey) -> Self {
        let opened = OnceCell::new_with(Some(Ok((None, Arc::new(key)))));
        Self { storage, pass: None, opened }
    }

    /// The data key.
    pub async fn data_key(&self) -> storage::Result<Arc<DataKey>> {
        match self.open().await? {
            Ok((_, key)) => Ok(key),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// Opens the repository if it has a key; one that is empty is fine too.
    pub async fn unlock(&self) -> storage::Result<()> {
        match self.open().await? {
            Ok(_) | Err(Refusal::NoKey) => Ok(()),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// The recipient whose pass phrase opened the repository.
    pub async fn recipient(&self) -> storage::Result<Option<RecipientId>> {
        match self.open().await? {
            Ok((recipient, _)) => Ok(recipient),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// Makes the data key of a repository that holds nothing yet; `false` where there is one, which then opens.
    pub async fn create(&self, comment: &str, kdf: Kdf) -> Result<bool, repo::Error> {
        if !recipient::list(&*self.storage).await?.is_empty() {
            self.data_key().await?;
            return Ok(false);
        }
        if holds_anything(&*self.storage).await? {
            return Err(self.refused(Refusal::NotEncrypted).into());
        }
        let Some(pass) = self.pass.clone() else { return Ok(false) };
        let failed = |error: crate::codec::Error| self.error("write").caused_by(error);
        let key = DataKey::generate().map_err(failed)?;
        let made = match self.add(RecipientId::FIRST, comment, pass, &key, kdf).await {
            // Somebody else was faster: theirs is the key.
            Err(repo::Error::Storage(e)) if e.kind() == ErrorKind::AlreadyExists => false,
            added => added.map(|()| true)?,
        };
        self.data_key().await?;
        Ok(made)
    }

    /// Wraps the data key for one more recipient.
    pub async fn add(
        &self,
        id: RecipientId,
        comment: &str,
        pass: PassPhrase,
        key: &DataKey,
        kdf: Kdf,
    ) -> Result<(), repo::Error> {
        let (comment, key) = (comment.to_owned(), key.clone());
        let data = self.apart(move || recipient::encode(id, &comment, &pass, &key, kdf)).await??;
        Ok(self.storage.put(&id.path()?, data).await?)
    }

    /// Removes a recipient, unless no other would be left: then its key object is put back.
    pub async fn remove(&self, id: RecipientId) -> Result<(), repo::Error> {
        let path = id.path()?;
        let range = match self.storage.stat(&path).await?.kind {
            storage::EntryKind::Object { size } => 0..size,
            storage::EntryKind::Directory => 0..0,
        };
        let kept = self.storage.get_range(&path, range).await?;
        self.storage.delete(std::slice::from_ref(&path)).await?;
        // Two of these at once may each have seen the other's recipient.
        if recipient::list(&*self.storage).await?.is_empty() {
            self.storage.put(&path, kept).await?;
            return Err(repo::Error::format(
                repo::metadata::object_name(&*self.storage, &path),
                "it is the last key object, without which nothing can be decrypted",
            ));
        }
        Ok(())
    }

    /// All recipients, those that cannot be read as errors.
    pub async fn recipients(&self) -> Result<Vec<Looked>, repo::Error> {
        let ids = recipient::list(&*self.storage).await?;
        let mut looked = Vec::with_capacity(ids.len());
        for id in ids {
            looked.push((id, Recipient::read(&*self.storage, id).await));
        }
        Ok(looked)
    }

    /// The recipient whose pass phrase this is, and the key that it opens.
    pub async fn find(
        &self,
        pass: &PassPhrase,
    ) -> Result<Option<(RecipientId, DataKey)>, repo::Error> {
        for id in recipient::list(&*self.storage).await? {
            if let Some(key) = self.try_one(id, pass).await? {
                return Ok(Some((id, key)));
            }
        }
        Ok(None)
    }

    /// A key object that is damaged must not keep the others from opening.
    async fn try_one(
        &self,
        id: RecipientId,
        pass: &PassPhrase,
    ) -> Result<Option<DataKey>, repo::Error> {
        let recipient = match Recipient::read(&*self.storage, id).await {
            Err(error) if error.is_damage() || error.code() == ErrorCode::RepoInvalid => {
                tracing::warn!("{error}");
                return Ok(None);
            }
            recipient => recipient?,
        };
        let pass = pass.clone();
        self.apart(move || recipient.open(&pass)).await?
    }

    async fn open(&self) -> storage::Result<Opened> {
        self.opened.get_or_try_init(|| self.look()).await.cloned()
    }

    async fn look(&self) -> storage::Result<Opened> {
        let failed = |error| match error {
            repo::Error::Storage(error) => error,
            error => self.error("open").with_code(error.code()).caused_by(error),
        };
        let Some(pass) = &self.pass else { return Ok(Err(Refusal::NoKey)) };
        if let Some((id, key)) = self.find(pass).await.map_err(failed)? {
            return Ok(Ok((Some(id), Arc::new(key))));
        }
        let recipients = recipient::list(&*self.storage).await.map_err(failed)?.len();
        if recipients > 0 {
            return Ok(Err(Refusal::WrongPass { recipients }));
        }
        match holds_anything(&*self.storage).await.map_err(failed)? {
            true => Ok(Err(Refusal::NotEncrypted)),
            false => Ok(Err(Refusal::NoKey)),
        }
    }

    /// A derivation takes tens of milliseconds of a processor.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, storage::Error> {
        let done = tokio::task::spawn_blocking(work).await;
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

/// Whether there is anything of a stanza.
async fn holds_anything(storage: &dyn Storage) -> Result<bool, repo::Error> {
    for root in [STANZA_ROOT, BACKUP_ROOT, ARCHIVE_ROOT] {
        if !storage.list(&ObjectPath::new(root)?, false).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
