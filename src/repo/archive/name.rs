//! The names of the archive's objects.

use crate::{
    storage::ObjectPath,
    types::{ArchiveFile, CompressType, Sha256},
};

/// A file of the archive as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredWal {
    /// The file, by PostgreSQL's name.
    pub file: ArchiveFile,
    /// SHA-256 of the raw bytes.
    pub digest: Sha256,
    /// From the name's extension.
    pub compress: CompressType,
    pub path: ObjectPath,
    /// Stored bytes; 0 where the caller did not need the size.
    pub size: u64,
}

/// Hexadecimal digits of a SHA-256.
const DIGEST_LEN: usize = 64;

impl StoredWal {
    pub(super) fn file_name(file: ArchiveFile, digest: Sha256, compress: CompressType) -> String {
        match compress.extension() {
            "" => format!("{file}-{digest}"),
            extension => format!("{file}-{digest}.{extension}"),
        }
    }

    /// Parses an object's name; `None` if it is not one that [`Self::file_name`] makes.
    pub(in crate::repo) fn parse(path: &ObjectPath, size: u64) -> Option<Self> {
        let (file, rest) = path.file_name().split_once('-')?;
        let digest = rest.get(..DIGEST_LEN)?.parse().ok()?;
        let compress = match &rest[DIGEST_LEN..] {
            "" => CompressType::None,
            ".zst" => CompressType::Zst,
            ".lz4" => CompressType::Lz4,
            ".gz" => CompressType::Gz,
            _ => return None,
        };
        Some(Self { file: file.parse().ok()?, digest, compress, path: path.clone(), size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let digest = Sha256([0xAB; 32]);
        for file in [
            "000000010000000000000001",
            "000000010000000000000001.partial",
            "00000002.history",
            "000000010000000000000002.00000028.backup",
        ] {
            let file: ArchiveFile = file.parse().unwrap();
            for compress in
                [CompressType::None, CompressType::Zst, CompressType::Lz4, CompressType::Gz]
            {
                let name = StoredWal::file_name(file, digest, compress);
                let path = ObjectPath::new(format!("archive/x/15-1/{name}")).unwrap();
                let stored = StoredWal::parse(&path, 7).unwrap();
                assert_eq!(
                    (stored.file, stored.digest, stored.compress, stored.size),
                    (file, digest, compress, 7)
                );
            }
        }
    }

    #[test]
    fn other_names_are_none_of_ours() {
        let digest = Sha256([0xAB; 32]).to_string();
        for name in [
            "000000010000000000000001".to_owned(),
            format!("000000010000000000000001-{}", &digest[1..]),
            format!("000000010000000000000001-{digest}.bak"),
            format!("000000010000000000000001-{}", digest.to_uppercase()),
            format!("x-{digest}"),
            format!("000000010000000000000001-{}é", &digest[..63]),
        ] {
            assert_eq!(
                StoredWal::parse(&ObjectPath::new(name.clone()).unwrap(), 0),
                None,
                "{name}"
            );
        }
    }
}
