//! A bucket in memory, with the faults that a test asks for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::stream;

use super::{super::Error, super::ErrorKind, *};

/// What a request does in place of what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing; the answer is a failure.
    Fail,
    /// Its work; the answer is lost.
    FailAfter,
    /// It answers with a body that breaks off half-way, with an error or without one.
    Break,
    /// See `Break`.
    Cut,
    /// Nothing, and the answer is a failure; before the next attempt another writer makes the object.
    Overtaken,
}

/// What the other writer of [`Fault::Overtaken`] makes.
pub(super) const OF_ANOTHER: &[u8] = b"of another";

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) objects: BTreeMap<String, Bytes>,
    pub(super) uploads: BTreeMap<String, (String, BTreeMap<u32, Bytes>)>,
    /// Faults by the name of the request, used up one after the other.
    pub(super) faults: Vec<(&'static str, Fault)>,
    pub(super) requests: Vec<&'static str>,
    /// Every page of a listing is followed by the same one.
    pub(super) stuck: bool,
    next_upload: u32,
}

/// A bucket whose listings have pages of three.
#[derive(Clone, Debug)]
pub(super) struct InMemory {
    state: Arc<Mutex<State>>,
    pub(super) traits: Traits,
    /// Whether it keeps what is there.
    pub(super) honest: bool,
}

const PAGE: usize = 3;

impl InMemory {
    pub(super) fn new() -> Self {
        let traits = Traits {
            put: CreateOnly::Kept,
            complete: CreateOnly::Kept,
            part_size: 64 * 1024,
            delete_max: 4,
        };
        Self { state: Arc::default(), traits, honest: true }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(kind: ErrorKind, key: &str) -> Error {
        Error::new(kind, "use", format!("mem://bucket/{key}"))
    }

    fn fault(&self, request: &'static str) -> Option<Fault> {
        let mut state = self.state();
        state.requests.push(request);
        let at = state.faults.iter().position(|(name, _)| *name == request)?;
        Some(state.faults.remove(at).1)
    }

    fn with<T>(
        &self,
        request: &'static str,
        key: &str,
        work: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<T> {
        match self.fault(request) {
            Some(Fault::Fail) => Err(Self::error(ErrorKind::Transient, key)),
            Some(Fault::Overtaken) => {
                self.state().objects.insert(key.to_owned(), Bytes::from_static(OF_ANOTHER));
                Err(Self::error(ErrorKind::Transient, key))
            }
            Some(_) => {
                work(&mut self.state())?;
                Err(Self::error(ErrorKind::Transient, key))
            }
            None => work(&mut self.state()),
        }
    }

    fn create(&self, state: &mut State, key: &str, data: Bytes) -> Result<()> {
        if self.honest && state.objects.contains_key(key) {
            return Err(Self::error(ErrorKind::AlreadyExists, key));
        }
        state.objects.insert(key.to_owned(), data);
        Ok(())
    }
}

#[async_trait]
impl BucketApi for InMemory {
    fn location(&self) -> String {
        "mem://bucket".to_owned()
    }

    fn traits(&self) -> Traits {
        self.traits
    }

    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        self.with("put", key, |state| self.create(state, key, data))
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Body> {
        let fault = self.fault("get");
        if fault == Some(Fault::Fail) {
            return Err(Self::error(ErrorKind::Transient, key));
        }
        let state = self.state();
        let data = state.objects.get(key).ok_or_else(|| Self::error(ErrorKind::NotFound, key))?;
        let size = data.len() as u64;
        let range = range.unwrap_or(0..size);
        if range.start > size {
            return Err(Self::error(ErrorKind::Truncated, key));
        }
        let wanted = data.slice(range.start as usize..range.end.min(size) as usize);
        let half = wanted.slice(..wanted.len() / 2);
        let chunks = match fault {
            None => vec![Ok(wanted)],
            Some(Fault::Break) => vec![Ok(half), Err(Self::error(ErrorKind::Transient, key))],
            Some(_) => vec![Ok(half)],
        };
        Ok(Body { size, bytes: Box::pin(stream::iter(chunks)) })
    }

    async fn head(&self, key: &str) -> Result<Found> {
        self.with("head", key, |state| {
            let data =
                state.objects.get(key).ok_or_else(|| Self::error(ErrorKind::NotFound, key))?;
            Ok(Found { key: key.to_owned(), size: data.len() as u64, modified: Some(0) })
        })
    }

    async fn list(&self, prefix: &str, delimited: bool, page: Option<String>) -> Result<Page> {
        self.with("list", prefix, |state| {
            let mut listed: BTreeMap<String, Option<u64>> = BTreeMap::new();
            for (key, data) in state.objects.iter().filter(|(key, _)| key.starts_with(prefix)) {
                let rest = &key[prefix.len()..];
                match rest.find('/').filter(|_| delimited) {
                    Some(at) => listed.insert(format!("{prefix}{}", &rest[..=at]), None),
                    None => listed.insert(key.clone(), Some(data.len() as u64)),
                };
            }
            let after = page.unwrap_or_default();
            let mut left = listed.into_iter().filter(|(key, _)| *key > after);
            let mut result = Page::default();
            for (key, size) in left.by_ref().take(PAGE) {
                result.next = Some(key.clone());
                match size {
                    Some(size) => result.objects.push(Found { key, size, modified: Some(0) }),
                    None => result.prefixes.push(key),
                }
            }
            if left.next().is_none() {
                result.next = None;
            }
            if state.stuck {
                result.next = Some(prefix.to_owned());
            }
            Ok(result)
        })
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        assert!(keys.len() <= self.traits.delete_max);
        self.with("delete", &keys[0], |state| {
            keys.iter().for_each(|key| drop(state.objects.remove(key)));
            Ok(())
        })
    }

    async fn begin_parts(&self, key: &str) -> Result<String> {
        self.with("begin_parts", key, |state| {
            state.next_upload += 1;
            let name = format!("upload {}", state.next_upload);
            state.uploads.insert(name.clone(), (key.to_owned(), BTreeMap::new()));
            Ok(name)
        })
    }

    async fn put_part(&self, key: &str, upload: &str, number: u32, data: Bytes) -> Result<String> {
        self.with("put_part", key, |state| {
            let (_, parts) =
                state.uploads.get_mut(upload).ok_or_else(|| Self::error(ErrorKind::Other, key))?;
            parts.insert(number, data);
            Ok(number.to_string())
        })
    }

    async fn complete_parts(&self, key: &str, upload: &str, names: &[String]) -> Result<()> {
        self.with("complete_parts", key, |state| {
            let (_, parts) =
                state.uploads.get(upload).ok_or_else(|| Self::error(ErrorKind::Other, key))?;
            assert!(parts.keys().map(u32::to_string).eq(names.iter().cloned()));
            let whole: Vec<u8> = parts.values().flatten().copied().collect();
            self.create(state, key, whole.into())?;
            state.uploads.remove(upload);
            Ok(())
        })
    }

    async fn abort_parts(&self, key: &str, upload: &str) -> Result<()> {
        self.with("abort_parts", key, |state| {
            state.uploads.remove(upload);
            Ok(())
        })
    }

    async fn unfinished(
        &self,
        prefix: &str,
        after: Option<UploadMarker>,
    ) -> Result<UnfinishedPage> {
        self.with("unfinished", prefix, |state| {
            let mut all: Vec<_> =
                state.uploads.iter().map(|(name, (key, _))| (key, name)).collect();
            all.sort();
            let follows = |key: &String, name: &String| match &after {
                Some(UploadMarker { key: last, upload: Some(upload) }) => {
                    (key, name) > (last, upload)
                }
                Some(UploadMarker { key: last, upload: None }) => key > last,
                None => true,
            };
            let mut left = all
                .into_iter()
                .filter(|(key, name)| key.starts_with(prefix) && follows(key, name))
                .map(|(key, name)| Unfinished {
                    key: key.clone(),
                    upload: name.clone(),
                    begun: 1000,
                });
            let uploads: Vec<Unfinished> = left.by_ref().take(PAGE).collect();
            let next = left.next().and(uploads.last()).map(|last| UploadMarker {
                key: last.key.clone(),
                upload: Some(last.upload.clone()),
            });
            Ok(UnfinishedPage { uploads, next })
        })
    }
}
