//! The first 16 bytes of every object, which identify it wherever it is found.
//!
//! Magic `pgstrata`; four ASCII bytes of kind; format version, u16 little-endian; compression, u8;
//! a zero byte.

use super::Error;
use crate::{codec::encrypt::CIPHER_MAGIC, types::CompressType};

pub const HEADER_LEN: usize = 16;
/// The first bytes of every object that is not encrypted.
pub const MAGIC: &[u8; 8] = b"pgstrata";
pub const FORMAT_VERSION: u16 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A file of the WAL archive.
    Wal,
    Manifest,
    FileList,
    MapBundle,
    /// A bundle of frames of file data.
    Bundle,
    /// A cluster of a stanza's history.
    Stanza,
    /// A change of annotations.
    Annotation,
    BackupManifest,
    /// A notice: a backup has begun.
    Started,
    /// A change of a keep mark.
    Keep,
    /// The wrapped data key of an encrypted repository.
    Key,
}

impl ObjectKind {
    const ALL: [Self; 11] = [
        Self::Wal,
        Self::Manifest,
        Self::FileList,
        Self::MapBundle,
        Self::Bundle,
        Self::Stanza,
        Self::Annotation,
        Self::BackupManifest,
        Self::Started,
        Self::Keep,
        Self::Key,
    ];

    pub const fn tag(self) -> &'static [u8; 4] {
        match self {
            Self::Wal => b"wal ",
            Self::Manifest => b"mani",
            Self::FileList => b"file",
            Self::MapBundle => b"map ",
            Self::Bundle => b"bndl",
            Self::Stanza => b"stza",
            Self::Annotation => b"anno",
            Self::BackupManifest => b"pgmn",
            Self::Started => b"strt",
            Self::Keep => b"keep",
            Self::Key => b"key ",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectHeader {
    pub kind: ObjectKind,
    pub version: u16,
    /// Of the body, or of each frame in it.
    pub compress: CompressType,
}

impl ObjectHeader {
    pub const fn new(kind: ObjectKind, compress: CompressType) -> Self {
        Self { kind, version: FORMAT_VERSION, compress }
    }

    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(self.kind.tag());
        bytes[12..14].copy_from_slice(&self.version.to_le_bytes());
        bytes[14] = match self.compress {
            CompressType::None => 0,
            CompressType::Zst => 1,
            CompressType::Lz4 => 2,
            CompressType::Gz => 3,
        };
        bytes
    }

    /// Decodes the header at the start of `bytes`; an error if `object` is not of the `expected` kind.
    pub fn decode(bytes: &[u8], expected: ObjectKind, object: &str) -> Result<Self, Error> {
        let header = Self::decode_any(bytes, object)?;
        if header.kind == expected {
            Ok(header)
        } else {
            Err(Error::format(object, "it is an object of another kind"))
        }
    }

    /// Decodes the header at the start of `bytes`, of any kind.
    pub fn decode_any(bytes: &[u8], object: &str) -> Result<Self, Error> {
        let invalid = |what| Error::format(object, what);
        if bytes.starts_with(CIPHER_MAGIC) {
            return Err(Error::Encrypted { object: object.to_owned() });
        }
        let header = bytes.first_chunk::<HEADER_LEN>().ok_or_else(|| invalid("it is too short"))?;
        if header[..8] != *MAGIC {
            return Err(invalid("it does not open with the magic 'pgstrata'"));
        }
        let kind = ObjectKind::ALL.into_iter().find(|kind| header[8..12] == *kind.tag());
        let kind = kind.ok_or_else(|| invalid("its kind is unknown"))?;
        let version = u16::from_le_bytes([header[12], header[13]]);
        if version == 0 || version > FORMAT_VERSION {
            return Err(Error::Version {
                object: object.to_owned(),
                found: version,
                newest: FORMAT_VERSION,
            });
        }
        let compress = match header[14] {
            0 => CompressType::None,
            1 => CompressType::Zst,
            2 => CompressType::Lz4,
            3 => CompressType::Gz,
            _ => return Err(invalid("its compression is unknown")),
        };
        match header[15] {
            0 => Ok(Self { kind, version, compress }),
            _ => Err(invalid("its reserved byte is not zero")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_a_round_trip() {
        for kind in ObjectKind::ALL {
            let header = ObjectHeader::new(kind, CompressType::Lz4);
            assert_eq!(ObjectHeader::decode(&header.encode(), kind, "o").unwrap(), header);
        }
    }

    #[test]
    fn any_damage_is_found() {
        let good = ObjectHeader::new(ObjectKind::Wal, CompressType::Zst).encode();
        for at in 0..HEADER_LEN {
            let mut bytes = good;
            bytes[at] ^= 0x80;
            assert!(ObjectHeader::decode(&bytes, ObjectKind::Wal, "o").is_err(), "byte {at}");
            assert!(ObjectHeader::decode(&good[..at], ObjectKind::Wal, "o").is_err());
        }
    }
}
