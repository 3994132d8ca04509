//! What options make of a container.

use super::*;
use crate::types::UriStyle;
use crate::{
    storage::{ErrorKind, ObjectPath, Storage, http::HttpOptions, requests::RequestOptions},
    types::{ErrorCode, Failure},
};

fn options(key: AzureKey) -> AzureOptions {
    AzureOptions {
        account: "acc".into(),
        container: "pg".into(),
        key,
        uri_style: UriStyle::Host,
        connection: ConnectionOptions {
            endpoint: "blob.core.windows.net".into(),
            host: None,
            port: None,
            http: HttpOptions::default(),
        },
        tags: Vec::new(),
        part_size: None,
    }
}

fn opened(options: &AzureOptions) -> Result<BucketStorage> {
    open(options, "/prefix", Requests::new(&RequestOptions::default()))
}

#[test]
fn every_kind_of_key_opens_without_a_request() {
    for key in [
        AzureKey::Shared("a2V5".into()),
        AzureKey::Sas("?sv=2020&sig=a%2Bb%3D".into()),
        AzureKey::Machine { client_id: None },
        AzureKey::Workload {
            client_id: "c".into(),
            tenant_id: "t".into(),
            token_file: "/none".into(),
            authority: None,
        },
    ] {
        let storage = opened(&options(key)).unwrap();
        assert_eq!(storage.location(), "azure://pg/prefix");
    }
}

#[test]
fn key_of_another_kind_is_refused_and_not_shown() {
    for key in [AzureKey::Shared("%SECRET%".into()), AzureKey::Sas("SECRET".into())] {
        let error = opened(&options(key)).unwrap_err();
        assert!(error.to_string().contains("the key does not match its key type"), "{error}");
        assert!(!format!("{error:?}").contains("SECRET"));
        assert_eq!(error.code(), ErrorCode::OptionInvalidValue);
    }
}

#[test]
fn debug_shows_no_key() {
    let secret = || "U0VDUkVU".to_owned();
    for key in [AzureKey::Shared(secret()), AzureKey::Sas(format!("sig={}", secret()))] {
        let options = options(key);
        let shown = format!("{options:?} {:?}", opened(&options).unwrap());
        assert!(!shown.contains("U0VDUkVU") && !shown.contains("SECRET"), "{shown}");
    }
}

/// The address of the container, or what is wrong.
fn url_of(
    endpoint: &str,
    host: Option<&str>,
    port: Option<u16>,
    style: UriStyle,
) -> Result<String> {
    let mut options = options(AzureKey::Shared("a2V5".into()));
    (options.connection.endpoint, options.connection.port) = (endpoint.into(), port);
    (options.connection.host, options.uri_style) = (host.map(str::to_owned), style);
    opened(&options)?;
    Ok(address(&options, "azure://pg")?.1)
}

#[test]
fn another_host_takes_the_place_of_the_endpoint() {
    let url = |endpoint, host, port, style| url_of(endpoint, host, port, style).unwrap();
    assert_eq!(url("blob.example", None, None, UriStyle::Host), "https://acc.blob.example");
    assert_eq!(
        url("https://blob.example:81/", None, Some(82), UriStyle::Path),
        "https://blob.example:82/acc"
    );
    assert_eq!(url("blob.example", Some("proxy"), None, UriStyle::Path), "https://proxy/acc");
    assert_eq!(
        url("http://blob.example:81", Some("proxy"), None, UriStyle::Host),
        "https://acc.proxy"
    );
    assert_eq!(
        url("blob.example", Some("http://proxy:1"), Some(2), UriStyle::Path),
        "http://proxy:2/acc"
    );
    assert_eq!(
        url("blob.example", Some("fd00::5"), Some(2), UriStyle::Path),
        "https://[fd00::5]:2/acc"
    );
}

#[test]
fn address_that_makes_no_sense_is_refused_and_the_endpoint_not_shown() {
    for endpoint in ["SECRET?", "ftp://SECRET", "https://https://SECRET", "SECRET:port"] {
        let error = url_of(endpoint, None, None, UriStyle::Path).unwrap_err();
        assert_eq!(error.code(), ErrorCode::OptionInvalidValue);
        assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
    }
    assert!(url_of("x", Some("https://https://y"), None, UriStyle::Path).is_err());
    let error = url_of("127.0.0.1", None, None, UriStyle::Host).unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("uri-style=path")));
    let account = AzureOptions { account: "a/b".into(), ..options(AzureKey::Sas("a=b".into())) };
    assert!(opened(&account).unwrap_err().to_string().contains("repoN-azure-account"));
}

#[test]
fn authority_is_an_address() {
    let host = |configured, tenant| authority_host(configured, tenant, "azure://pg").ok();
    assert_eq!(host(None, "t").as_deref(), Some("https://login.microsoftonline.com"));
    let china = Some("https://login.partner.microsoftonline.cn".to_owned());
    assert_eq!(host(Some("https://login.partner.microsoftonline.cn/"), "t"), china);
    assert_eq!(host(Some("login.partner.microsoftonline.cn"), "t"), china);
    assert_eq!(host(Some("ftp://x"), "t").or(host(Some("a b"), "t")).or(host(None, "t t")), None);
}

/// Many commands ask nothing of a repository that is configured.
#[tokio::test]
async fn authorities_are_read_at_the_first_request() {
    let mut options = options(AzureKey::Shared("a2V5".into()));
    options.connection.http.ca_file = Some("/no/authorities".into());
    let storage = opened(&options).unwrap();
    let error = storage.stat(&ObjectPath::new("x").unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("'/no/authorities'"), "{error}");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Other, ErrorCode::FileMissing));
}
