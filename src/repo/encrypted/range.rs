//! Reads a range of an encrypted object: the chunks that contain it, and the header if its cipher is not cached.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{EncryptedStorage, cipher_cache::CachedCipher, failed};
use crate::{
    codec::encrypt::{
        CHUNK_LEN, HEADER_LEN, SEALED_LEN, TAG_LEN, chunk_count, plain_size_at_most, sealed_range,
    },
    storage::{EntryKind, Error, ErrorKind, ObjectPath, Result},
};

const CHUNK: u64 = CHUNK_LEN as u64;
const HEADER: u64 = HEADER_LEN as u64;
/// A range that begins before this chunk number is fetched together with the header.
const WITH_HEADER_BELOW: u64 = 2;

struct Fetched {
    cached: CachedCipher,
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
        return if range.end <= plain { Ok(Bytes::new()) } else { Err(truncated(storage, path)) };
    }
    let cached = storage.ciphers.get(path);
    let was_cached = cached.is_some();
    match attempt(storage, path, &range, cached).await {
        // The object may have been removed and another one created under its name.
        Err(error) if was_cached && error.kind() == ErrorKind::Damaged => {
            storage.ciphers.forget(std::slice::from_ref(path));
            attempt(storage, path, &range, None).await
        }
        read => read,
    }
}

/// Assumes that the object continues after the range, which saves a request for its size. Asks for the size if it does
/// not.
async fn attempt(
    storage: &EncryptedStorage,
    path: &ObjectPath,
    range: &Range<u64>,
    cached: Option<CachedCipher>,
) -> Result<Bytes> {
    let size = cached.as_ref().and_then(|cached| cached.stored_size);
    let fetched = match fetch(storage, path, range, cached.clone(), size).await {
        Err(error) if error.kind() == ErrorKind::Truncated && size.is_none() => {
            let size = stored_size(storage, path).await?;
            fetch(storage, path, range, cached, Some(size)).await?
        }
        fetched => fetched?,
    };
    open(storage, path, range, &fetched).await
}

async fn fetch(
    storage: &EncryptedStorage,
    path: &ObjectPath,
    range: &Range<u64>,
    cached: Option<CachedCipher>,
    size: Option<u64>,
) -> Result<Fetched> {
    if size.is_some_and(|size| range.end > plain_size_at_most(size)) {
        return Err(truncated(storage, path));
    }
    let (first, last) = (range.start / CHUNK, (range.end - 1) / CHUNK);
    // Larger than any object; the arithmetic below would overflow.
    if last >= u64::MAX / (2 * SEALED_LEN as u64) {
        return Err(truncated(storage, path));
    }
    let mut wanted = sealed_range(first..last + 1);
    wanted.end = wanted.end.min(size.unwrap_or(u64::MAX));
    let inner = &storage.inner;
    let (header, first, sealed) = match &cached {
        Some(_) => (None, first, inner.get_range(path, wanted).await?),
        None if first < WITH_HEADER_BELOW => {
            let whole = inner.get_range(path, 0..wanted.end).await?;
            (Some(whole.slice(..HEADER_LEN)), 0, whole.slice(HEADER_LEN..))
        }
        None => {
            let header = inner.get_range(path, 0..HEADER);
            let (header, sealed) = tokio::try_join!(header, inner.get_range(path, wanted))?;
            (Some(header), first, sealed)
        }
    };
    let cached = match (cached, header) {
        (Some(cached), _) => CachedCipher { stored_size: cached.stored_size.or(size), ..cached },
        (None, header) => {
            let cipher = storage.cipher(path, &header.unwrap_or_default()).await?;
            CachedCipher { cipher: Arc::new(cipher), stored_size: size }
        }
    };
    storage.ciphers.set(path, cached.clone());
    Ok(Fetched { cached, first, sealed })
}

/// Decrypts the chunks and extracts the range.
async fn open(
    storage: &EncryptedStorage,
    path: &ObjectPath,
    range: &Range<u64>,
    fetched: &Fetched,
) -> Result<Bytes> {
    let wrong = |error| failed("read", storage.name(path), error);
    let Fetched { cached, first, sealed } = fetched;
    let count = cached.stored_size.map(|stored| chunk_count(plain_size_at_most(stored)));
    let from = range.start / CHUNK;
    let skipped = (from - first) as usize * SEALED_LEN;
    let sealed = sealed.get(skipped..).unwrap_or_default();
    let mut plain = Vec::with_capacity(sealed.len());
    for (number, chunk) in (from..).zip(sealed.chunks(SEALED_LEN)) {
        let last = count.map_or(chunk.len() < SEALED_LEN, |count| number + 1 == count);
        let opened = cached.cipher.open(number, last, chunk, &mut plain);
        // With the size unknown, a full chunk at the end of what was fetched may be the object's last one, which is sealed
        // with another nonce.
        let full = count.is_none() && chunk.len() == SEALED_LEN;
        let at_end = full && (number - from + 1) as usize * SEALED_LEN == sealed.len();
        match opened {
            Err(_) if at_end => {
                cached.cipher.open(number, true, chunk, &mut plain).map_err(wrong)?
            }
            opened => opened.map_err(wrong)?,
        }
        if plain.len() % (64 * CHUNK_LEN) == 0 {
            tokio::task::yield_now().await;
        }
    }
    let skip = (range.start - from * CHUNK) as usize;
    let len = (range.end - range.start) as usize;
    if plain.len() >= skip + len {
        Ok(Bytes::from(plain).slice(skip..skip + len))
    } else {
        Err(truncated(storage, path))
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
