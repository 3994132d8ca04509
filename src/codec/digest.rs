//! Digests: SHA-256 for whole objects, keyed BLAKE3 for raw blocks.

use sha2::Digest;

use super::{Error, Result};
use crate::types::{BlockDigest, Sha256};

/// Incremental SHA-256.
#[derive(Clone, Default)]
pub struct Sha256Hasher {
    state: sha2::Sha256,
}

impl Sha256Hasher {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn digest(bytes: &[u8]) -> Sha256 {
        Sha256(sha2::Sha256::digest(bytes).into())
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
    }

    pub fn finish(self) -> Sha256 {
        Sha256(self.state.finalize().into())
    }

    /// [`Error::Checksum`] if the digest is not the expected one.
    pub fn expect(self, expected: Sha256) -> Result<()> {
        let found = self.finish();
        if found == expected { Ok(()) } else { Err(Error::Checksum { expected, found }) }
    }
}

/// Digests raw blocks under a secret key, so that a user who can write to the database cannot construct two blocks with the
/// same digest, of which a backup would store only one.
#[derive(Clone)]
pub struct BlockHasher {
    key: [u8; 32],
}

impl BlockHasher {
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The first 10 bytes of the keyed BLAKE3 of one raw block.
    pub fn digest(&self, raw_block: &[u8]) -> BlockDigest {
        let full = blake3::keyed_hash(&self.key, raw_block);
        let mut short = [0; BlockDigest::LEN];
        short.copy_from_slice(&full.as_bytes()[..BlockDigest::LEN]);
        BlockDigest(short)
    }
}

impl std::fmt::Debug for BlockHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BlockHasher(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_is_the_standard_one_however_the_bytes_are_cut() {
        let expected: Sha256 =
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".parse().unwrap();
        assert_eq!(Sha256Hasher::digest(b"abc"), expected);
        let mut hasher = Sha256Hasher::new();
        hasher.update(b"a");
        hasher.update(b"");
        hasher.update(b"bc");
        assert!(hasher.clone().expect(expected).is_ok());
        hasher.update(b"d");
        assert!(matches!(hasher.expect(expected), Err(Error::Checksum { .. })));
    }

    #[test]
    fn block_digest_depends_on_key_and_on_every_byte() {
        let block = vec![7; 8192];
        let hasher = BlockHasher::new([1; 32]);
        let digest = hasher.digest(&block);
        assert_eq!(digest, hasher.digest(&block));
        assert_ne!(digest, BlockHasher::new([2; 32]).digest(&block));
        for at in [0, 1, 4095, 8191] {
            let mut other = block.clone();
            other[at] ^= 1;
            assert_ne!(digest, hasher.digest(&other), "{at}");
        }
        // The published test vector: input 0,1,2 under this key.
        let vector = BlockHasher::new(*b"whats the Elvish word for friend");
        assert_eq!(hex::encode(vector.digest(&[0, 1, 2]).0), "39e67b76b5a007d49219");
    }
}
