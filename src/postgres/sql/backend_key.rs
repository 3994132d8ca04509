//! Reads the process id from BackendKeyData. If `pg_backend_pid()` returns another one, the connection leads to a
//! connection pooler, which may run every statement in a different session.

use std::sync::{Arc, OnceLock};

/// Type and length of a message.
const HEADER_BYTES: usize = 5;
/// A message BackendKeyData begins with the process id.
const KEY_BYTES: usize = HEADER_BYTES + 4;
const BACKEND_KEY_DATA: u8 = b'K';
const READY_FOR_QUERY: u8 = b'Z';

/// The process id, once BackendKeyData was read.
pub(super) type Announced = Arc<OnceLock<i32>>;

#[derive(Debug, Default)]
pub(super) struct BackendKeyReader {
    announced: Announced,
    /// The first bytes of the current message: type, length, and for BackendKeyData the process id.
    begun: Vec<u8>,
    /// Remaining bytes of the current message.
    skip: usize,
    done: bool,
}

impl BackendKeyReader {
    pub(super) fn announced(&self) -> Announced {
        Arc::clone(&self.announced)
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !self.done && !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                self.skip -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let needed = match self.begun.first() {
                Some(&BACKEND_KEY_DATA) => KEY_BYTES,
                _ => HEADER_BYTES,
            };
            let taken = (needed - self.begun.len()).min(bytes.len());
            self.begun.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            self.judge();
        }
    }

    fn judge(&mut self) {
        match *self.begun.as_slice() {
            [BACKEND_KEY_DATA, _, _, _, _, a, b, c, d] => {
                self.announced.get_or_init(|| i32::from_be_bytes([a, b, c, d]));
                self.done = true;
            }
            [READY_FOR_QUERY, ..] => self.done = true,
            [BACKEND_KEY_DATA, ..] => {}
            [_, a, b, c, d] => {
                // The length field includes itself, but not the type byte.
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                self.skip = length.saturating_sub(4);
                self.begun.clear();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: &[u8] =
        b"R\0\0\0\x08\0\0\0\0S\0\0\0\x0bK\0x\0y\0\0K\0\0\0\x0c\0\0\x04\xd2abcdZ\0\0\0\x05I";

    fn announced(chunks: impl Iterator<Item = Vec<u8>>) -> Option<i32> {
        let mut reader = BackendKeyReader::default();
        chunks.for_each(|chunk| reader.read(&chunk));
        reader.announced().get().copied()
    }

    #[test]
    fn the_process_is_found_however_the_bytes_come() {
        for size in 1..START.len() {
            let chunks = START.chunks(size).map(<[u8]>::to_vec);
            assert_eq!(announced(chunks), Some(1234), "{size}");
        }
        let late = b"Z\0\0\0\x05IK\0\0\0\x0c\0\0\x04\xd2abcd".to_vec();
        assert_eq!(announced(std::iter::once(late)), None);
    }

    proptest! {
        #[test]
        fn never_panics(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20)) {
            announced(chunks.into_iter());
        }
    }
}
