//! The directory tree on the server: names, looks that follow no link, open files.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use futures_util::future;

use super::{
    SftpOptions,
    failure::{Answer, Refusal, other},
    pool::{Lease, Pool},
    session::{Kind, Look, Session},
};
use crate::storage::{Error, ErrorKind, ObjectPath, Result, requests::Requests};

/// The directory of a server, and how requests go there.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) pool: Pool,
    pub(super) requests: Requests,
    server: String,
    /// Without a `/` at its end; empty for the server's own root.
    root: String,
}

impl Tree {
    pub(super) fn new(options: SftpOptions, requests: Requests) -> Self {
        let root = options.root.trim_end_matches('/').to_owned();
        Self { server: options.server_name(), root, requests, pool: Pool::new(options) }
    }

    pub(super) fn location(&self) -> String {
        format!("{}{}", self.server, self.pool.options().root)
    }

    /// A path as the server names it.
    pub(super) fn full(&self, path: &ObjectPath) -> String {
        match (path.as_str(), self.root.as_str()) {
            ("", "") => "/".to_owned(),
            ("", root) => root.to_owned(),
            (path, root) => format!("{root}/{path}"),
        }
    }

    /// A path as errors name it.
    pub(super) fn name(&self, path: &ObjectPath) -> String {
        format!("{}{}", self.server, self.full(path))
    }

    /// Does work that can be repeated, on whichever connection there is.
    pub(super) async fn run<T, R>(
        &self,
        operation: &'static str,
        path: &ObjectPath,
        work: impl Fn(Arc<Session>) -> R + Send + Sync,
    ) -> Result<T>
    where
        R: Future<Output = Result<T>> + Send,
    {
        let work = &work;
        let attempt = || async move { work(self.pool.session().await?).await };
        self.requests.run(operation, &self.name(path), 0, attempt).await
    }

    /// What stands at `path`. Every component below the root is looked at in the same moment, so that no link is
    /// followed and absence is proven by the component that is missing.
    pub(super) async fn find(
        &self,
        session: &Session,
        operation: &'static str,
        path: &ObjectPath,
    ) -> Result<Look> {
        let (root, below) = self.look_along(session, path).await;
        let failed = |refusal: Refusal, at: &ObjectPath| match refusal {
            Refusal::Missing => Refusal::Missing.error(operation, &self.name(path)),
            refusal => refusal.error(operation, &self.name(at)),
        };
        let mut found = match root {
            Ok(look) => look,
            Err(Refusal::Missing) => return Err(self.no_root(session, operation, path).await),
            Err(refusal) => return Err(failed(refusal, &ObjectPath::root())),
        };
        for (at, look) in below {
            if found.kind != Kind::Directory {
                return Err(failed(Refusal::Missing, path));
            }
            found = look.map_err(|refusal| failed(refusal, &at))?;
            if found.kind == Kind::Link {
                return Err(self.is_link(operation, &at));
            }
        }
        Ok(found)
    }

    async fn look_along(
        &self,
        session: &Session,
        path: &ObjectPath,
    ) -> (Answer<Look>, Vec<(ObjectPath, Answer<Look>)>) {
        let root = self.full(&ObjectPath::root());
        let looks = prefixes(path).map(|at| async move {
            let look = session.look(&self.full(&at)).await;
            (at, look)
        });
        future::join(session.look_through(&root), future::join_all(looks)).await
    }

    /// The error of a symbolic link where there must be none.
    pub(super) fn is_link(&self, operation: &'static str, path: &ObjectPath) -> Error {
        Error::new(ErrorKind::Denied, operation, self.name(path))
            .caused_by("it is a symbolic link, which is not followed in a repository")
            .with_hint("move or mount its target here: symbolic links are not followed")
    }

    /// A root that is missing is absence, unless a link leads to where it was.
    async fn no_root(
        &self,
        session: &Session,
        operation: &'static str,
        path: &ObjectPath,
    ) -> Error {
        let mut at = self.root.as_str();
        while !at.is_empty() {
            match session.look(at).await {
                Ok(look) if look.kind == Kind::Link && session.look_through(at).await.is_err() => {
                    return other(
                        operation,
                        &self.name(path),
                        format!("the link '{at}' is dangling"),
                    );
                }
                Ok(_) => break,
                Err(Refusal::Missing) => at = at.rsplit_once('/').map_or("", |(parent, _)| parent),
                Err(refusal) => return refusal.error(operation, &self.name(path)),
            }
        }
        Refusal::Missing.error(operation, &self.name(path))
    }

    /// An object that is there.
    pub(super) async fn object(&self, operation: &'static str, path: &ObjectPath) -> Result<Look> {
        self.run(operation, path, |session| async move {
            self.is_object(operation, path, self.find(&session, operation, path).await?)
        })
        .await
    }

    /// Anything that is not a file is no object.
    pub(super) fn is_object(
        &self,
        operation: &'static str,
        path: &ObjectPath,
        look: Look,
    ) -> Result<Look> {
        match look.kind {
            Kind::File => Ok(look),
            _ => Err(Refusal::Missing.error(operation, &self.name(path))),
        }
    }

    /// Makes sure that a directory is there, and those above it.
    pub(super) async fn ensure(&self, session: &Session, path: &ObjectPath) -> Result<()> {
        match self.find(session, "write", path).await {
            Ok(look) if look.kind == Kind::Directory => return Ok(()),
            Ok(_) => return Err(other("write", &self.name(path), "it is not a directory")),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        for directory in self.root_and_above() {
            self.make(session, path, directory).await?;
        }
        for directory in prefixes(path) {
            self.make(session, path, &self.full(&directory)).await?;
        }
        Ok(())
    }

    /// The paths that lead to the root, and the root.
    fn root_and_above(&self) -> impl Iterator<Item = &str> {
        let ends = self.root.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
        ends.chain([self.root.len()]).map(|end| &self.root[..end]).filter(|path| !path.is_empty())
    }

    /// Makes one directory, if it is not there. One above it that was removed meanwhile is no error: whoever asked
    /// looks again.
    async fn make(&self, session: &Session, path: &ObjectPath, full: &str) -> Result<()> {
        let failed = |refusal: Refusal| refusal.error("write", &self.name(path));
        // The server's user may be allowed to pass a directory without being allowed to make it.
        match session.look_through(full).await {
            Ok(look) if look.kind == Kind::Directory => return Ok(()),
            Ok(_) => {
                return Err(other(
                    "write",
                    &self.name(path),
                    format!("'{full}' is not a directory"),
                ));
            }
            Err(Refusal::Missing) => {}
            Err(refusal) => return Err(failed(refusal)),
        }
        match session.make_directory(full).await {
            Ok(()) | Err(Refusal::Missing) => Ok(()),
            Err(Refusal::Failed(text)) => match session.look(full).await {
                Ok(look) if look.kind == Kind::Directory => Ok(()),
                _ => Err(self.write_failed(session, path, Refusal::Failed(text)).await),
            },
            Err(refusal) => Err(failed(refusal)),
        }
    }

    /// The error of a write; the server's "failure" may be a full disk.
    pub(super) async fn write_failed(
        &self,
        session: &Session,
        path: &ObjectPath,
        refusal: Refusal,
    ) -> Error {
        let name = self.name(path);
        match refusal {
            Refusal::Failed(_) if session.is_full(&self.full(&ObjectPath::root())).await => {
                Error::new(ErrorKind::Full, "write", name)
                    .caused_by("the file system of the server is full")
            }
            // The object is not what is missing.
            Refusal::Missing | Refusal::End => {
                other("write", &name, "its file was removed while it was written").with_hint(
                    "another program removes files in the repository; run the command again",
                )
            }
            refusal => refusal.error("write", &name),
        }
    }
}

/// Every path from the first component of `path` to all of it.
pub(super) fn prefixes(path: &ObjectPath) -> impl Iterator<Item = ObjectPath> {
    let text = path.as_str();
    let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]);
    ends.filter(|end| *end > 0).filter_map(|end| ObjectPath::new(&text[..end]).ok())
}

/// An open file; closed when it is dropped, without waiting for it.
#[derive(Debug)]
pub(super) struct OpenFile {
    lease: Lease,
    handle: String,
}

impl OpenFile {
    pub(super) fn new(lease: Lease, handle: String) -> Self {
        Self { lease, handle }
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        self.lease.session()
    }

    pub(super) fn handle(&self) -> &str {
        &self.handle
    }

    pub(super) async fn read(&self, offset: u64, len: usize) -> Answer<Bytes> {
        self.session().read(&self.handle, offset, len).await
    }

    pub(super) async fn write(&self, offset: u64, bytes: &[u8]) -> Answer<()> {
        self.session().write(&self.handle, offset, bytes).await
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let (session, handle) = (Arc::clone(self.session()), std::mem::take(&mut self.handle));
        if let (true, Ok(runtime)) = (session.is_alive(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                if let Err(refusal) = session.close(&handle).await {
                    tracing::debug!("a file was not closed: {refusal:?}");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_lead_to_the_path() {
        let all = |path: &str| -> Vec<String> {
            prefixes(&ObjectPath::new(path).unwrap()).map(|p| p.to_string()).collect()
        };
        assert_eq!(all(""), [""; 0]);
        assert_eq!(all("a"), ["a"]);
        assert_eq!(all("a/b/c"), ["a", "a/b", "a/b/c"]);
    }
}
