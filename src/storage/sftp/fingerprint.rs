//! Fingerprints of host keys, in the forms that OpenSSH and pgBackRest print them.

use std::fmt;

use openssl::hash::{MessageDigest, hash};

use crate::types::{FingerprintHash, Invalid};

const HASHES: [FingerprintHash; 3] =
    [FingerprintHash::Md5, FingerprintHash::Sha1, FingerprintHash::Sha256];

fn len(hash: FingerprintHash) -> usize {
    match hash {
        FingerprintHash::Md5 => 16,
        FingerprintHash::Sha1 => 20,
        FingerprintHash::Sha256 => 32,
    }
}

fn digest(hash: FingerprintHash) -> MessageDigest {
    match hash {
        FingerprintHash::Md5 => MessageDigest::md5(),
        FingerprintHash::Sha1 => MessageDigest::sha1(),
        FingerprintHash::Sha256 => MessageDigest::sha256(),
    }
}

/// The name as OpenSSH prints it.
fn name(hash: FingerprintHash) -> String {
    hash.word().to_ascii_uppercase()
}

/// What a host key must hash to.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: FingerprintHash,
    bytes: Vec<u8>,
}

impl Fingerprint {
    /// Reads a fingerprint: hexadecimal, with or without colons, or base64; with or without the hash before it
    /// (`SHA256:…`). Without `hash`, what stands before it or else its length decides.
    pub fn parse(text: &str, hash: Option<FingerprintHash>) -> Result<Self, Invalid> {
        let invalid = |why| Invalid::new("host key fingerprint", text, why);
        let trimmed = text.trim();
        let (named, rest) = split_name(trimmed);
        if hash.is_some() && named.is_some() && hash != named {
            return Err(invalid("its hash type is not the configured one"));
        }
        let bytes = decode_hex(rest)
            .or_else(|| decode_base64(rest))
            .ok_or_else(|| invalid("it is neither hexadecimal nor base64"))?;
        let by_length = HASHES.into_iter().find(|hash| len(*hash) == bytes.len());
        match (hash.or(named), by_length) {
            (Some(wanted), Some(found)) if wanted == found => Ok(Self { hash: wanted, bytes }),
            (None, Some(hash)) => Ok(Self { hash, bytes }),
            _ => Err(invalid("its length is not that of the hash")),
        }
    }

    /// The fingerprint of a host key; `None` where the system's cryptography refuses the hash.
    pub fn of(key: &[u8], hash: FingerprintHash) -> Option<Self> {
        let bytes = self::hash(digest(hash), key).ok()?.to_vec();
        Some(Self { hash, bytes })
    }

    /// Whether `key` has this fingerprint.
    pub fn is_of(&self, key: &[u8]) -> bool {
        Self::of(key, self.hash).as_ref() == Some(self)
    }
}

impl fmt::Display for Fingerprint {
    /// As `ssh-keygen -l` prints it: MD5 in hexadecimal, the others in base64.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", name(self.hash))?;
        if self.hash != FingerprintHash::Md5 {
            return f.write_str(openssl::base64::encode_block(&self.bytes).trim_end_matches('='));
        }
        let pairs: Vec<String> = self.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn split_name(text: &str) -> (Option<FingerprintHash>, &str) {
    for hash in HASHES {
        let name = name(hash);
        if let (Some(start), Some(rest)) = (text.get(..name.len()), text.get(name.len()..))
            && start.eq_ignore_ascii_case(&name)
            && let Some(rest) = rest.strip_prefix(':')
        {
            return (Some(hash), rest);
        }
    }
    (None, text)
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    hex::decode(digits).ok().filter(|bytes| !bytes.is_empty())
}

/// Base64 with or without the `=` at its end.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let bare = text.trim_end_matches('=');
    if bare.is_empty() || !bare.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
    {
        return None;
    }
    let padded = format!("{bare}{}", "=".repeat((4 - bare.len() % 4) % 4));
    openssl::base64::decode_block(&padded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The key of the test below, and what `ssh-keygen -l` prints of it.
    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn key() -> Vec<u8> {
        decode_base64(KEY).unwrap()
    }

    #[test]
    fn every_form_of_a_fingerprint_is_read() {
        for hash in HASHES {
            let made = Fingerprint::of(&key(), hash).unwrap();
            let plain = hex::encode(&made.bytes);
            let colons: Vec<String> = plain
                .as_bytes()
                .chunks(2)
                .map(|c| String::from_utf8_lossy(c).to_uppercase())
                .collect();
            let base64 = openssl::base64::encode_block(&made.bytes);
            let forms = [
                made.to_string(),
                plain.clone(),
                plain.to_uppercase(),
                colons.join(":"),
                format!("{}:{plain}", hash.word()),
                base64.clone(),
                base64.trim_end_matches('=').to_owned(),
            ];
            for form in forms {
                for given in [None, Some(hash)] {
                    let read = Fingerprint::parse(&form, given).unwrap();
                    assert_eq!(read, made, "{form}");
                    assert!(read.is_of(&key()) && !read.is_of(b"another key"));
                }
            }
        }
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        let sha1 = Some(FingerprintHash::Sha1);
        for text in ["", ":", "SHA256:", "abcd", "SHA256:abcd", "not a fingerprint", "ff00ff"] {
            assert!(Fingerprint::parse(text, None).is_err(), "{text}");
        }
        let of_md5 = Fingerprint::of(&key(), FingerprintHash::Md5).unwrap();
        assert!(Fingerprint::parse(&of_md5.to_string(), sha1).is_err());
        assert!(Fingerprint::parse(&hex::encode(&of_md5.bytes), sha1).is_err());
    }
}
