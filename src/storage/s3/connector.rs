//! Hands the requests of the SDK to the HTTP client that all stores share, so that authorities, verification and the
//! host to connect to mean the same everywhere. Bodies are passed on, not copied.

use std::{error::Error as _, fmt};

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;

use super::super::http::reason;

/// The client as the SDK wants it.
#[derive(Clone)]
pub(super) struct Connector(pub(super) reqwest::Client);

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
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let other = |error| ConnectorError::other(error, None);
            let request = request.try_into_http1x().map_err(|error| other(error.into()))?;
            let request = request.map(reqwest::Body::wrap);
            let request =
                request.try_into().map_err(|error: reqwest::Error| other(error.into()))?;
            let response = client.execute(request).await.map_err(broken)?;
            let response = http::Response::from(response).map(SdkBody::from_body_1_x);
            HttpResponse::try_from(response).map_err(|error| other(error.into()))
        })
    }
}

/// The address is left out: it says the bucket and the key, which the error of the storage names already.
fn broken(error: reqwest::Error) -> ConnectorError {
    let error = error.without_url();
    let why = error.source().map_or_else(|| error.to_string(), reason);
    match error.is_timeout() {
        true => ConnectorError::timeout(why.into()),
        false => ConnectorError::io(why.into()),
    }
}
