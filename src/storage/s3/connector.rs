//! Hands the requests of the SDK to the HTTP client that all stores share, so that CA certificates and verification mean the
//! same everywhere; and leads them to another host, where one is configured, under the name that the SDK signed. Bodies
//! are passed on, not copied.

use std::fmt;

use super::super::{
    Result,
    http::{Place, Reached},
    requests::Watched,
};
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;

/// The client as the SDK wants it.
#[derive(Clone)]
pub(super) struct Connector {
    client: reqwest::Client,
    /// What to connect to in place of what a request names.
    reached: Option<Reached>,
}

impl Connector {
    pub(super) fn new(client: reqwest::Client, reached: Option<&Place>) -> Result<Self> {
        Ok(Self { client, reached: reached.map(Reached::new).transpose()? })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpClient for Connector {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.clone();
        HttpConnectorFuture::new(async move {
            let other = |error| ConnectorError::other(error, None);
            let mut request = request.try_into_http1x().map_err(|error| other(error.into()))?;
            if let Some(reached) = &connector.reached {
                reached.lead(&mut request).map_err(|error| other(error.into()))?;
            }
            let request = request.map(|body| reqwest::Body::wrap(Watched::new(body)));
            let request =
                request.try_into().map_err(|error: reqwest::Error| other(error.into()))?;
            let response = connector.client.execute(request).await.map_err(broken)?;
            let response = http::Response::from(response).map(SdkBody::from_body_1_x);
            HttpResponse::try_from(response).map_err(|error| other(error.into()))
        })
    }
}

/// The address is left out: it says the bucket and the key, which the error of the storage names already.
fn broken(error: reqwest::Error) -> ConnectorError {
    let error = error.without_url();
    match error.is_timeout() {
        true => ConnectorError::timeout(error.into()),
        false => ConnectorError::io(error.into()),
    }
}
