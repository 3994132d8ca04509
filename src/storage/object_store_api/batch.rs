//! The answer to a request that deletes many blobs at once. The crate believes it: a blob that the answer leaves out
//! counts as deleted, and an answer for one that was not asked for makes the crate panic. So an answer gets there only if
//! it answers for each blob, once.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse};

/// Bytes of an answer: 256 parts of less than a KiB.
const ANSWER_MAX: usize = 4 << 20;

/// What a request of many parts asked for, by the numbers of its parts.
#[derive(Debug)]
pub(super) struct Asked(BTreeSet<usize>);

/// What stands in an answer, or a request.
#[derive(Debug, Default)]
struct Parts {
    numbers: BTreeSet<usize>,
    /// A number that is none, or comes twice.
    confused: bool,
    /// Lines that begin an answer of HTTP.
    answers: usize,
}

impl Parts {
    fn of(message: &[u8]) -> Self {
        let mut parts = Self::default();
        for line in String::from_utf8_lossy(message).lines() {
            if line.starts_with("HTTP/1.1 ") {
                parts.answers += 1;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("content-id") {
                let number = value.trim().parse();
                parts.confused |= !number.is_ok_and(|number| parts.numbers.insert(number));
            }
        }
        parts
    }
}

impl Asked {
    /// `None` for a request that does not delete many at once.
    pub(super) fn by(request: &HttpRequest) -> Option<Self> {
        let query = request.uri().query().unwrap_or_default();
        let body = request.body().as_bytes();
        let batch = query.split('&').any(|pair| pair == "comp=batch");
        body.filter(|_| batch).map(|body| Self(Parts::of(body).numbers))
    }

    /// The answer, once it is proven to be one.
    pub(super) async fn checked(self, response: HttpResponse) -> Result<HttpResponse, HttpError> {
        let (head, body) = response.into_parts();
        let mut whole = BytesMut::new();
        let mut chunks = body.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            whole.extend_from_slice(&chunk?);
            if whole.len() > ANSWER_MAX {
                return Err(wrong("the response is too long"));
            }
        }
        match self.is_answered_by(&whole) {
            true => Ok(HttpResponse::from_parts(head, Bytes::from(whole).into())),
            false => Err(wrong("the response does not have a result for each object")),
        }
    }

    /// A refusal of the request as a whole is a part without a number; the crate reads it.
    fn is_answered_by(&self, answer: &[u8]) -> bool {
        let parts = Parts::of(answer);
        let refused = parts.answers > parts.numbers.len();
        !parts.confused && parts.numbers.is_subset(&self.0) && (refused || parts.numbers == self.0)
    }
}

fn wrong(what: &str) -> HttpError {
    HttpError::new(HttpErrorKind::Decode, std::io::Error::other(what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: &str, status: u16) -> String {
        format!(
            "--b\r\nContent-Type: application/http\r\n{number}\r\nHTTP/1.1 {status} Made Up\r\nx-ms-version: 1\r\n\r\n"
        )
    }

    fn answered(answer: &[String]) -> bool {
        Asked([0, 1].into()).is_answered_by((answer.concat() + "--b--\r\n").as_bytes())
    }

    #[test]
    fn only_an_answer_for_each_object_is_one() {
        let numbered = |number: &str| part(&format!("Content-ID: {number}\r\n"), 202);
        assert!(answered(&[numbered("1"), numbered("0")]));
        assert!(answered(&[part("content-id: 0\r\n", 404), numbered("1")]));
        for wrong in [&["0"][..], &["0", "2"], &["0", "1", "2"], &["0", "0", "1"], &["0", "x"], &[]]
        {
            let parts: Vec<String> = wrong.iter().map(|number| numbered(number)).collect();
            assert!(!answered(&parts), "{wrong:?}");
        }
        assert!(answered(&[part("", 403)]), "all of it is refused");
    }
}
