//! Encryption of objects with AES-256-GCM, and wrapping of the data key. Pure transforms of bytes.
//!
//! An encrypted object is a [`CipherHeader`] and then chunks of [`CHUNK_LEN`] plain bytes, each followed by its tag; only
//! the last one may be shorter. Each object has a key of its own, derived from the [`DataKey`], a random salt and the
//! object's path; the nonce of a chunk is its number and whether it is the last. So a chunk that was left out, added,
//! changed, moved, or taken from another object is detected (the STREAM construction of Hoang, Reyhanitabar, Rogaway and
//! Vizár).
//!
//! The data key is random. It is stored only wrapped under keys that [`Kdf`] derives from pass phrases.

mod data_key_id;
mod header;
mod kdf;
mod key;
mod object;
mod size;
#[cfg(test)]
mod tests;

pub use data_key_id::DataKeyId;
pub use header::{CIPHER_MAGIC, CIPHER_VERSION, CipherHeader};
pub use kdf::{Kdf, PassKey, SALT_LEN};
pub use key::{DataKey, WRAPPED_LEN, WrappedKey};
pub use object::ObjectCipher;
pub use size::{
    CHUNK_LEN, HEADER_LEN, SEALED_LEN, TAG_LEN, chunk_count, plain_size, plain_size_at_most,
    sealed_range, stored_size,
};

use super::{Error, Result};

/// Bytes of a cryptographically secure generator.
fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}
