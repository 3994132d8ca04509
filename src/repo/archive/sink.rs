//! Where the raw bytes of an archived file go.

use super::Error;

/// Receives the raw bytes of a file in order. Bytes arrive before the file's SHA-256 is checked: a sink must not make
/// them visible before [`WalArchive::read`](super::WalArchive::read) returned `Ok`.
pub trait RawSink: Send + 'static {
    /// An error of the sink, or of the archive.
    type Error: From<Error> + Send + 'static;

    /// Announces the raw size of the file in bytes, before its first bytes.
    fn expect(&mut self, _raw_size: u64) {}

    fn accept(&mut self, raw: &[u8]) -> Result<(), Self::Error>;
}

/// Keeps a small file in memory.
pub(super) struct Collect {
    pub(super) bytes: Vec<u8>,
    /// More bytes than this are an error.
    pub(super) limit: usize,
    pub(super) object: String,
}

impl RawSink for Collect {
    type Error = Error;

    fn accept(&mut self, raw: &[u8]) -> Result<(), Error> {
        if self.bytes.len() + raw.len() > self.limit {
            return Err(Error::format(&self.object, "it is larger than expected"));
        }
        self.bytes.extend_from_slice(raw);
        Ok(())
    }
}

/// For a read that only verifies.
pub(super) struct Discard;

impl RawSink for Discard {
    type Error = Error;

    fn accept(&mut self, _raw: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}
