//! An object being written.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Threads, tree::Tree};
use crate::storage::{Error, ErrorKind, ObjectPath, Result, Upload, crash_safe::PendingFile};

/// Bytes gathered before a thread is troubled with them; smaller objects are made in one go.
const GATHER: usize = 1 << 20;

pub(super) struct PosixUpload {
    tree: Arc<Tree>,
    path: ObjectPath,
    gathered: Vec<Bytes>,
    gathered_len: usize,
    /// Bytes of the object so far: the last step makes all of them durable.
    written: u64,
    state: State,
    threads: Threads,
}

/// The file is `Away` while a thread works on it, and stays so when that fails or is given up; the
/// thread's end then removes it.
enum State {
    Unmade,
    Made(PendingFile),
    Away,
}

impl PosixUpload {
    pub(super) fn new(tree: Arc<Tree>, path: ObjectPath, threads: Threads) -> Self {
        let (gathered, state) = (Vec::new(), State::Unmade);
        Self { tree, path, gathered, gathered_len: 0, written: 0, state, threads }
    }

    /// Writes what was gathered, then does `then` in the same go.
    async fn flush<T: Send + 'static>(
        &mut self,
        then: impl FnOnce(&Tree, &ObjectPath, PendingFile) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let gathered = std::mem::take(&mut self.gathered);
        self.written += std::mem::take(&mut self.gathered_len) as u64;
        let state = std::mem::replace(&mut self.state, State::Away);
        let (tree, path) = (Arc::clone(&self.tree), self.path.clone());
        let work = move || {
            let mut pending = match state {
                State::Unmade => tree.begin(&path)?,
                State::Made(pending) => pending,
                State::Away => return Err(given_up(&path)),
            };
            for piece in gathered {
                pending.write_all(&piece).map_err(|e| tree.failed("write", &path, e))?;
            }
            then(&tree, &path, pending)
        };
        self.threads.run(self.written, work).await
    }
}

fn given_up(path: &ObjectPath) -> Error {
    Error::new(ErrorKind::Other, "write", path.as_str()).caused_by("an earlier write of it failed")
}

#[async_trait]
impl Upload for PosixUpload {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.gathered_len += data.len();
        self.gathered.push(data);
        if self.gathered_len >= GATHER {
            let pending = self.flush(|_, _, pending| Ok(pending)).await?;
            self.state = State::Made(pending);
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        self.flush(|tree, path, pending| tree.publish(path, pending)).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        match self.state {
            State::Made(pending) => {
                let remove = move || {
                    drop(pending);
                    Ok(())
                };
                self.threads.run(0, remove).await
            }
            State::Unmade | State::Away => Ok(()),
        }
    }
}
