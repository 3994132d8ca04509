//! Messages on a byte stream. Reads are large, and the payload of a message is a slice of the read buffer, so that a
//! backup neither copies the data nor makes a system call per message.

use std::{io, time::Duration};

use bytes::{Buf, BytesMut};
use postgres_protocol::message::backend::{Header, Message, NoticeResponseBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::postgres::{Error, Result, ServerError, connect::Transport};

/// Maximum size of a read: a few times a socket buffer.
const READ_BYTES: usize = 1 << 20;
/// A buffer with less free space is replaced.
const READ_BYTES_MIN: usize = 128 << 10;
/// Maximum length of a message. The server's data messages are shorter than 128 KiB.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
const HEADER_BYTES: usize = 5;
const COPY_BOTH_TAG: u8 = b'W';

/// A message, including CopyBothResponse, which postgres-protocol does not have.
pub(crate) enum Received {
    /// Any message of the ordinary protocol.
    Message(Message),
    /// CopyBothResponse: WAL streaming begins.
    CopyBoth,
}

pub(crate) fn notice(body: &NoticeResponseBody) -> Result<ServerError> {
    ServerError::read(&mut body.fields())
}

/// A stream of messages to and from a server.
pub(super) struct Wire {
    transport: Transport,
    input: BytesMut,
    idle_timeout: Duration,
}

impl Wire {
    pub(super) fn new(transport: Transport, idle_timeout: Duration) -> Self {
        Self { transport, input: BytesMut::new(), idle_timeout }
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Sends whole messages.
    pub(super) async fn send(&mut self, messages: &[u8], doing: &'static str) -> Result<()> {
        let work = async {
            self.transport.write_all(messages).await?;
            self.transport.flush().await
        };
        match timeout(self.idle_timeout, work).await {
            Ok(result) => result.map_err(|source| Error::Broken { doing, source }),
            Err(_) => Err(Error::Timeout { doing, seconds: self.idle_timeout.as_secs() }),
        }
    }

    /// The next message. Cancel safe: no data is lost if the future is dropped.
    pub(super) async fn receive(&mut self, doing: &'static str) -> Result<Received> {
        loop {
            if let Some(received) = take_message(&mut self.input)? {
                return Ok(received);
            }
            self.fill(doing).await?;
        }
    }

    async fn fill(&mut self, doing: &'static str) -> Result<()> {
        make_room(&mut self.input);
        let idle_timeout = self.idle_timeout;
        match timeout(idle_timeout, self.transport.read_buf(&mut self.input)).await {
            Ok(Ok(0)) => Err(Error::Broken { doing, source: io::ErrorKind::UnexpectedEof.into() }),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(source)) => Err(Error::Broken { doing, source }),
            Err(_) => Err(Error::Timeout { doing, seconds: idle_timeout.as_secs() }),
        }
    }
}

/// Reserves space for the next read. Payloads still in use keep the old buffer alive.
fn make_room(input: &mut BytesMut) {
    let room = input.capacity() - input.len();
    let needed = match Header::parse(input) {
        Ok(Some(header)) => (header.len() as usize + 1).saturating_sub(input.len()),
        _ => HEADER_BYTES,
    };
    if room < READ_BYTES_MIN.max(needed) {
        input.reserve(READ_BYTES.max(needed));
    }
}

/// Takes a message off the front of `input`; `None` if it is incomplete.
fn take_message(input: &mut BytesMut) -> Result<Option<Received>> {
    let malformed = |e: io::Error| Error::protocol(format!("a message is malformed: {e}"));
    let Some(header) = Header::parse(input).map_err(malformed)? else { return Ok(None) };
    let length = header.len() as usize + 1;
    if length > MESSAGE_BYTES_MAX {
        return Err(Error::protocol(format!(
            "a message of type 0x{:02x} claims {length} bytes",
            header.tag()
        )));
    }
    if input.len() < length {
        return Ok(None);
    }
    if header.tag() == COPY_BOTH_TAG {
        input.advance(length);
        return Ok(Some(Received::CopyBoth));
    }
    Ok(Message::parse(input).map_err(malformed)?.map(Received::Message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_is_bounded_before_memory_is_taken() {
        let mut input = BytesMut::from(&b"d\x7f\xff\xff\xff"[..]);
        assert!(matches!(take_message(&mut input), Err(Error::Protocol(_))));
    }

    #[test]
    fn copy_data_is_not_copied() {
        let mut input = BytesMut::from(&b"d\0\0\0\x08abcdd\0\0"[..]);
        let address = input.as_ptr() as usize;
        match take_message(&mut input).unwrap() {
            Some(Received::Message(Message::CopyData(body))) => {
                let data = body.into_bytes();
                assert_eq!(&data[..], b"abcd");
                assert_eq!(data.as_ptr() as usize, address + HEADER_BYTES);
            }
            _ => panic!("not a CopyData"),
        }
        assert!(take_message(&mut input).unwrap().is_none());
    }

    #[test]
    fn copy_both_is_recognised() {
        let mut input = BytesMut::from(&b"W\0\0\0\x07\0\0\0"[..]);
        assert!(matches!(take_message(&mut input), Ok(Some(Received::CopyBoth))));
        assert!(input.is_empty());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut input = BytesMut::from(&bytes[..]);
            while let Ok(Some(received)) = take_message(&mut input) {
                if let Received::Message(Message::ErrorResponse(body)) = received {
                    let _ = ServerError::read(&mut body.fields());
                }
            }
        }
    }
}
