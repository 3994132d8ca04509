//! Looks into an archived segment at the record that ends at a position: what a server wrote there tells its WAL from
//! that of another server under the same name.

use crate::{
    postgres::{CHECKPOINT_START_LENGTH, WalHeader, wal_records},
    repo::{
        self,
        archive::{RawSink, StoredWal, WalArchive},
    },
    types::{Lsn, WalSegmentSize},
};

/// The bytes of a record of `length` bytes that ends at `end`, and of some before it, without page headers; read from the
/// segment with that position, all of which is proven. `None` where the record begins in the segment before.
pub(crate) async fn records_before(
    archive: &WalArchive,
    stored: &StoredWal,
    end: Lsn,
    length: u64,
) -> Result<Option<Vec<u8>>, repo::Error> {
    // A page header may cut the record in two.
    let length = length + WalHeader::LENGTH as u64;
    let object = stored.path.to_string();
    let tail = Tail { object, end, length, window: None, at: 0, bytes: Vec::new() };
    let tail = archive.read(stored, tail).await?;
    let whole = tail.window.filter(|(from, to)| to - from == length);
    Ok(whole.map(|(from, _)| wal_records(&tail.bytes, from)))
}

/// The start of the checkpoint record at `at`, without page headers; read from the segment with that position, all of which
/// is proven. `None` if the record is continued in the next segment.
pub(crate) async fn record_at(
    archive: &WalArchive,
    stored: &StoredWal,
    at: Lsn,
    size: WalSegmentSize,
) -> Result<Option<Vec<u8>>, repo::Error> {
    let room = size.bytes() - at.0 % size.bytes();
    // A page header may cut the record in two.
    let wanted = (CHECKPOINT_START_LENGTH + WalHeader::LENGTH) as u64;
    let window = wanted.min(room);
    let Some(length) = window.checked_sub(WalHeader::LENGTH as u64) else { return Ok(None) };
    let record = records_before(archive, stored, Lsn(at.0 + window), length).await?;
    Ok(record.filter(|record| record.len() >= CHECKPOINT_START_LENGTH))
}

/// Keeps the bytes before a position.
struct Tail {
    object: String,
    end: Lsn,
    length: u64,
    /// Of the segment's bytes, the first to keep and the one after the last; known once its header came.
    window: Option<(u64, u64)>,
    at: u64,
    bytes: Vec<u8>,
}

impl RawSink for Tail {
    type Error = repo::Error;

    fn accept(&mut self, raw: &[u8]) -> Result<(), repo::Error> {
        let (from, to) = match self.window {
            Some(window) => window,
            None => {
                let header = WalHeader::check(raw)
                    .map_err(|error| repo::Error::wal_content(&self.object, error))?;
                let size = header.segment_size.bytes();
                let to = (self.end.0.wrapping_sub(1) % size) + 1;
                *self.window.insert((to.saturating_sub(self.length), to))
            }
        };
        let inside = |at: u64| at.saturating_sub(self.at).min(raw.len() as u64) as usize;
        self.bytes.extend_from_slice(&raw[inside(from)..inside(to)]);
        self.at += raw.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, iter};

    use super::*;
    use crate::postgres;

    #[test]
    fn a_window_is_cut_out_of_what_comes_in_pieces() {
        let (end, object) = (Lsn(8), String::new());
        let mut tail =
            Tail { object, end, length: 5, window: Some((3, 8)), at: 0, bytes: Vec::new() };
        for piece in [&[0, 1][..], &[2, 3, 4, 5], &[6], &[7, 8, 9]] {
            tail.accept(piece).unwrap();
        }
        assert_eq!(tail.bytes, [3, 4, 5, 6, 7]);
    }

    #[test]
    fn what_begins_with_no_header_is_no_segment_and_the_cause_is_kept() {
        let (end, object) = (Lsn(8), "x".to_owned());
        let mut tail = Tail { object, end, length: 5, window: None, at: 0, bytes: Vec::new() };
        let refused = tail.accept(&[0; 100]).unwrap_err();
        let mut causes = iter::successors(refused.source(), |&error| error.source());
        assert!(causes.any(|error| error.is::<postgres::Error>()), "{refused:?}");
    }
}
