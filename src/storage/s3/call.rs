//! A bucket of S3, and a request to it that is being made: its client, the keys that sign it, and the error of a refusal.

use std::sync::Arc;

use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::RequestPayer,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tokio::sync::OnceCell;

use super::{
    super::{Error, ErrorKind, Result},
    S3Options,
    address::Address,
    client,
    encoding::{CustomerKey, tagging},
    failure::Refusal,
    keys::Keys,
    learned::Learned,
    options::Encryption,
};

/// A bucket of S3.
#[derive(Debug)]
pub struct S3Api {
    pub(super) options: S3Options,
    pub(super) address: Address,
    pub(super) customer_key: Option<CustomerKey>,
    pub(super) tagging: Option<String>,
    keys: Arc<Keys>,
    client: OnceCell<Client>,
    pub(super) learned: Learned,
}

/// A request that is being made.
pub(super) struct Call<'a> {
    api: &'a S3Api,
    pub(super) client: &'a Client,
    operation: &'static str,
    pub(super) key: &'a str,
    /// Which keys it is signed with.
    keys: u64,
}

impl S3Api {
    /// A bucket. Checks the options; sends no request.
    pub fn new(options: S3Options) -> Result<Self> {
        let address = Address::of(&options)?;
        let customer_key = match &options.encryption {
            Encryption::Customer(key) => Some(CustomerKey::of(key)?),
            _ => None,
        };
        let tagging = tagging(&options.tags);
        let keys = Arc::new(Keys::new(options.keys.clone(), options.http.clone()));
        let learned = Learned::new(options.lock.is_some());
        Ok(Self { options, address, customer_key, tagging, keys, client: OnceCell::new(), learned })
    }

    /// Begins a request: there is a client, and there are keys.
    pub(super) async fn call<'a>(
        &'a self,
        operation: &'static str,
        key: &'a str,
    ) -> Result<Call<'a>> {
        let make = || async { client::make(&self.options, &self.address, self.keys.clone()) };
        let client = self.client.get_or_try_init(make).await?;
        let keys = self.keys.ready().await?;
        Ok(Call { api: self, client, operation, key, keys })
    }

    pub(super) fn payer(&self) -> Option<RequestPayer> {
        self.options.requester_pays.then_some(RequestPayer::Requester)
    }

    /// The bucket as a person would name it.
    pub(super) fn bucket_url(&self) -> String {
        format!("s3://{}", self.options.bucket)
    }

    pub(super) fn name(&self, key: &str) -> String {
        format!("{}/{key}", self.bucket_url())
    }
}

impl Call<'_> {
    pub(super) fn failed<E>(&self, error: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.error(&Refusal::of(&error))
    }

    /// Keys that were found expired are replaced, and the request is worth another try.
    pub(super) fn error(&self, refusal: &Refusal) -> Error {
        let name = self.api.name(self.key);
        if refusal.is_of_expired_keys() && self.api.keys.are_expired(self.keys) {
            return Error::new(ErrorKind::Transient, self.operation, name)
                .caused_by("the credentials have expired; fetching new ones");
        }
        let error = refusal.error(self.operation, name);
        if error.is_not_found() {
            self.api.learned.bucket_is_there();
        }
        error
    }
}
