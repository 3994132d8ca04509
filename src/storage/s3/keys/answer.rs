//! The formats of credentials: JSON of metadata services and programs, XML of STS.

use std::time::SystemTime;

use serde::Deserialize;

use super::{super::super::Result, Fetched, failure, fetched};

/// What metadata services and programs write.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Json {
    access_key_id: String,
    secret_access_key: String,
    #[serde(alias = "Token")]
    session_token: Option<String>,
    expiration: Option<String>,
}

/// Reads JSON. What it says is not repeated in an error: it may hold a key.
pub(super) fn from_json(source: &str, text: &str) -> Result<Fetched> {
    let json: Json = serde_json::from_str(text).map_err(|_| {
        failure(source).caused_by(
            "its output is not JSON with AccessKeyId, SecretAccessKey and optionally SessionToken \
             and Expiration",
        )
    })?;
    let expires = json.expiration.as_deref().map(|text| time(source, text)).transpose()?;
    Ok(fetched(&json.access_key_id, &json.secret_access_key, json.session_token, expires))
}

/// Parses the XML response of STS. Its four values contain no characters that XML escapes, and no other element has their
/// names.
pub(super) fn from_xml(source: &str, text: &str) -> Result<Fetched> {
    let missing = || failure(source).caused_by("its output contains no credentials");
    let key = element(text, "AccessKeyId").ok_or_else(missing)?;
    let secret = element(text, "SecretAccessKey").ok_or_else(missing)?;
    let token = element(text, "SessionToken").ok_or_else(missing)?;
    let expires = element(text, "Expiration").map(|text| time(source, text)).transpose()?;
    Ok(fetched(key, secret, Some(token.to_owned()), expires))
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once('<')?.0.trim())
}

fn time(source: &str, text: &str) -> Result<SystemTime> {
    let time = text.parse::<jiff::Timestamp>();
    let time =
        time.map_err(|_| failure(source).caused_by("it returned no valid expiration time"))?;
    Ok(time.into())
}

/// What an answer that is an error says: its code and message in XML or JSON, nothing of any other form.
pub(super) fn error_text(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let find = |xml: &str, names: [&str; 2]| {
        let of_json = |name: &str| Some(json.as_ref()?.get(name)?.as_str()?.to_owned());
        let of_xml = element(&text, xml).map(str::to_owned);
        of_xml.or_else(|| names.into_iter().find_map(of_json))
    };
    let said = [find("Code", ["code", "Code"]), find("Message", ["message", "Message"])];
    let said = said.iter().flatten().map(super::super::failure::cleaned);
    said.map(|part| format!(": {part}")).collect()
}
