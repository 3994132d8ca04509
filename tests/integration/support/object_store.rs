//! The object stores of the tests, as a proxy between them and the program sees them: what their requests are known by,
//! and what they answer when they are busy, out of order, or no longer opened by a key.

use std::any::Any;

use super::{
    azurite::Azurite,
    gcs::GcsServer,
    moto::Moto,
    proxy::{Fault, Rule},
    remote::Setting,
};

/// Requests of one kind: their method, and a text that their targets hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asks(pub(crate) &'static str, pub(crate) &'static str);

impl Asks {
    /// Lets `skip` of these requests pass and strikes the `times` that follow.
    pub(crate) fn meet(self, skip: u32, times: u32, fault: Fault) -> Rule {
        Rule { method: self.0, target: self.1, skip, times, fault }
    }
}

/// One of the stores.
pub(crate) struct ObjectStore {
    pub(crate) start: fn() -> Started,
    /// The option that says where the server is.
    pub(crate) endpoint: &'static str,
    /// Begins an object of several parts. On Azure the first part does.
    pub(crate) begin: Option<Asks>,
    pub(crate) part: Asks,
    pub(crate) complete: Asks,
    pub(crate) list: Asks,
    pub(crate) delete: Asks,
    pub(crate) busy: Fault,
    /// Busy, and asks to be left alone for a second.
    pub(crate) busy_for_a_second: Fault,
    pub(crate) out_of_order: Fault,
    /// The bytes that came do not have the digest that they should.
    pub(crate) not_as_sent: Fault,
    /// What opens the store is over.
    pub(crate) key_is_over: Fault,
    /// The store's word for that.
    pub(crate) says_over: &'static str,
}

/// S3, which moto stands for.
pub(crate) const S3: ObjectStore = ObjectStore {
    start: || {
        let server = Moto::start();
        let mut options = server.options();
        // The other one keeps versions.
        options.retain(|(name, _)| *name != "repo1-s3-bucket");
        options.push(("repo1-s3-bucket", Moto::PLAIN_BUCKET.to_owned()));
        Started::new(server.port, options, server)
    },
    endpoint: "repo1-s3-endpoint",
    begin: Some(Asks("POST", "uploads")),
    part: Asks("PUT", "partNumber"),
    complete: Asks("POST", "uploadId"),
    list: Asks("GET", "list-type"),
    delete: Asks("POST", "delete"),
    busy: Fault::Answer(503, "", SLOW_DOWN),
    busy_for_a_second: Fault::Answer(503, "retry-after: 1\r\n", SLOW_DOWN),
    out_of_order: Fault::Answer(500, "", INTERNAL),
    not_as_sent: Fault::Answer(
        400,
        "",
        "<Error><Code>BadDigest</Code><Message>Other bytes.</Message></Error>",
    ),
    key_is_over: Fault::Answer(
        400,
        "",
        "<Error><Code>ExpiredToken</Code><Message>Too old.</Message></Error>",
    ),
    says_over: "ExpiredToken",
};

/// Azure Blob Storage, which Azurite stands for.
pub(crate) const AZURE: ObjectStore = ObjectStore {
    start: || {
        let server = Azurite::start();
        Started::new(server.port, server.options(), server)
    },
    endpoint: "repo1-azure-endpoint",
    begin: None,
    part: Asks("PUT", "blockid="),
    complete: Asks("PUT", "comp=blocklist"),
    list: Asks("GET", "comp=list"),
    delete: Asks("POST", "comp=batch"),
    busy: Fault::Answer(503, "x-ms-error-code: ServerBusy\r\n", SERVER_BUSY),
    busy_for_a_second: Fault::Answer(
        503,
        "x-ms-error-code: ServerBusy\r\nretry-after: 1\r\n",
        SERVER_BUSY,
    ),
    out_of_order: Fault::Answer(500, "x-ms-error-code: InternalError\r\n", INTERNAL),
    not_as_sent: Fault::Answer(
        400,
        "x-ms-error-code: Md5Mismatch\r\n",
        "<Error><Code>Md5Mismatch</Code><Message>Other bytes.</Message></Error>",
    ),
    key_is_over: Fault::Answer(
        403,
        "x-ms-error-code: AuthenticationFailed\r\n",
        "<Error><Code>AuthenticationFailed</Code><Message>Server failed to authenticate the request.</Message>\
         <AuthenticationErrorDetail>Signature not valid in the specified time frame</AuthenticationErrorDetail></Error>",
    ),
    says_over: "AuthenticationFailed",
};

/// Google Cloud Storage, which a server of the tests stands for.
pub(crate) const GCS: ObjectStore = ObjectStore {
    start: || {
        let server = GcsServer::start();
        Started::new(server.port, server.options(), server)
    },
    endpoint: "repo1-gcs-endpoint",
    delete: Asks("DELETE", "backup/"),
    key_is_over: Fault::Answer(
        401,
        "",
        "<Error><Code>AuthenticationRequired</Code><Message>Authentication required.</Message>\
         <Details>The token has expired.</Details></Error>",
    ),
    says_over: "AuthenticationRequired",
    // The rest is as S3 has it.
    ..S3
};

const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code><Message>Less.</Message></Error>";
const INTERNAL: &str = "<Error><Code>InternalError</Code><Message>Oh.</Message></Error>";
const SERVER_BUSY: &str = "<Error><Code>ServerBusy</Code><Message>Less.</Message></Error>";

/// A server that was started, and what a site needs to know of it.
pub(crate) struct Started {
    pub(crate) port: u16,
    pub(crate) options: Vec<Setting>,
    /// Keeps it alive.
    _server: Box<dyn Any>,
}

impl Started {
    fn new(port: u16, options: Vec<Setting>, server: impl Any) -> Self {
        Self { port, options, _server: Box::new(server) }
    }
}

/// One test for each store, with PostgreSQL 15.
macro_rules! on_each_object_store {
    ($(fn $name:ident($store:ident, $version:ident) $body:block)+) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn check($store: &$crate::support::ObjectStore, $version: $crate::support::Version) $body

            #[test]
            fn pg15_s3() {
                check(&$crate::support::S3, $crate::support::Version::new(15));
            }

            #[test]
            fn pg15_azure() {
                check(&$crate::support::AZURE, $crate::support::Version::new(15));
            }

            #[test]
            fn pg15_gcs() {
                check(&$crate::support::GCS, $crate::support::Version::new(15));
            }
        }
    )+};
}
pub(crate) use on_each_object_store;
