//! From a pass phrase to a key: Argon2id (RFC 9106), which makes each guess cost time and memory.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::{Error, Result, random};

/// Bytes of the salt.
pub const SALT_LEN: usize = 16;

/// The cost of a derivation. It is stored with each wrapped key, so it can be raised for new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kdf {
    /// Memory in KiB (m).
    pub memory_kib: u32,
    /// Passes over the memory (t).
    pub passes: u32,
    /// Lanes of the memory (p).
    pub lanes: u32,
}

/// A key that was derived from a pass phrase. Its memory is cleared when it goes.
pub struct PassKey(Zeroizing<[u8; 32]>);

impl PassKey {
    pub(super) fn secret(&self) -> &[u8] {
        &*self.0
    }
}

impl Kdf {
    /// What new keys are wrapped with: the least that OWASP's Password Storage Cheat Sheet recommends, because every
    /// file of WAL that is archived or fetched pays it again.
    pub const DEFAULT: Self = Self { memory_kib: 19_456, passes: 2, lanes: 1 };

    /// A repository may be hostile: more than this is not spent on what it says.
    const MEMORY_KIB_MAX: u32 = 1 << 20;
    const PASSES_MAX: u32 = 64;
    const LANES_MAX: u32 = 64;
    /// Memory times passes, KiB: some seconds.
    const WORK_MAX: u64 = 4 << 20;

    /// Whether the cost is within bounds that are safe to spend, and one that Argon2 has.
    pub fn check(&self) -> Result<()> {
        let work = u64::from(self.memory_kib) * u64::from(self.passes);
        let bounded = self.memory_kib <= Self::MEMORY_KIB_MAX
            && self.passes <= Self::PASSES_MAX
            && self.lanes <= Self::LANES_MAX
            && work <= Self::WORK_MAX;
        match bounded {
            true => self.params().map(drop),
            false => Err(Error::KdfCost(*self)),
        }
    }

    fn params(&self) -> Result<Params> {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|_| Error::KdfCost(*self))
    }

    /// A salt for a new key.
    pub fn salt() -> Result<[u8; SALT_LEN]> {
        random()
    }

    /// Derives the key; takes its time.
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
