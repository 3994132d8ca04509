//! The way of a request to the store. Here an answer is seen whole (its status, its code, the time it asks to wait), which
//! the crate's errors do not tell; requests go out by the HTTP client that all stores share; and they get what the crate
//! does not know: another host to connect to, the project that pays, further changes of a store ([`Amend`]).

use std::{
    fmt::Debug,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use object_store::{
    ClientOptions, HeaderValue,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpResponseBody, HttpService,
    },
};
use reqwest::Client;

use super::{
    super::{
        self as storage,
        http::{HttpOptions, Reached},
        requests::Watched,
    },
    answer,
    batch::Asked,
    connection::Endpoint,
};

/// Bytes read of an answer that tells of a failure.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// How requests reach the store.
#[derive(Debug)]
pub(in crate::storage) struct Route {
    pub(in crate::storage) endpoint: Endpoint,
    /// The project that pays (`x-goog-user-project`).
    pub(in crate::storage) user_project: Option<HeaderValue>,
    /// Further changes that the store needs.
    pub(in crate::storage) amend: Option<Box<dyn Amend>>,
}

/// Changes requests that the crate has made.
pub(in crate::storage) trait Amend: Debug + Send + Sync {
    /// Changes one, or leaves it as it is.
    fn amend(&self, request: &mut HttpRequest) -> Result<(), HttpError>;
}

/// Makes the crate's requests go this way.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Connector(Arc<Wire>);

#[derive(Debug)]
struct Wire {
    route: Route,
    reached: Option<Reached>,
    /// Of the connections to the store.
    options: HttpOptions,
    /// Made at the first request: many commands make none, and CA certificates take time to read.
    store: OnceLock<Client>,
    /// The client of token endpoints: CA certificates and `verify-tls` that are configured for the store are not for
    /// them.
    others: OnceLock<Client>,
}

impl Connector {
    /// `options`: of the connections to the store. No connection is made.
    pub(in crate::storage) fn new(route: Route, options: &HttpOptions) -> storage::Result<Self> {
        let options = HttpOptions { plain: route.endpoint.is_plain(), ..options.clone() };
        let reached = route.endpoint.reached.as_ref().map(Reached::new).transpose()?;
        let (store, others) = (OnceLock::new(), OnceLock::new());
        Ok(Self(Arc::new(Wire { route, reached, options, store, others })))
    }
}

impl HttpConnector for Connector {
    /// What the crate would configure a client with is not used.
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl Wire {
    /// Whether a request is for the store, and not for a service that gives out tokens.
    fn leads(&self, request: &HttpRequest) -> bool {
        let uri = request.uri();
        uri.host().is_some_and(|host| self.route.endpoint.is(host, uri.port_u16()))
    }

    fn client(&self, of_store: bool) -> storage::Result<&Client> {
        let (made, options) = match of_store {
            true => (&self.store, &self.options),
            false => (&self.others, &HttpOptions::default()),
        };
        match made.get() {
            Some(client) => Ok(client),
            None => {
                let client = options.client()?;
                Ok(made.get_or_init(|| client))
            }
        }
    }

    fn prepare(&self, request: &mut HttpRequest) -> Result<(), HttpError> {
        if let Some(project) = &self.route.user_project {
            request.headers_mut().insert("x-goog-user-project", project.clone());
        }
        if let Some(amend) = &self.route.amend {
            amend.amend(request)?;
        }
        match &self.reached {
            Some(reached) => {
                reached.lead(request).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))
            }
            None => Ok(()),
        }
    }
}

/// The body goes out as it was given, watched; what comes back is passed on.
async fn send(client: &Client, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let request = request.map(|body| reqwest::Body::wrap(Watched::new(body)));
    let response = client.execute(request.try_into().map_err(broken)?).await.map_err(broken)?;
    let response: http::Response<reqwest::Body> = response.into();
    Ok(response.map(|body| HttpResponseBody::new(body.map_err(broken))))
}

/// The address is left out: it may hold a signature.
fn broken(error: reqwest::Error) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, error.without_url())
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let wire = &self.0;
        let of_store = wire.leads(&request);
        let client = wire.client(of_store).map_err(answer::not_sent)?;
        if of_store {
            wire.prepare(&mut request)?;
        }
        let asked = Asked::by(&request);
        match send(client, request).await {
            Ok(response) if response.status().is_success() => {
                answer::accepted();
                match asked {
                    Some(asked) => asked.checked(response).await.inspect_err(answer::no_answer),
                    None => Ok(response),
                }
            }
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let body = start_of(body).await;
                answer::refused(of_store, parts.status.as_u16(), &parts.headers, &body);
                Ok(HttpResponse::from_parts(parts, body.into()))
            }
            Err(error) => {
                answer::no_answer(&error);
                Err(error)
            }
        }
    }
}

/// What comes of a body, up to a bound. The status says enough if it breaks off.
async fn start_of(body: HttpResponseBody) -> Bytes {
    let mut start = BytesMut::new();
    let mut chunks = body.bytes_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        let room = REFUSAL_BYTES_MAX - start.len();
        start.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() >= room {
            break;
        }
    }
    start.freeze()
}
