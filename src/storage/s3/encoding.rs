//! The texts that S3 wants values in.

use md5::{Digest, Md5};

use super::super::{Error, ErrorKind, Result};
use crate::types::{ErrorCode, Secret};

/// A key that the store encrypts with and does not keep.
#[derive(Debug)]
pub(super) struct CustomerKey {
    base64: Secret,
    md5: String,
}

impl CustomerKey {
    pub(super) fn of(key: &Secret) -> Result<Self> {
        let text = key.reveal().trim();
        let bytes =
            zeroize::Zeroizing::new(openssl::base64::decode_block(text).unwrap_or_default());
        match bytes.len() {
            32 => Ok(Self { base64: Secret::new(text), md5: content_md5(&bytes) }),
            _ => Err(Error::new(ErrorKind::Other, "use", "repoN-s3-sse-customer-key")
                .caused_by("it is not 32 bytes in base64")
                .with_code(ErrorCode::OptionInvalidValue)
                .with_hint("'openssl rand -base64 32' prints such a key.")),
        }
    }

    pub(super) fn base64(&self) -> String {
        self.base64.reveal().to_owned()
    }

    pub(super) fn md5(&self) -> String {
        self.md5.clone()
    }
}

/// A digest as the header `Content-MD5` has it.
pub(super) fn content_md5(data: &[u8]) -> String {
    openssl::base64::encode_block(&Md5::digest(data))
}

/// Tags as a query.
pub(super) fn tagging(tags: &[(String, String)]) -> Option<String> {
    let pair = |(name, value): &(String, String)| format!("{}={}", encoded(name), encoded(value));
    (!tags.is_empty()).then(|| tags.iter().map(pair).collect::<Vec<_>>().join("&"))
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    //! Values as S3 wants them.

    use super::*;

    #[test]
    fn tags_are_a_query() {
        let tags = [("a b", "c&d"), ("ü", "")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(tagging(&tags).as_deref(), Some("a%20b=c%26d&%C3%BC="));
        assert_eq!(tagging(&[]), None);
    }

    #[test]
    fn a_customer_key_is_32_bytes_in_base64() {
        let key = openssl::base64::encode_block(&[7; 32]);
        let found = CustomerKey::of(&Secret::new(key.clone())).unwrap();
        assert_eq!(found.base64(), key);
        assert!(!format!("{found:?}").contains(&key));
        for bad in ["", "the-secret", &openssl::base64::encode_block(&[7; 31])] {
            let error = CustomerKey::of(&Secret::new(bad)).unwrap_err().to_string();
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }
}
