//! Publication: the write of the manifest, with which a backup exists.
//!
//! A write whose answer was lost, or that was cancelled, may have taken effect, or may still do so. So publication is
//! never cancelled, its effect is checked afterwards, and if the effect is unknown, nothing of the backup is removed:
//! otherwise a manifest could appear whose data is gone.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::RwLock;

use super::{Error, metadata};
use crate::storage::{self, ErrorKind, ObjectPath, Storage};

/// Delays the end of a command by a signal while a step runs that must not be cancelled.
#[derive(Clone, Debug, Default)]
pub struct Shield(Arc<RwLock<()>>);

impl Shield {
    /// Runs `step`; [`Shield::wait_idle`] waits for its end.
    pub async fn protect<T>(&self, step: impl Future<Output = T>) -> T {
        let _raised = self.0.read().await;
        step.await
    }

    /// Waits until no step runs. The lock is fair: no new step begins while this waits.
    pub async fn wait_idle(&self) {
        drop(self.0.write().await);
    }
}

/// Creates the manifest and checks the effect. `Ok`: it is there, durably. [`Error::Unpublished`]: it may be there. Any
/// other error: it is not.
pub async fn create(storage: &dyn Storage, path: &ObjectPath, data: Bytes) -> Result<(), Error> {
    let Err(error) = storage.put(path, data.clone()).await else { return Ok(()) };
    match metadata::read_whole(storage, path, data.len()).await {
        Ok(found) if found == data => {
            tracing::debug!("{error}; but the manifest is there");
            settle(storage, path, data).await
        }
        // Another manifest has the name, so this write had and will have no effect.
        Ok(_) => Err(taken(storage, path)),
        Err(look) if look.is_damage() && !look.is_not_found() => Err(taken(storage, path)),
        Err(_) => Err(unpublished(storage, path, error)),
    }
}

/// The manifest can be read although its write failed. A second write that succeeds, or that the store refuses because
/// the object exists, proves that it is durable.
async fn settle(storage: &dyn Storage, path: &ObjectPath, data: Bytes) -> Result<(), Error> {
    match storage.put(path, data).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unpublished(storage, path, error)),
    }
}

fn taken(storage: &dyn Storage, path: &ObjectPath) -> Error {
    let object = metadata::object_name(storage, path);
    storage::Error::new(ErrorKind::AlreadyExists, "write", object).into()
}

fn unpublished(storage: &dyn Storage, path: &ObjectPath, source: storage::Error) -> Error {
    Error::Unpublished { object: metadata::object_name(storage, path), source }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        repo::object_header::ObjectKind,
        restore::tests::memory::MemoryStorage,
        storage::fault::{Fault, FaultyStorage, Operation, Rule},
    };

    fn manifest() -> (ObjectPath, Bytes) {
        let path = ObjectPath::new("backup/demo/20261121-092452F/manifest").unwrap();
        (path, metadata::frame(ObjectKind::Manifest, b"{}"))
    }

    fn faulty(rules: &[Rule]) -> (MemoryStorage, FaultyStorage) {
        let memory = MemoryStorage::default();
        let faulty = FaultyStorage::new(Arc::new(memory.clone()));
        rules.iter().for_each(|rule| faulty.add(rule.clone()));
        (memory, faulty)
    }

    #[tokio::test]
    async fn a_lost_answer_is_made_up_for_by_a_look() {
        let lost = Fault::FailAfter(ErrorKind::Transient);
        let (memory, storage) = faulty(&[Rule::always(Operation::Put, lost).at(0, 1)]);
        let (path, data) = manifest();
        create(&storage, &path, data.clone()).await.unwrap();
        assert_eq!(memory.object(&path), data);
    }

    #[tokio::test]
    async fn where_the_effect_is_not_known_the_error_says_so() {
        let lost = Rule::always(Operation::Put, Fault::FailAfter(ErrorKind::Transient)).at(0, 1);
        let blind = Rule::always(Operation::Get, Fault::Fail(ErrorKind::Denied));
        let nothing = Rule::always(Operation::Put, Fault::Fail(ErrorKind::Full));
        // The manifest is there and cannot be read; it can be read and is perhaps not durable; it is not seen.
        for rules in [vec![lost.clone(), blind], vec![lost, nothing.clone()], vec![nothing]] {
            let (_, storage) = faulty(&rules);
            let (path, data) = manifest();
            let error = create(&storage, &path, data).await.unwrap_err();
            assert!(matches!(error, Error::Unpublished { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn the_manifest_of_another_writer_is_not_taken_for_ones_own() {
        let (path, data) = manifest();
        for other in [metadata::frame(ObjectKind::Manifest, b"{\"\":1}"), Bytes::from("x")] {
            let (_, storage) = faulty(&[]);
            storage.put(&path, other).await.unwrap();
            match create(&storage, &path, data.clone()).await.unwrap_err() {
                Error::Storage(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
                error => panic!("{error}"),
            }
        }
    }

    #[tokio::test]
    async fn a_shield_is_lowered_when_the_step_has_ended() {
        let shield = Shield::default();
        let (go, gone) = tokio::sync::oneshot::channel();
        let step = shield.protect(async { gone.await.unwrap() });
        let asked = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let early = tokio::time::timeout(Duration::from_millis(20), shield.wait_idle()).await;
            assert!(early.is_err());
            go.send(7).unwrap();
            shield.wait_idle().await;
        };
        assert_eq!(tokio::join!(step, asked).0, 7);
    }
}
