//! Requests over many keys: pages of them, deletes, uploads that were not ended.

use aws_sdk_s3::{
    config::http::HttpRequest,
    primitives::DateTime,
    types::{Delete, MultipartUpload, Object, ObjectIdentifier},
};

use super::{
    super::{
        Error, ErrorKind, Result,
        bucket::{BucketApi as _, Found, Page, Unfinished, UnfinishedPage, UploadMarker},
    },
    api::S3Api,
    encoding::content_md5,
    failure::{Refusal, cleaned},
};

pub(super) async fn page(
    api: &S3Api,
    prefix: &str,
    delimited: bool,
    page: Option<String>,
) -> Result<Page> {
    let call = api.call("list", prefix).await?;
    let request = call.client.list_objects_v2().bucket(&api.options.bucket).prefix(prefix);
    let sent = request
        .set_delimiter(delimited.then(|| "/".to_owned()))
        .set_continuation_token(page)
        .set_request_payer(api.payer())
        .send()
        .await;
    let output = sent.map_err(|error| call.failed(error))?;
    api.learned.bucket_is_there();
    if output.is_truncated() == Some(true) && output.next_continuation_token().is_none() {
        return Err(Error::new(ErrorKind::Other, "list", api.name(prefix))
            .caused_by("the store says that there is more, and not how to get it"));
    }
    let next = output.next_continuation_token.filter(|_| output.is_truncated == Some(true));
    let common = output.common_prefixes.unwrap_or_default();
    Ok(Page {
        objects: output.contents.unwrap_or_default().into_iter().filter_map(found).collect(),
        prefixes: common.into_iter().filter_map(|common| common.prefix).collect(),
        next,
    })
}

fn found(object: Object) -> Option<Found> {
    Some(Found {
        modified: object.last_modified().map(DateTime::secs),
        size: object.size.unwrap_or_default().max(0) as u64,
        key: object.key?,
    })
}

/// Deletes in one request. The store answers for each key; the first key that stays is the error.
pub(super) async fn delete(api: &S3Api, keys: &[String]) -> Result<()> {
    let Some(first) = keys.first() else { return Ok(()) };
    let call = api.call("delete", first).await?;
    let identified = |key: &String| ObjectIdentifier::builder().key(key).build();
    let objects: std::result::Result<Vec<_>, _> = keys.iter().map(identified).collect();
    let delete =
        objects.and_then(|all| Delete::builder().set_objects(Some(all)).quiet(true).build());
    let delete = delete.map_err(|error| {
        Error::new(ErrorKind::Other, "delete", api.name(first)).caused_by(error)
    })?;
    let request = call.client.delete_objects().bucket(&api.options.bucket).delete(delete);
    let request = request.set_request_payer(api.payer()).customize().mutate_request(add_digest);
    let output = request.send().await.map_err(|error| call.failed(error))?;
    for error in output.errors() {
        let refusal = Refusal {
            // The answer as a whole was a success; the code says what became of this key.
            status: Some(if error.code() == Some("AccessDenied") { 403 } else { 500 }),
            code: error.code().map(cleaned),
            message: cleaned(error.message().unwrap_or_default()),
            ..Refusal::default()
        };
        if !refusal.is("NoSuchKey") {
            return Err(refusal.error("delete", api.name(error.key().unwrap_or(first))));
        }
    }
    Ok(())
}

/// Servers of the protocol that do not know the newer checksums want this one.
fn add_digest(request: &mut HttpRequest) {
    if let Some(digest) = request.body().bytes().map(content_md5) {
        request.headers_mut().insert("content-md5", digest);
    }
}

pub(super) async fn unfinished(
    api: &S3Api,
    prefix: &str,
    after: Option<UploadMarker>,
) -> Result<UnfinishedPage> {
    let call = api.call("list", prefix).await?;
    let request = call.client.list_multipart_uploads().bucket(&api.options.bucket);
    let request = request.prefix(prefix).set_request_payer(api.payer());
    let (key, upload) = after.map(|after| (after.key, after.upload)).unzip();
    let request = request.set_key_marker(key).set_upload_id_marker(upload.flatten());
    let output = match request.send().await {
        Ok(output) => output,
        Err(error) => {
            let refusal = Refusal::of(&error);
            if !refusal.is_of_the_listing_of_uploads() {
                return Err(call.error(&refusal));
            }
            api.learned.lists_no_uploads(&refusal, &api.location());
            return Ok(UnfinishedPage::default());
        }
    };
    let uploads = output.uploads.unwrap_or_default();
    let uploads = uploads.into_iter().filter_map(begun).filter(|it| it.key.starts_with(prefix));
    let marker = |key| UploadMarker { key, upload: output.next_upload_id_marker };
    let next = output.next_key_marker.filter(|_| output.is_truncated == Some(true)).map(marker);
    Ok(UnfinishedPage { uploads: uploads.collect(), next })
}

fn begun(upload: MultipartUpload) -> Option<Unfinished> {
    let begun = upload.initiated().map(DateTime::secs)?;
    Some(Unfinished { key: upload.key?, upload: upload.upload_id?, begun })
}
