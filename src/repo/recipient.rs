//! The key objects of an encrypted repository. Each holds the data key wrapped under the pass phrase of one recipient, so
//! pass phrases can be added and removed without rewriting data.
//!
//! Body: the length of the key metadata, u32 little-endian; the key metadata, JSON; the nonce, 12 bytes; the wrapped key,
//! 48 bytes. Everything from the first byte of the object up to the nonce is additional authenticated data.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Error,
    layout::{self, KEY_ROOT},
    metadata::{self, object_name},
    object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
};
use crate::{
    codec::encrypt::{DataKey, DataKeyId, Kdf, SALT_LEN, WRAPPED_LEN, WrappedKey},
    storage::{EntryKind, ObjectPath, Storage},
    types::{CompressType, Invalid},
};

const SIZE_MAX: usize = 16 << 10;
/// Bytes.
pub const COMMENT_MAX: usize = 1000;
/// Bounds the key derivations of one attempt to open the repository: each recipient costs one.
pub const RECIPIENTS_MAX: usize = 32;
const NONCE_LEN: usize = 12;
const CIPHER: &str = "aes-256-gcm";
const KDF: &str = "argon2id";

/// Never shown; its memory is cleared on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct PassPhrase(Zeroizing<Vec<u8>>);

impl PassPhrase {
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(Zeroizing::new(bytes.as_ref().to_vec()))
    }
}

impl fmt::Debug for PassPhrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The file name of a key object, 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecipientId(u64);

impl RecipientId {
    /// The first recipient of every repository. It is fixed, so that only one of two concurrent stanza-create commands can
    /// create the data key.
    pub const FIRST: Self = Self(1);

    pub fn random() -> Self {
        Self(rand::random())
    }

    pub fn path(self) -> Result<ObjectPath, Invalid> {
        layout::key_directory()?.join(&self.to_string())
    }
}

impl fmt::Display for RecipientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for RecipientId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let well_formed = text.len() == 16 && text.bytes().all(digit);
        let number = well_formed.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or_else(|| Invalid::new("recipient id", text, "it has 16 hex digits"))
    }
}

/// The parameters in a key object next to the wrapped key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct KeyMetadata {
    recipient: String,
    comment: String,
    /// Seconds since 1970.
    made: i64,
    cipher: String,
    data_key: String,
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
}

/// A key object: one pass phrase that unlocks the repository.
#[derive(Clone, Debug)]
pub struct Recipient {
    pub id: RecipientId,
    /// Given when it was added.
    pub comment: String,
    /// Seconds since 1970.
    pub made: i64,
    pub kdf: Kdf,
    /// The data key that is wrapped in it.
    pub data_key: DataKeyId,
    salt: [u8; SALT_LEN],
    wrapped: WrappedKey,
    /// The object up to the nonce: the additional authenticated data.
    authenticated: Bytes,
}

/// The key object of a new recipient.
pub fn encode(
    id: RecipientId,
    comment: &str,
    pass: &PassPhrase,
    data_key: &DataKey,
    kdf: Kdf,
) -> Result<Bytes, Error> {
    let object = format!("{KEY_ROOT}/{id}");
    let failed = |source: crate::codec::Error| Error::Codec { object: object.clone(), source };
    let salt = Kdf::salt().map_err(failed)?;
    let key_metadata = KeyMetadata {
        recipient: id.to_string(),
        comment: comment.to_owned(),
        made: Timestamp::now().as_second(),
        cipher: CIPHER.to_owned(),
        data_key: data_key.id().to_string(),
        kdf: KDF.to_owned(),
        memory_kib: kdf.memory_kib,
        passes: kdf.passes,
        lanes: kdf.lanes,
        salt: hex::encode(salt),
    };
    let json = metadata::to_json(&key_metadata, &object)?;
    let mut body = (json.len() as u32).to_le_bytes().to_vec();
    body.extend_from_slice(&json);
    let header = ObjectHeader::new(ObjectKind::Key, CompressType::None).encode();
    let authenticated = [&header[..], &body].concat();
    let pass_key = kdf.derive(&pass.0, &salt).map_err(failed)?;
    let wrapped = data_key.wrap(&pass_key, &authenticated).map_err(failed)?;
    body.extend_from_slice(&wrapped.nonce);
    body.extend_from_slice(&wrapped.sealed);
    Ok(metadata::frame(ObjectKind::Key, &body))
}

pub(super) async fn read_stored(storage: &dyn Storage, path: &ObjectPath) -> Result<Bytes, Error> {
    metadata::read_whole(storage, path, SIZE_MAX).await
}

impl Recipient {
    /// Decodes a key object, which may be hostile: the cost of its key derivation is bounded here.
    pub fn decode(id: RecipientId, data: Bytes, object: &str) -> Result<Self, Error> {
        let invalid = |what: &str| Error::format(object, what);
        let body = metadata::unframe(ObjectKind::Key, data.clone(), object)?;
        let (length, rest) =
            body.split_first_chunk::<4>().ok_or_else(|| invalid("it is too short"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (json, wrapped) = rest
            .split_at_checked(length)
            .ok_or_else(|| invalid("its key metadata is truncated"))?;
        let key_metadata: KeyMetadata = metadata::from_json(json, object)?;
        if wrapped.len() != NONCE_LEN + WRAPPED_LEN {
            return Err(invalid("its wrapped key has a wrong length"));
        }
        if key_metadata.recipient != id.to_string() {
            return Err(invalid("it is the key object of another recipient"));
        }
        if key_metadata.cipher != CIPHER
            || key_metadata.kdf != KDF
            || key_metadata.comment.len() > COMMENT_MAX
        {
            return Err(invalid("its cipher, key derivation or comment is not known"));
        }
        let KeyMetadata { memory_kib, passes, lanes, .. } = key_metadata;
        let kdf = Kdf { memory_kib, passes, lanes };
        kdf.check().map_err(|error| invalid(&error.to_string()))?;
        let mut recipient = Self {
            id,
            comment: key_metadata.comment,
            made: key_metadata.made,
            kdf,
            data_key: DataKeyId([0; 8]),
            salt: [0; SALT_LEN],
            wrapped: WrappedKey { nonce: [0; NONCE_LEN], sealed: [0; WRAPPED_LEN] },
            authenticated: data.slice(..HEADER_LEN + 4 + length),
        };
        let from_hex = |text: &str, bytes: &mut [u8]| {
            hex::decode_to_slice(text, bytes).map_err(|_| invalid("its key metadata is not valid"))
        };
        from_hex(&key_metadata.data_key, &mut recipient.data_key.0)?;
        from_hex(&key_metadata.salt, &mut recipient.salt)?;
        recipient.wrapped.nonce.copy_from_slice(&wrapped[..NONCE_LEN]);
        recipient.wrapped.sealed.copy_from_slice(&wrapped[NONCE_LEN..]);
        Ok(recipient)
    }

    /// An error if the recipient's data key is not `data_key`: a repository has exactly one.
    pub fn expect(self, data_key: DataKeyId, object: &str) -> Result<Self, Error> {
        if self.data_key == data_key {
            Ok(self)
        } else {
            Err(Error::format(
                object,
                format!(
                    "it holds data key {} of another repository, but this repository has {data_key}",
                    self.data_key
                ),
            ))
        }
    }

    /// Unwraps the data key; `None` if the pass phrase is not this recipient's. Takes the time and memory of its [`Kdf`].
    pub fn open(&self, pass: &PassPhrase) -> Result<Option<DataKey>, Error> {
        let failed = |source: crate::codec::Error| {
            let object = format!("{KEY_ROOT}/{}", self.id);
            Error::Codec { object, source }
        };
        let pass_key = self.kdf.derive(&pass.0, &self.salt).map_err(failed)?;
        DataKey::unwrap_with(&pass_key, self.data_key, &self.wrapped, &self.authenticated)
            .map_err(failed)
    }

    /// Reads the key object of a recipient. `storage` is the one below encryption.
    pub async fn read(storage: &dyn Storage, id: RecipientId) -> Result<Self, Error> {
        let path = id.path()?;
        let data = metadata::read_whole(storage, &path, SIZE_MAX).await?;
        Self::decode(id, data, &object_name(storage, &path))
    }
}

/// The ids of all recipients; none if the repository is not encrypted. `storage` is the one below encryption.
pub async fn list(storage: &dyn Storage) -> Result<Vec<RecipientId>, Error> {
    let directory = layout::key_directory()?;
    let entries = storage.list(&directory, false).await?;
    let objects = entries.iter().filter(|entry| matches!(entry.kind, EntryKind::Object { .. }));
    let ids: Vec<RecipientId> =
        objects.filter_map(|entry| entry.path.file_name().parse().ok()).collect();
    if ids.len() > RECIPIENTS_MAX {
        Err(Error::format(
            object_name(storage, &directory),
            format!("there are more than {RECIPIENTS_MAX} key objects"),
        ))
    } else {
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::Failure;

    const CHEAP: Kdf = Kdf { memory_kib: 8, passes: 1, lanes: 1 };

    fn key_object(pass: &str) -> (DataKey, Bytes) {
        let key = DataKey::generate().unwrap();
        let data = encode(RecipientId(7), "db team", &PassPhrase::new(pass), &key, CHEAP).unwrap();
        (key, data)
    }

    fn decode(data: &[u8]) -> Result<Recipient, Error> {
        Recipient::decode(RecipientId(7), Bytes::copy_from_slice(data), "o")
    }

    /// The bytes with a SHA-256 that is right.
    fn sealed(data: &[u8]) -> Bytes {
        metadata::frame(ObjectKind::Key, &data[HEADER_LEN..data.len() - metadata::TRAILER_LEN])
    }

    #[test]
    fn a_recipient_opens_with_its_pass_phrase() {
        let (key, data) = key_object("correct horse");
        let recipient = decode(&data).unwrap();
        assert_eq!((recipient.comment.as_str(), recipient.kdf), ("db team", CHEAP));
        let opened = recipient.open(&PassPhrase::new("correct horse")).unwrap().unwrap();
        assert_eq!(opened.id(), key.id());
        assert!(recipient.open(&PassPhrase::new("correct horse ")).unwrap().is_none());
        let other = Recipient::decode(RecipientId(8), data, "o").unwrap_err();
        assert!(other.to_string().contains("another recipient"), "{other}");
    }

    #[test]
    fn nothing_in_a_key_object_can_be_changed() {
        let (_, data) = key_object("p");
        let pass = PassPhrase::new("p");
        for at in 0..data.len() {
            let mut wrong = data.to_vec();
            wrong[at] ^= 1;
            assert!(decode(&wrong).is_err(), "byte {at}");
            if at < HEADER_LEN || at >= data.len() - metadata::TRAILER_LEN {
                continue;
            }
            // A user who can write to the repository can forge the SHA-256, but not the tag.
            let opened = decode(&sealed(&wrong)).map(|recipient| recipient.open(&pass).unwrap());
            assert!(!matches!(opened, Ok(Some(_))), "byte {at}");
        }
    }

    #[test]
    fn a_hostile_cost_is_refused_before_it_is_spent() {
        let (_, data) = key_object("p");
        let text = String::from_utf8_lossy(&data).into_owned();
        assert!(text.contains("\"memory-kib\":8,"));
        let hostile = "\"memory-kib\":4000000000,";
        let body = &data[HEADER_LEN + 4..data.len() - metadata::TRAILER_LEN];
        let at = body.windows(15).position(|part| part == b"\"memory-kib\":8,").unwrap();
        let json_len = u32::from_le_bytes(*data[HEADER_LEN..].first_chunk().unwrap());
        let new_len = json_len + hostile.len() as u32 - 15;
        let new = [&new_len.to_le_bytes()[..], &body[..at], hostile.as_bytes(), &body[at + 15..]];
        let error = decode(&metadata::frame(ObjectKind::Key, &new.concat())).unwrap_err();
        assert!(error.to_string().contains("4000000000 KiB"), "{error}");
        assert_eq!(error.code(), crate::types::ErrorCode::Format);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_key_object_or_an_error(
            body in prop::collection::vec(any::<u8>(), 0..300),
            cut in any::<prop::sample::Index>(),
        ) {
            let _ = decode(&body);
            let _ = decode(&metadata::frame(ObjectKind::Key, &body));
            let (_, data) = key_object("p");
            let end = cut.index(data.len() - metadata::TRAILER_LEN - HEADER_LEN) + HEADER_LEN;
            let mixed = [&data[HEADER_LEN..end], &body].concat();
            let _ = decode(&metadata::frame(ObjectKind::Key, &mixed));
        }

        #[test]
        fn any_text_is_an_id_or_an_error(text in ".{0,20}", number: u64) {
            if let Ok(id) = text.parse::<RecipientId>() {
                prop_assert_eq!(id.to_string(), text);
            }
            prop_assert_eq!(RecipientId(number).to_string().parse::<RecipientId>().unwrap(), RecipientId(number));
        }
    }
}
