//! Requests over many keys: pages of them, deletes, uploads that were not ended.

use aws_sdk_s3::{
    config::http::HttpRequest,
    primitives::DateTime,
    types::{Delete, MultipartUpload, Object, ObjectIdentifier},
};
use futures_util::future::join_all;

use super::{
    super::{
        Error, ErrorKind, Result,
        bucket::{Found, Page, Unfinished, UnfinishedPage, UploadMarker},
    },
    call::S3Api,
    encoding::content_md5,
    failure::{Refusal, cleaned},
    learned::Deleting,
};

pub(super) async fn page(
    api: &S3Api,
    prefix: &str,
    delimited: bool,
    page: Option<String>,
) -> Result<Page> {
    // A listing continues as it began: a token of one version means nothing to the other.
    match &page {
        Some(page) => {
            if let Some(after) = page.strip_prefix(OLD_PAGE) {
                return old_page(api, prefix, delimited, Some(after.to_owned())).await;
            }
        }
        None if api.learned.lists_as_of_old() => {
            return old_page(api, prefix, delimited, None).await;
        }
        None => {}
    }
    let call = api.call("list", prefix).await?;
    let request = call.client.list_objects_v2().bucket(&api.options.bucket).prefix(prefix);
    let sent = request
        .set_delimiter(delimited.then(|| "/".to_owned()))
        .set_continuation_token(page.clone())
        .set_request_payer(api.payer())
        .send()
        .await;
    let output = sent.map_err(|error| call.failed(error))?;
    api.learned.bucket_is_there();
    if output.is_truncated() == Some(true) && output.next_continuation_token().is_none() {
        // A server that only knows the first version answers in its form. With a token of the second one it
        // would begin again.
        if page.is_none() {
            api.learned.list_as_of_old(&api.bucket_url());
            return old_page(api, prefix, delimited, None).await;
        }
        return Err(Error::new(ErrorKind::Other, "list", api.name(prefix)).caused_by(NO_NEXT_PAGE));
    }
    let next = output.next_continuation_token.filter(|_| output.is_truncated == Some(true));
    let common = output.common_prefixes.unwrap_or_default();
    Ok(Page {
        objects: output.contents.unwrap_or_default().into_iter().filter_map(found).collect(),
        prefixes: common.into_iter().filter_map(|common| common.prefix).collect(),
        next,
    })
}

/// Stands before a marker of the first version of the listing.
const OLD_PAGE: char = '\u{1}';
const NO_NEXT_PAGE: &str = "the store returned a truncated listing without a continuation token";

/// A page of the first version of the listing: the next one begins after the last name of this one, where the store
/// does not name another.
async fn old_page(
    api: &S3Api,
    prefix: &str,
    delimited: bool,
    after: Option<String>,
) -> Result<Page> {
    let call = api.call("list", prefix).await?;
    let request = call.client.list_objects().bucket(&api.options.bucket).prefix(prefix);
    let sent = request
        .set_delimiter(delimited.then(|| "/".to_owned()))
        .set_marker(after.clone())
        .set_request_payer(api.payer())
        .send()
        .await;
    let output = sent.map_err(|error| call.failed(error))?;
    api.learned.bucket_is_there();
    let objects: Vec<_> =
        output.contents.unwrap_or_default().into_iter().filter_map(found).collect();
    let common = output.common_prefixes.unwrap_or_default();
    let prefixes: Vec<_> = common.into_iter().filter_map(|common| common.prefix).collect();
    let mut next = None;
    if output.is_truncated == Some(true) {
        let last = objects.iter().map(|object| &object.key).chain(&prefixes).max().cloned();
        next = output.next_marker.or(last);
        // A store that gives the same page again would be asked for ever.
        if next.is_none() || next <= after {
            return Err(
                Error::new(ErrorKind::Other, "list", api.name(prefix)).caused_by(NO_NEXT_PAGE)
            );
        }
        next = next.map(|marker| format!("{OLD_PAGE}{marker}"));
    }
    Ok(Page { objects, prefixes, next })
}

fn found(object: Object) -> Option<Found> {
    Some(Found {
        modified: object.last_modified().map(DateTime::secs),
        size: object.size.unwrap_or_default().max(0) as u64,
        key: object.key?,
    })
}

/// Deletes many objects in the way that the store is known to take.
pub(super) async fn delete(api: &S3Api, keys: &[String]) -> Result<()> {
    loop {
        let way = api.learned.deleting();
        let refused = match way {
            Deleting::OneByOne => return delete_one_by_one(api, keys).await,
            Deleting::Together | Deleting::WithoutChecksum => {
                delete_together(api, keys, way).await?
            }
        };
        let Some((refusal, error)) = refused else { return Ok(()) };
        if !api.learned.learns_to_delete(&refusal, way, &api.bucket_url()) {
            return Err(error);
        }
    }
}

/// Deletes in one request; a refusal of the request as a whole comes back with its error. The store answers for each
/// key; the first key that stays is the error.
async fn delete_together(
    api: &S3Api,
    keys: &[String],
    way: Deleting,
) -> Result<Option<(Refusal, Error)>> {
    let Some(first) = keys.first() else { return Ok(None) };
    let call = api.call("delete", first).await?;
    let identified = |key: &String| ObjectIdentifier::builder().key(key).build();
    let objects: std::result::Result<Vec<_>, _> = keys.iter().map(identified).collect();
    let delete =
        objects.and_then(|all| Delete::builder().set_objects(Some(all)).quiet(true).build());
    let delete = delete.map_err(|error| {
        Error::new(ErrorKind::Other, "delete", api.name(first)).caused_by(error)
    })?;
    let request = call.client.delete_objects().bucket(&api.options.bucket).delete(delete);
    let request = request.set_request_payer(api.payer()).customize();
    let request = match way {
        Deleting::WithoutChecksum => request.mutate_request(replace_digest),
        _ => request.mutate_request(add_digest),
    };
    let output = match request.send().await {
        Ok(output) => output,
        Err(error) => {
            let refusal = Refusal::of(&error);
            let error = call.error(&refusal);
            return Ok(Some((refusal, error)));
        }
    };
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
    Ok(None)
}

/// Deletes with a request for each key, a few at a time.
async fn delete_one_by_one(api: &S3Api, keys: &[String]) -> Result<()> {
    const AT_ONCE_MAX: usize = 8;
    for keys in keys.chunks(AT_ONCE_MAX) {
        let deleted = join_all(keys.iter().map(|key| delete_one(api, key))).await;
        deleted.into_iter().collect::<Result<()>>()?;
    }
    Ok(())
}

/// As with many objects at a time, one that is not there is no failure.
async fn delete_one(api: &S3Api, key: &str) -> Result<()> {
    let call = api.call("delete", key).await?;
    let request = call.client.delete_object().bucket(&api.options.bucket).key(key);
    match request.set_request_payer(api.payer()).send().await {
        Ok(_) => Ok(()),
        Err(error) => match call.failed(error) {
            error if error.is_not_found() => Ok(()),
            error => Err(error),
        },
    }
}

/// Servers of the protocol that do not know the newer checksums want this one.
fn add_digest(request: &mut HttpRequest) {
    if let Some(digest) = request.body().bytes().map(content_md5) {
        request.headers_mut().insert("content-md5", digest);
    }
}

/// The same in place of what the SDK adds by itself.
fn replace_digest(request: &mut HttpRequest) {
    add_digest(request);
    let newer =
        |name: &str| name.starts_with("x-amz-checksum-") || name == "x-amz-sdk-checksum-algorithm";
    let names: Vec<String> = request
        .headers()
        .iter()
        .map(|(name, _)| name.to_owned())
        .filter(|name| newer(name))
        .collect();
    for name in names {
        request.headers_mut().remove(name);
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
            api.learned.lists_no_uploads(&refusal, &api.bucket_url());
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
