use proptest::prelude::*;

use super::*;

/// A header as the server's `tarCreateHeader` writes it.
fn header(name: &str, kind: u8, size: u64, link: &str) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[field::MODE].copy_from_slice(b"0000600\0");
    block[field::UID].copy_from_slice(b"0000145\0");
    block[field::GID].copy_from_slice(b"0000150\0");
    match size >> 33 {
        0 => block[field::SIZE].copy_from_slice(format!("{size:011o} ").as_bytes()),
        _ => {
            block[124] = 0x80;
            block[128..136].copy_from_slice(&size.to_be_bytes());
        }
    }
    block[field::MODIFIED].copy_from_slice(b"15170512473 ");
    block[field::KIND] = kind;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut block);
    block
}

fn seal(block: &mut [u8]) {
    block[field::CHECKSUM].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[field::CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn member(name: &str, data: &[u8]) -> Vec<u8> {
    let mut out = header(name, b'0', data.len() as u64, "");
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    out
}

fn sample(terminated: bool) -> Vec<u8> {
    let mut out = member("backup_label", b"START WAL LOCATION\n");
    out.extend(header("./pg_wal/archive_status/", b'5', 0, ""));
    out.extend(member("base/1/112", &[7; 1024]));
    out.extend(member("base/1/113", b""));
    out.extend(header("pg_tblspc/16401", b'2', 0, "/mnt/space"));
    if terminated {
        out.extend([0; 2 * BLOCK]);
    }
    out
}

/// Reads chunks; the bytes of a member are joined so that results can be compared.
fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<TarEvent>> {
    let mut reader = TarReader::new();
    let mut events = Vec::new();
    for chunk in chunks {
        reader.push(Bytes::copy_from_slice(chunk))?;
        while let Some(event) = reader.next_event()? {
            match (events.last_mut(), event) {
                (Some(TarEvent::Bytes(last)), TarEvent::Bytes(more)) => {
                    assert!(!more.is_empty());
                    *last = [last.clone(), more].concat().into();
                }
                (_, event) => events.push(event),
            }
        }
    }
    reader.finish()?;
    Ok(events)
}

fn names(events: &[TarEvent]) -> Vec<String> {
    let path = |event: &TarEvent| match event {
        TarEvent::Begin(entry) => entry.path.as_ref().map(ToString::to_string),
        _ => None,
    };
    events.iter().filter_map(path).collect()
}

#[test]
fn members_come_whole_and_in_order() {
    let events = read([&sample(true)[..]]).unwrap();
    assert_eq!(
        names(&events),
        ["backup_label", "pg_wal/archive_status", "base/1/112", "base/1/113", "pg_tblspc/16401"]
    );
    let begins = events.iter().filter(|e| matches!(e, TarEvent::Begin(_))).count();
    let ends = events.iter().filter(|e| matches!(e, TarEvent::End)).count();
    assert_eq!((begins, ends), (5, 5));
    let TarEvent::Begin(first) = &events[0] else { panic!("no begin") };
    assert_eq!((first.mode, first.uid, first.gid), (0o600, 101, 104));
    assert_eq!(first.kind, TarEntryKind::File { size: 19 });
    let TarEvent::Begin(link) = &events[events.len() - 2] else { panic!("no link") };
    assert_eq!(link.kind, TarEntryKind::Link { target: b"/mnt/space".to_vec() });
    assert_eq!(read([&sample(false)[..]]).unwrap(), events);
}

#[test]
fn sizes_over_8_gib_are_in_base_256() {
    let size = 5_u64 << 40;
    let mut reader = TarReader::new();
    reader.push(header("base/1/1", b'0', size, "").into()).unwrap();
    let Some(TarEvent::Begin(entry)) = reader.next_event().unwrap() else { panic!("no begin") };
    assert_eq!(entry.kind, TarEntryKind::File { size });
    assert!(reader.finish().is_err());
}

#[test]
fn a_truncated_archive_is_an_error() {
    let whole = sample(false);
    let ends: Vec<usize> = (0..=whole.len()).filter(|&end| read([&whole[..end]]).is_ok()).collect();
    // After nothing, after each member's padding; and never anywhere else.
    assert_eq!(ends, [0, 1024, 1536, 3072, 3584, 4096]);
}

#[test]
fn hostile_names_are_refused() {
    for name in ["../etc/passwd", "/etc/passwd", "base/../../x", "base//1", "", "././x"] {
        assert!(read([&header(name, b'0', 0, "")[..]]).is_err(), "{name}");
    }
}

#[test]
fn a_damaged_header_is_an_error() {
    let whole = sample(true);
    // What follows the checksum's digits carries nothing.
    for at in (0..BLOCK).filter(|at| !(154..156).contains(at)) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        assert!(read([&damaged[..]]).is_err(), "byte {at}");
    }
}

#[test]
fn unknown_kinds_and_bytes_after_the_end_are_errors() {
    assert!(read([&header("x", b'L', 0, "")[..]]).is_err());
    let mut more = sample(true);
    more.extend(header("x", b'0', 0, ""));
    assert!(read([&more[..]]).is_err());
}

#[test]
fn the_root_itself_has_no_path() {
    let events = read([&header("./", b'5', 0, "")[..]]).unwrap();
    let TarEvent::Begin(entry) = &events[0] else { panic!("no begin") };
    assert_eq!(entry.path, None);
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_events(cuts in proptest::collection::vec(0_usize..5120, 0..40)) {
        let whole = sample(true);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]);
        prop_assert_eq!(read(chunks).unwrap(), read([&whole[..]]).unwrap());
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let _ = read([&bytes[..]]);
    }

    #[test]
    fn random_headers_with_a_right_checksum_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), BLOCK),
        tail in proptest::collection::vec(any::<u8>(), 0..1024),
    ) {
        let mut block = bytes;
        seal(&mut block);
        let _ = read([&block[..], &tail[..]]);
    }
}
