//! From configuration and environment to the options of the storage.

use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::types::{ObjectLock, ObjectLockMode, UriStyle};

fn remote() -> RemoteConfig {
    RemoteConfig {
        host: None,
        port: None,
        ca_file: None,
        ca_path: None,
        verify_tls: true,
        tags: vec![("a".into(), "b".into())],
        chunk_size: None,
        rate_max: None,
        at_once_max: 16,
        retry_time: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
    }
}

fn s3(key_type: S3KeyType) -> S3Config {
    S3Config {
        bucket: "bucket".into(),
        endpoint: "localhost".into(),
        region: "us-east-1".into(),
        key_type,
        key: Some(Secret::new("key")),
        key_secret: Some(Secret::new("secret")),
        token: None,
        role: Some("role".into()),
        sts_host: "sts.amazonaws.com".into(),
        process_cmd: vec!["keys".into()],
        service: "s3".into(),
        uri_style: UriStyle::Path,
        kms_key_id: None,
        sse_customer_key: None,
        sse: ServerEncryption::None,
        storage_class: None,
        object_lock: None,
        requester_pays: false,
    }
}

fn mapped(
    s3: &S3Config,
    remote: &RemoteConfig,
    environment: &[(&str, &str)],
) -> std::result::Result<S3Options, Missing> {
    let environment: BTreeMap<_, _> = environment.iter().copied().collect();
    options(remote, s3, &|name| environment.get(name).map(|value| (*value).to_owned()))
}

fn keys_of(key_type: S3KeyType, environment: &[(&str, &str)]) -> String {
    match mapped(&s3(key_type), &remote(), environment) {
        Ok(options) => format!("{:?}", options.keys),
        Err(missing) => missing.of_repository(3).to_string(),
    }
}

#[test]
fn parts_have_a_size_that_s3_takes() {
    let part_size = |chunk_size| {
        let remote = RemoteConfig { chunk_size, ..remote() };
        mapped(&s3(S3KeyType::Shared), &remote, &[]).unwrap().part_size
    };
    assert_eq!(part_size(None), None);
    assert_eq!(part_size(Some(1 << 20)), Some(5 << 20));
    assert_eq!(part_size(Some(64 << 20)), Some(64 << 20));
    assert_eq!(part_size(Some(1 << 40)), Some(5 << 30));
}

const LOCK: ObjectLock = ObjectLock { mode: ObjectLockMode::Compliance, days: 35 };

#[test]
fn what_is_configured_gets_to_the_storage() {
    let config = S3Config {
        object_lock: Some(LOCK),
        sse_customer_key: Some(Secret::new("customer")),
        storage_class: Some("STANDARD_IA".into()),
        ..s3(S3KeyType::Shared)
    };
    let options = mapped(&config, &remote(), &[]).unwrap();
    assert_eq!(options.lock, Some(LOCK));
    assert_eq!((options.style, options.tags.len()), (UriStyle::Path, 1));
    assert_eq!(options.storage_class.as_deref(), Some("STANDARD_IA"));
    assert!(matches!(&options.encryption, Encryption::Customer(key) if key.reveal() == "customer"));
    let shown = format!("{options:?}");
    assert!(!shown.contains("secret\"") && !shown.contains("\"customer"), "{shown}");
}

#[test]
fn key_types_have_their_sources() {
    use S3KeyType::*;
    assert_eq!(keys_of(Process, &[]), r#"Process { command: ["keys"] }"#);
    assert_eq!(
        keys_of(Auto, &[]),
        r#"Instance { address: "http://169.254.169.254", role: Some("role") }"#
    );
    let relative = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x");
    assert!(keys_of(Auto, &[relative]).contains("http://169.254.170.2/v2/x"));
    let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://pod/x");
    let token = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/token");
    let pod = keys_of(PodId, &[full, token]);
    assert!(pod.contains("http://pod/x") && pod.contains("/token"), "{pod}");
    let role = ("AWS_ROLE_ARN", "arn");
    let file = ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token");
    assert!(keys_of(WebId, &[role, file]).contains(r#""https://sts.amazonaws.com", role: "arn""#));
}

#[test]
fn what_the_environment_lacks_is_told() {
    let error = keys_of(S3KeyType::WebId, &[]);
    assert_eq!(error, "repo3-s3-key-type=web-id needs AWS_ROLE_ARN in the environment");
    assert!(keys_of(S3KeyType::PodId, &[]).contains("AWS_CONTAINER_CREDENTIALS_FULL_URI"));
}
