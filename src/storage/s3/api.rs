//! The requests, one method each.

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_sdk_s3::{
    operation::{
        get_object::builders::GetObjectFluentBuilder, put_object::builders::PutObjectFluentBuilder,
    },
    primitives::{ByteStream, DateTime},
    types::{self, CompletedMultipartUpload, CompletedPart, ServerSideEncryption, StorageClass},
};
use bytes::Bytes;
use futures_util::stream;

use super::{
    super::{
        Error, ErrorKind, Result,
        bucket::{
            Body, BucketApi, CreateOnly, Found, PART_SIZE, Page, Traits, UnfinishedPage,
            UploadMarker, WHOLE_MAX,
        },
    },
    call::{Call, S3Api},
    encoding::{CustomerKey, content_md5},
    failure::Refusal,
    learned::Manner,
    listing,
    options::Encryption,
};
use crate::types::ObjectLockMode;

/// Objects that one request may delete.
const DELETE_MAX: usize = 1000;
/// No object is larger, and servers that count with a sign take no larger number.
const OFFSET_MAX: u64 = i64::MAX as u64 - 1;

/// Adds to a request what every request for an object has: who pays, and the key it is encrypted with.
macro_rules! for_object {
    ($api:expr, $key:expr, $request:expr) => {{
        let request = $request.bucket(&$api.options.bucket).key($key);
        let request = request.set_request_payer($api.payer());
        let customer = $api.customer_key.as_ref();
        request
            .set_sse_customer_algorithm(customer.map(|_| "AES256".to_owned()))
            .set_sse_customer_key(customer.map(CustomerKey::base64))
            .set_sse_customer_key_md5(customer.map(CustomerKey::md5))
    }};
}

/// Adds to a request that makes an object what the object is to be like.
macro_rules! as_configured {
    ($api:expr, $request:expr) => {{
        let (encryption, kms_key) = $api.encryption();
        let lock = $api.lock();
        $request
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .set_storage_class($api.options.storage_class.as_deref().map(StorageClass::from))
            .set_tagging($api.tagging.clone())
            .set_object_lock_mode(lock.as_ref().map(|(mode, _)| mode.clone()))
            .set_object_lock_retain_until_date(lock.map(|(_, until)| until))
    }};
}

impl S3Api {
    fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.options.encryption {
            Encryption::Default | Encryption::Customer(_) => (None, None),
            Encryption::Aes256 => (Some(ServerSideEncryption::Aes256), None),
            Encryption::Kms(key) => (Some(ServerSideEncryption::AwsKms), Some(key.clone())),
        }
    }

    fn lock(&self) -> Option<(types::ObjectLockMode, DateTime)> {
        let lock = self.options.lock?;
        let mode = match lock.mode {
            ObjectLockMode::Governance => types::ObjectLockMode::Governance,
            ObjectLockMode::Compliance => types::ObjectLockMode::Compliance,
        };
        let until = SystemTime::now() + Duration::from_secs(u64::from(lock.days) * 86_400);
        Some((mode, until.into()))
    }

    /// Whether a request is to be made in another manner than this one.
    fn learns(&self, refusal: &Refusal, manner: Manner) -> bool {
        self.learned.learns(refusal, manner, &self.bucket_url())
    }

    /// `AlreadyExists` unless there is proof that the key is free.
    async fn must_be_free(&self, key: &str) -> Result<()> {
        match self.head(key).await {
            Ok(_) => Err(Error::new(ErrorKind::AlreadyExists, "write", self.name(key))),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn get_request(&self, call: &Call<'_>) -> GetObjectFluentBuilder {
        for_object!(self, call.key, call.client.get_object())
    }

    fn put_request(&self, call: &Call<'_>, manner: Manner, data: Bytes) -> PutObjectFluentBuilder {
        let request = for_object!(self, call.key, call.client.put_object());
        as_configured!(self, request)
            .set_if_none_match(manner.condition.then(|| "*".to_owned()))
            .set_content_md5(manner.digest.then(|| content_md5(&data)))
            .body(ByteStream::from(data))
    }

    /// Reads the first byte in place of a look, whose refusals have no text to tell what is missing or wrong.
    async fn look_by_reading(&self, key: &str) -> Result<Found> {
        let call = self.call("look at", key).await?;
        match self.get_request(&call).range("bytes=0-0").send().await {
            Ok(output) => {
                self.learned.bucket_is_there();
                let size = output.content_range().and_then(size_of_range);
                let size = size.or(output.content_length().map(|length| length.max(0) as u64));
                let modified = output.last_modified().map(DateTime::secs);
                Ok(Found { key: key.to_owned(), size: size.unwrap_or_default(), modified })
            }
            Err(error) => {
                let refusal = Refusal::of(&error);
                match refusal.status {
                    Some(416) => Ok(Found { key: key.to_owned(), size: 0, modified: None }),
                    _ => Err(call.error(&refusal)),
                }
            }
        }
    }
}

fn size_of_range(range: &str) -> Option<u64> {
    range.rsplit_once('/')?.1.parse().ok()
}

/// The bytes of a body as they come; one that breaks off is worth another try.
fn body(name: String, size: u64, bytes: ByteStream) -> Body {
    let chunks = stream::try_unfold((bytes, name), |(mut bytes, name)| async move {
        match bytes.next().await {
            None => Ok(None),
            Some(Ok(chunk)) => Ok(Some((chunk, (bytes, name)))),
            Some(Err(error)) => Err(Error::new(ErrorKind::Transient, "read", name)
                .caused_by(super::super::http::reason(&error))),
        }
    });
    Body { size, bytes: Box::pin(chunks) }
}

#[async_trait]
impl BucketApi for S3Api {
    fn location(&self) -> String {
        self.bucket_url()
    }

    fn traits(&self) -> Traits {
        // Servers that keep the condition on a put do not all keep it when parts are completed.
        let (put, complete) = match self.address.amazon {
            true => (CreateOnly::Kept, CreateOnly::Kept),
            false => (CreateOnly::Unknown, CreateOnly::NotKept),
        };
        let configured = self.options.part_size;
        Traits {
            put,
            complete,
            whole_max: configured.unwrap_or(WHOLE_MAX),
            part_size: configured.unwrap_or(PART_SIZE),
            delete_max: DELETE_MAX,
        }
    }

    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        loop {
            let manner = self.learned.manner();
            if !manner.condition {
                self.must_be_free(key).await?;
            }
            let call = self.call("write", key).await?;
            let sent = self.put_request(&call, manner, data.clone()).send().await;
            let Err(error) = sent else {
                self.learned.bucket_is_there();
                return Ok(());
            };
            let refusal = Refusal::of(&error);
            if !self.learns(&refusal, manner) {
                return Err(call.error(&refusal));
            }
        }
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Body> {
        let call = self.call("read", key).await?;
        let mut request = self.get_request(&call);
        if let Some(range) = &range {
            let last = range.end.saturating_sub(1).min(OFFSET_MAX);
            request = request.range(format!("bytes={}-{last}", range.start));
        }
        let output = request.send().await.map_err(|error| call.failed(error))?;
        self.learned.bucket_is_there();
        let size = match (&range, output.content_range()) {
            (None, _) => output.content_length().and_then(|length| u64::try_from(length).ok()),
            (Some(_), Some(range)) => size_of_range(range),
            (Some(_), None) => None,
        };
        let unsized_body = || {
            Error::new(ErrorKind::Other, "read", self.name(key)).caused_by(match range {
                None => "the store does not return its size",
                Some(_) => "the store does not support range reads",
            })
        };
        let size = size.ok_or_else(unsized_body)?;
        Ok(body(self.name(key), size, output.body))
    }

    async fn head(&self, key: &str) -> Result<Found> {
        let call = self.call("look at", key).await?;
        let request = for_object!(self, key, call.client.head_object());
        match request.send().await {
            Ok(output) => {
                self.learned.bucket_is_there();
                let size = output.content_length().unwrap_or_default().max(0) as u64;
                let modified = output.last_modified().map(DateTime::secs);
                Ok(Found { key: key.to_owned(), size, modified })
            }
            Err(error) => {
                let refusal = Refusal::of(&error);
                let proven = refusal.of_s3 && self.learned.bucket_is_seen();
                match refusal.status {
                    Some(404) if proven => {
                        Err(Error::new(ErrorKind::NotFound, "look at", self.name(key)))
                    }
                    Some(300..=499) => self.look_by_reading(key).await,
                    _ => Err(call.error(&refusal)),
                }
            }
        }
    }

    async fn list(&self, prefix: &str, delimited: bool, page: Option<String>) -> Result<Page> {
        listing::page(self, prefix, delimited, page).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        listing::delete(self, keys).await
    }

    async fn begin_parts(&self, key: &str) -> Result<String> {
        let call = self.call("write", key).await?;
        let request = for_object!(self, key, call.client.create_multipart_upload());
        let sent = as_configured!(self, request).send().await;
        let output = sent.map_err(|error| call.failed(error))?;
        self.learned.bucket_is_there();
        output.upload_id.ok_or_else(|| {
            Error::new(ErrorKind::Other, "write", self.name(key))
                .caused_by("the store returned no upload ID")
        })
    }

    async fn put_part(&self, key: &str, upload: &str, number: u32, data: Bytes) -> Result<String> {
        loop {
            let manner = Manner { condition: false, ..self.learned.manner() };
            let call = self.call("write", key).await?;
            let request = for_object!(self, key, call.client.upload_part())
                .upload_id(upload)
                .part_number(number as i32)
                .set_content_md5(manner.digest.then(|| content_md5(&data)))
                .body(ByteStream::from(data.clone()));
            match request.send().await {
                Ok(output) => {
                    return output.e_tag.ok_or_else(|| {
                        Error::new(ErrorKind::Other, "write", self.name(key))
                            .caused_by(format!("the store returned no ETag for part {number}"))
                    });
                }
                Err(error) => {
                    let refusal = Refusal::of(&error);
                    if !self.learns(&refusal, manner) {
                        return Err(call.error(&refusal));
                    }
                }
            }
        }
    }

    async fn complete_parts(&self, key: &str, upload: &str, parts: &[String]) -> Result<()> {
        let parts = parts
            .iter()
            .zip(1..)
            .map(|(name, number)| CompletedPart::builder().e_tag(name).part_number(number).build());
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        loop {
            // There is nothing in it to be digested.
            let manner = Manner { digest: true, ..self.learned.manner() };
            if !manner.condition {
                self.must_be_free(key).await?;
            }
            let call = self.call("write", key).await?;
            let request = for_object!(self, key, call.client.complete_multipart_upload())
                .set_if_none_match(manner.condition.then(|| "*".to_owned()))
                .upload_id(upload)
                .multipart_upload(parts.clone());
            let Err(error) = request.send().await else { return Ok(()) };
            let refusal = Refusal::of(&error);
            if !self.learns(&refusal, manner) {
                return Err(call.error(&refusal));
            }
        }
    }

    async fn abort_parts(&self, key: &str, upload: &str) -> Result<()> {
        let call = self.call("delete", key).await?;
        let request = call.client.abort_multipart_upload().bucket(&self.options.bucket).key(key);
        let sent = request.upload_id(upload).set_request_payer(self.payer()).send().await;
        let Err(error) = sent else { return Ok(()) };
        let refusal = Refusal::of(&error);
        match refusal.is("NoSuchUpload") {
            true => Ok(()),
            false => Err(call.error(&refusal)),
        }
    }

    async fn unfinished(
        &self,
        prefix: &str,
        after: Option<UploadMarker>,
    ) -> Result<UnfinishedPage> {
        listing::unfinished(self, prefix, after).await
    }
}

#[cfg(test)]
mod tests;
