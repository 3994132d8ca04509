//! Finding and listing, on archives made of empty objects.

use super::*;
use crate::{
    storage::PosixStorage,
    types::{CompressType, Compression, Failure, WalSegment, WalSegmentSize},
};

const DIGEST: &str = "00000000000000000000000000000000000000000000000000000000000000ab";

async fn archive(names: &[&str]) -> (tempfile::TempDir, WalArchive) {
    let dir = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(PosixStorage::new(dir.path()));
    for name in names {
        let path = ObjectPath::new(format!("archive/db/15-1/{name}")).unwrap();
        storage.put(&path, bytes::Bytes::new()).await.unwrap();
    }
    let (stanza, id) = ("db".parse().unwrap(), "15-1".parse().unwrap());
    (dir, WalArchive::new(storage, &stanza, id).unwrap())
}

fn segment(name: &str) -> WalSegment {
    name.parse().unwrap()
}

fn stored(segment: &str) -> String {
    format!("{}/{segment}-{DIGEST}.zst", &segment[..16])
}

#[tokio::test]
async fn an_archive_without_anything_is_empty_and_no_error() {
    let (_dir, archive) = archive(&[]).await;
    assert_eq!(archive.min_max().await.unwrap(), None);
    assert!(archive.timeline_histories().await.unwrap().is_empty());
    assert!(archive.newest_by_timeline().await.unwrap().is_empty());
    let file = ArchiveFile::History(TimeLine(2));
    assert_eq!(archive.find(file).await.unwrap(), None);
}

#[tokio::test]
async fn gaps_are_found_across_directories() {
    let present =
        ["0000000100000000000000FD", "0000000100000000000000FF", "000000010000000100000001"];
    let names = present.map(stored);
    let (_dir, archive) = archive(&names.each_ref().map(String::as_str)).await;
    let range = SegmentRange {
        first: segment("0000000100000000000000FC"),
        last: segment("000000010000000100000002"),
        size: WalSegmentSize::DEFAULT,
    };
    let missing = archive.missing(&[range], 100).await.unwrap();
    let expected = [
        "0000000100000000000000FC",
        "0000000100000000000000FE",
        "000000010000000100000000",
        "000000010000000100000002",
    ];
    assert_eq!(missing, expected.map(segment));
    assert_eq!(
        archive.missing(&[range], 2).await.unwrap(),
        expected[..2].iter().map(|s| segment(s)).collect::<Vec<_>>()
    );
    let all_there = SegmentRange { first: segment(present[1]), last: segment(present[1]), ..range };
    assert!(archive.missing(&[all_there], 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_extent_of_the_archive_is_of_segments_only() {
    let partial = format!("0000000200000000/000000020000000000000009.partial-{DIGEST}.zst");
    let backup = format!("0000000100000000/000000010000000000000002.00000028.backup-{DIGEST}");
    let (first, last) = (stored("000000010000000000000003"), stored("000000010000000200000004"));
    let history = format!("00000002.history-{DIGEST}");
    let names = [&partial, &backup, &first, &last, &history, "junk", "junk2/x"];
    let (_dir, archive) = archive(&names.map(|n: &str| n)).await;
    let (min, max) = archive.min_max().await.unwrap().unwrap();
    assert_eq!(min, segment("000000010000000000000003"));
    assert_eq!(max, segment("000000010000000200000004"));
    let histories = archive.timeline_histories().await.unwrap();
    assert!(histories.keys().eq([&TimeLine(2)]) && histories[&TimeLine(2)].is_some());
    let newest = archive.newest_by_timeline().await.unwrap();
    assert_eq!(newest.len(), 1);
    assert!(newest[&TimeLine(1)].0 == max && newest[&TimeLine(1)].1.is_some());
}

#[tokio::test]
async fn one_content_under_two_methods_is_no_clash_and_two_contents_are() {
    let name = "000000010000000000000003";
    let (lz4, zst) = (stored(name).replace(".zst", ".lz4"), stored(name));
    let (_dir, archive) = archive(&[&lz4, &zst]).await;
    let file = ArchiveFile::Segment(segment(name));
    assert!(archive.find(file).await.unwrap().is_some());
    let other = archive.directory().join(&zst.replace("ab.zst", "cd.zst")).unwrap();
    archive.storage.put(&other, bytes::Bytes::new()).await.unwrap();
    let Err(Error::Duplicate { what }) = archive.find(file).await else { panic!("no clash") };
    assert!(what.contains(name) && what.contains("00ab ") && what.contains("00cd"), "{what}");
}

#[tokio::test]
async fn a_name_that_was_spoiled_is_an_error_and_not_absence() {
    let name = "000000010000000000000003";
    let (_dir, archive) = archive(&[&stored(name).replace("ab.zst", ".zst")]).await;
    let found = archive.find(ArchiveFile::Segment(segment(name))).await;
    assert!(matches!(found, Err(Error::Format { .. })), "{found:?}");
}

/// A sink that goes wrong in its second piece.
struct Failing {
    taken: u8,
    panics: bool,
}

impl RawSink for Failing {
    type Error = Error;

    fn accept(&mut self, _raw: &[u8]) -> Result<(), Error> {
        self.taken += 1;
        match self.taken {
            2 if self.panics => panic!("the sink panics"),
            2 => Err(Error::format("sink", "it is full")),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_sink_that_fails_ends_the_reading_with_its_error() {
    let (_dir, archive) = archive(&[]).await;
    let compression = Compression { kind: CompressType::Zst, level: 3 };
    let options = PutOptions { compression, workers: 2, raw_size: 9 << 20 };
    let file = ArchiveFile::Segment(segment("000000010000000000000003"));
    archive.put(file, Zeros { left: 9 << 20 }, options).await.unwrap();
    let stored = archive.find(file).await.unwrap().unwrap();
    archive.verify(&stored).await.unwrap();
    for (panics, said) in [(false, "it is full"), (true, "a worker panicked: the sink panics")] {
        let Err(error) = archive.read(&stored, Failing { taken: 0, panics }).await else {
            panic!("it was read")
        };
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn an_object_that_was_cut_or_emptied_has_an_error_of_its_own() {
    let (dir, archive) = archive(&[]).await;
    let compression = Compression { kind: CompressType::Zst, level: 3 };
    let options = PutOptions { compression, workers: 1, raw_size: 3 << 20 };
    let file = ArchiveFile::Segment(segment("000000010000000000000003"));
    archive.put(file, Zeros { left: 3 << 20 }, options).await.unwrap();
    let stored = archive.find(file).await.unwrap().unwrap();
    let path = dir.path().join(stored.path.to_string());
    let whole = std::fs::read(&path).unwrap();
    for (length, code) in [(0, 29), (10, 29), (whole.len() / 2, 29), (whole.len() - 1, 29)] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = archive.verify(&stored).await.unwrap_err();
        assert!(matches!(error, Error::Wal { .. }), "{length}: {error}");
        assert_eq!(error.code().exit_code(), code, "{length}: {error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("archive-push") && !hint.contains("use another backup"), "{hint}");
    }
    // The same file, pushed again, is not taken for stored.
    let again = archive.put(file, Zeros { left: 3 << 20 }, options).await;
    assert!(matches!(again, Err(Error::Wal { .. })), "{again:?}");
}

struct Zeros {
    left: usize,
}

impl RawSource for Zeros {
    type Error = Error;

    fn fill(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
        *buffer = vec![0; limit.min(self.left)];
        self.left -= buffer.len();
        Ok(())
    }

    fn rewind(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn changed(&self) -> Error {
        Error::format("zeros", "they changed")
    }
}

#[tokio::test]
async fn segments_are_runs_with_gaps() {
    let of = |number: u64| WalSegment::from_number(number, TimeLine(1), WalSegmentSize::DEFAULT);
    let numbers: Vec<u64> = (3..600).filter(|n| ![7, 255, 256, 511].contains(n)).collect();
    let names: Vec<String> = numbers.iter().map(|n| stored(&of(*n).to_string())).collect();
    let other = stored("000000020000000000000005");
    let names: Vec<&str> = names.iter().chain([&other]).map(String::as_str).collect();
    let (_dir, archive) = archive(&names).await;
    let archived = archive.segments(WalSegmentSize::DEFAULT).await.unwrap();
    let ends = |timeline| -> Vec<(u64, u64)> {
        archived.runs[&TimeLine(timeline)].iter().map(|s| (s.first, s.last)).collect()
    };
    assert_eq!(ends(1), [(3, 6), (8, 254), (257, 510), (512, 599)]);
    assert_eq!(ends(2), [(5, 5)]);
    assert!(archived.runs[&TimeLine(1)].iter().all(|run| run.modified.is_some()));
    let holes: Vec<u64> = archived.holes().iter().map(|hole| hole.count()).collect();
    assert_eq!(holes, [1, 2, 1]);
    assert_eq!(archived.span(), Some((of(3), segment("000000020000000000000005"))));
}
