//! What a bucket is reached with.

use std::path::PathBuf;

use super::super::http::HttpOptions;
use crate::types::{ObjectLock, Secret, UriStyle};

/// The smallest part that S3 takes, but for the last.
pub const PART_SIZE_MIN: usize = 5 << 20;

/// A bucket and how to get to it.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// Its name.
    pub bucket: String,
    /// The host of the service, with `http://` for a server without TLS, and an optional port.
    pub endpoint: String,
    /// Connect to this host in place of the endpoint's, with a scheme and a port of its own. TLS is with this host;
    /// requests and signatures keep the name of the endpoint.
    pub host: Option<String>,
    /// Connect to this port, whatever port endpoint or host name.
    pub port: Option<u16>,
    /// The region that requests are signed for.
    pub region: String,
    /// The service that requests are signed for; `s3` on all but a few gateways.
    pub service: String,
    /// How an address names the bucket.
    pub style: UriStyle,
    /// Where the keys come from.
    pub keys: KeySource,
    /// How the store is to encrypt.
    pub encryption: Encryption,
    /// The storage class of new objects; the bucket's own without it.
    pub storage_class: Option<String>,
    /// Tags of new objects.
    pub tags: Vec<(String, String)>,
    /// Requester pays.
    pub requester_pays: bool,
    /// How long new objects cannot be deleted.
    pub lock: Option<ObjectLock>,
    /// Bytes of a part of an upload, and of the largest object that is sent in one request.
    pub part_size: Option<usize>,
    /// CA certificates and their verification.
    pub http: HttpOptions,
}

/// Where the keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// They are configured.
    Shared {
        /// The access key.
        key: Secret,
        /// The secret key.
        secret: Secret,
        /// The token of a session.
        token: Option<Secret>,
    },
    /// The metadata service of the virtual machine.
    Instance {
        /// Its address, such as `http://169.254.169.254`.
        address: String,
        /// The role; asked for where it is not named.
        role: Option<String>,
    },
    /// The service that gives keys to containers and pods.
    Container {
        /// The whole address that is asked.
        address: String,
        /// A file with the token that proves who asks; read again each time.
        token_file: Option<PathBuf>,
        /// That token itself.
        token: Option<Secret>,
    },
    /// STS, in exchange for a web identity token.
    WebIdentity {
        /// Its address, such as `https://sts.amazonaws.com`.
        address: String,
        /// The role (an ARN).
        role: String,
        /// The file with the token; read again each time.
        token_file: PathBuf,
    },
    /// A program that prints them as JSON.
    Process {
        /// The program and its arguments.
        command: Vec<String>,
    },
}

/// How the store is to encrypt what it writes to disk.
#[derive(Clone, Debug)]
pub enum Encryption {
    /// As the bucket is set up to.
    Default,
    /// With keys of the store.
    Aes256,
    /// SSE-KMS with this key ID.
    Kms(String),
    /// With this key, 32 bytes in base64, which goes with every request and is not kept by the store.
    Customer(Secret),
}

#[cfg(test)]
pub(super) mod tests {
    //! Options to begin with.

    use super::*;

    /// A bucket that no test reaches.
    pub(in crate::storage::s3) fn options() -> S3Options {
        S3Options {
            bucket: "bucket".into(),
            endpoint: "localhost".into(),
            host: None,
            port: None,
            region: "us-east-1".into(),
            service: "s3".into(),
            style: UriStyle::Path,
            keys: KeySource::Shared {
                key: Secret::new("the-key"),
                secret: Secret::new("the-secret"),
                token: None,
            },
            encryption: Encryption::Default,
            storage_class: None,
            tags: Vec::new(),
            requester_pays: false,
            lock: None,
            part_size: None,
            http: HttpOptions::default(),
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", options());
        assert!(!shown.contains("the-"), "{shown}");
    }
}
