//! What an answer of S3 that is no success means.

use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::ConnectorError};

use super::super::{
    Error, ErrorKind,
    http::{
        HandshakeFault, NO_TLS_HINT, TLS_EXPECTED_HINT, TOO_LARGE_HINT, handshake_fault, reason,
        says_tls_expected,
    },
};
use crate::types::ErrorCode;

/// What the store or the connection to it said.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusal {
    /// The status of HTTP; `None`: there was no answer.
    pub(super) status: Option<u16>,
    /// The code of S3, where the answer had one: those to a look have none.
    pub(super) code: Option<String>,
    pub(super) message: String,
    /// Where there was no answer: why the TLS handshake failed, if it did.
    pub(super) handshake: Option<HandshakeFault>,
    pub(super) retry_after: Option<Duration>,
    /// The region in which the bucket is, where the answer says so.
    pub(super) region: Option<String>,
    /// Whether the answer has the mark that S3 puts on each of its own: what is in between has no such.
    pub(super) of_s3: bool,
}

impl Refusal {
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let response = error.raw_response();
        let header = |name: &str| response?.headers().get(name).map(str::to_owned);
        let (code, message) = match error {
            SdkError::ServiceError(told) => {
                (told.err().code(), told.err().message().map(str::to_owned))
            }
            SdkError::DispatchFailure(failure) => {
                let cause = failure.as_connector_error();
                (None, cause.map(cause_of))
            }
            other => (None, std::error::Error::source(other).map(reason)),
        };
        Self {
            status: response.map(|response| response.status().as_u16()),
            code: code.map(cleaned),
            message: message.as_deref().map(cleaned).unwrap_or_default(),
            handshake: handshake_fault(error),
            retry_after: header("retry-after")
                .and_then(|text| text.trim().parse().ok())
                .map(Duration::from_secs),
            region: header("x-amz-bucket-region").as_deref().map(cleaned),
            of_s3: header("x-amz-request-id").is_some(),
        }
    }

    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Whether the server refuses not what is asked for, but to be told `If-None-Match`.
    pub(super) fn is_of_the_condition(&self) -> bool {
        match self.status {
            Some(501) => true,
            Some(400) => self.is("NotImplemented") || self.names_any(&["if-none-match"]),
            _ => false,
        }
    }

    /// Whether the server refuses what is written without a digest of it. Asked of requests that had none.
    pub(super) fn wants_a_digest(&self) -> bool {
        let names_it = || self.names_any(&["content-md5", "x-amz-checksum"]);
        self.status == Some(400) && (self.is("MissingContentMD5") || names_it())
    }

    /// Whether the message names one of these headers. S3 has no code for a header that is missing or too many: servers
    /// answer 400 with the codes InvalidArgument, InvalidRequest or their own, and the header stands in the message alone.
    fn names_any(&self, headers: &[&str]) -> bool {
        let message = self.message.to_ascii_lowercase();
        headers.iter().any(|name| message.contains(name))
    }

    /// Whether the server may have refused not what was asked for, but the form in which it was: a header or a request
    /// that it does not know.
    pub(super) fn may_be_of_the_form(&self) -> bool {
        matches!(self.status, Some(400 | 405 | 411 | 501))
            && self.meaning().kind == ErrorKind::Other
    }

    /// Whether uploads that were not ended are not listed here: the keys may not, or the server cannot.
    pub(super) fn is_of_the_listing_of_uploads(&self) -> bool {
        match &self.code {
            Some(code) => ["AccessDenied", "MethodNotAllowed", "NotImplemented"].contains(&&**code),
            None => matches!(self.status, Some(403 | 405 | 501)),
        }
    }

    pub(super) fn is_of_expired_keys(&self) -> bool {
        let codes = ["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"];
        codes.into_iter().any(|code| self.is(code))
    }

    /// The error that this is in `operation` on `object`.
    pub(super) fn error(&self, operation: &'static str, object: String) -> Error {
        let meaning = self.meaning();
        let mut error = Error::new(meaning.kind, operation, object).caused_by(self.text());
        if let Some(wait) = self.retry_after.filter(|_| meaning.kind == ErrorKind::Transient) {
            error = error.retry_later(wait);
        }
        if let Some(code) = meaning.code {
            error = error.with_code(code);
        }
        match meaning.hint {
            Some(hint) => error.with_hint(self.in_region(hint)),
            None => error,
        }
    }

    fn in_region(&self, hint: &str) -> String {
        match &self.region {
            Some(region) => format!("{hint}\nthe store reports that the bucket is in {region}."),
            None => hint.to_owned(),
        }
    }

    /// What was said, in a line.
    pub(super) fn text(&self) -> String {
        let of_status = self.status.map(|status| format!("the store answered {status}"));
        match (&self.code, of_status, &*self.message) {
            (Some(code), _, "") => code.clone(),
            (Some(code), _, message) => format!("{code}: {message}"),
            (None, Some(status), "") => status,
            (None, Some(status), message) => format!("{status}: {message}"),
            (None, None, "") => "the connection was lost".to_owned(),
            (None, None, message) => message.to_owned(),
        }
    }

    fn meaning(&self) -> Meaning {
        let of_code = self.code.as_deref().and_then(meaning_of_code);
        of_code.unwrap_or_else(|| match self.status {
            Some(400) if says_tls_expected(&self.message) => {
                Meaning::hinted(ErrorKind::Other, TLS_EXPECTED_HINT)
            }
            Some(status) => meaning_of_status(status),
            None if self.handshake == Some(HandshakeFault::Distrusted) => Meaning::hinted(
                ErrorKind::Other,
                "if the certificate of the store is signed by a private CA, set \
                 repoN-storage-ca-file.",
            ),
            None if self.handshake == Some(HandshakeFault::NoTls) => {
                Meaning::hinted(ErrorKind::Other, NO_TLS_HINT)
            }
            None => ErrorKind::Transient.into(),
        })
    }
}

struct Meaning {
    kind: ErrorKind,
    code: Option<ErrorCode>,
    hint: Option<&'static str>,
}

impl From<ErrorKind> for Meaning {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, code: None, hint: None }
    }
}

impl Meaning {
    fn hinted(kind: ErrorKind, hint: &'static str) -> Self {
        Self { kind, code: None, hint: Some(hint) }
    }
}

/// The codes are those of S3's error responses, and of servers that have some of their own.
fn meaning_of_code(code: &str) -> Option<Meaning> {
    use ErrorKind::*;
    Some(match code {
        "NoSuchKey" => NotFound.into(),
        "PreconditionFailed" => AlreadyExists.into(),
        "InvalidRange" => Truncated.into(),
        // A write of the same name is under way: who comes later finds out how it ended.
        "ConditionalRequestConflict" | "OperationAborted" => Transient.into(),
        "BadDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch"
        | "IncompleteBody"
        | "RequestTimeout" => Transient.into(),
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "InternalError"
        | "ServiceUnavailable"
        | "ServerBusy"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded" => Transient.into(),
        "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" => Full.into(),
        "NoSuchBucket" => Meaning::hinted(
            Other,
            "the bucket must exist: pgstrata does not create it.\n\
             check repoN-s3-bucket, repoN-s3-endpoint and repoN-s3-region.",
        ),
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => Meaning::hinted(
            Other,
            "check repoN-s3-region, repoN-s3-endpoint and repoN-s3-uri-style.",
        ),
        "EntityTooLarge" => Meaning::hinted(Other, TOO_LARGE_HINT),
        "RequestTimeTooSkewed" => Meaning {
            kind: Denied,
            code: Some(ErrorCode::Clock),
            hint: Some("the clocks of this host and of the store differ by minutes: correct them."),
        },
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => Meaning::hinted(
            Denied,
            "the credentials have expired: configure new ones, or a repoN-s3-key-type that renews \
             them.",
        ),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "AuthFailure" => Meaning::hinted(
            Denied,
            "check the policies of the credentials and of the bucket.\n\
             without s3:ListBucket, S3 also returns AccessDenied for a missing object.",
        ),
        "InvalidAccessKeyId"
        | "InvalidToken"
        | "InvalidSecurity"
        | "SignatureDoesNotMatch"
        | "NotSignedUp"
        | "UnrecognizedClientException" => Meaning::hinted(
            Denied,
            "check the credentials (repoN-s3-key, repoN-s3-key-secret, repoN-s3-token) and \
             repoN-s3-region.",
        ),
        _ => return None,
    })
}

/// An answer without a code. A 404 is no proof that an object is not there: it may be the bucket that is not, or no S3
/// that answered. Callers with more information handle it before.
fn meaning_of_status(status: u16) -> Meaning {
    match status {
        401 | 403 => ErrorKind::Denied.into(),
        412 => ErrorKind::AlreadyExists.into(),
        416 => ErrorKind::Truncated.into(),
        408 | 409 | 425 | 429 | 500 | 502 | 503 | 504 => ErrorKind::Transient.into(),
        507 => ErrorKind::Full.into(),
        413 => Meaning::hinted(ErrorKind::Other, TOO_LARGE_HINT),
        200..=299 => ErrorKind::Transient.into(),
        300..=399 | 404 => Meaning::hinted(
            ErrorKind::Other,
            "check repoN-s3-endpoint, repoN-s3-bucket, repoN-s3-region and repoN-s3-uri-style.",
        ),
        _ => ErrorKind::Other.into(),
    }
}

/// What reqwest says is said already: that a request failed.
fn cause_of(error: &ConnectorError) -> String {
    let source = std::error::Error::source(error);
    let within = source.and_then(std::error::Error::source);
    within.or(source).map_or_else(|| error.to_string(), reason)
}

/// Text of the server, escaped for a log line.
pub(super) fn cleaned(text: impl AsRef<str>) -> String {
    const LONGEST: usize = 500;
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.as_ref().trim().chars().map(plain).take(LONGEST).collect()
}

#[cfg(test)]
mod tests;
