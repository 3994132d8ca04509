//! The connections of a store: made when they are needed, replaced when they break, few.
//!
//! What one connection carries is limited by one processor core on each side, so objects that are read and written at
//! the same time are spread over several.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{SftpOptions, connect, session::Session};
use crate::storage::{Error, ErrorKind, Result};

/// Connections to one server.
const CONNECTIONS_MAX: usize = 4;
/// For so long a server that said no is not asked again: it would say the same, and may lock out who asks too often.
const REFUSED_FOR: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Pool {
    options: SftpOptions,
    sessions: Mutex<Vec<Arc<Session>>>,
    /// Held by the one who connects.
    connecting: tokio::sync::Mutex<()>,
    /// When connecting failed last, and why.
    failed: Mutex<Option<(Instant, Error)>>,
}

/// A session on which an object is read or written.
#[derive(Debug)]
pub(super) struct Lease(Arc<Session>);

impl Lease {
    fn new(session: Arc<Session>) -> Self {
        session.streams.fetch_add(1, Ordering::Relaxed);
        Self(session)
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    pub(super) fn new(options: SftpOptions) -> Self {
        Self {
            options,
            sessions: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            failed: Mutex::default(),
        }
    }

    pub(super) fn options(&self) -> &SftpOptions {
        &self.options
    }

    /// A session for requests that come and go.
    pub(super) async fn session(&self) -> Result<Arc<Session>> {
        if let Some(session) = self.least_busy() {
            return Ok(session);
        }
        let asked = Instant::now();
        let _turn = self.connecting.lock().await;
        match self.least_busy() {
            Some(session) => Ok(session),
            None => self.connect(asked).await,
        }
    }

    /// A session for an object; another connection is made where all have one, up to the limit.
    pub(super) async fn lease(&self) -> Result<Lease> {
        if let Some(lease) = self.idle() {
            return Ok(lease);
        }
        let may_grow = lock(&self.sessions).len() < CONNECTIONS_MAX;
        if may_grow && let Ok(_turn) = self.connecting.try_lock() {
            match self.connect(Instant::now()).await {
                Ok(session) => return Ok(Lease::new(session)),
                // One more would have been good, those that are there will do.
                Err(error) if self.least_busy().is_some() => tracing::debug!("{error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(Lease::new(self.session().await?))
    }

    fn least_busy(&self) -> Option<Arc<Session>> {
        let mut sessions = lock(&self.sessions);
        sessions.retain(|session| session.is_alive());
        sessions.iter().min_by_key(|session| session.streams.load(Ordering::Relaxed)).cloned()
    }

    fn idle(&self) -> Option<Lease> {
        let session = self.least_busy()?;
        (session.streams.load(Ordering::Relaxed) == 0).then(|| Lease::new(session))
    }

    /// `asked`: since when a session is waited for.
    async fn connect(&self, asked: Instant) -> Result<Arc<Session>> {
        if let Some(error) = self.known_failure(asked) {
            return Err(error);
        }
        match connect::connect(&self.options).await {
            Ok(session) => {
                let session = Arc::new(session);
                lock(&self.sessions).push(Arc::clone(&session));
                Ok(session)
            }
            Err(error) => {
                *lock(&self.failed) = Some((Instant::now(), error.repeated()));
                Err(error)
            }
        }
    }

    /// What the server said a moment ago, if it was no; and how the attempt ended that was waited for. If each of those
    /// who wait tried by himself, one after the other, the last would wait for all of them.
    fn known_failure(&self, asked: Instant) -> Option<Error> {
        let failed = lock(&self.failed);
        let (at, error) = failed.as_ref()?;
        let said_no = error.kind() != ErrorKind::Transient && at.elapsed() < REFUSED_FOR;
        (said_no || *at > asked).then(|| error.repeated())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
