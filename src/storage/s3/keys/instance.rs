//! Keys of the role of a virtual machine, from its metadata service. The second version of it is spoken, whose token
//! another host cannot be tricked into fetching; the first, without a token, where none is to be had: in containers
//! further from the service than its answers may go, and on stand-ins for the service that know no tokens.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};

use super::{
    super::super::{Error, ErrorKind, Result, http::HttpOptions},
    ASKED_HINT, Fetched, answer, ask, failure,
};

/// The service is on the same host: if it does not respond in this time, it does not exist.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A token that may not come so far is waited for in vain by every process.
const TOKEN_WITHIN: Duration = Duration::from_secs(2);

const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

pub(super) async fn fetch(address: &str, role: Option<&str>) -> Result<Fetched> {
    let client = HttpOptions { plain: true, ..HttpOptions::default() }.client()?;
    let mut service = Service { client, address, token: None };
    match service.fetch_token().await {
        Ok(token) => {
            service.token = Some(token);
            service.keys(role).await
        }
        Err(no_token) => {
            tracing::debug!("{no_token}; retrying without a token (IMDSv1)");
            service.keys(role).await.map_err(|error| both(address, &no_token, &error))
        }
    }
}

struct Service<'a> {
    client: Client,
    address: &'a str,
    token: Option<String>,
}

impl Service<'_> {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.address)).timeout(ANSWER_WITHIN)
    }

    async fn fetch_token(&self) -> Result<String> {
        let request = self.request(Method::PUT, "/latest/api/token").timeout(TOKEN_WITHIN);
        ask(self.address, request.header("X-aws-ec2-metadata-token-ttl-seconds", "300")).await
    }

    async fn get(&self, path: &str) -> Result<String> {
        let mut request = self.request(Method::GET, path);
        if let Some(token) = &self.token {
            request = request.header("X-aws-ec2-metadata-token", token);
        }
        ask(self.address, request).await
    }

    async fn keys(&self, role: Option<&str>) -> Result<Fetched> {
        let role = match role {
            Some(role) => role.to_owned(),
            None => self.role().await?,
        };
        answer::from_json(self.address, &self.get(&format!("{ROLES}{role}")).await?)
    }

    async fn role(&self) -> Result<String> {
        let roles = self.get(ROLES).await?;
        let first = roles.lines().next().unwrap_or_default().trim().to_owned();
        match first.is_empty() {
            true => Err(failure(self.address).caused_by("the host has no IAM role")),
            false => Ok(first),
        }
    }
}

/// A service that gives nothing without a token may give one the next time.
fn both(address: &str, no_token: &Error, error: &Error) -> Error {
    let cause = |error: &Error| std::error::Error::source(error).map(ToString::to_string);
    let causes = [cause(no_token), cause(error)].map(Option::unwrap_or_default);
    let kind = match no_token.kind() {
        ErrorKind::Transient => ErrorKind::Transient,
        _ => error.kind(),
    };
    Error::new(kind, "get keys from", address)
        .caused_by(causes.join("; without a token: "))
        .with_hint(ASKED_HINT)
}
