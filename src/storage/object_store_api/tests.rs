//! Meanings of answers, addresses, and what is kept out of messages.

use std::time::Duration;

use object_store::{HeaderMap, HeaderValue};

use super::{
    answer::{Failed, Meaning, listen, refused},
    connection::Endpoint,
    *,
};
use crate::{
    storage::{bucket::CreateOnly, http::HttpOptions},
    types::Failure,
};

fn profile() -> Profile {
    Profile {
        location: "azure://pg".into(),
        bucket: "container 'pg'".into(),
        bucket_option: "repoN-azure-container",
        key_option: "repoN-azure-key",
        traits: Traits {
            put: CreateOnly::Kept,
            complete: CreateOnly::NotKept,
            whole_max: 1,
            part_size: 1,
            delete_max: 1,
        },
        attributes: Attributes::new(),
        tags: TagSet::default(),
        prefix_is_left_out: true,
        parts_hold_the_name: true,
        backslash_is_slash: true,
        look_explains_absence: true,
    }
}

/// A request that the store answered like this.
async fn failed(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Failed {
    failed_by(true, status, headers, body).await
}

async fn failed_by(
    of_store: bool,
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &str,
) -> Failed {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect();
    let body = body.as_bytes().to_vec();
    let work = async move {
        refused(of_store, status, &headers, &body);
        let source = "GET https://account/?sig=SECRET failed".into();
        Err::<(), _>(object_store::Error::Generic { store: "test", source })
    };
    listen(work).await.unwrap_err()
}

async fn error_of(status: u16, code: &'static str, operation: &'static str) -> Error {
    let failed = failed(status, &[("x-ms-error-code", code)], "").await;
    answer::error(&profile(), operation, "azure://pg/x".into(), failed)
}

#[tokio::test]
async fn status_and_code_say_what_a_failure_means() {
    use ErrorKind::*;
    for (status, code, operation, kind) in [
        (404, "BlobNotFound", "read", NotFound),
        (404, "NoSuchKey", "read", NotFound),
        (404, "ContainerNotFound", "read", Other),
        (404, "NoSuchBucket", "read", Other),
        (404, "NoSuchUpload", "write", Other),
        (404, "", "read", Other),
        (409, "ContainerBeingDeleted", "write", Other),
        (409, "BlobAlreadyExists", "write", AlreadyExists),
        (412, "ConditionNotMet", "write", AlreadyExists),
        (412, "ConditionNotMet", "read", Other),
        (409, "BlobImmutableDueToPolicy", "write", AlreadyExists),
        (409, "BlobImmutableDueToPolicy", "delete", Denied),
        (401, "InvalidAuthenticationInfo", "read", Denied),
        (403, "AuthorizationFailure", "read", Denied),
        (416, "InvalidRange", "read", Truncated),
        (429, "SlowDown", "read", Transient),
        (408, "", "write", Transient),
        (500, "InternalError", "write", Transient),
        (503, "ServerBusy", "write", Transient),
        (501, "NotImplemented", "write", Other),
        (400, "InvalidHeaderValue", "write", Other),
        (400, "RequestTimeout", "write", Transient),
        (400, "IncompleteBody", "write", Transient),
        (400, "ExpiredToken", "write", Denied),
    ] {
        let error = error_of(status, code, operation).await;
        assert_eq!(error.kind(), kind, "{status} {code} to {operation}: {error}");
    }
}

#[tokio::test]
async fn missing_bucket_is_named_with_what_to_do() {
    let error = error_of(404, "ContainerNotFound", "read").await;
    let text = error.to_string();
    assert_eq!(
        text,
        "unable to read 'azure://pg/x': the container 'pg' does not exist (the store answered 404 ContainerNotFound)"
    );
    assert!(error.hint().unwrap().contains("repoN-azure-container"));
}

#[tokio::test]
async fn only_code_and_first_line_of_a_message_are_shown() {
    let body = "<Error><Code>AuthenticationFailed</Code><Message>Server failed &lt;it&gt;.\nRequestId:1</Message>\
                <AuthenticationErrorDetail>signature SECRET</AuthenticationErrorDetail></Error>";
    let failed = failed(403, &[], body).await;
    let error = answer::error(&profile(), "read", "azure://pg/x".into(), failed);
    assert_eq!(
        error.to_string(),
        "unable to read 'azure://pg/x': the store answered 403 AuthenticationFailed: Server failed <it>."
    );
    assert!(!format!("{error:?}").contains("SECRET"));
}

/// What a signature that is over is answered, which a wrong key is answered too: only the detail tells them apart.
#[tokio::test]
async fn keys_that_are_over_are_told_from_wrong_ones() {
    let body = "<Error><Code>AuthenticationFailed</Code><Message>Server failed.</Message><AuthenticationErrorDetail>\
                Signature not valid in the specified time frame: Start [SECRET]</AuthenticationErrorDetail></Error>";
    for (status, body, over) in [
        (403, body, true),
        (
            401,
            "<Error><Code>InvalidAuthenticationInfo</Code><Message>The token is expired.</Message></Error>",
            true,
        ),
        (400, "<Error><Code>ExpiredToken</Code></Error>", true),
        (
            403,
            "<Error><Code>AuthenticationFailed</Code><Message>Server failed.</Message></Error>",
            false,
        ),
    ] {
        let failed = failed(status, &[], body).await;
        let error = answer::error(&profile(), "write", "azure://pg/x".into(), failed);
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("repoN-azure-key"), "{hint}");
        assert_eq!(hint.contains("has expired"), over, "{hint}");
        assert!(!format!("{error:?} {hint}").contains("SECRET"));
    }
}

#[tokio::test]
async fn a_metadata_service_that_refuses_is_not_the_store() {
    for status in [403, 404] {
        let failed = failed_by(false, status, &[], "").await;
        assert!(!failed.is_unexplained_absence());
        let error = answer::error(&profile(), "read", "azure://pg/x".into(), failed);
        assert!(error.to_string().contains("the token or metadata service answered"), "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("identity") && hint.contains("repoN-azure-key-type"), "{hint}");
    }
}

#[tokio::test]
async fn services_that_give_out_tokens_are_understood() {
    let failed = failed(400, &[], r#"{"error": "invalid_grant", "error_description": "SECRET"}"#);
    let error = answer::error(&profile(), "read", "azure://pg/x".into(), failed.await);
    assert!(error.to_string().ends_with("the store answered 400 invalid_grant"), "{error}");
}

#[tokio::test]
async fn store_may_ask_to_wait() {
    let failed = failed(503, &[("retry-after", "17")], "").await;
    let error = answer::error(&profile(), "read", "azure://pg/x".into(), failed);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(17)));
}

#[tokio::test]
async fn without_an_answer_the_crates_own_words_are_shown_if_they_are_harmless() {
    let failed_with = |text: &'static str| async move {
        let source = text.into();
        let work = async { Err::<(), _>(object_store::Error::Generic { store: "test", source }) };
        answer::error(&profile(), "list", "azure://pg/".into(), listen(work).await.unwrap_err())
    };
    let error = failed_with("Got invalid list response: no XML").await;
    assert!(error.to_string().contains("no XML"), "{error}");
    let error = failed_with("GET https://account/pg?sig=SECRET").await;
    assert!(!format!("{error} {error:?}").contains("SECRET"));
}

#[tokio::test]
async fn one_object_of_a_batch_has_its_own_meaning() {
    let of_code = |code: u16| async move {
        let source = format!("Bulk delete request failed for key x: why (code: {code})").into();
        let work = async { Err::<(), _>(object_store::Error::Generic { store: "test", source }) };
        listen(work).await.unwrap_err().meaning(false)
    };
    assert_eq!(of_code(503).await, Meaning::Kind(ErrorKind::Transient));
    assert_eq!(of_code(403).await, Meaning::Kind(ErrorKind::Denied));
}

fn led(endpoint: &str, host: Option<&str>, port: Option<u16>) -> Endpoint {
    let host = host.map(str::to_owned);
    let http = HttpOptions::default();
    Endpoint::led("x", &ConnectionOptions { endpoint: endpoint.into(), host, port, http }).unwrap()
}

#[test]
fn host_and_port_may_be_others() {
    let both = |endpoint, host, port| {
        let Endpoint { named, reached } = led(endpoint, host, port);
        (named.to_string(), reached.map(|place| place.to_string()))
    };
    let store = "storage.example.org";
    let same = format!("https://{store}");
    assert_eq!(both(store, None, None), (same.clone(), None));
    assert_eq!(both(store, None, Some(8443)), (format!("{same}:8443"), None));
    let reached = |place: &str| Some(place.to_owned());
    assert_eq!(both(store, Some("10.0.0.1"), None), (same.clone(), reached("https://10.0.0.1")));
    assert_eq!(both(store, Some("fd00::1"), Some(1)), (same, reached("https://[fd00::1]:1")));
    let plain = (format!("http://{store}"), reached("http://proxy:8"));
    assert_eq!(both(store, Some("http://proxy:8"), None), plain);
}

#[test]
fn requests_for_the_store_are_known_from_others() {
    let endpoint = led("storage.example.org", Some("proxy"), Some(1));
    assert!(
        endpoint.is("Storage.example.org", None) && endpoint.is("storage.example.org", Some(443))
    );
    assert!(!endpoint.is("storage.example.org", Some(80)) && !endpoint.is("169.254.169.254", None));
    assert!(led("::1", None, Some(9)).is("[::1]", Some(9)));
}

#[test]
fn prefix_is_asked_for_without_its_last_character() {
    for (prefix, asked) in
        [("", ""), ("a/", "a/"), ("a/b", "a/"), ("a/grün", "a/grü"), ("a/ü", "a/")]
    {
        assert_eq!(without_last_character(prefix), asked);
    }
}

/// Azure takes a backslash for a slash.
#[cfg(feature = "azure")]
#[test]
fn odd_keys_come_back_as_they_were_put() {
    let store = object_store::azure::MicrosoftAzureBuilder::new()
        .with_account("acc")
        .with_container_name("pg")
        .with_access_key("a2V5")
        .build()
        .unwrap();
    let api = ObjectStoreApi::new(store, profile());
    for key in ["a\\b", "100%", "a%5Cb", "a%2Fb", "%25", "plain"] {
        assert_eq!(api.key(&api.stored(key)), key);
        assert!(!api.stored(key).contains('\\'));
    }
}
