//! A repository that cannot be opened, because of its configuration or of a file that this names. Where there are
//! several it is one that cannot be read, and the others have their turn.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    command::Error,
    storage::{self, Download, Entry, ErrorKind, ObjectPath, Storage, Upload},
    types::{ErrorCode, Failure},
};

/// Answers everything with the reason.
#[derive(Debug)]
pub(super) struct Unopened {
    location: String,
    reason: String,
    code: ErrorCode,
    hint: Option<String>,
}

impl Unopened {
    pub(super) fn new(location: String, error: &Error) -> Self {
        Self { location, reason: error.to_string(), code: error.code(), hint: error.hint() }
    }

    fn refuse<T>(&self) -> storage::Result<T> {
        let error = storage::Error::new(ErrorKind::Other, "open", self.location.clone());
        let error = error.caused_by(self.reason.clone()).with_code(self.code);
        Err(match &self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }
}

#[async_trait]
impl Storage for Unopened {
    fn location(&self) -> String {
        self.location.clone()
    }

    async fn put(&self, _path: &ObjectPath, _data: Bytes) -> storage::Result<()> {
        self.refuse()
    }

    async fn put_stream(&self, _path: &ObjectPath) -> storage::Result<Box<dyn Upload>> {
        self.refuse()
    }

    async fn get(&self, _path: &ObjectPath) -> storage::Result<Box<dyn Download>> {
        self.refuse()
    }

    async fn get_range(&self, _path: &ObjectPath, _range: Range<u64>) -> storage::Result<Bytes> {
        self.refuse()
    }

    async fn stat(&self, _path: &ObjectPath) -> storage::Result<Entry> {
        self.refuse()
    }

    async fn list(&self, _directory: &ObjectPath, _recurse: bool) -> storage::Result<Vec<Entry>> {
        self.refuse()
    }

    async fn list_prefix(
        &self,
        _directory: &ObjectPath,
        _prefix: &str,
    ) -> storage::Result<Vec<Entry>> {
        self.refuse()
    }

    async fn delete(&self, _paths: &[ObjectPath]) -> storage::Result<()> {
        self.refuse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_reason_is_told_and_never_taken_for_absence() {
        let code = ErrorCode::FileMissing;
        let error = Error::Check {
            what: "no CA file".to_owned(),
            code,
            hint: "name another file".to_owned(),
        };
        let store = Unopened::new("repo2".to_owned(), &error);
        let refused = store.stat(&ObjectPath::root()).await.unwrap_err();
        assert!(!refused.is_not_found());
        assert_eq!(
            (refused.to_string().as_str(), refused.code()),
            ("unable to open 'repo2': no CA file", code)
        );
        assert_eq!(refused.hint().as_deref(), Some("name another file"));
        assert!(store.list(&ObjectPath::root(), true).await.is_err());
    }
}
