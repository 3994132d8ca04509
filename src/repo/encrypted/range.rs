//! Reading a part of an object: the chunks that it lies in, and the header, once for each object.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{EncryptedStorage, failed, known::Known};
use crate::{
    codec::encrypt::{
        CHUNK_LEN, HEADER_LEN, SEALED_LEN, TAG_LEN, chunk_count, plain_size_at_most, sealed_range,
    },
    storage::{EntryKind, Error, ErrorKind, ObjectPath, Result},
};

const CHUNK: u64 = CHUNK_LEN as u64;
const HEADER: u64 = HEADER_LEN as u64;
/// A range that begins in a chunk before this one is read together with the header.
const NEAR: u64 = 2;

/// The chunks of a range as they were read.
struct Fetched {
    known: Known,
    /// The number of the first chunk.
    first: u64,
    sealed: Bytes,
}

/// Reads exactly the plain bytes of `range`.
pub(super) async fn read(
    storage: &EncryptedStorage,
    path: &ObjectPath,
    range: Range<u64>,
) -> Result<Bytes> {
    if range.start >= range.end {
        let plain = plain_size_at_most(stored_size(storage, path).await?);
        return match range.end <= plain {
            true => Ok(Bytes::new()),
            false => Err(truncated(storage, path)),
        };
    }
    let known = storage.known.get(path);
    let was_known = known.is_some();
    match attempt(storage, path, &range, known).await {
        // Another process may have removed the known object and created another under its name.
        Err(error) if was_known && error.kind() == ErrorKind::Damaged => {
            storage.known.forget(std::slice::from_ref(path));
            attempt(storage, path, &range, None).await
        }
        read => read,
    }
}

/// The object is assumed to continue after the range, so that no request for its size is needed. If it does not, one is sent.
async fn attempt(
    storage: &EncryptedStorage,
    path: &ObjectPath,
    range: &Range<u64>,
    known: Option<Known>,
) -> Result<Bytes> {
    let size = known.as_ref().and_then(|known| known.stored);
    let fetched = match fetch(storage, path, range, known.clone(), size).await {
        Err(error) if error.kind() == ErrorKind::Truncated && size.is_none() => {
            let size = stored_size(storage, path).await?;
            fetch(storage, path, range, known, Some(size)).await?
        }
        fetched => fetched?,
    };
    open(storage, path, range, &fetched).await
}

async fn fetch(
    storage: &EncryptedStorage,
    path: &ObjectPath,
    range: &Range<u64>,
    known: Option<Known>,
    size: Option<u64>,
) -> Result<Fetched> {
    if size.is_some_and(|size| range.end > plain_size_at_most(size)) {
        return Err(truncated(storage, path));
    }
    let (first, last) = (range.start / CHUNK, (range.end - 1) / CHUNK);
    // No store keeps objects of that size; the bound keeps the arithmetic whole.
    if last >= u64::MAX / (2 * SEALED_LEN as u64) {
        return Err(truncated(storage, path));
    }
    let mut wanted = sealed_range(first..last + 1);
    wanted.end = wanted.end.min(size.unwrap_or(u64::MAX));
    let inner = &storage.inner;
    let (header, first, sealed) = match &known {
        Some(_) => (None, first, inner.get_range(path, wanted).await?),
        None if first < NEAR => {
            let whole = inner.get_range(path, 0..wanted.end).await?;
            (Some(whole.slice(..HEADER_LEN)), 0, whole.slice(HEADER_LEN..))
        }
        None => {
            let header = inner.get_range(path, 0..HEADER);
            let (header, sealed) = tokio::try_join!(header, inner.get_range(path, wanted))?;
            (Some(header), first, sealed)
        }
    };
    let known = match (known, header) {
        (Some(known), _) => Known { stored: known.stored.or(size), ..known },
        (None, header) => {
            let cipher = storage.cipher(path, &header.unwrap_or_default()).await?;
            Known { cipher: Arc::new(cipher), stored: size }
        }
    };
    storage.known.set(path, known.clone());
    Ok(Fetched { known, first, sealed })
}

/// Decrypts the chunks and cuts the range out of them.
async fn open(
    storage: &EncryptedStorage,
    path: &ObjectPath,
    range: &Range<u64>,
    fetched: &Fetched,
) -> Result<Bytes> {
    let wrong = |error| failed("read", storage.name(path), error);
    let Fetched { known, first, sealed } = fetched;
    let count = known.stored.map(|stored| chunk_count(plain_size_at_most(stored)));
    let from = range.start / CHUNK;
    let skipped = (from - first) as usize * SEALED_LEN;
    let sealed = sealed.get(skipped..).unwrap_or_default();
    let mut plain = Vec::with_capacity(sealed.len());
    for (number, chunk) in (from..).zip(sealed.chunks(SEALED_LEN)) {
        let last = count.map_or(chunk.len() < SEALED_LEN, |count| number + 1 == count);
        let opened = known.cipher.open(number, last, chunk, &mut plain);
        // The last chunk of an object whose size is not known may be a full one.
        let full = count.is_none() && chunk.len() == SEALED_LEN;
        let at_end = full && (number - from + 1) as usize * SEALED_LEN == sealed.len();
        match opened {
            Err(_) if at_end => {
                known.cipher.open(number, true, chunk, &mut plain).map_err(wrong)?
            }
            opened => opened.map_err(wrong)?,
        }
        if plain.len() % (64 * CHUNK_LEN) == 0 {
            tokio::task::yield_now().await;
        }
    }
    let skip = (range.start - from * CHUNK) as usize;
    let len = (range.end - range.start) as usize;
    match plain.len() >= skip + len {
        true => Ok(Bytes::from(plain).slice(skip..skip + len)),
        false => Err(truncated(storage, path)),
    }
}

async fn stored_size(storage: &EncryptedStorage, path: &ObjectPath) -> Result<u64> {
    match storage.inner.stat(path).await?.kind {
        EntryKind::Object { size } if size >= HEADER + TAG_LEN as u64 => Ok(size),
        EntryKind::Object { .. } => Err(Error::new(ErrorKind::Damaged, "read", storage.name(path))
            .caused_by("it is shorter than any encrypted object")),
        EntryKind::Directory => Err(Error::new(ErrorKind::NotFound, "read", storage.name(path))),
    }
}

fn truncated(storage: &EncryptedStorage, path: &ObjectPath) -> Error {
    Error::new(ErrorKind::Truncated, "read", storage.name(path))
}
