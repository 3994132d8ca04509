//! The chunks of one object.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Salt},
};
use zeroize::Zeroizing;

use super::{
    Error, Result,
    header::{CIPHER_VERSION, CipherHeader, HEADER_LEN},
    key::DataKey,
};

/// Plain bytes of a chunk; the last one of an object may have fewer.
pub const CHUNK_LEN: usize = 64 << 10;
/// Bytes that prove a chunk.
pub const TAG_LEN: usize = 16;
/// Stored bytes of a chunk of full length.
pub const SEALED_LEN: usize = CHUNK_LEN + TAG_LEN;

/// Encrypts and decrypts the chunks of one object.
pub struct ObjectCipher {
    key: LessSafeKey,
    header: [u8; HEADER_LEN],
}

/// The length that HKDF is asked for.
struct KeyLen;

impl KeyType for KeyLen {
    fn len(&self) -> usize {
        32
    }
}

impl ObjectCipher {
    /// The cipher of the object that is kept under `path` and opens with `header`.
    pub fn new(data_key: &DataKey, header: &CipherHeader, path: &str) -> Result<Self> {
        if header.data_key != data_key.id() {
            return Err(Error::OtherKey { found: header.data_key, known: data_key.id() });
        }
        let failed = |_| Error::Cipher("the key of the object cannot be made");
        let extracted = Salt::new(HKDF_SHA256, &header.salt).extract(data_key.secret());
        let version = CIPHER_VERSION.to_le_bytes();
        let info = [b"pgstrata object".as_slice(), &version, path.as_bytes()];
        let mut secret = Zeroizing::new([0; 32]);
        let expanded = extracted.expand(&info, KeyLen).map_err(failed)?;
        expanded.fill(&mut *secret).map_err(failed)?;
        let key = UnboundKey::new(&AES_256_GCM, &*secret).map_err(failed)?;
        Ok(Self { key: LessSafeKey::new(key), header: header.encode() })
    }

    /// The header of the object, which goes before its first chunk.
    pub fn header(&self) -> &[u8; HEADER_LEN] {
        &self.header
    }

    /// Encrypts what `buffer` holds from `from` on as chunk `number`, and appends the tag.
    pub fn seal(&self, number: u64, last: bool, buffer: &mut Vec<u8>, from: usize) -> Result<()> {
        let failed = Error::Cipher("the chunk cannot be encrypted");
        let plain = buffer.get_mut(from..).ok_or_else(|| failed.clone())?;
        let sealed = self.key.seal_in_place_separate_tag(
            nonce(number, last),
            Aad::from(&self.header),
            plain,
        );
        buffer.extend_from_slice(sealed.map_err(|_| failed)?.as_ref());
        Ok(())
    }

    /// Decrypts chunk `number` and appends its bytes to `plain`, which stays as it is where they are not proven.
    pub fn open(&self, number: u64, last: bool, sealed: &[u8], plain: &mut Vec<u8>) -> Result<()> {
        let wrong = Error::Tampered { chunk: number };
        let Some((body, tag)) = sealed.split_last_chunk::<TAG_LEN>() else { return Err(wrong) };
        let from = plain.len();
        plain.resize(from + body.len(), 0);
        let (nonce, aad) = (nonce(number, last), Aad::from(&self.header));
        let opened = self.key.open_separate_gather(nonce, aad, body, tag, &mut plain[from..]);
        opened.map_err(|_| {
            plain.truncate(from);
            wrong
        })
    }
}

impl std::fmt::Debug for ObjectCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ObjectCipher")
    }
}

/// The number of the chunk in 11 bytes, big-endian, then 1 for the last chunk and 0 for any other.
fn nonce(number: u64, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[3..11].copy_from_slice(&number.to_be_bytes());
    bytes[11] = last.into();
    Nonce::assume_unique_for_key(bytes)
}
