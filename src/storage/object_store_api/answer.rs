//! What a store answered, and what that means. Only the status, the store's own code and the first line of its message
//! are shown: whole answers, addresses and headers may hold signatures and tokens.

use std::{cell::RefCell, error::Error as StdError, future::Future, time::Duration};

use object_store::{
    HeaderMap,
    client::{HttpError, HttpErrorKind},
};

use super::{
    super::{
        Error, ErrorKind,
        http::{
            HandshakeFault, NO_TLS_HINT, TLS_EXPECTED_HINT, TOO_LARGE_HINT, handshake_fault,
            says_tls_expected,
        },
    },
    Profile,
};

/// Characters of a store's message that are shown.
const MESSAGE_CHARACTERS_MAX: usize = 300;

/// What the stores say in the text of a refusal when a signature or a token is over, for the hint: they have no code for
/// it. The text itself is not shown.
const SAYS_OVER: [&str; 3] =
    ["not valid in the specified time frame", "token is expired", "token has expired"];

tokio::task_local! {
    /// What the last request of this task came to, if it failed.
    static LAST: RefCell<Option<Heard>>;
}

/// Why a request failed.
enum Heard {
    Answer(Answer),
    /// It was not sent.
    Ours(Error),
}

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The server refused.
    Refused {
        status: u16,
        /// The store's own word for it; empty if it gave none.
        code: String,
        message: String,
        retry_after: Option<Duration>,
        /// Whether it is known to refuse because what opens the bucket has ended.
        over: bool,
        /// Whether it was the store that refused, and not a service that gives out tokens for it.
        of_store: bool,
    },
    /// There was none: the connection failed.
    Broken {
        cause: String,
        /// Why the TLS handshake failed, if it did.
        handshake: Option<HandshakeFault>,
    },
}

/// A request that failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// Before it was made.
    Ours(Error),
    /// With what was answered, if that is why.
    Theirs(Box<object_store::Error>, Option<Answer>),
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Kind(ErrorKind),
    /// It is not the object that is missing.
    NoBucket,
}

/// Does the work of one request, and keeps what is answered to it.
pub(super) async fn listen<T>(
    work: impl Future<Output = object_store::Result<T>>,
) -> Result<T, Failed> {
    let heard = async {
        match work.await {
            Ok(done) => Ok(done),
            Err(error) => match LAST.with(|last| last.borrow_mut().take()) {
                Some(Heard::Ours(error)) => Err(Failed::Ours(error)),
                Some(Heard::Answer(answer)) => Err(Failed::Theirs(Box::new(error), Some(answer))),
                None => {
                    let answer = broken_off(&error);
                    Err(Failed::Theirs(Box::new(error), answer))
                }
            },
        }
    };
    LAST.scope(RefCell::new(None), heard).await
}

/// An answer that began well and did not come to its end. The crate does not tell it from one that makes no sense.
fn broken_off(error: &object_store::Error) -> Option<Answer> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = next {
        if cause.downcast_ref::<reqwest::Error>().is_some_and(|error| !error.is_builder()) {
            return Some(Answer::Broken { cause: broken(cause), handshake: None });
        }
        next = cause.source();
    }
    None
}

fn keep(heard: Option<Heard>) {
    // Outside of a request there is no listener.
    let _ = LAST.try_with(|last| *last.borrow_mut() = heard);
}

/// No request was sent; what the crate is to be told of it.
pub(super) fn not_sent(error: Error) -> HttpError {
    let told = HttpError::new(HttpErrorKind::Unknown, std::io::Error::other(error.to_string()));
    keep(Some(Heard::Ours(error)));
    told
}

/// The server did what was asked.
pub(super) fn accepted() {
    keep(None);
}

/// The server answered with a failure.
pub(super) fn refused(of_store: bool, status: u16, headers: &HeaderMap, body: &[u8]) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let body = String::from_utf8_lossy(body);
    let code = header("x-ms-error-code").map(str::to_owned).unwrap_or_else(|| {
        element(&body, "Code").or_else(|| json_error(&body)).unwrap_or_default()
    });
    let message: Vec<String> =
        ["Message", "Details"].into_iter().filter_map(|name| element(&body, name)).collect();
    keep(Some(Heard::Answer(Answer::Refused {
        status,
        code: shown(&code),
        message: shown(&message.join(" ")),
        retry_after: header("retry-after").and_then(wait_asked_for),
        of_store,
        over: code == "ExpiredToken" || SAYS_OVER.iter().any(|words| body.contains(words)),
    })));
}

/// There was no answer.
pub(super) fn no_answer(error: &HttpError) {
    let answer = Answer::Broken { cause: broken(error), handshake: handshake_fault(error) };
    keep(Some(Heard::Answer(answer)));
}

/// Why a connection failed: the innermost cause. Outer ones may name addresses.
pub(super) fn broken(error: &dyn StdError) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    shown(&innermost.to_string())
}

impl Failed {
    fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Ours(_) => None,
            Self::Theirs(_, answer) => answer.as_ref(),
        }
    }

    /// What it means; `creates`: to a request that creates an object.
    pub(super) fn meaning(&self, creates: bool) -> Meaning {
        match self {
            Self::Ours(error) => Meaning::Kind(error.kind()),
            Self::Theirs(_, Some(answer)) => answer.meaning(creates),
            // Of one object among several that are deleted with one request.
            Self::Theirs(error, None) => match &**error {
                object_store::Error::NotFound { .. } => Meaning::Kind(ErrorKind::NotFound),
                other => status_in(&other.to_string())
                    .map_or(Meaning::Kind(ErrorKind::Other), |status| meaning(status, "", creates)),
            },
        }
    }

    /// Whether something is missing that the store did not name.
    pub(super) fn is_unexplained_absence(&self) -> bool {
        matches!(self.answer(), Some(Answer::Refused { status: 404, code, of_store: true, .. }) if code.is_empty())
    }

    /// Whether a range is not there. Some servers answer with no bytes in place of a refusal.
    pub(super) fn is_about_the_range(&self) -> bool {
        self.is_answered_well() || self.meaning(false) == Meaning::Kind(ErrorKind::Truncated)
    }

    /// Whether it failed although the store took it for done.
    pub(super) fn is_answered_well(&self) -> bool {
        matches!(self, Self::Theirs(_, None))
    }

    /// Whether the upload that was to be given up is gone.
    pub(super) fn upload_is_gone(&self) -> bool {
        matches!(self.answer(), Some(Answer::Refused { status: 404, code, .. }) if code == "NoSuchUpload")
    }
}

impl Answer {
    fn meaning(&self, creates: bool) -> Meaning {
        match self {
            Self::Refused { status, code, .. } => meaning(*status, code, creates),
            Self::Broken { handshake: Some(_), .. } => Meaning::Kind(ErrorKind::Other),
            Self::Broken { handshake: None, .. } => Meaning::Kind(ErrorKind::Transient),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Refused { status, code, message, of_store, .. } => {
                let who = if *of_store { "the store" } else { "the token or metadata service" };
                let words = [who, "answered", &status.to_string(), code].join(" ");
                let words = words.trim_end();
                if message.is_empty() { words.to_owned() } else { format!("{words}: {message}") }
            }
            Self::Broken { cause, .. } => format!("the connection failed: {cause}"),
        }
    }
}

/// What a status with a store's code means. Only a store that says that it is the object that is missing proves its
/// absence. Codes: Azure's "Blob service error codes", Google's "HTTP status and error codes for XML".
fn meaning(status: u16, code: &str, creates: bool) -> Meaning {
    use ErrorKind::*;
    Meaning::Kind(match (status, code) {
        (404, "BlobNotFound" | "NoSuchKey") => NotFound,
        (404, "ContainerNotFound" | "NoSuchBucket") | (409, "ContainerBeingDeleted") => {
            return Meaning::NoBucket;
        }
        // A blob that may not be changed is one that is there.
        (412, _) | (409, "BlobAlreadyExists" | "BlobImmutableDueToPolicy") if creates => {
            AlreadyExists
        }
        (401 | 403, _) | (400, "ExpiredToken") | (409, "BlobImmutableDueToPolicy") => Denied,
        (416, _) => Truncated,
        // The body did not arrive as it was sent.
        (400, "RequestTimeout" | "IncompleteBody" | "BadDigest" | "Md5Mismatch") => Transient,
        (408 | 429 | 500 | 502..=504 | 506..=599, _) => Transient,
        _ => Other,
    })
}

/// The error of a request that failed.
pub(super) fn error(
    profile: &Profile,
    operation: &'static str,
    object: String,
    failed: Failed,
) -> Error {
    let meaning = failed.meaning(operation == "write");
    let (error, answer) = match failed {
        Failed::Ours(error) => return error,
        Failed::Theirs(error, answer) => (error, answer),
    };
    let text = answer.as_ref().map_or_else(|| scrubbed(&error), Answer::text);
    let kind = match meaning {
        Meaning::Kind(kind) => kind,
        Meaning::NoBucket => {
            let text = format!("the {} does not exist ({text})", profile.bucket);
            let hint = format!(
                "create it, or correct {}; pgstrata never creates it",
                profile.bucket_option
            );
            return Error::new(ErrorKind::Other, operation, object).caused_by(text).with_hint(hint);
        }
    };
    let made = Error::new(kind, operation, object).caused_by(text);
    match answer {
        Some(Answer::Refused { retry_after: Some(wait), .. }) => made.retry_later(wait),
        Some(Answer::Refused { status: 403 | 404, of_store: false, .. }) => {
            made.with_hint(about_tokens(profile))
        }
        Some(Answer::Refused { status: 400 | 401 | 403, over, .. })
            if kind == ErrorKind::Denied =>
        {
            made.with_hint(about_keys(profile, over))
        }
        Some(Answer::Refused { status: 413, .. }) => made.with_hint(TOO_LARGE_HINT),
        Some(Answer::Refused { status: 400, message, .. }) if says_tls_expected(&message) => {
            made.with_hint(TLS_EXPECTED_HINT)
        }
        Some(Answer::Broken { handshake: Some(HandshakeFault::Distrusted), .. }) => made.with_hint(
            "set repoN-storage-ca-file to the CA certificate that signed the server's \
                        certificate",
        ),
        Some(Answer::Broken { handshake: Some(HandshakeFault::NoTls), .. }) => {
            made.with_hint(NO_TLS_HINT)
        }
        _ => made,
    }
}

/// What to do where no token is to be had.
fn about_tokens(profile: &Profile) -> String {
    format!(
        "the metadata service may be disabled for this host, have no identity assigned, or be \
         blocked by a network policy or a proxy: check these, and {}-type",
        profile.key_option
    )
}

fn about_keys(profile: &Profile, over: bool) -> String {
    let option = profile.key_option;
    match over {
        true => format!(
            "{option} has expired: configure a new one, or a {option}-type that renews \
             credentials; also check the clock of this host"
        ),
        false => {
            format!("check {option} and its permissions on the {}", profile.bucket)
        }
    }
}

/// What the crate says where no answer does: of files and answers that it could not read. Not if that might be more.
pub(in crate::storage) fn scrubbed(error: &object_store::Error) -> String {
    let text = error.to_string();
    let secret = ["sig=", "Bearer", "http://", "https://"].iter().any(|word| text.contains(word));
    if secret { "the request could not be made".to_owned() } else { shown(&text) }
}

/// A text of one line and bounded length.
fn shown(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARACTERS_MAX).collect()
}

/// The text of an element of XML that holds no others.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let unescaped =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    Some(unescaped).filter(|text| !text.is_empty())
}

/// The word that services which give out tokens have for a failure: `{"error": "invalid_grant", …}`.
fn json_error(body: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(body).ok()?;
    value["error"].as_str().map(str::to_owned)
}

/// `Retry-After` in seconds. The other form, a date, is not used by these stores.
fn wait_asked_for(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
}

/// The status in the crate's text about one object of a batch: `… (code: 409)`. The crate keeps it nowhere else: its own
/// error for a part of a batch is private.
fn status_in(text: &str) -> Option<u16> {
    text.rsplit_once("(code: ")?.1.strip_suffix(')')?.parse().ok()
}
