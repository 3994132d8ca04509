//! The client of the SDK: one for a storage, made at its first request.

use std::{collections::HashMap, sync::Arc};

use aws_sdk_s3::{
    Client, Config,
    config::{
        BehaviorVersion, IdentityCache, Region, RequestChecksumCalculation,
        ResponseChecksumValidation, StalledStreamProtectionConfig,
        endpoint::{Endpoint, EndpointFuture, Params, ResolveEndpoint},
        retry::RetryConfig,
        timeout::TimeoutConfig,
    },
};
use aws_smithy_types::Document;

use super::{
    super::{Result, http::HttpOptions},
    S3Options,
    address::Address,
    connector::Connector,
    keys::{Keys, Provider},
};

/// Makes the client. Whatever the SDK would repeat, bound or look up by itself is turned off.
pub(super) fn make(options: &S3Options, address: &Address, keys: Arc<Keys>) -> Result<Client> {
    let http = HttpOptions { plain: address.plain, ..options.http.clone() };
    let connector = Connector::new(http.client()?, address.reached.as_ref())?;
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(connector)
        .region(Region::new(options.region.clone()))
        .endpoint_resolver(OneBucket::new(options, address))
        .credentials_provider(Provider(keys))
        // The keys are held, and replaced in time, by `Keys`.
        .identity_cache(IdentityCache::no_cache())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .disable_s3_express_session_auth(true)
        .build();
    Ok(Client::from_conf(config))
}

/// The same place for every request: what the SDK would work out of region and bucket is configured.
#[derive(Debug)]
struct OneBucket(Endpoint);

impl OneBucket {
    fn new(options: &S3Options, address: &Address) -> Self {
        let scheme: HashMap<String, Document> = [
            ("name", "sigv4"),
            ("signingName", &options.service),
            ("signingRegion", &options.region),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned().into()))
        .into();
        let schemes: Vec<Document> = vec![scheme.into()];
        Self(Endpoint::builder().url(address.base.clone()).property("authSchemes", schemes).build())
    }
}

impl ResolveEndpoint for OneBucket {
    fn resolve_endpoint<'a>(&'a self, _params: &'a Params) -> EndpointFuture<'a> {
        EndpointFuture::ready(Ok(self.0.clone()))
    }
}
