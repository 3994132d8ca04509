//! Encrypts and decrypts the chunks of an object.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Salt},
};
use zeroize::Zeroizing;

use super::{
    Error, Result,
    header::{CIPHER_VERSION, CipherHeader},
    key::DataKey,
    size::{HEADER_LEN, TAG_LEN},
};

pub struct ObjectCipher {
    key: LessSafeKey,
    header: [u8; HEADER_LEN],
}

/// Bytes of an AES-256 key, for HKDF.
struct KeyLen;

impl KeyType for KeyLen {
    fn len(&self) -> usize {
        32
    }
}

impl ObjectCipher {
    /// The cipher of the object at `path` with `header`; [`Error::OtherKey`] if the header names another data key.
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

    /// Goes before the first chunk.
    pub fn header(&self) -> &[u8; HEADER_LEN] {
        &self.header
    }

    /// Encrypts the bytes of `buffer` from `from` on in place, as chunk `number`, and appends the tag.
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

    /// Decrypts chunk `number` and appends it to `plain`; after [`Error::Tampered`], `plain` has its previous length.
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

/// Unique per chunk, as GCM requires: three zero bytes, the chunk number as u64 big-endian, 1 for the last chunk and 0 for
/// any other.
fn nonce(number: u64, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[3..11].copy_from_slice(&number.to_be_bytes());
    bytes[11] = last.into();
    Nonce::assume_unique_for_key(bytes)
}
