//! What is delivered, and what is never, named after the failures it must survive.

use std::path::Path;

use proptest::prelude::*;

use crate::{
    storage::{
        ErrorKind,
        fault::{Fault, Operation, Rule},
    },
    types::{CompressType, Compression, ErrorCode, Failure},
    wal::{Error, GetOptions, GetOutcome, PushOptions, get, tests::support::*},
};

const NAME: &str = "00000001000000000000000A";
const DESTINATION: &str = "RECOVERYXLOG";

async fn archived(name: &str, raw: &[u8], kind: CompressType) -> Host {
    let host = Host::new();
    let compression = Compression { kind, level: kind.default_level() };
    let options = PushOptions { compression, workers: 1 };
    let path = host.write("source", raw);
    push_file(&host.archive, &path, file(name), options, None).await.unwrap();
    std::fs::remove_file(path).unwrap();
    host
}

async fn get_it(host: &Host, name: &str) -> Result<GetOutcome, Error> {
    get_with(host, name, true).await
}

async fn get_with(host: &Host, name: &str, durable: bool) -> Result<GetOutcome, Error> {
    let options = GetOptions { cluster: Some(cluster()), durable };
    get(&host.archive, file(name), &host.pg_wal(DESTINATION), options).await
}

/// What is there stays as it was, and no temporary file stays.
async fn is_refused(host: &Host, what: &str) -> ErrorCode {
    host.write(DESTINATION, b"before");
    let refused = get_it(host, NAME).await.expect_err(what);
    assert_eq!(std::fs::read(host.pg_wal(DESTINATION)).unwrap(), b"before", "{what}");
    assert_eq!(host.names_in_pg_wal(), [DESTINATION], "{what}");
    refused.code()
}

#[tokio::test]
async fn a_segment_is_delivered_in_place_of_what_is_there() {
    let raw = segment(NAME, 1);
    let host = archived(NAME, &raw, CompressType::Zst).await;
    for durable in [true, false] {
        host.write(DESTINATION, b"old");
        let got = get_with(&host, NAME, durable).await.unwrap();
        assert_eq!(got, GetOutcome::Delivered);
        assert!(std::fs::read(host.pg_wal(DESTINATION)).unwrap() == raw);
        assert_eq!(host.names_in_pg_wal(), [DESTINATION]);
    }
}

#[tokio::test]
async fn what_is_not_there_is_absent_and_nothing_is_written() {
    let host = archived(NAME, &segment(NAME, 1), CompressType::Zst).await;
    for name in ["00000001000000000000000B", "000000020000000000000001", "00000002.history"] {
        assert_eq!(get_it(&host, name).await.unwrap(), GetOutcome::Absent);
    }
    assert!(host.names_in_pg_wal().is_empty());
}

#[tokio::test]
async fn fault_3_two_contents_under_one_name_are_delivered_to_nobody() {
    let host = archived(NAME, &segment(NAME, 1), CompressType::Zst).await;
    let directory = host.dir.path().join("repo/archive/db/15-1/0000000100000000");
    let other = format!("{NAME}-{}.zst", "0".repeat(64));
    std::fs::write(directory.join(other), b"x").unwrap();
    assert_eq!(is_refused(&host, "duplicate").await, ErrorCode::ArchiveDuplicate);
}

#[tokio::test]
async fn fault_4_a_segment_of_another_cluster_is_not_delivered() {
    let mut other = segment(NAME, 1);
    other[24] ^= 1;
    let host = archived(NAME, &other, CompressType::Zst).await;
    assert_eq!(is_refused(&host, "system id").await, ErrorCode::ArchiveMismatch);
}

#[tokio::test]
async fn fault_7_a_partial_is_only_delivered_when_asked_for() {
    let partial = format!("{NAME}.partial");
    let host = archived(&partial, &segment(NAME, 1), CompressType::Zst).await;
    assert_eq!(get_it(&host, NAME).await.unwrap(), GetOutcome::Absent);
    assert_eq!(get_it(&host, &partial).await.unwrap(), GetOutcome::Delivered);
}

#[tokio::test]
async fn fault_11_a_failure_is_never_taken_for_absence() {
    let host = archived(NAME, &segment(NAME, 1), CompressType::Zst).await;
    for kind in [ErrorKind::Transient, ErrorKind::Denied, ErrorKind::Other] {
        host.break_with(Rule::always(Operation::List, Fault::Fail(kind)).at(0, 1));
        is_refused(&host, "listing").await;
        host.break_with(Rule::always(Operation::Get, Fault::Fail(kind)).at(0, 1));
        is_refused(&host, "opening").await;
        host.break_with(Rule::always(Operation::Read, Fault::Fail(kind)).at(0, 1));
        is_refused(&host, "reading").await;
    }
    // Listed, and gone before it is opened: an error too.
    host.break_with(Rule::always(Operation::Get, Fault::Fail(ErrorKind::NotFound)).at(0, 1));
    assert_eq!(is_refused(&host, "vanished").await, ErrorCode::FileMissing);
}

#[tokio::test]
async fn fault_18_any_flipped_bit_is_found() {
    for kind in [CompressType::None, CompressType::Zst, CompressType::Lz4, CompressType::Gz] {
        let host = archived(NAME, &segment(NAME, 1), kind).await;
        let size = host.archive.find(file(NAME)).await.unwrap().unwrap().size;
        for at in (0..24).chain([size / 3, size / 2, size - 1]) {
            host.break_with(Rule::always(Operation::Read, Fault::FlipRead(at)));
            let code = is_refused(&host, &format!("{kind:?} byte {at}")).await;
            host.storage.clear();
            let expected = [ErrorCode::Format, ErrorCode::Checksum, ErrorCode::RepoInvalid];
            assert!(expected.contains(&code), "{kind:?} byte {at}: {code:?}");
        }
        assert_eq!(get_it(&host, NAME).await.unwrap(), GetOutcome::Delivered);
    }
}

#[tokio::test]
async fn fault_18_an_object_under_another_name_is_not_delivered() {
    let host = archived(NAME, &segment(NAME, 1), CompressType::Zst).await;
    let directory = host.dir.path().join("repo/archive/db/15-1/0000000100000000");
    let from = std::fs::read_dir(&directory).unwrap().next().unwrap().unwrap().path();
    let mut to = from.clone();
    to.set_file_name(format!("{NAME}-{}.zst", "1".repeat(64)));
    std::fs::rename(from, to).unwrap();
    assert_eq!(is_refused(&host, "renamed").await, ErrorCode::Checksum);
}

#[tokio::test]
async fn fault_28_a_body_cut_short_without_a_word_is_found() {
    for kind in [CompressType::None, CompressType::Zst, CompressType::Lz4, CompressType::Gz] {
        let host = archived(NAME, &segment(NAME, 1), kind).await;
        let size = host.archive.find(file(NAME)).await.unwrap().unwrap().size;
        for cut in [1, 9, size / 2, size - 25, size - 24, size - 3, size] {
            host.break_with(Rule::always(Operation::Read, Fault::CutRead(cut)));
            is_refused(&host, &format!("{kind:?} cut by {cut}")).await;
            host.storage.clear();
        }
    }
}

#[tokio::test]
async fn trailing_bytes_are_refused() {
    for kind in [CompressType::None, CompressType::Zst, CompressType::Lz4, CompressType::Gz] {
        let host = archived(NAME, &segment(NAME, 1), kind).await;
        let stored = host.archive.find(file(NAME)).await.unwrap().unwrap();
        let path = host.dir.path().join("repo").join(stored.path.as_str());
        let bytes = [std::fs::read(&path).unwrap(), vec![0]].concat();
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(is_refused(&host, "trailing").await, ErrorCode::Format, "{kind:?}");
    }
}

#[tokio::test]
async fn a_destination_that_cannot_be_written_is_an_error() {
    let host = archived(NAME, &segment(NAME, 1), CompressType::Zst).await;
    let options = GetOptions { cluster: None, durable: true };
    for destination in ["no/such/directory/x", "/", "/proc/x"] {
        let done = get(&host.archive, file(NAME), Path::new(destination), options).await;
        assert!(done.is_err(), "{destination}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn fault_18_damage_never_panics_and_never_delivers_wrong_bytes(
        kind in prop::sample::select(vec![CompressType::None, CompressType::Zst, CompressType::Lz4, CompressType::Gz]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let raw = segment(NAME, 1);
            let host = archived(NAME, &raw, kind).await;
            let stored = host.archive.find(file(NAME)).await.unwrap().unwrap();
            let path = host.dir.path().join("repo").join(stored.path.as_str());
            let good = std::fs::read(&path).unwrap();
            let mut bytes = good.clone();
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(good.len()));
            }
            std::fs::write(&path, &bytes).unwrap();
            match get_it(&host, NAME).await {
                // A header field of gzip that says nothing of the content may be another one.
                Ok(_) => assert!(std::fs::read(host.pg_wal(DESTINATION)).unwrap() == raw),
                Err(_) => assert!(bytes != good && host.names_in_pg_wal().is_empty()),
            }
        });
    }
}
