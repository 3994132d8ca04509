//! The readable content of an object, for `repo-get`: the JSON of a metadata object, the lines of a file list,
//! PostgreSQL's `backup_manifest`. Works on chunks in constant memory.

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::{
    Error,
    metadata::TRAILER_LEN,
    object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
};
use crate::{codec::Sha256Hasher, types::CompressType};

const STEP: usize = 64 << 10;

pub struct PlainReader {
    object: String,
    state: State,
}

enum State {
    /// The first bytes of an incomplete header.
    Header(Vec<u8>),
    /// A metadata object. `tail` holds the last bytes so far, which may be the trailer.
    Metadata { hasher: Sha256Hasher, tail: Vec<u8> },
    /// A zstd stream.
    Stream { decoder: Decoder<'static>, ended: bool },
}

impl PlainReader {
    /// `object` is its name in errors.
    pub fn new(object: impl Into<String>) -> Self {
        Self { object: object.into(), state: State::Header(Vec::with_capacity(HEADER_LEN)) }
    }

    /// Takes the next stored bytes and appends to `plain` as much as can be decoded.
    pub fn push(&mut self, mut stored: &[u8], plain: &mut Vec<u8>) -> Result<(), Error> {
        if let State::Header(start) = &mut self.state {
            let missing = (HEADER_LEN - start.len()).min(stored.len());
            start.extend_from_slice(&stored[..missing]);
            stored = &stored[missing..];
            if start.len() == HEADER_LEN {
                self.state = State::after(start, &self.object)?;
            }
        }
        match &mut self.state {
            State::Header(_) => Ok(()),
            State::Metadata { hasher, tail } => {
                tail.extend_from_slice(stored);
                let body = tail.len().saturating_sub(TRAILER_LEN);
                hasher.update(&tail[..body]);
                plain.extend(tail.drain(..body));
                Ok(())
            }
            State::Stream { decoder, ended } => inflate(decoder, ended, stored, plain)
                .map_err(|error| Error::format(&self.object, error.to_string())),
        }
    }

    /// Ends the object: `Ok` if it is complete and, for a metadata object, its SHA-256 matches.
    pub fn finish(self) -> Result<(), Error> {
        let too_short = Error::format(&self.object, "it is too short");
        match self.state {
            State::Header(_) => Err(too_short),
            State::Metadata { tail, .. } if tail.len() < TRAILER_LEN => Err(too_short),
            State::Metadata { hasher, tail } => {
                if hasher.finish().0 == tail[..] {
                    Ok(())
                } else {
                    Err(Error::Damaged { object: self.object, what: "SHA-256" })
                }
            }
            State::Stream { ended: true, .. } => Ok(()),
            State::Stream { ended: false, .. } => Err(too_short),
        }
    }
}

impl State {
    fn after(header: &[u8], object: &str) -> Result<Self, Error> {
        let ObjectHeader { kind, compress, .. } = ObjectHeader::decode_any(header, object)?;
        match kind {
            ObjectKind::Manifest
            | ObjectKind::Stanza
            | ObjectKind::Annotation
            | ObjectKind::Started
            | ObjectKind::Keep => {
                let mut hasher = Sha256Hasher::new();
                hasher.update(header);
                Ok(Self::Metadata { hasher, tail: Vec::new() })
            }
            ObjectKind::FileList | ObjectKind::BackupManifest if compress == CompressType::Zst => {
                let failed = |error: std::io::Error| Error::format(object, error.to_string());
                Ok(Self::Stream { decoder: Decoder::new().map_err(failed)?, ended: false })
            }
            ObjectKind::FileList | ObjectKind::BackupManifest => {
                Err(Error::format(object, "its compression is unknown"))
            }
            ObjectKind::Wal | ObjectKind::MapBundle | ObjectKind::Bundle | ObjectKind::Key => {
                Err(Error::format(object, "it has no readable content by itself"))
            }
        }
    }
}

fn inflate(
    decoder: &mut Decoder<'static>,
    ended: &mut bool,
    stored: &[u8],
    plain: &mut Vec<u8>,
) -> std::io::Result<()> {
    let mut input = InBuffer::around(stored);
    let mut buffer = vec![0; STEP];
    loop {
        if *ended && input.pos() < stored.len() {
            return Err(std::io::Error::other("bytes follow the end of the stream"));
        }
        let mut output = OutBuffer::around(&mut buffer[..]);
        let hint = decoder.run(&mut input, &mut output)?;
        let written = output.as_slice().len();
        plain.extend_from_slice(&buffer[..written]);
        *ended = hint == 0;
        if input.pos() == stored.len() && written < STEP {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::metadata;

    fn plain(stored: &[u8], step: usize) -> Result<Vec<u8>, Error> {
        let (mut reader, mut plain) = (PlainReader::new("o"), Vec::new());
        for chunk in stored.chunks(step) {
            reader.push(chunk, &mut plain)?;
        }
        reader.finish().map(|()| plain)
    }

    fn compressed(kind: ObjectKind, text: &[u8]) -> Vec<u8> {
        let header = ObjectHeader::new(kind, CompressType::Zst);
        let mut stored = header.encode().to_vec();
        stored.extend(zstd::stream::encode_all(text, 3).unwrap());
        stored
    }

    #[test]
    fn both_forms_are_read_however_the_bytes_are_cut() {
        let text: Vec<u8> = (0..300_000u32).flat_map(|n| (n / 5).to_le_bytes()).collect();
        let metadata = metadata::frame(ObjectKind::Annotation, &text);
        let list = compressed(ObjectKind::FileList, &text);
        for stored in [&metadata, &list[..], &compressed(ObjectKind::BackupManifest, &text)] {
            for step in [1, 15, 16, 17, 4096, stored.len()] {
                assert_eq!(plain(stored, step).unwrap(), text, "{step}");
            }
        }
        assert_eq!(plain(&metadata::frame(ObjectKind::Stanza, b""), 5).unwrap(), b"");
    }

    #[test]
    fn cut_or_changed_bytes_are_an_error() {
        let metadata = metadata::frame(ObjectKind::Manifest, b"{\"a\":1}").to_vec();
        for stored in [metadata, compressed(ObjectKind::FileList, b"{\"a\":1}\n")] {
            for end in 0..stored.len() {
                assert!(plain(&stored[..end], 7).is_err(), "{end}");
            }
            let longer = [&stored[..], b"x"].concat();
            assert!(plain(&longer, 7).is_err());
        }
        let mut changed = metadata::frame(ObjectKind::Manifest, b"{\"a\":1}").to_vec();
        changed[20] ^= 1;
        assert!(plain(&changed, 7).is_err());
    }

    #[test]
    fn what_means_nothing_by_itself_is_refused() {
        for kind in [ObjectKind::Bundle, ObjectKind::MapBundle, ObjectKind::Wal] {
            let stored = ObjectHeader::new(kind, CompressType::Zst).encode();
            assert!(plain(&stored, 16).is_err());
        }
    }
}
