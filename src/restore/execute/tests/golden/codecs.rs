//! A chain of backups that each have another compression, with all that a file list and an archive can hold: lines in an
//! unhandy order, directories without a line, tablespaces, bits beyond the permissions, WAL on two timelines.

use super::*;
use crate::{
    repo::wal_needed,
    restore::ArchiveWal,
    types::{Lsn, WalSegmentSize},
};

const CODECS_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/repository-v1-codecs");
const SEGMENT: u32 = 1 << 20;
const OUTSIDE: &str = "pg_tblspc/16401/PG_15_202209061";
const IN_PLACE: &str = "pg_tblspc/16402/PG_15_202209061";

/// Label, compression, and the WAL between start and stop.
const CHAIN: [(&str, CompressType, u64); 4] = [
    ("20261122-080000F", CompressType::None, 1),
    ("20261122-080000F_20261122-090000D", CompressType::Lz4, 2),
    ("20261122-080000F_20261122-100000I", CompressType::Gz, 3),
    ("20261122-080000F_20261122-110000I", CompressType::Zst, 4),
];

/// The data directory at the time of the backup `round` of the chain.
fn items(round: usize) -> Vec<Item> {
    let mut large = text(3, (1 << 20) + 8192 + 100);
    let mut grown = text(7, 30_000);
    for round in 1..=round {
        large[round * 100_000] ^= 255;
        grown.extend(vec![round as u8; 10_000]);
    }
    // Shorter than the file that the patches of the rounds before refer to.
    if round == 3 {
        large.truncate(900_000);
    }
    let mut items = cluster(vec![
        directory("base"),
        directory("base/5"),
        directory("pg_notify"),
        file("base/5/16384", large),
        file("base/5/16385", grown),
        file("base/5/16386", vec![0; 50_000]),
        file("base/5/16387", ""),
        file(b"base/5/\xff %\n\xc3\xbc".as_slice(), "odd name"),
        // Its directory has no line.
        file("pg_xact/0000", text(11, 8192)),
        file("tablespace_map", "16401 /nowhere/ts\n"),
        link("pg_tblspc/16401", "/nowhere/ts"),
        directory(OUTSIDE),
        directory(format!("{OUTSIDE}/5")),
        file(format!("{OUTSIDE}/5/16390"), text(13 + round as u32, 40_000)),
        directory("pg_tblspc/16402"),
        directory(IN_PLACE),
        directory(format!("{IN_PLACE}/5")),
        file(format!("{IN_PLACE}/5/16391"), text(17, 16_384)),
    ]);
    if round > 1 {
        items.insert(0, file("base/5/16392", text(19, 20_000)));
    }
    for item in &mut items {
        match item.kind {
            FileKind::Directory => item.mode = 0o2750,
            _ => item.mode = 0o640,
        }
    }
    // Files before their directories, directories before their parents; the control file stays the last.
    let last = items.len() - 1;
    items[..last].sort_by_key(|item| item.kind == FileKind::Directory);
    let files = items.iter().filter(|item| item.kind != FileKind::Directory).count() - 1;
    items[files..last].reverse();
    items
}

fn making(round: usize) -> Making {
    let (label, kind, segment) = CHAIN[round];
    let position = |segment: u64, offset| Lsn(segment * u64::from(SEGMENT) + offset);
    let last = round == CHAIN.len() - 1;
    Making {
        label: label.to_owned(),
        compression: Compression { kind, level: kind.default_level() },
        bundle_size: 256 << 10,
        tablespaces: vec![
            tablespace(16401, "outside", "/nowhere/ts"),
            tablespace(16402, "in place", "pg_tblspc/16402"),
        ],
        // The last one was made on a standby while its primary was promoted.
        start: position(if last { segment - 1 } else { segment }, 0x28),
        stop: position(segment, 0x100),
        stop_timeline: last.then_some(TimeLine(2)),
        wal_segment_size: WalSegmentSize::new(SEGMENT).unwrap(),
        data_directory_mode: 0o750,
        backup_manifest: MANIFEST_OF_TABLESPACE_MAP,
        ..Making::default()
    }
}

/// What is in the archive, and how it is compressed.
fn wal() -> Vec<(&'static str, Vec<u8>, CompressType)> {
    let segment = |seed| text(seed, SEGMENT);
    vec![
        ("000000010000000000000001", segment(23), CompressType::Zst),
        ("000000010000000000000001.00000028.backup", b"LABEL: x\n".to_vec(), CompressType::None),
        ("000000010000000000000002", segment(29), CompressType::Lz4),
        ("000000010000000000000003", segment(31), CompressType::Gz),
        ("000000010000000000000004.partial", segment(37), CompressType::Gz),
        ("000000020000000000000004", segment(41), CompressType::Zst),
        ("00000002.history", b"1\t0/400080\tno recovery target\n".to_vec(), CompressType::None),
    ]
}

async fn make_codecs(storage: &Arc<dyn Storage>) {
    let demo = "demo".parse().unwrap();
    let id = ClusterId { system_id: SystemId(7), version: PgVersion::new(15).unwrap() };
    stanza::create(&**storage, &demo, id, Some(1300)).await.unwrap();
    let mut prior: Option<Manifest> = None;
    for round in 0..CHAIN.len() {
        let on = prior.as_ref().map(|prior| On { prior, left_out: &[] });
        prior = Some(store_on(storage, &items(round), &making(round), on).await);
    }
    let history = StanzaHistory::read(&**storage, &demo).await.unwrap();
    let archive = WalArchive::new(storage.clone(), &demo, history.current().archive_id()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    for (name, content, kind) in wal() {
        let path = scratch.path().join(name);
        fs::write(&path, content).unwrap();
        let compression = Compression { kind, level: kind.default_level() };
        let options = PushOptions { compression, workers: 1 };
        let pushing = wal::Pushing::begin(&path, name.parse().unwrap(), options).await.unwrap();
        pushing.store(&archive, None).await.unwrap();
    }
}

#[tokio::test]
async fn every_compression_is_read_as_it_was_written() {
    let storage: Arc<dyn Storage> = Arc::new(PosixStorage::new(CODECS_1));
    if to_be_made(CODECS_1) {
        make_codecs(&storage).await;
    }
    let mut listed = Expected::of("repository-v1-codecs");
    for (round, (label, kind, _)) in CHAIN.into_iter().enumerate() {
        let bench = Bench::on(storage.clone());
        let outside = bench.scratch.path().join("ts");
        let placement = PlacementOptions {
            tablespace_map: [("16401".to_owned(), outside.clone())].into(),
            ..PlacementOptions::default()
        };
        let plan = bench.plan_of(label, &placement).await.unwrap();
        assert_eq!(plan.manifest.compression.kind, kind);
        has_its_wal(&storage, &plan.manifest).await;
        bench.execute(&plan, Existing::Refuse).await.unwrap();
        for item in items(round) {
            let place = plan.layout.resolve(&item.path);
            match item.kind {
                FileKind::File { .. } if item.path != path("tablespace_map") => {
                    assert!(fs::read(place).unwrap() == item.data, "{label}: {}", item.path);
                }
                FileKind::Directory => assert!(place.is_dir(), "{label}: {}", item.path),
                _ => {}
            }
        }
        listed.backup(label, &bench.data());
    }
    deliver_all(storage, &mut listed).await;
    listed.check();
}

/// Also the last one, which began on timeline 1 and stopped on timeline 2.
async fn has_its_wal(storage: &Arc<dyn Storage>, manifest: &Manifest) {
    let archive = WalArchive::new(storage.clone(), &manifest.stanza, manifest.archive_id());
    let archive = archive.unwrap();
    assert_eq!(wal_needed::missing(&archive, manifest, 9).await.unwrap(), []);
    let size = manifest.cluster.wal_segment_size;
    let (wal, unreadable) = ArchiveWal::look(&archive, size).await.unwrap();
    let window = wal.window(manifest);
    assert!(unreadable.is_empty() && window.missing.is_empty() && window.unusable.is_none());
    assert_eq!(window.last.to_string(), "000000020000000000000004");
}

async fn deliver_all(storage: Arc<dyn Storage>, listed: &mut Expected) {
    let demo = "demo".parse().unwrap();
    let history = StanzaHistory::read(&*storage, &demo).await.unwrap();
    let archive = WalArchive::new(storage, &demo, history.current().archive_id()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let destination = scratch.path().join("RECOVERYXLOG");
    for (name, content, _) in wal() {
        let options = GetOptions { cluster: None, durable: false };
        let file: ArchiveFile = name.parse().unwrap();
        let outcome = wal::get(&archive, file, &destination, options).await.unwrap();
        assert_eq!(outcome, GetOutcome::Delivered);
        assert_eq!(sha256(&fs::read(&destination).unwrap()), sha256(&content), "{name}");
        listed.wal(name, &content);
    }
}
