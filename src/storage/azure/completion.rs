//! What completes an upload on Azure. The crate neither gives it a condition nor tags; they are added here, and where the
//! account's key signs requests it is signed once more, with them.

use std::fmt;

use object_store::{
    HeaderValue,
    azure::{AzureAccessKey, AzureAuthorizer, AzureCredential},
    client::{HttpError, HttpErrorKind, HttpRequest},
};

use crate::storage::object_store_api::Amend;

/// What is added.
pub(super) struct Completion {
    tags: Option<HeaderValue>,
    signer: Option<Signer>,
}

struct Signer {
    account: String,
    key: AzureCredential,
}

/// The key is not shown.
impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("tags", &self.tags).finish_non_exhaustive()
    }
}

impl Completion {
    /// `tags`: encoded, or empty.
    pub(super) fn new(tags: &str) -> Self {
        // They are encoded, so they fit a header.
        let tags = HeaderValue::from_str(tags).ok().filter(|tags| !tags.is_empty());
        Self { tags, signer: None }
    }

    /// Signed with an account's key.
    pub(super) fn signed(self, account: &str, key: AzureAccessKey) -> Self {
        let key = AzureCredential::AccessKey(key);
        Self { signer: Some(Signer { account: account.to_owned(), key }), ..self }
    }
}

impl Amend for Completion {
    /// Makes a request that completes an upload create only, with the tags. Others stay as they are.
    fn amend(&self, request: &mut HttpRequest) -> Result<(), HttpError> {
        let query = request.uri().query().unwrap_or_default();
        if !query.split('&').any(|pair| pair == "comp=blocklist") {
            return Ok(());
        }
        let headers = request.headers_mut();
        headers.insert("if-none-match", HeaderValue::from_static("*"));
        if let Some(tags) = &self.tags {
            headers.insert("x-ms-tags", tags.clone());
        }
        let Some(Signer { account, key }) = &self.signer else { return Ok(()) };
        headers.remove("authorization");
        AzureAuthorizer::new(key, account)
            .try_authorize(request)
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(query: &str) -> HttpRequest {
        let mut request = HttpRequest::new(bytes::Bytes::new().into());
        *request.uri_mut() = format!("https://acc.example/pg/x?{query}").parse().unwrap();
        request.headers_mut().insert("authorization", HeaderValue::from_static("before"));
        request
    }

    fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
        request.headers().get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn only_what_completes_an_upload_is_changed() {
        let key = AzureAccessKey::try_new("a2V5").unwrap();
        let completion = Completion::new("team=db").signed("acc", key);
        let mut part = request("comp=block&blockid=1");
        completion.amend(&mut part).unwrap();
        assert_eq!(part.headers().len(), 1);
        let mut whole = request("comp=blocklist");
        completion.amend(&mut whole).unwrap();
        assert_eq!(header(&whole, "if-none-match"), Some("*"));
        assert_eq!(header(&whole, "x-ms-tags"), Some("team=db"));
        let signed: Vec<_> = whole.headers().get_all("authorization").iter().collect();
        assert!(
            signed.len() == 1
                && header(&whole, "authorization").unwrap().starts_with("SharedKey acc:")
        );
        assert!(!format!("{completion:?}").contains("a2V5"));
    }

    #[test]
    fn a_signature_in_the_address_or_a_token_stays() {
        let mut whole = request("comp=blocklist&sig=x");
        Completion::new("").amend(&mut whole).unwrap();
        assert_eq!(header(&whole, "authorization"), Some("before"));
        assert_eq!(header(&whole, "if-none-match"), Some("*"));
        assert_eq!(header(&whole, "x-ms-tags"), None);
    }
}
