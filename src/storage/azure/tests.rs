//! What options make of a container.

use std::time::Duration;

use super::*;
use crate::{
    storage::{Storage, requests::RequestOptions},
    types::{ErrorCode, Failure},
};

fn options(key: AzureKey) -> AzureOptions {
    AzureOptions {
        account: "acc".into(),
        container: "pg".into(),
        key,
        account_in_host: true,
        connection: ConnectionOptions {
            endpoint: "blob.core.windows.net".into(),
            host: None,
            port: None,
            ca_file: None,
            ca_path: None,
            verify_tls: true,
            timeout: Duration::from_secs(60),
        },
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
        assert!(error.to_string().contains("the key is not what its key type says"), "{error}");
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
