//! Meanings of answers, addresses, and what is kept out of messages.

use std::time::Duration;

use object_store::{HeaderMap, HeaderValue};

use super::{
    answer::{Failed, Meaning, listen, refused},
    connection::Endpoint,
    *,
};
use crate::{storage::bucket::CreateOnly, types::Failure};

fn profile() -> Profile {
    Profile {
        location: "azure://pg".into(),
        bucket: "container 'pg'".into(),
        bucket_option: "repoN-azure-container",
        key_option: "repoN-azure-key",
        traits: Traits {
            put: CreateOnly::Kept,
            complete: CreateOnly::NotKept,
            part_size: 1,
            delete_max: 1,
        },
        attributes: Attributes::new(),
        prefix_is_left_out: true,
        parts_hold_the_name: true,
        backslash_is_slash: true,
    }
}

/// A request that was answered like this.
async fn failed(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Failed {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect();
    let body = body.as_bytes().to_vec();
    let work = async move {
        refused(status, &headers, &body);
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
        assert_eq!(hint.contains("is over"), over, "{hint}");
        assert!(!format!("{error:?} {hint}").contains("SECRET"));
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

fn connection(endpoint: &str) -> ConnectionOptions {
    ConnectionOptions {
        endpoint: endpoint.into(),
        host: None,
        port: None,
        ca_file: None,
        ca_path: None,
        verify_tls: true,
        timeout: Duration::from_secs(60),
    }
}

#[test]
fn address_is_made_of_the_endpoint() {
    let url =
        |endpoint, subdomain| Endpoint::new("x", &connection(endpoint), subdomain).unwrap().url();
    assert_eq!(url("blob.core.windows.net", Some("acc")), "https://acc.blob.core.windows.net");
    assert_eq!(url("http://127.0.0.1:10000/", None), "http://127.0.0.1:10000");
    assert_eq!(url("https://[::1]:4443", None), "https://[::1]:4443");
    for wrong in ["", "ftp://x", "a/b", "user@host", "http://"] {
        assert!(Endpoint::new("x", &connection(wrong), None).is_err(), "{wrong}");
    }
}

#[test]
fn host_and_port_may_be_others() {
    let endpoint = |host: Option<&str>, port| {
        let options = ConnectionOptions {
            host: host.map(str::to_owned),
            port,
            ..connection("storage.example.org")
        };
        let endpoint = Endpoint::new("x", &options, None).unwrap();
        (endpoint.url(), endpoint.reached_as)
    };
    let (same, name) = ("https://storage.example.org".to_owned(), "storage.example.org");
    assert_eq!(endpoint(None, None), (same.clone(), name.into()));
    assert_eq!(endpoint(None, Some(8443)), (format!("{same}:8443"), format!("{name}:8443")));
    // The certificate is that of the endpoint, whatever is connected to.
    assert_eq!(endpoint(Some("10.0.0.1"), None), (same.clone(), name.into()));
    assert_eq!(endpoint(Some("10.0.0.1"), Some(1)), (same, format!("{name}:1")));
    let numbers = ConnectionOptions { host: Some("10.0.0.1".into()), ..connection("[::1]:4443") };
    assert_eq!(Endpoint::new("x", &numbers, None).unwrap().reached_as, "10.0.0.1:4443");
}

#[test]
fn requests_for_the_store_are_known_from_others() {
    let endpoint = Endpoint::new("x", &connection("storage.example.org"), None).unwrap();
    assert!(
        endpoint.is("Storage.example.org", None) && endpoint.is("storage.example.org", Some(443))
    );
    assert!(!endpoint.is("storage.example.org", Some(80)) && !endpoint.is("169.254.169.254", None));
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
