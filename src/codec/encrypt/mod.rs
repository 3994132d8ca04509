//! Encryption of whole objects with AES-256-GCM, and of the key that does it. Pure transforms of bytes.
//!
//! An encrypted object is a [`CipherHeader`] and then chunks of [`CHUNK_LEN`] plain bytes, each followed by its tag; only
//! the last one is shorter. Each object has a key of its own, made of the [`DataKey`], a random salt and the object's
//! name; the nonce of a chunk is its number and whether it is the last. So no chunk can be left out, added, changed,
//! moved to another place, or be read under another object's name, without being found out (the STREAM construction of
//! Hoang, Reyhanitabar, Rogaway and Vizár).
//!
//! The data key is random. It is kept wrapped under keys that [`Kdf`] makes of pass phrases.

mod header;
mod kdf;
mod key;
mod object;
mod size;
#[cfg(test)]
mod tests;

pub use header::{CIPHER_MAGIC, CIPHER_VERSION, CipherHeader, HEADER_LEN};
pub use kdf::{Kdf, PassKey, SALT_LEN};
pub use key::{DataKey, DataKeyId, WRAPPED_LEN, WrappedKey};
pub use object::{CHUNK_LEN, ObjectCipher, SEALED_LEN, TAG_LEN};
pub use size::{chunk_count, plain_size, plain_size_at_most, sealed_range, stored_size};

use super::{Error, Result};

/// Fills `bytes` from the system's source of random numbers for keys.
fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}
