//! The header of an encrypted object.

use super::{
    DataKeyId, Error, Result, random,
    size::{CHUNK_LEN, HEADER_LEN},
};

pub const CIPHER_MAGIC: &[u8; 8] = b"pgstratc";
pub const CIPHER_VERSION: u16 = 1;
const CHUNK_LOG2: u8 = CHUNK_LEN.ilog2() as u8;

/// Magic; version, u16 little-endian; the chunk size as a power of two, u8; five zero bytes; the id of the data key; a
/// random salt of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CipherHeader {
    pub data_key: DataKeyId,
    /// Makes the key of every object unique.
    pub salt: [u8; 32],
}

impl CipherHeader {
    pub fn new(data_key: DataKeyId) -> Result<Self> {
        Ok(Self { data_key, salt: random()? })
    }

    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(CIPHER_MAGIC);
        bytes[8..10].copy_from_slice(&CIPHER_VERSION.to_le_bytes());
        bytes[10] = CHUNK_LOG2;
        bytes[16..24].copy_from_slice(&self.data_key.0);
        bytes[24..].copy_from_slice(&self.salt);
        bytes
    }

    /// Decodes the header at the start of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if !bytes.starts_with(CIPHER_MAGIC) {
            return Err(Error::NotEncrypted);
        }
        let invalid = Error::CipherHeader;
        let bytes = bytes.first_chunk::<HEADER_LEN>().ok_or(invalid("it is too short"))?;
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version == 0 || version > CIPHER_VERSION {
            return Err(Error::CipherVersion { found: version, newest: CIPHER_VERSION });
        }
        if bytes[10] != CHUNK_LOG2 {
            return Err(invalid("its chunk size is not supported"));
        }
        if bytes[11..16] != [0; 5] {
            return Err(invalid("its reserved bytes are not zero"));
        }
        let mut header = Self { data_key: DataKeyId([0; 8]), salt: [0; 32] };
        header.data_key.0.copy_from_slice(&bytes[16..24]);
        header.salt.copy_from_slice(&bytes[24..]);
        Ok(header)
    }
}
