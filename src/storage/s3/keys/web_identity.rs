//! Keys of a role in exchange for a web identity token, such as that of a Kubernetes service account.

use std::path::Path;

use super::{
    super::super::{Result, http::HttpOptions},
    Fetched, answer, ask,
    container::read_token,
    failure,
};

pub(super) async fn fetch(
    http: &HttpOptions,
    address: &str,
    role: &str,
    token_file: &Path,
) -> Result<Fetched> {
    let plain = address.starts_with("http://");
    // verify-tls=n concerns the store only: the token is never sent over an unverified connection.
    let client = HttpOptions { plain, verify_tls: true, ..http.clone() }.client()?;
    let token = read_token(token_file)?;
    let form = form(address, role, token.reveal())?;
    let request =
        client.post(address).header("Content-Type", "application/x-www-form-urlencoded").body(form);
    answer::from_xml(address, &ask(address, request).await?)
}

/// The request is not signed: the token is the proof.
fn form(address: &str, role: &str, token: &str) -> Result<String> {
    let session = format!("pgstrata-{}", std::process::id());
    let fields = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", &session),
        ("WebIdentityToken", token),
    ];
    let mut address: reqwest::Url =
        address.parse().map_err(|_| failure(address).caused_by("it is not a valid URL"))?;
    address.query_pairs_mut().clear().extend_pairs(fields);
    Ok(address.query().unwrap_or_default().to_owned())
}
