//! What is sent, and what is made of answers that test servers do not give.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{
    super::{S3Options, options::tests::options},
    *,
};
use crate::types::{ObjectLock, ObjectLockMode, Secret, UriStyle};

/// What a server was asked, one head a request, in lower case.
type Asked = Arc<Mutex<Vec<String>>>;

/// A bucket of a server that gives these answers one after the other: status, further header lines, body.
async fn bucket(
    options: S3Options,
    answers: Vec<(u16, &'static str, &'static str)>,
) -> (S3Api, Asked) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let asked = Asked::default();
    let heads = asked.clone();
    tokio::spawn(async move {
        for (status, headers, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = head_of(&mut stream).await;
            heads.lock().unwrap().push(head);
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}");
            let text = format!("{head}content-length: {length}\r\n\r\n{body}");
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    (S3Api::new(S3Options { endpoint, ..options }).unwrap(), asked)
}

/// Reads a request with its body.
async fn head_of(stream: &mut tokio::net::TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut bytes = vec![0; 4096];
        let length = stream.read(&mut bytes).await.unwrap();
        text.push_str(&String::from_utf8_lossy(&bytes[..length]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let announced = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let announced = announced.map_or(0, |length| length.parse().unwrap());
        if body.len() >= announced || length == 0 {
            return head;
        }
    }
}

fn heads(asked: &Asked) -> Vec<String> {
    asked.lock().unwrap().clone()
}

/// The mark of an answer of S3's own.
const OF_S3: &str = "x-amz-request-id: 4442587FB7D0A2F9\r\n";
const BEGUN: &str = "<InitiateMultipartUploadResult><UploadId>u</UploadId>\
    </InitiateMultipartUploadResult>";
const MISSING: &str = "<Error><Code>NoSuchKey</Code><Message>m</Message></Error>";
const NO_BUCKET: &str = "<Error><Code>NoSuchBucket</Code><Message>m</Message></Error>";

#[tokio::test]
async fn locks_go_with_objects_and_uploads() {
    let lock = Some(ObjectLock { mode: ObjectLockMode::Compliance, days: 7 });
    let tags = vec![("a".to_owned(), "b c".to_owned())];
    let class = Some("STANDARD_IA".to_owned());
    let configured = S3Options { lock, tags, storage_class: class, ..options() };
    let answers = vec![(200, "", ""), (200, "", BEGUN), (200, "etag: \"x\"\r\n", "")];
    let (api, asked) = bucket(configured, answers).await;
    api.put("k", Bytes::from_static(b"data")).await.unwrap();
    assert_eq!(api.begin_parts("k").await.unwrap(), "u");
    assert_eq!(api.put_part("k", "u", 1, Bytes::from_static(b"data")).await.unwrap(), "\"x\"");
    let heads = heads(&asked);
    for head in &heads[..2] {
        assert!(head.contains("x-amz-object-lock-mode: compliance"), "{head}");
        assert!(head.contains("x-amz-object-lock-retain-until-date: 2"), "{head}");
        assert!(head.contains("x-amz-tagging: a=b%20c"), "{head}");
        assert!(head.contains("x-amz-storage-class: standard_ia"), "{head}");
    }
    assert!(heads[0].starts_with("put /bucket/k") && heads[0].contains("if-none-match: *"));
    for head in [&heads[0], &heads[2]] {
        let digest = content_md5(b"data").to_lowercase();
        assert!(head.contains(&format!("content-md5: {digest}")), "{head}");
    }
}

#[tokio::test]
async fn a_customer_key_goes_with_every_request_for_an_object() {
    let key = openssl::base64::encode_block(&[7; 32]);
    let encryption = Encryption::Customer(Secret::new(key));
    let configured = S3Options { encryption, requester_pays: true, ..options() };
    let range = "content-range: bytes 0-0/1\r\n";
    let answers =
        vec![(200, "", ""), (206, range, "x"), (200, "", ""), (200, "etag: \"x\"\r\n", "")];
    let (api, asked) = bucket(configured, answers).await;
    api.put("k", Bytes::new()).await.unwrap();
    assert_eq!(api.get("k", Some(0..1)).await.unwrap().size, 1);
    api.head("k").await.unwrap();
    api.put_part("k", "u", 1, Bytes::new()).await.unwrap();
    for head in heads(&asked) {
        assert!(head.contains("x-amz-server-side-encryption-customer-key-md5: "), "{head}");
        assert!(head.contains("x-amz-request-payer: requester"), "{head}");
    }
}

#[tokio::test]
async fn a_look_that_fails_asks_again_for_the_reason() {
    let (api, _) = bucket(options(), vec![(404, "", ""), (404, "", NO_BUCKET)]).await;
    let error = api.head("k").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Other && error.to_string().contains("NoSuchBucket"));
    // Once the bucket has answered, a look is enough.
    let answers = vec![(404, OF_S3, ""), (404, OF_S3, MISSING), (404, OF_S3, "")];
    let (api, asked) = bucket(options(), answers).await;
    assert!(api.head("k").await.unwrap_err().is_not_found());
    assert!(api.head("k").await.unwrap_err().is_not_found());
    assert_eq!(heads(&asked).len(), 3);
    // What is no S3 at all proves nothing.
    let page = "<html><body>not found</body></html>";
    let (api, _) = bucket(options(), vec![(404, "", page)]).await;
    let error = api.get("k", None).await.unwrap_err();
    assert!(!error.is_not_found(), "{error}");
}

/// A proxy between us and the store that has lost its way answers 404, too.
#[tokio::test]
async fn a_look_that_somebody_else_answers_proves_nothing() {
    let page = "<html><body>not found</body></html>";
    let answers = vec![(200, OF_S3, ""), (404, "", ""), (404, "", page)];
    let (api, asked) = bucket(options(), answers).await;
    api.put("k", Bytes::new()).await.unwrap();
    let error = api.head("k").await.unwrap_err();
    assert!(!error.is_not_found(), "{error}");
    assert_eq!(heads(&asked).len(), 3);
    // A server of the protocol without that mark says it when it is asked once more.
    let answers = vec![(200, "", ""), (404, "", ""), (404, "", MISSING)];
    let (api, _) = bucket(options(), answers).await;
    api.put("k", Bytes::new()).await.unwrap();
    assert!(api.head("k").await.unwrap_err().is_not_found());
}

/// A bucket with a retention of its own, of which the configuration knows nothing.
#[tokio::test]
async fn a_bucket_that_locks_by_itself_gets_digests() {
    let wanted = "<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP \
        header is required for Put Object requests with Object Lock parameters</Message></Error>";
    let digest = format!("content-md5: {}", content_md5(b"data").to_lowercase());
    let data = || Bytes::from_static(b"data");
    let answers = vec![(400, "", wanted), (200, "", ""), (200, "etag: \"x\"\r\n", "")];
    let (api, asked) = bucket(options(), answers).await;
    api.put("k", data()).await.unwrap();
    api.put_part("k", "u", 1, data()).await.unwrap();
    let told: Vec<bool> = heads(&asked).iter().map(|head| head.contains(&digest)).collect();
    assert_eq!(told, [false, true, true]);
    assert!(heads(&asked)[1].contains("if-none-match: *"));
    // The first may as well be a part; what is refused with a digest is refused.
    let answers = vec![(400, "", wanted), (400, "", wanted)];
    let (api, asked) = bucket(options(), answers).await;
    let error = api.put_part("k", "u", 1, data()).await.unwrap_err();
    assert!(error.to_string().contains("InvalidRequest"), "{error}");
    assert_eq!(heads(&asked).len(), 2);
}

#[tokio::test]
async fn a_server_that_takes_no_condition_is_looked_at_first() {
    let refused = "<Error><Code>NotImplemented</Code><Message>m</Message></Error>";
    let answers =
        vec![(501, "", refused), (404, "", ""), (404, "", MISSING), (200, "", ""), (200, "", "")];
    let (api, asked) = bucket(options(), answers).await;
    api.put("k", Bytes::new()).await.unwrap();
    let taken = api.put("k", Bytes::new()).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    let heads = heads(&asked);
    let methods: Vec<&str> = heads.iter().map(|head| head.split(' ').next().unwrap()).collect();
    assert_eq!(methods, ["put", "head", "get", "put", "head"]);
    assert!(heads[0].contains("if-none-match") && !heads[3].contains("if-none-match"));
}

#[tokio::test]
async fn a_session_that_is_over_is_told_and_not_tried_again() {
    let expired = "<Error><Code>ExpiredToken</Code><Message>m</Message></Error>";
    let (api, _) = bucket(options(), vec![(400, "", expired)]).await;
    let error = api.get("k", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn deletes_answer_for_each_key() {
    let answer = "<DeleteResult><Error><Key>gone</Key><Code>NoSuchKey</Code></Error>\
        <Error><Key>kept</Key><Code>AccessDenied</Code><Message>locked</Message></Error>\
        </DeleteResult>";
    let (api, asked) = bucket(options(), vec![(200, "", answer)]).await;
    let error = api.delete(&["gone".to_owned(), "kept".to_owned()]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(error.to_string(), "unable to delete 's3://bucket/kept': AccessDenied: locked");
    assert!(heads(&asked)[0].contains("content-md5: "));
}

#[tokio::test]
async fn a_listing_that_is_cut_short_is_an_error() {
    let answer = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
    let (api, _) = bucket(options(), vec![(200, "", answer)]).await;
    assert!(api.list("p", true, None).await.is_err());
}

#[tokio::test]
async fn unfinished_uploads_come_in_pages() {
    let upload = "<Upload><Key>p/k</Key><UploadId>u</UploadId>\
        <Initiated>2026-01-01T00:00:00Z</Initiated></Upload>";
    let next = "<NextKeyMarker>p/k</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>";
    let page = |more: bool| {
        let next = if more { next } else { "" };
        format!(
            "<ListMultipartUploadsResult><IsTruncated>{more}</IsTruncated>{next}{upload}\
             </ListMultipartUploadsResult>"
        )
    };
    let (first, last): (&'static str, &'static str) = (page(true).leak(), page(false).leak());
    let (api, asked) = bucket(options(), vec![(200, "", first), (200, "", last)]).await;
    let found = api.unfinished("p/", None).await.unwrap();
    assert_eq!(found.uploads[0].begun, 1_767_225_600);
    assert_eq!(heads(&asked).len(), 1, "a page is a request");
    let found = api.unfinished("p/", found.next).await.unwrap();
    assert_eq!((found.uploads.len(), found.next), (1, None));
    let second = &heads(&asked)[1];
    assert!(
        second.contains("key-marker=p%2fk&") && second.contains("upload-id-marker=u"),
        "{second}"
    );
}

#[tokio::test]
async fn keys_that_may_not_list_uploads_do_without() {
    let denied = "<Error><Code>AccessDenied</Code><Message>m</Message></Error>";
    let invalid = "<Error><Code>InvalidAccessKeyId</Code><Message>m</Message></Error>";
    let answers = vec![(403, "", denied), (405, "", ""), (501, "", ""), (403, "", invalid)];
    let (api, _) = bucket(options(), answers).await;
    for _ in 0..3 {
        let found = api.unfinished("p/", None).await.unwrap();
        assert!(found.uploads.is_empty() && found.next.is_none());
    }
    assert!(api.unfinished("p/", None).await.is_err());
}

/// The name that was signed goes to the host that is connected to.
#[tokio::test]
async fn another_host_is_asked_in_the_name_of_the_endpoint() {
    let (api, asked) = bucket(options(), vec![(200, "", "")]).await;
    let host = Some(api.options.endpoint.clone());
    let configured = S3Options { host, endpoint: "s3.test".into(), ..options() };
    let elsewhere = S3Api::new(S3Options { style: UriStyle::Host, ..configured }).unwrap();
    elsewhere.put("k", Bytes::new()).await.unwrap();
    let head = &heads(&asked)[0];
    assert!(head.starts_with("put /k?") || head.starts_with("put /k "), "{head}");
    assert!(head.contains("host: bucket.s3.test\r\n"), "{head}");
    assert!(head.contains("signedheaders=") && head.matches("host: ").count() == 1, "{head}");
}

const BAD_HEADER: &str =
    "<Error><Code>InvalidRequest</Code><Message>unknown header</Message></Error>";
const NOT_IMPLEMENTED: &str = "<Error><Code>NotImplemented</Code><Message>m</Message></Error>";

#[tokio::test]
async fn a_store_that_refuses_newer_checksums_still_deletes() {
    let deleted = "<DeleteResult></DeleteResult>";
    let answers = vec![(400, "", BAD_HEADER), (200, "", deleted), (200, "", deleted)];
    let (api, asked) = bucket(options(), answers).await;
    api.delete(&["a".to_owned(), "b".to_owned()]).await.unwrap();
    api.delete(&["c".to_owned()]).await.unwrap();
    let heads = heads(&asked);
    assert!(heads[0].contains("x-amz-checksum-"), "{}", heads[0]);
    for head in &heads[1..] {
        assert!(head.contains("content-md5: ") && !head.contains("checksum"), "{head}");
    }
}

#[tokio::test]
async fn a_store_without_bulk_deletes_is_asked_for_each_object() {
    let answers = vec![
        (405, "", ""),
        (501, "", NOT_IMPLEMENTED),
        (204, "", ""),
        (404, "", MISSING),
        (403, "", "<Error><Code>AccessDenied</Code><Message>m</Message></Error>"),
    ];
    let (api, asked) = bucket(options(), answers).await;
    api.delete(&["a".to_owned(), "b".to_owned()]).await.unwrap();
    let denied = api.delete(&["c".to_owned()]).await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied);
    let heads = heads(&asked);
    assert!(heads[2..].iter().all(|head| head.starts_with("delete /bucket/")), "{heads:?}");
    assert_eq!(heads.len(), 5);
}

#[tokio::test]
async fn a_refusal_for_another_reason_is_the_error() {
    let denied = "<Error><Code>AccessDenied</Code><Message>m</Message></Error>";
    let (api, asked) = bucket(options(), vec![(403, "", denied)]).await;
    let error = api.delete(&["a".to_owned()]).await.unwrap_err();
    assert_eq!((error.kind(), heads(&asked).len()), (ErrorKind::Denied, 1));
}

#[tokio::test]
async fn a_store_that_only_knows_the_first_listing_is_read_to_its_end() {
    let cut = "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a</Key></Contents>\
        </ListBucketResult>";
    let last = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>b</Key></Contents>\
        </ListBucketResult>";
    let answers = vec![(200, "", cut), (200, "", cut), (200, "", last), (200, "", cut)];
    let (api, asked) = bucket(options(), answers).await;
    let first = api.list("", false, None).await.unwrap();
    assert_eq!((first.objects[0].key.as_str(), first.next.as_deref()), ("a", Some("\u{1}a")));
    let second = api.list("", false, first.next.clone()).await.unwrap();
    assert_eq!((second.objects[0].key.as_str(), second.next), ("b", None));
    // The same page once more would have no end.
    let again = api.list("", false, first.next).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Other);
    let heads = heads(&asked);
    assert!(heads[0].contains("list-type=2") && heads[2].contains("marker=a"), "{heads:?}");
    assert!(heads[1..].iter().all(|head| !head.contains("list-type")), "{heads:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_connection_is_hinted_at() {
    use crate::types::Failure as _;
    let too_large = bucket(options(), vec![(413, "", "")]).await.0;
    let error = too_large.put("k", Bytes::new()).await.unwrap_err();
    assert!(error.hint().unwrap().contains("repoN-storage-upload-chunk-size"), "{error}");
    // TLS to a port that answers in plain text.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let api = S3Api::new(S3Options { endpoint, ..options() }).unwrap();
    let error = api.head("k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other, "{error}");
    assert!(error.hint().unwrap().contains("http://"), "{error} {:?}", error.hint());
    let at_address = S3Options { style: UriStyle::Host, ..options() };
    let at_address = S3Options { endpoint: "http://127.0.0.1:9000".to_owned(), ..at_address };
    let error = S3Api::new(at_address).unwrap_err();
    assert!(error.hint().unwrap().contains("uri-style=path"), "{error}");
}
