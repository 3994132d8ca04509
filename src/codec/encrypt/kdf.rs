//! Derives a key from a pass phrase: Argon2id (RFC 9106), which makes each guess cost time and memory.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::{Error, Result, random};

pub const SALT_LEN: usize = 16;

/// The cost of a key derivation. It is stored with each wrapped key, so it can be raised for new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kdf {
    /// Argon2's m.
    pub memory_kib: u32,
    /// Argon2's t.
    pub passes: u32,
    /// Argon2's p.
    pub lanes: u32,
}

/// A key that was derived from a pass phrase. Its memory is cleared on drop.
pub struct PassKey(Zeroizing<[u8; 32]>);

impl PassKey {
    pub(super) fn secret(&self) -> &[u8] {
        &*self.0
    }
}

impl Kdf {
    /// For new keys: the least that OWASP's Password Storage Cheat Sheet recommends, because every archive-push and
    /// archive-get pays it.
    pub const DEFAULT: Self = Self { memory_kib: 19_456, passes: 2, lanes: 1 };

    // A repository may be hostile: a key object that declares a higher cost is refused.
    const MEMORY_KIB_MAX: u32 = 1 << 20;
    const PASSES_MAX: u32 = 64;
    const LANES_MAX: u32 = 64;
    /// Memory times passes in KiB: some seconds of CPU time.
    const WORK_MAX: u64 = 4 << 20;

    /// [`Error::KdfCost`] if the cost exceeds the bounds, or if Argon2 does not have these parameters.
    pub fn check(&self) -> Result<()> {
        let work = u64::from(self.memory_kib) * u64::from(self.passes);
        let bounded = self.memory_kib <= Self::MEMORY_KIB_MAX
            && self.passes <= Self::PASSES_MAX
            && self.lanes <= Self::LANES_MAX
            && work <= Self::WORK_MAX;
        if bounded { self.params().map(drop) } else { Err(self.refused()) }
    }

    pub(super) fn refused(&self) -> Error {
        let Self { memory_kib, passes, lanes } = *self;
        Error::KdfCost { memory_kib, passes, lanes }
    }

    fn params(&self) -> Result<Params> {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(|_| self.refused())
    }

    pub fn salt() -> Result<[u8; SALT_LEN]> {
        random()
    }

    /// Takes tens of milliseconds of CPU time: not for the runtime's threads.
    pub fn derive(&self, pass: &[u8], salt: &[u8; SALT_LEN]) -> Result<PassKey> {
        self.check()?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params()?);
        let mut key = Zeroizing::new([0; 32]);
        argon2
            .hash_password_into(pass, salt, &mut *key)
            .map_err(|_| Error::Cipher("no key can be derived from the pass phrase"))?;
        Ok(PassKey(key))
    }
}
