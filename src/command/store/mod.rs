//! From the configuration of a repository to its storage. Nothing of a kind of store is touched unless a repository of
//! that kind is opened.

#[cfg(feature = "azure")]
mod azure;
pub(super) mod cipher;
#[cfg(feature = "gcs")]
mod gcs;
#[cfg(feature = "_requests")]
mod remote;
#[cfg(feature = "s3")]
mod s3;
#[cfg(test)]
mod secrets;
#[cfg(feature = "sftp")]
mod sftp;
#[cfg(test)]
mod testing;
mod unopened;

use std::{path::Path, sync::Arc};

use super::{Error, Result};
use crate::{
    config::{RepoConfig, RepoKind},
    storage::{PosixStorage, Storage},
};

/// Opens the storage of a repository; `posix` opens a directory.
pub(super) fn open(
    config: &RepoConfig,
    posix: impl FnOnce(&Path) -> PosixStorage,
) -> Result<Arc<dyn Storage>> {
    match &config.kind {
        RepoKind::Posix => Ok(Arc::new(posix(&config.path))),
        #[cfg(feature = "s3")]
        RepoKind::S3(s3) => s3::open(config, s3),
        #[cfg(not(feature = "s3"))]
        RepoKind::S3(_) => Err(not_built_in(config, "s3", "S3")),
        #[cfg(feature = "azure")]
        RepoKind::Azure(azure) => azure::open(config, azure),
        #[cfg(not(feature = "azure"))]
        RepoKind::Azure(_) => Err(not_built_in(config, "azure", "Azure Blob Storage")),
        #[cfg(feature = "gcs")]
        RepoKind::Gcs(gcs) => gcs::open(config, gcs),
        #[cfg(not(feature = "gcs"))]
        RepoKind::Gcs(_) => Err(not_built_in(config, "gcs", "Google Cloud Storage")),
        #[cfg(feature = "sftp")]
        RepoKind::Sftp(sftp) => sftp::open(config, sftp),
        #[cfg(not(feature = "sftp"))]
        RepoKind::Sftp(_) => Err(not_built_in(config, "sftp", "SFTP")),
    }
}

#[cfg(not(all(feature = "s3", feature = "azure", feature = "gcs", feature = "sftp")))]
fn not_built_in(config: &RepoConfig, feature: &'static str, store: &'static str) -> Error {
    Error::StoreNotBuiltIn { repo: config.key, feature, store }
}

/// A repository whose opening failed, as one that answers everything with `error`.
pub(super) fn unopened(config: &RepoConfig, error: &Error) -> Arc<dyn Storage> {
    Arc::new(unopened::Unopened::new(format!("repo{}", config.key), error))
}

#[cfg(test)]
mod tests {
    use super::{testing::repo, *};
    use crate::types::{ErrorCode, Failure};

    const S3: [(&str, &str); 6] = [
        ("type", "s3"),
        ("s3-bucket", "b"),
        ("s3-endpoint", "s3.example.com"),
        ("s3-region", "r"),
        ("s3-key", "k"),
        ("s3-key-secret", "s"),
    ];
    const AZURE: [(&str, &str); 4] = [
        ("type", "azure"),
        ("azure-container", "c"),
        ("azure-account", "a"),
        ("azure-key", "YQ=="),
    ];
    const GCS: [(&str, &str); 4] =
        [("type", "gcs"), ("gcs-bucket", "b"), ("gcs-key-type", "token"), ("gcs-key", "t")];
    const SFTP: [(&str, &str); 4] = [
        ("type", "sftp"),
        ("sftp-host", "h"),
        ("sftp-host-user", "u"),
        ("sftp-host-key-hash-type", "sha256"),
    ];

    /// Clippy and the tests run with all stores; `cargo test --no-default-features` shows the other half.
    #[test]
    fn a_store_that_is_not_built_in_is_refused_by_name() {
        for (feature, is_built_in, options, store) in [
            ("s3", cfg!(feature = "s3"), &S3[..], "S3"),
            ("azure", cfg!(feature = "azure"), &AZURE, "Azure Blob Storage"),
            ("gcs", cfg!(feature = "gcs"), &GCS, "Google Cloud Storage"),
            ("sftp", cfg!(feature = "sftp"), &SFTP, "SFTP"),
        ] {
            match open(&repo(options), |path| PosixStorage::new(path)) {
                Ok(_) => assert!(is_built_in, "{feature} was opened"),
                Err(error) => {
                    assert!(!is_built_in, "{error}");
                    let expected =
                        format!("repo1-type={feature}: this pgstrata was built without {store}");
                    assert_eq!(error.to_string(), expected);
                    assert_eq!(error.code(), ErrorCode::FeatureNotSupported);
                    let hint = error.hint().unwrap();
                    assert!(hint.ends_with(&format!("--features {feature}")), "{hint}");
                }
            }
        }
    }
}
