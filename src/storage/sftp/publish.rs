//! The step that makes an object of a temporary file.
//!
//! A hard link (`hardlink@openssh.com`) is made by the server in one step and never in place of another file, so of many
//! writers one wins. The plain rename of the protocol must not replace either, but that is the server's word only: some
//! rename over what is there, others look first and then rename. So it is the second choice, for servers and file
//! systems without links, and it is preceded by a look. `posix-rename@openssh.com` replaces, and is never used.

use super::{
    failure::{Refusal, other},
    session::{Kind, Session},
    tree::{OpenFile, Tree},
};
use crate::storage::{Error, ErrorKind, ObjectPath, Result};

/// Bytes read back at a time.
const PIECE: usize = 128 << 10;

/// What a file must hold.
pub(super) struct Expected {
    pub(super) size: u64,
    pub(super) digest: blake3::Hash,
}

impl Expected {
    /// Reads an open file and compares.
    async fn is_in(&self, session: &Session, handle: &str) -> std::result::Result<bool, Refusal> {
        if session.look_at(handle).await?.size != self.size {
            return Ok(false);
        }
        let (mut digest, mut offset) = (blake3::Hasher::new(), 0);
        while offset < self.size {
            let len = (self.size - offset).min(PIECE as u64) as usize;
            match session.read(handle, offset, len).await {
                Ok(bytes) => digest.update(&bytes),
                Err(Refusal::End) => return Ok(false),
                Err(refusal) => return Err(refusal),
            };
            offset += len as u64;
        }
        Ok(digest.finalize() == self.digest)
    }

    /// Proves that nothing was lost of a file that was written on more than one connection.
    pub(super) async fn must_be_in(
        &self,
        tree: &Tree,
        path: &ObjectPath,
        file: &OpenFile,
    ) -> Result<()> {
        match self.is_in(file.session(), file.handle()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(other(
                "write",
                &tree.name(path),
                "the server lost bytes that it had confirmed, before the connection was lost",
            )
            .with_hint("check the host and its disk, then run the command again")),
            Err(refusal) => Err(tree.write_failed(file.session(), path, refusal).await),
        }
    }
}

/// Makes the file durable and gives it its name. `tried` is set as soon as that may have been done.
pub(super) async fn publish(
    tree: &Tree,
    path: &ObjectPath,
    file: &OpenFile,
    temporary: &str,
    tried: &mut bool,
) -> Result<()> {
    let (session, target) = (file.session(), tree.full(path));
    let write_failed = |refusal| tree.write_failed(session, path, refusal);
    if let Err(refusal) = session.sync(file.handle()).await {
        return Err(write_failed(refusal).await);
    }
    *tried = true;
    let named = match session.can_link() {
        true => session.link(temporary, &target).await,
        false => Err(Refusal::Unsupported),
    };
    match named {
        Ok(()) => {}
        Err(refusal @ (Refusal::Broken(_) | Refusal::Missing)) => {
            return Err(write_failed(refusal).await);
        }
        // The name is taken, or the file system has no links: the server does not say which.
        Err(refusal) => {
            must_be_free(tree, path, session).await?;
            tracing::debug!("{}: no link ({refusal:?}), renamed", tree.name(path));
            if let Err(refusal) = session.rename(temporary, &target).await {
                must_be_free(tree, path, session).await?;
                return Err(write_failed(refusal).await);
            }
        }
    }
    // The name is in the journal of the server's file system with the file's own change of links: syncing the file
    // once more writes both.
    match session.sync(file.handle()).await {
        Ok(()) => Ok(()),
        Err(refusal) => Err(write_failed(refusal).await),
    }
}

/// `AlreadyExists` unless there is proof that the name is free.
async fn must_be_free(tree: &Tree, path: &ObjectPath, session: &Session) -> Result<()> {
    let full = tree.full(path);
    match session.look(&full).await {
        Err(Refusal::Missing) => Ok(()),
        Err(refusal) => Err(refusal.error("write", &tree.name(path))),
        Ok(look) => {
            // The process that created it may not have synced it yet.
            if look.kind == Kind::File {
                sync_by_name(tree, path, session).await?;
            }
            Err(Error::new(ErrorKind::AlreadyExists, "write", tree.name(path)))
        }
    }
}

async fn sync_by_name(tree: &Tree, path: &ObjectPath, session: &Session) -> Result<()> {
    if !session.can_sync() {
        return Ok(());
    }
    let synced = match session.open(&tree.full(path)).await {
        Ok(handle) => {
            let synced = session.sync(&handle).await;
            let closed = session.close(&handle).await;
            synced.and(closed)
        }
        // It was deleted meanwhile.
        Err(Refusal::Missing) => Ok(()),
        Err(refusal) => Err(refusal),
    };
    synced.map_err(|refusal| refusal.error("write", &tree.name(path)))
}

/// Whether an attempt whose answer was lost has made the object: then it holds what was written. Another object under
/// the name is `AlreadyExists`.
pub(super) async fn was_done(tree: &Tree, path: &ObjectPath, expected: &Expected) -> Result<bool> {
    let session = tree.pool.session().await?;
    let failed = |refusal: Refusal| refusal.error("write", &tree.name(path));
    let handle = match session.open(&tree.full(path)).await {
        Ok(handle) => handle,
        Err(Refusal::Missing) => return Ok(false),
        Err(refusal) => return Err(failed(refusal)),
    };
    let same = match expected.is_in(&session, &handle).await {
        Ok(true) => session.sync(&handle).await.map(|()| true),
        looked => looked,
    };
    // What was read is read, whatever becomes of the handle.
    let _ = session.close(&handle).await;
    match same.map_err(failed)? {
        true => Ok(true),
        false => Err(Error::new(ErrorKind::AlreadyExists, "write", tree.name(path))),
    }
}
