//! The data key, which encrypts the objects of a repository and is stored only in wrapped form.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::{DataKeyId, Error, PassKey, Result, random, size::TAG_LEN};

pub const WRAPPED_LEN: usize = 32 + TAG_LEN;

/// Its memory is cleared on drop.
#[derive(Clone)]
pub struct DataKey {
    id: DataKeyId,
    secret: Zeroizing<[u8; 32]>,
}

/// A data key encrypted under a [`PassKey`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Random.
    pub nonce: [u8; 12],
    /// The encrypted key, then the tag.
    pub sealed: [u8; WRAPPED_LEN],
}

impl DataKey {
    pub fn generate() -> Result<Self> {
        Ok(Self { id: DataKeyId(random()?), secret: Zeroizing::new(random()?) })
    }

    pub fn id(&self) -> DataKeyId {
        self.id
    }

    pub(super) fn secret(&self) -> &[u8] {
        &*self.secret
    }

    /// Wraps the key. `authenticated` is stored beside it in the clear; a change of it is detected.
    pub fn wrap(&self, pass_key: &PassKey, authenticated: &[u8]) -> Result<WrappedKey> {
        let nonce = random()?;
        let mut secret = self.secret.clone();
        let tag = wrapping_key(pass_key)?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(authenticated),
                &mut *secret,
            )
            .map_err(|_| Error::Cipher("the data key cannot be wrapped"))?;
        let mut sealed = [0; WRAPPED_LEN];
        sealed[..32].copy_from_slice(&*secret);
        sealed[32..].copy_from_slice(tag.as_ref());
        Ok(WrappedKey { nonce, sealed })
    }

    /// Unwraps a key; `None` if it was wrapped under another pass phrase, or it or `authenticated` was changed.
    pub fn unwrap_with(
        pass_key: &PassKey,
        id: DataKeyId,
        wrapped: &WrappedKey,
        authenticated: &[u8],
    ) -> Result<Option<Self>> {
        let mut secret = Zeroizing::new([0; 32]);
        let (body, tag) = wrapped.sealed.split_at(32);
        let nonce = Nonce::assume_unique_for_key(wrapped.nonce);
        let opened = wrapping_key(pass_key)?.open_separate_gather(
            nonce,
            Aad::from(authenticated),
            body,
            tag,
            &mut *secret,
        );
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

fn wrapping_key(pass_key: &PassKey) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, pass_key.secret());
    key.map(LessSafeKey::new).map_err(|_| Error::Cipher("the data key cannot be unwrapped"))
}
