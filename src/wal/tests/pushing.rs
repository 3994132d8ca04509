//! What may and may not enter the archive, named after the failures it must survive.

use std::time::Duration;

use crate::{
    repo::archive::{PutOptions, RawSource},
    storage::{
        ErrorKind,
        fault::{Fault, Operation, Rule},
    },
    types::{CompressType, Compression, ErrorCode, Failure},
    wal::{Error, PushOptions, PushOutcome, tests::support::*},
};

const NAME: &str = "00000001000000000000000A";

fn options() -> PushOptions {
    PushOptions { compression: ZST, workers: 2 }
}

async fn push_bytes(host: &Host, name: &str, bytes: &[u8]) -> Result<PushOutcome, Error> {
    push_file(&host.archive, &host.write(name, bytes), file(name), options(), Some(cluster())).await
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
    result.unwrap_err().code()
}

#[tokio::test]
async fn the_object_is_where_and_what_the_format_says() {
    let host = Host::new();
    let raw = segment(NAME, 1);
    assert_eq!(push_bytes(&host, NAME, &raw).await.unwrap(), PushOutcome::Stored);
    let digest = crate::codec::Sha256Hasher::digest(&raw);
    let path = format!("archive/db/15-1/0000000100000000/{NAME}-{digest}.zst");
    assert_eq!(host.objects().await, std::slice::from_ref(&path));
    let object = std::fs::read(host.dir.path().join("repo").join(path)).unwrap();
    assert_eq!(&object[..16], b"pgstratawal \x01\x00\x01\x00");
    assert_eq!(object[16..24], (SIZE as u64).to_le_bytes());
    assert_eq!(zstd::decode_all(&object[24..]).unwrap(), raw);
}

#[tokio::test]
async fn every_kind_of_file_and_method_comes_back() {
    for kind in [CompressType::None, CompressType::Zst, CompressType::Lz4, CompressType::Gz] {
        let host = Host::new();
        let compression = Compression { kind, level: kind.default_level() };
        for (name, raw) in [
            (NAME, segment_of(NAME, 1, 4 << 20)),
            ("00000001000000000000000B.partial", segment("00000001000000000000000B", 2)),
            ("00000002.history", b"1\t0/B000000\tno recovery target specified\n".to_vec()),
            ("00000001000000000000000A.00000028.backup", b"START WAL LOCATION\n".to_vec()),
        ] {
            let options = PushOptions { compression, ..options() };
            push_file(&host.archive, &host.write(name, &raw), file(name), options, Some(cluster()))
                .await
                .unwrap();
            let stored = host.archive.find(file(name)).await.unwrap().unwrap();
            let read = host.archive.read_small(&stored, 8 << 20).await.unwrap();
            assert!(read == raw, "{name} {kind:?}");
        }
    }
}

#[tokio::test]
async fn fault_1_no_success_before_the_store_said_durable() {
    let host = Host::new();
    for operation in [Operation::Put, Operation::Write, Operation::Finish] {
        host.break_with(Rule::always(operation, Fault::Fail(ErrorKind::Full)).at(0, 1));
        assert_eq!(code(push_bytes(&host, NAME, &segment(NAME, 1)).await), ErrorCode::FileWrite);
        assert!(host.objects().await.is_empty(), "{operation:?}");
    }
    // The answer to the last step is lost: no success, and the next try finds it whole.
    host.break_with(
        Rule::always(Operation::Finish, Fault::FailAfter(ErrorKind::Transient)).at(0, 1),
    );
    assert!(push_bytes(&host, NAME, &segment(NAME, 1)).await.is_err());
    let again = push_bytes(&host, NAME, &segment(NAME, 1)).await.unwrap();
    assert_eq!(again, PushOutcome::AlreadyThere);
}

#[tokio::test]
async fn fault_2_the_same_bytes_again_are_fine() {
    let host = Host::new();
    for expected in [PushOutcome::Stored, PushOutcome::AlreadyThere, PushOutcome::AlreadyThere] {
        assert_eq!(push_bytes(&host, NAME, &segment(NAME, 1)).await.unwrap(), expected);
    }
    assert_eq!(host.objects().await.len(), 1);
}

#[tokio::test]
async fn fault_2_a_copy_that_rotted_is_not_taken_for_stored() {
    let host = Host::new();
    push_bytes(&host, NAME, &segment(NAME, 1)).await.unwrap();
    host.break_with(Rule::always(Operation::Read, Fault::FlipRead(500)));
    let refused = code(push_bytes(&host, NAME, &segment(NAME, 1)).await);
    assert!(matches!(refused, ErrorCode::Checksum | ErrorCode::Format), "{refused:?}");
}

#[tokio::test]
async fn fault_3_other_bytes_under_the_same_name_are_refused_and_the_first_kept() {
    let host = Host::new();
    push_bytes(&host, NAME, &segment(NAME, 1)).await.unwrap();
    let before = host.objects().await;
    let refused = push_bytes(&host, NAME, &segment(NAME, 2)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ArchiveDuplicate);
    assert!(refused.to_string().contains(NAME), "{refused}");
    assert_eq!(host.objects().await, before);
}

#[tokio::test]
async fn fault_3_two_servers_at_the_same_moment_are_not_both_told_yes() {
    let host = Host::new();
    let (a, b) = (host.write(NAME, &segment(NAME, 1)), host.write("other", &segment(NAME, 2)));
    // Both look before either has stored anything.
    host.break_with(
        Rule::always(Operation::Finish, Fault::Delay(Duration::from_millis(300))).at(0, 2),
    );
    let (a, b) = tokio::join!(
        push_file(&host.archive, &a, file(NAME), options(), Some(cluster())),
        push_file(&host.archive, &b, file(NAME), options(), Some(cluster())),
    );
    assert!(a.is_err() || b.is_err(), "{a:?} {b:?}");
    for refused in [a, b].into_iter().filter_map(Result::err) {
        assert_eq!(refused.code(), ErrorCode::ArchiveDuplicate);
    }
}

#[tokio::test]
async fn fault_4_a_segment_of_another_cluster_or_version_is_refused() {
    let host = Host::new();
    let mut other = segment(NAME, 1);
    other[24] ^= 1;
    let mut newer = segment(NAME, 1);
    newer[0] = 0x13;
    for bytes in [other, newer] {
        let refused = push_bytes(&host, NAME, &bytes).await;
        assert_eq!(code(refused), ErrorCode::ArchiveMismatch);
    }
    assert!(host.objects().await.is_empty());
}

#[tokio::test]
async fn fault_5_a_truncated_zeroed_or_recycled_segment_is_refused() {
    let host = Host::new();
    let good = segment(NAME, 1);
    let recycled = segment("000000010000000000000005", 1);
    let newer_timeline = {
        let mut bytes = good.clone();
        bytes[4] = 2;
        bytes
    };
    let wrong_size_field = segment_of(NAME, 1, 2 << 20)[..SIZE].to_vec();
    for (what, bytes) in [
        ("empty", vec![]),
        ("cut", good[..SIZE - 1].to_vec()),
        ("half", good[..SIZE / 2].to_vec()),
        ("too long", [good.clone(), vec![0]].concat()),
        ("zeroed", vec![0; SIZE]),
        ("recycled", recycled),
        ("newer timeline", newer_timeline),
        ("other size", wrong_size_field),
    ] {
        assert_eq!(code(push_bytes(&host, NAME, &bytes).await), ErrorCode::Format, "{what}");
    }
    assert!(host.objects().await.is_empty());
}

#[tokio::test]
async fn fault_5_the_first_segment_of_a_new_timeline_begins_with_the_old_ones_pages() {
    let host = Host::new();
    let mut bytes = segment(NAME, 1);
    bytes[4] = 1;
    let name = NAME.replacen("00000001", "00000002", 1);
    assert_eq!(push_bytes(&host, &name, &bytes).await.unwrap(), PushOutcome::Stored);
}

#[tokio::test]
async fn fault_6_an_empty_backup_file_is_taken() {
    let host = Host::new();
    let name = "00000001000000000000000A.00000028.backup";
    assert_eq!(push_bytes(&host, name, b"").await.unwrap(), PushOutcome::Stored);
    assert_eq!(push_bytes(&host, name, b"").await.unwrap(), PushOutcome::AlreadyThere);
    let stored = host.archive.find(file(name)).await.unwrap().unwrap();
    assert!(host.archive.read_small(&stored, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn fault_7_a_partial_and_the_full_segment_do_not_clash() {
    let host = Host::new();
    let partial = format!("{NAME}.partial");
    push_bytes(&host, &partial, &segment(NAME, 1)).await.unwrap();
    assert_eq!(host.archive.find(file(NAME)).await.unwrap(), None);
    push_bytes(&host, NAME, &segment(NAME, 2)).await.unwrap();
    let full = host.archive.find(file(NAME)).await.unwrap().unwrap();
    let part = host.archive.find(file(&partial)).await.unwrap().unwrap();
    assert_ne!(full.digest, part.digest);
    // A partial too is only ever one.
    let refused = push_bytes(&host, &partial, &segment(NAME, 3)).await;
    assert_eq!(code(refused), ErrorCode::ArchiveDuplicate);
}

#[tokio::test]
async fn fault_8_a_history_never_changes() {
    let host = Host::new();
    let name = "00000002.history";
    assert_eq!(push_bytes(&host, name, b"1\t0/A000000\tx\n").await.unwrap(), PushOutcome::Stored);
    let again = push_bytes(&host, name, b"1\t0/A000000\tx\n").await.unwrap();
    assert_eq!(again, PushOutcome::AlreadyThere);
    let other = push_bytes(&host, name, b"1\t0/B000000\tx\n").await;
    assert_eq!(code(other), ErrorCode::ArchiveDuplicate);
    assert_eq!(code(push_bytes(&host, "00000003.history", b"").await), ErrorCode::Format);
}

#[tokio::test]
async fn fault_28_a_failing_listing_is_a_failure_and_nothing_is_stored() {
    let host = Host::new();
    host.break_with(Rule::always(Operation::List, Fault::Fail(ErrorKind::Transient)).at(0, 1));
    assert_eq!(code(push_bytes(&host, NAME, &segment(NAME, 1)).await), ErrorCode::Service);
    assert!(host.objects().await.is_empty());
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused() {
    let host = Host::new();
    std::fs::create_dir(host.pg_wal(NAME)).unwrap();
    let refused =
        push_file(&host.archive, &host.pg_wal(NAME), file(NAME), options(), Some(cluster())).await;
    assert_eq!(code(refused), ErrorCode::FileInvalid);
    let missing =
        push_file(&host.archive, &host.pg_wal("x"), file(NAME), options(), Some(cluster())).await;
    assert_eq!(code(missing), ErrorCode::FileMissing);
}

#[tokio::test]
async fn a_large_segment_is_read_twice_and_stored_the_same_way() {
    let host = Host::new();
    let name = "000000010000000000000001";
    let raw = segment_of(name, 3, 128 << 20);
    assert_eq!(push_bytes(&host, name, &raw).await.unwrap(), PushOutcome::Stored);
    let stored = host.archive.find(file(name)).await.unwrap().unwrap();
    assert_eq!(stored.digest, crate::codec::Sha256Hasher::digest(&raw));
    host.archive.verify(&stored).await.unwrap();
}

/// A source that grows, shrinks or changes between readings.
struct Moving {
    size: u64,
    at: u64,
    reading: u8,
}

impl RawSource for Moving {
    type Error = Error;

    fn fill(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
        let n = (self.size - self.at).min(limit as u64);
        *buffer = vec![self.reading; n as usize];
        self.at += n;
        Ok(())
    }

    fn rewind(&mut self) -> Result<(), Error> {
        (self.at, self.reading) = (0, self.reading + 1);
        Ok(())
    }

    fn changed(&self) -> Error {
        Error::Changed { path: "moving".into() }
    }
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_never_stored() {
    let host = Host::new();
    for (size, said) in [(3 << 20, 2 << 20), (1 << 20, 2 << 20), (65 << 20, 65 << 20)] {
        let source = Moving { size, at: 0, reading: 0 };
        let put = PutOptions { compression: ZST, workers: 2, raw_size: said };
        let refused = host.archive.put(file(NAME), source, put).await;
        assert!(matches!(refused, Err(Error::Changed { .. })), "{size} {refused:?}");
        assert!(host.objects().await.is_empty());
    }
}
