//! What codes and statuses mean.

use super::*;
use crate::types::Failure as _;

fn refusal(status: u16, code: &str) -> Refusal {
    let code = (!code.is_empty()).then(|| code.to_owned());
    Refusal { status: Some(status), code, message: "words".into(), ..Refusal::default() }
}

fn kind(status: u16, code: &str) -> ErrorKind {
    refusal(status, code).error("read", "s3://b/k".into()).kind()
}

#[test]
fn codes_and_statuses_have_a_meaning() {
    use ErrorKind::*;
    let meanings = [
        (NotFound, [(404, "NoSuchKey"), (404, "NoSuchKey")]),
        (AlreadyExists, [(412, "PreconditionFailed"), (412, "")]),
        (Truncated, [(416, "InvalidRange"), (416, "")]),
        (Denied, [(403, "AccessDenied"), (401, "")]),
        (Denied, [(403, "SignatureDoesNotMatch"), (403, "SomethingNew")]),
        (Denied, [(400, "ExpiredToken"), (403, "RequestTimeTooSkewed")]),
        (Full, [(403, "QuotaExceeded"), (507, "")]),
        (Transient, [(409, "ConditionalRequestConflict"), (409, "")]),
        (Transient, [(503, "SlowDown"), (429, "")]),
        (Transient, [(500, "InternalError"), (200, "InternalError")]),
        (Transient, [(400, "RequestTimeout"), (400, "BadDigest")]),
        (Transient, [(502, ""), (504, "")]),
        (Other, [(404, "NoSuchBucket"), (404, "")]),
        (Other, [(301, "PermanentRedirect"), (301, "")]),
        (Other, [(501, "NotImplemented"), (400, "InvalidRequest")]),
    ];
    for (expected, answers) in meanings {
        for (status, code) in answers {
            assert_eq!(kind(status, code), expected, "{status} {code}");
        }
    }
}

#[test]
fn errors_say_what_the_store_said() {
    let error = refusal(403, "AccessDenied").error("write", "s3://b/k".into());
    assert_eq!(error.to_string(), "unable to write 's3://b/k': AccessDenied: words");
    assert!(error.hint().unwrap().contains("policies"));
    let error = refusal(403, "RequestTimeTooSkewed").error("write", "s3://b/k".into());
    assert_eq!(error.code(), ErrorCode::Clock);
    let nowhere = Refusal { region: Some("eu-west-1".into()), ..refusal(301, "PermanentRedirect") };
    let hint = nowhere.error("write", "s3://b/k".into()).hint().unwrap();
    assert!(hint.ends_with("the bucket is in eu-west-1."), "{hint}");
    assert_eq!(cleaned(" a\r\nb\u{1b}[1m "), "a  b [1m");
}

#[test]
fn only_what_is_worth_it_is_tried_again_and_not_too_soon() {
    let wait = Some(Duration::from_secs(7));
    let slow = Refusal { retry_after: wait, ..refusal(503, "SlowDown") };
    assert_eq!(slow.error("read", String::new()).retry_after(), wait);
    let broken = Refusal { message: "connection refused".into(), ..Refusal::default() };
    assert_eq!(broken.error("read", String::new()).kind(), ErrorKind::Transient);
    for (fault, hint) in
        [(HandshakeFault::Distrusted, "ca-file"), (HandshakeFault::NoTls, "http://")]
    {
        let failed = Refusal { handshake: Some(fault), ..Refusal::default() };
        let failed = failed.error("read", String::new());
        assert_eq!(failed.kind(), ErrorKind::Other);
        assert!(failed.hint().unwrap().contains(hint));
    }
    // Words decide nothing.
    let message = "invalid peer certificate: UnknownIssuer".to_owned();
    let said = Refusal { message, ..Refusal::default() }.error("read", String::new());
    assert_eq!(said.kind(), ErrorKind::Transient);
}

#[test]
fn servers_refuse_the_condition_in_several_ways() {
    assert!(refusal(501, "NotImplemented").is_of_the_condition());
    let named = Refusal { message: "Unsupported header If-None-Match".into(), ..refusal(400, "X") };
    assert!(named.is_of_the_condition());
    assert!(!refusal(400, "InvalidRequest").is_of_the_condition());
    assert!(!refusal(412, "PreconditionFailed").is_of_the_condition());
}

#[test]
fn uploads_may_be_listed_or_not() {
    for (status, code) in [(403, "AccessDenied"), (403, ""), (405, "MethodNotAllowed"), (405, "")] {
        assert!(refusal(status, code).is_of_the_listing_of_uploads(), "{status} {code}");
    }
    assert!(refusal(501, "").is_of_the_listing_of_uploads());
    for (status, code) in [(403, "SignatureDoesNotMatch"), (400, "ExpiredToken"), (503, "")] {
        assert!(!refusal(status, code).is_of_the_listing_of_uploads(), "{status} {code}");
    }
}

#[test]
fn servers_demand_digests_in_several_ways() {
    assert!(refusal(400, "MissingContentMD5").wants_a_digest());
    let message = "Content-MD5 OR x-amz-checksum- HTTP header is required".to_owned();
    assert!(Refusal { message, ..refusal(400, "InvalidRequest") }.wants_a_digest());
    assert!(!refusal(400, "InvalidRequest").wants_a_digest());
}
