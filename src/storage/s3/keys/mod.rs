//! The keys that requests are signed with: fetched when they are first needed, replaced before they expire, and once
//! more when the store says that they have.

mod answer;
mod container;
mod instance;
mod process;
mod web_identity;

use std::{
    sync::{PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, error::CredentialsError, future},
};

use super::{
    super::{
        Error, ErrorKind, Result,
        http::{HandshakeFault, HttpOptions, handshake_fault, reason},
    },
    KeySource,
};

/// Keys are replaced so long before they expire: longer than a request takes.
const REPLACED_BEFORE: Duration = Duration::from_secs(5 * 60);
/// Keys that last for so long will do while others are fetched: longer than a request takes to get to the store.
const SUFFICES: Duration = Duration::from_secs(60);
/// A source that had nothing better is asked again after so long.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Keys that the store calls expired so soon after they were fetched will not get better.
const FRESH: Duration = Duration::from_secs(5);

/// What to do where a source of keys gives none.
const ASKED_HINT: &str = "check the permissions of the host, pod or role, and repoN-s3-key-type";

/// What to do where it refuses to answer at all.
const REFUSED_HINT: &str = "a metadata service that answers 403 is disabled for this host, or \
                            blocked by a network policy or a proxy; in a container the hop limit \
                            may have to be 2.\n\
                            check the permissions of the host, pod or role, and repoN-s3-key-type.";

/// What a source of keys gave.
#[derive(Clone)]
struct Fetched {
    credentials: Credentials,
    expires: Option<SystemTime>,
}

#[derive(Clone)]
struct Held {
    fetched: Fetched,
    at: Instant,
    /// Counts the times that keys were fetched.
    number: u64,
}

impl Held {
    fn lasts(&self, longer_than: Duration) -> bool {
        let until = SystemTime::now() + longer_than;
        self.fetched.expires.is_none_or(|expires| expires > until)
    }
}

/// Gets keys and keeps them.
pub(super) struct Keys {
    source: KeySource,
    /// Connection options for STS.
    http: HttpOptions,
    held: RwLock<Option<Held>>,
    /// Held by the one task that fetches.
    fetching: tokio::sync::Mutex<Attempts>,
}

#[derive(Default)]
struct Attempts {
    /// How often keys were fetched.
    fetched: u64,
    /// When the last attempt ended, and how, if it failed.
    last: Option<(Instant, Option<Error>)>,
}

impl Attempts {
    fn ended_within(&self, time: Duration) -> bool {
        self.last.as_ref().is_some_and(|(ended, _)| ended.elapsed() < time)
    }

    /// What came of an attempt that ended after `begin`, if it failed.
    fn failure_since(&self, begin: Instant) -> Option<Error> {
        let (ended, failure) = self.last.as_ref()?;
        failure.as_ref().filter(|_| *ended >= begin).map(Error::repeated)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Keys").field(&self.source).finish()
    }
}

impl Keys {
    pub(super) fn new(source: KeySource, http: HttpOptions) -> Self {
        Self { source, http, held: RwLock::default(), fetching: Default::default() }
    }

    /// Sees to it that there are keys that will last for a request; the number of those there are.
    pub(super) async fn ready(&self) -> Result<u64> {
        let begin = Instant::now();
        match self.held() {
            Some(held) if held.lasts(REPLACED_BEFORE) => Ok(held.number),
            Some(held) if held.lasts(SUFFICES) => match self.fetching.try_lock() {
                Ok(mut attempts) => self.replace(&mut attempts, begin).await,
                Err(_) => Ok(held.number),
            },
            _ => self.replace(&mut *self.fetching.lock().await, begin).await,
        }
    }

    /// Fetches credentials unless another task did, or failed to, since `begin`.
    async fn replace(&self, attempts: &mut Attempts, begin: Instant) -> Result<u64> {
        match self.usable() {
            Some(held) if held.lasts(REPLACED_BEFORE) => return Ok(held.number),
            Some(held) if attempts.ended_within(ASKED_AGAIN_AFTER) => return Ok(held.number),
            Some(_) => {}
            None => {
                if let Some(failure) = attempts.failure_since(begin) {
                    return Err(failure);
                }
            }
        }
        match self.fetch().await {
            Ok(fetched) => {
                attempts.fetched += 1;
                attempts.last = Some((Instant::now(), None));
                let held = Held { fetched, at: Instant::now(), number: attempts.fetched };
                self.hold(Some(held));
                Ok(attempts.fetched)
            }
            Err(error) => {
                attempts.last = Some((Instant::now(), Some(error.repeated())));
                // Those at hand will do until they really expire.
                let Some(held) = self.usable() else { return Err(error) };
                tracing::debug!("{error}; continuing with the current credentials");
                Ok(held.number)
            }
        }
    }

    /// Told that the store called the keys of this number expired; whether another try makes sense.
    pub(super) fn are_expired(&self, number: u64) -> bool {
        let Some(held) = self.held() else { return true };
        if held.number != number {
            return true;
        }
        if matches!(self.source, KeySource::Shared { .. }) || held.at.elapsed() < FRESH {
            return false;
        }
        self.hold(None);
        true
    }

    fn usable(&self) -> Option<Held> {
        self.held().filter(|held| held.lasts(Duration::ZERO))
    }

    fn held(&self) -> Option<Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, held: Option<Held>) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
    }

    async fn fetch(&self) -> Result<Fetched> {
        match &self.source {
            KeySource::Shared { key, secret, token } => {
                let token = token.as_ref().map(|token| token.reveal().to_owned());
                Ok(fetched(key.reveal(), secret.reveal(), token, None))
            }
            KeySource::Instance { address, role } => {
                instance::fetch(address, role.as_deref()).await
            }
            KeySource::Container { address, token_file, token } => {
                container::fetch(address, token_file.as_deref(), token.as_ref()).await
            }
            KeySource::WebIdentity { address, role, token_file } => {
                web_identity::fetch(&self.http, address, role, token_file).await
            }
            KeySource::Process { command } => process::fetch(command).await,
        }
    }
}

fn fetched(key: &str, secret: &str, token: Option<String>, expires: Option<SystemTime>) -> Fetched {
    // When they expire is our business, not that of the SDK.
    let credentials = Credentials::new(key, secret, token, None, "pgstrata");
    Fetched { credentials, expires }
}

fn failure(source: &str) -> Error {
    Error::new(ErrorKind::Other, "get keys from", source)
}

/// Sends the request of a source of keys and reads the answer, which is small.
async fn ask(source: &str, request: reqwest::RequestBuilder) -> Result<String> {
    const ANSWER_MAX: usize = 64 << 10;
    let broken = |error: reqwest::Error| {
        let lasting = handshake_fault(&error) == Some(HandshakeFault::Distrusted);
        let kind = if lasting { ErrorKind::Other } else { ErrorKind::Transient };
        let why = reason(&error.without_url());
        Error::new(kind, "get keys from", source).caused_by(why)
    };
    let mut response = request.send().await.map_err(broken)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_MAX {
            return Err(failure(source).caused_by("its response is too long"));
        }
    }
    let status = response.status();
    if status.is_success() {
        return String::from_utf8(body).map_err(|_| failure(source).caused_by("it is not UTF-8"));
    }
    let kind = if status.is_server_error() || status.as_u16() == 429 {
        ErrorKind::Transient
    } else {
        ErrorKind::Denied
    };
    let said = answer::error_text(&body);
    let hint = if status.as_u16() == 403 { REFUSED_HINT } else { ASKED_HINT };
    Err(Error::new(kind, "get keys from", source)
        .caused_by(format!("it answered {status}{said}"))
        .with_hint(hint))
}

/// What the SDK asks for keys: those that are held.
#[derive(Debug)]
pub(super) struct Provider(pub(super) std::sync::Arc<Keys>);

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let held = self.0.held().map(|held| held.fetched.credentials);
        // `Keys::ready` comes first, always; keys may have been found expired in between.
        future::ProvideCredentials::ready(
            held.ok_or_else(|| CredentialsError::not_loaded("the credentials have just expired")),
        )
    }
}

#[cfg(test)]
mod tests;
