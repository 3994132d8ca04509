//! Keys of the role of a virtual machine, from its metadata service. Only the second version of it is spoken, whose
//! token another host cannot be tricked into fetching.

use std::time::Duration;

use reqwest::Method;

use super::{
    super::super::{Result, http::HttpOptions},
    Fetched, answer, ask, failure,
};

/// The service is on the same host: whoever waits longer waits for nobody.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

pub(super) async fn fetch(address: &str, role: Option<&str>) -> Result<Fetched> {
    let client = HttpOptions { plain: true, ..HttpOptions::default() }.client()?;
    let request = |method: Method, path: &str| {
        client.request(method, format!("{address}{path}")).timeout(ANSWER_WITHIN)
    };
    let token = request(Method::PUT, "/latest/api/token")
        .header("X-aws-ec2-metadata-token-ttl-seconds", "300");
    let token = ask(address, token).await?;
    let get = |path: &str| {
        let request = request(Method::GET, path).header("X-aws-ec2-metadata-token", &*token);
        ask(address, request)
    };
    let role = match role {
        Some(role) => role.to_owned(),
        None => {
            let roles = get(ROLES).await?;
            let first = roles.lines().next().unwrap_or_default().trim().to_owned();
            if first.is_empty() {
                return Err(failure(address).caused_by("the host has no role"));
            }
            first
        }
    };
    answer::from_json(address, &get(&format!("{ROLES}{role}")).await?)
}
