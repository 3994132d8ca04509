//! The data key: it encrypts the objects, and is itself kept only in wrapped form.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::{Error, PassKey, Result, object::TAG_LEN, random};

/// Bytes of a wrapped data key.
pub const WRAPPED_LEN: usize = 32 + TAG_LEN;

/// What tells data keys apart. It is random, and says nothing about the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DataKeyId(pub [u8; 8]);

impl fmt::Display for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The key of a repository. Its memory is cleared when it goes.
#[derive(Clone)]
pub struct DataKey {
    id: DataKeyId,
    secret: Zeroizing<[u8; 32]>,
}

/// A data key encrypted under a [`PassKey`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The nonce, which is random.
    pub nonce: [u8; 12],
    /// The encrypted key and its tag.
    pub sealed: [u8; WRAPPED_LEN],
}

impl DataKey {
    /// A new one.
    pub fn generate() -> Result<Self> {
        Ok(Self { id: DataKeyId(random()?), secret: Zeroizing::new(random()?) })
    }

    /// What tells it from others.
    pub fn id(&self) -> DataKeyId {
        self.id
    }

    pub(super) fn secret(&self) -> &[u8] {
        &*self.secret
    }

    /// Wraps the key; `facts`, which stand beside it, can then not be changed either.
    pub fn wrap(&self, under: &PassKey, facts: &[u8]) -> Result<WrappedKey> {
        let nonce = random()?;
        let mut secret = self.secret.clone();
        let tag = wrapping(under)?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(facts),
                &mut *secret,
            )
            .map_err(|_| Error::Cipher("the data key cannot be wrapped"))?;
        let mut sealed = [0; WRAPPED_LEN];
        sealed[..32].copy_from_slice(&*secret);
        sealed[32..].copy_from_slice(tag.as_ref());
        Ok(WrappedKey { nonce, sealed })
    }

    /// Unwraps a key; `None` where it, or the facts beside it, were not wrapped under this.
    pub fn unwrap_with(
        under: &PassKey,
        id: DataKeyId,
        wrapped: &WrappedKey,
        facts: &[u8],
    ) -> Result<Option<Self>> {
        let mut secret = Zeroizing::new([0; 32]);
        let (body, tag) = wrapped.sealed.split_at(32);
        let nonce = Nonce::assume_unique_for_key(wrapped.nonce);
        let opened =
            wrapping(under)?.open_separate_gather(nonce, Aad::from(facts), body, tag, &mut *secret);
        Ok(opened.is_ok().then_some(Self { id, secret }))
    }
}

impl PartialEq for DataKey {
    fn eq(&self, other: &Self) -> bool {
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(self.secret(), other.secret());
        self.id == other.id && same.is_ok()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}

fn wrapping(under: &PassKey) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, under.secret());
    key.map(LessSafeKey::new).map_err(|_| Error::Cipher("the data key cannot be unwrapped"))
}
