//! When credentials are renewed, and by which task.

use std::sync::Arc;

use futures_util::FutureExt as _;

use super::*;
use crate::types::Secret;

/// As if the last attempt had been so long ago that another is due.
fn some_time_later(keys: &Keys) {
    let mut attempts = keys.fetching.try_lock().unwrap();
    let (ended, _) = attempts.last.as_mut().unwrap();
    *ended -= ASKED_AGAIN_AFTER;
}

/// A service that answers when it is told to.
struct Service {
    listener: TcpListener,
    keys: Arc<Keys>,
}

impl Service {
    async fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let source = KeySource::Container { address, token_file: None, token: None };
        Self { listener, keys: Arc::new(keys(source)) }
    }

    /// A task that wants keys and has come as far as it can.
    async fn wanted(&self) -> tokio::task::JoinHandle<Result<u64>> {
        let keys = self.keys.clone();
        let task = tokio::spawn(async move { keys.ready().await });
        tokio::task::yield_now().await;
        task
    }

    async fn answers(&self, status: u16, body: &str) {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        let length = body.len();
        let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(text.as_bytes()).await.unwrap();
    }

    fn was_asked_again(&self) -> bool {
        self.listener.accept().now_or_never().is_some()
    }
}

#[tokio::test]
async fn one_task_replaces_keys_that_still_last_and_the_rest_use_them() {
    let service = Service::new().await;
    let expires = Some(SystemTime::now() + Duration::from_secs(120));
    let held = Held { fetched: fetched("K", "S", None, expires), at: Instant::now(), number: 1 };
    service.keys.hold(Some(held));
    service.keys.fetching.lock().await.fetched = 1;
    let first = service.wanted().await;
    assert_eq!(service.wanted().await.now_or_never().unwrap().unwrap().unwrap(), 1);
    service.answers(500, "").await;
    assert_eq!(first.await.unwrap().unwrap(), 1);
    // It had nothing better: it is left alone for a while.
    assert_eq!(service.wanted().await.now_or_never().unwrap().unwrap().unwrap(), 1);
    assert!(!service.was_asked_again());
    some_time_later(&service.keys);
    let later = service.wanted().await;
    service.answers(200, JSON).await;
    assert_eq!(later.await.unwrap().unwrap(), 2);
}

#[tokio::test]
async fn those_that_wait_for_keys_share_a_failure() {
    let service = Service::new().await;
    let (first, second) = (service.wanted().await, service.wanted().await);
    service.answers(403, "").await;
    for task in [first, second] {
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains("it answered 403"), "{error}");
    }
    assert!(!service.was_asked_again());
    // A later caller asks again.
    let third = service.wanted().await;
    service.answers(200, JSON).await;
    assert_eq!(third.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn keys_are_replaced_before_they_expire() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("keys");
    let print = |expires: jiff::Timestamp, key: &str| {
        let json =
            format!(r#"{{"AccessKeyId":"{key}","SecretAccessKey":"S","Expiration":"{expires}"}}"#);
        fs::write(directory.path().join("json"), json).unwrap();
    };
    let file = directory.path().join("json").display().to_string();
    fs::write(&program, format!("#!/bin/sh\ncat {file}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let keys = keys(KeySource::Process { command: vec![program.display().to_string()] });
    let minute = jiff::SignedDuration::from_mins(1);
    print(jiff::Timestamp::now() + minute, "first");
    assert_eq!(keys.ready().await.unwrap(), 1);
    // They still last for a minute, so they are asked for again, and used on where that fails.
    fs::remove_file(&file).unwrap();
    some_time_later(&keys);
    assert_eq!(keys.ready().await.unwrap(), 1);
    assert!(keys.fetching.lock().await.last.as_ref().unwrap().1.is_some(), "it failed");
    some_time_later(&keys);
    print(jiff::Timestamp::now() + minute * 60, "second");
    assert_eq!(keys.ready().await.unwrap(), 2);
    assert_eq!(shown(&keys)[0], "second");
    // The store says otherwise: nothing is to be had from keys as fresh as these.
    assert!(keys.are_expired(1), "those have been replaced already");
    assert!(!keys.are_expired(2));
    let old = Held { at: Instant::now() - FRESH, ..keys.held().unwrap() };
    keys.hold(Some(old));
    assert!(keys.are_expired(2));
    assert_eq!(keys.ready().await.unwrap(), 3);
}

#[tokio::test]
async fn configured_keys_cannot_be_replaced() {
    let keys = keys(KeySource::Shared {
        key: Secret::new("K"),
        secret: Secret::new("S"),
        token: Some(Secret::new("T")),
    });
    assert_eq!(keys.ready().await.unwrap(), 1);
    assert!(!keys.are_expired(1));
    assert!(!format!("{keys:?}").contains('T'));
}
