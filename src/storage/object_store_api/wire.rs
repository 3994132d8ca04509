//! The way of a request to the store. Here an answer is seen whole (its status, its code, the time it asks to wait), which
//! the crate's errors do not tell; and requests get what the crate does not know: another host to connect to, the project
//! that pays, and that a completed upload must not replace an object.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use object_store::{
    ClientOptions, HeaderValue,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpResponseBody, HttpService, ReqwestConnector,
    },
};

use super::{
    super::Result,
    answer,
    batch::Asked,
    connection::{ConnectionOptions, Endpoint},
};

/// Bytes read of an answer that tells of a failure.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// How requests reach the store.
#[derive(Debug)]
pub(in crate::storage) struct Route {
    pub(in crate::storage) endpoint: Endpoint,
    /// The project that pays (`x-goog-user-project`).
    pub(in crate::storage) user_project: Option<HeaderValue>,
    /// Whether the completion of an upload may be told to create only. Where requests are signed with the account's key,
    /// the crate has signed it already.
    pub(in crate::storage) completes_create_only: bool,
}

impl Route {
    fn prepare(&self, request: &mut HttpRequest) -> Heard<()> {
        if let Some(project) = &self.user_project {
            request.headers_mut().insert("x-goog-user-project", project.clone());
        }
        let query = request.uri().query().unwrap_or_default();
        if self.completes_create_only && query.split('&').any(|pair| pair == "comp=blocklist") {
            request.headers_mut().insert("if-none-match", HeaderValue::from_static("*"));
        }
        if self.endpoint.reached_as != self.endpoint.authority {
            let named = self.endpoint.authority.parse().map_err(impossible)?;
            request.headers_mut().insert("host", named);
            let rest = request.uri().path_and_query().map_or("/", |rest| rest.as_str());
            let uri = format!("{}://{}{rest}", self.endpoint.scheme(), self.endpoint.reached_as);
            *request.uri_mut() = uri.parse().map_err(impossible)?;
        }
        Ok(())
    }

    /// Whether a request is for the store, and not for one that gives out tokens.
    fn leads(&self, request: &HttpRequest) -> bool {
        let uri = request.uri();
        uri.host().is_some_and(|host| self.endpoint.is(host, uri.port_u16()))
    }
}

/// What a request comes to here.
type Heard<T> = std::result::Result<T, HttpError>;

fn impossible(error: impl std::error::Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, error)
}

/// Makes the crate's requests go this way.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Connector {
    route: Arc<Route>,
    store: HttpClient,
}

impl Connector {
    /// `options`: of the connections to the store. No connection is made.
    pub(in crate::storage) fn new(route: Route, options: &ConnectionOptions) -> Result<Self> {
        let store = HttpClient::new(options.client(&route.endpoint)?);
        Ok(Self { route: Arc::new(route), store })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Wire {
            connector: self.clone(),
            options: options.clone(),
            elsewhere: OnceLock::new(),
        }))
    }
}

struct Wire {
    connector: Connector,
    options: ClientOptions,
    /// The client of token services. Made when it is needed: the authorities and the leniency that are configured for
    /// the store are not for them.
    elsewhere: OnceLock<HttpClient>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("route", &self.connector.route).finish_non_exhaustive()
    }
}

impl Wire {
    fn elsewhere(&self) -> Heard<&HttpClient> {
        if let Some(client) = self.elsewhere.get() {
            return Ok(client);
        }
        let client = ReqwestConnector::default().connect(&self.options).map_err(impossible)?;
        Ok(self.elsewhere.get_or_init(|| client))
    }

    async fn send(&self, mut request: HttpRequest) -> Heard<HttpResponse> {
        let route = &self.connector.route;
        match route.leads(&request) {
            true => {
                route.prepare(&mut request)?;
                self.connector.store.execute(request).await
            }
            false => self.elsewhere()?.execute(request).await,
        }
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Heard<HttpResponse> {
        let asked = Asked::by(&request);
        match self.send(request).await {
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
                answer::refused(parts.status.as_u16(), &parts.headers, &body);
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
