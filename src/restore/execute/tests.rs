//! Executes plans against small repositories: what comes back, what is refused, what damage does.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::tests::{memory::*, repository::*},
    *,
};
use crate::{
    backup::source::FileKind,
    repo::{file_list::FileList, manifest::Manifest},
    restore::plan::{Entries, Layout, PlacementOptions},
    types::{
        CompressType, Compression, ErrorCode, Failure, RecoveryTarget, TargetAction, TimeLine,
        progress::NoProgress,
    },
};

mod chain;
mod golden;
mod hostile;
mod links;
mod partly;

/// A repository in memory and an empty directory to restore into.
struct Bench {
    memory: MemoryStorage,
    storage: Arc<dyn Storage>,
    scratch: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::in_memory(MemoryStorage::default())
    }

    /// A repository that is read ahead.
    fn far() -> Self {
        Self::in_memory(MemoryStorage::far())
    }

    fn in_memory(memory: MemoryStorage) -> Self {
        Self { storage: Arc::new(memory.clone()), memory, scratch: tempfile::tempdir().unwrap() }
    }

    /// The repository is `storage` and not in memory.
    fn on(storage: Arc<dyn Storage>) -> Self {
        Self { storage, ..Self::new() }
    }

    fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    async fn store(&self, items: &[Item]) -> Manifest {
        store(&self.storage, items, &Making::default()).await
    }

    async fn plan(&self, placement: &PlacementOptions) -> Result<Arc<RestorePlan>, Error> {
        self.plan_of("20261121-092452F", placement).await
    }

    async fn plan_of(
        &self,
        label: &str,
        placement: &PlacementOptions,
    ) -> Result<Arc<RestorePlan>, Error> {
        let (stanza, label) = ("demo".parse().unwrap(), label.parse().unwrap());
        let manifest = Manifest::read(&*self.storage, &stanza, &label).await?;
        let list = FileList::read(&*self.storage, &manifest).await?;
        let layout = Layout::new(&self.data(), &manifest, &list.files, placement)?;
        let mode = manifest.cluster.data_directory_mode;
        let entries = Entries::new(list.files, &layout, &RecoveryTarget::Latest, mode)?;
        let timeline = crate::restore::plan::TimelineDecision {
            history: crate::types::TimelineHistory::without_ancestors(TimeLine(1)),
            setting: None,
            note: None,
        };
        Ok(Arc::new(RestorePlan { manifest, layout, entries, timeline, warnings: Vec::new() }))
    }

    async fn restore(&self, existing: Existing) -> Result<Arc<RestorePlan>, Error> {
        self.restore_with(existing, &PlacementOptions::default()).await
    }

    async fn restore_with(
        &self,
        existing: Existing,
        placement: &PlacementOptions,
    ) -> Result<Arc<RestorePlan>, Error> {
        let plan = self.plan(placement).await?;
        self.execute(&plan, existing).await?;
        Ok(plan)
    }

    async fn execute(&self, plan: &Arc<RestorePlan>, existing: Existing) -> Result<(), Error> {
        let recovery = RecoverySettings {
            target: RecoveryTarget::Preserve,
            exclusive: false,
            action: TargetAction::Pause,
            timeline: None,
            restore_command: String::new(),
            options: Vec::new(),
            archive_mode_off: false,
        };
        let options = Options { threads: 2, existing, recovery, made_on: "now".to_owned() };
        execute(plan, &self.storage, &options, &NoProgress).await
    }
}

/// Everything below a directory: name, and content of files.
fn tree(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_owned();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            found.insert(name.clone(), None);
            found.extend(tree(&path).into_iter().map(|(below, data)| (name.join(below), data)));
        } else {
            found.insert(name, Some(fs::read(&path).unwrap()));
        }
    }
    found
}

fn expected(items: &[Item]) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found: BTreeMap<_, _> = items
        .iter()
        .map(|item| {
            let data = (item.kind != FileKind::Directory).then(|| item.data.to_vec());
            (item.path.under(Path::new("")), data)
        })
        .collect();
    found.insert("backup_manifest".into(), Some(BACKUP_MANIFEST.to_vec()));
    found
}

fn noise(len: usize, mut seed: u64) -> Vec<u8> {
    (0..len)
        .map(|_| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Few distinct bytes, so that the data compresses somewhat.
            (seed >> 33) as u8 & 0x1F
        })
        .collect()
}

fn varied() -> Vec<Item> {
    let mut items = vec![
        directory("base"),
        directory("base/5"),
        file("base/5/empty", ""),
        file("base/5/one", "x"),
        file("base/5/large", noise(19 << 20, 1)),
        file("base/5/odd size", noise((3 << 20) + 4321, 2)),
        file("base/5/newline\nquote'\"\\", "odd"),
        file(b"base/5/\xFF\xFE", "not UTF-8"),
        file("base/5/größe 🐘 %41", "UTF-8"),
        directory("pg_replslot"),
    ];
    items.extend((0..600).map(|i| file(format!("base/5/small{i}"), noise(i * 37, i as u64))));
    cluster(items)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_as_it_was() {
    for (kind, level, make) in [
        (CompressType::Zst, 1, Bench::new as fn() -> Bench),
        (CompressType::None, 1, Bench::new),
        (CompressType::Lz4, 1, Bench::new),
        (CompressType::Gz, 1, Bench::new),
        (CompressType::Zst, 1, Bench::far),
        (CompressType::None, 1, Bench::far),
    ] {
        let bench = make();
        let mut items = varied();
        items[20].mode = 0o640;
        items[21].mtime = -5;
        let making = Making { compression: Compression { kind, level }, ..Making::default() };
        store(&bench.storage, &items, &making).await;
        bench.restore(Existing::Refuse).await.unwrap();
        assert_eq!(tree(&bench.data()), expected(&items));
        for item in items.iter().filter(|item| item.kind != FileKind::Directory) {
            let metadata = fs::metadata(item.path.under(&bench.data())).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o7777, item.mode, "{}", item.path);
            assert_eq!(metadata.mtime(), item.mtime, "{}", item.path);
        }
        let data = fs::metadata(bench.data()).unwrap();
        assert_eq!(data.permissions().mode() & 0o7777, 0o700);
    }
}

#[tokio::test]
async fn group_access_is_kept() {
    let bench = Bench::new();
    let mut items = cluster(Vec::new());
    items.iter_mut().for_each(|item| item.mode |= (item.mode & 0o700) >> 3 & 0o050);
    let making = Making { data_directory_mode: 0o750, ..Making::default() };
    store(&bench.storage, &items, &making).await;
    bench.restore(Existing::Refuse).await.unwrap();
    for (name, mode) in
        [("", 0o750), ("global", 0o750), ("PG_VERSION", 0o640), ("backup_manifest", 0o640)]
    {
        let metadata = fs::metadata(bench.data().join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{name}");
    }
}

#[tokio::test]
async fn zero_blocks_become_holes() {
    let bench = Bench::new();
    let size = 16 << 20;
    let mut data = vec![0; size];
    data[5 << 20] = 1;
    let items = cluster(vec![file("sparse", data), file("zeros", vec![0; 100_000])]);
    bench.store(&items).await;
    bench.restore(Existing::Refuse).await.unwrap();
    assert_eq!(tree(&bench.data()), expected(&items));
    let stored = fs::metadata(bench.data().join("sparse")).unwrap().blocks() * 512;
    assert!(stored < 1 << 20, "{stored} bytes on disk");
}

/// Every object of a backup, and the words that an error about it must hold.
fn objects_of_a_backup(memory: &MemoryStorage) -> Vec<(crate::storage::ObjectPath, String)> {
    memory.paths().into_iter().map(|path| (path.clone(), path.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_damage_is_ever_restored() {
    no_damage_comes_out_of(Bench::new).await;
    no_damage_comes_out_of(Bench::far).await;
}

async fn no_damage_comes_out_of(make: fn() -> Bench) {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("a flipped bit in the middle", |bytes| {
            let at = bytes.len() / 2;
            bytes[at] ^= 4;
        }),
        ("a flipped bit at the end", |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("a flipped bit in the header", |bytes| bytes[9] ^= 1),
        ("a cut", |bytes| bytes.truncate(bytes.len() - 1)),
    ];
    let model = make();
    let small = Making { bundle_size: 256 << 10, ..Making::default() };
    let items = cluster(vec![file("a", noise(1 << 20, 3)), file("b", noise(500_000, 4))]);
    store(&model.storage, &items, &small).await;
    for (object, name) in objects_of_a_backup(&model.memory) {
        for (what, damage) in damages {
            let bench = make();
            store(&bench.storage, &items, &small).await;
            bench.memory.damage(&object, damage);
            let result = bench.restore(Existing::Refuse).await;
            let error = result.map(drop).expect_err(&format!("{what} in {name}")).to_string();
            assert!(error.contains(&name), "{what} in {name}: {error}");
            assert!(!bench.data().join("global/pg_control").exists(), "{what} in {name}");
        }
        let bench = make();
        store(&bench.storage, &items, &small).await;
        bench.memory.remove(&object);
        let error = bench.restore(Existing::Refuse).await.map(drop).expect_err(&name).to_string();
        let label = name.split('/').nth(2).unwrap();
        assert!(error.contains(&name) || error.contains(label), "{name}: {error}");
        assert!(!bench.data().join("global/pg_control").exists(), "{name}");
    }
}

#[tokio::test]
async fn a_damaged_block_is_named() {
    a_damaged_block_of(Bench::new()).await;
    a_damaged_block_of(Bench::far()).await;
}

async fn a_damaged_block_of(bench: Bench) {
    let none = Compression { kind: CompressType::None, level: 1 };
    let items = cluster(vec![file("base", noise(2 << 20, 3))]);
    store(&bench.storage, &items, &Making { compression: none, ..Making::default() }).await;
    let bundle = bench.memory.paths().into_iter().find(|p| p.as_str().contains("bundle/00000001"));
    let at = noise(2 << 20, 3)[..64].to_vec();
    bench.memory.damage(&bundle.clone().unwrap(), |bytes| {
        let start = bytes.windows(64).position(|window| window == at).unwrap();
        bytes[start + 3 * 8192 + 5] ^= 1;
    });
    let error = bench.restore(Existing::Refuse).await.map(drop).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Checksum);
    let text = error.to_string();
    assert!(text.contains("block 3 of file 'base'"), "{text}");
    assert!(text.contains(bundle.unwrap().as_str()), "{text}");
}

#[tokio::test]
async fn a_target_with_files_is_refused_and_untouched() {
    let bench = Bench::new();
    bench.store(&cluster(Vec::new())).await;
    fs::create_dir(bench.data()).unwrap();
    fs::write(bench.data().join("precious"), "mine").unwrap();
    let refused = |result: Result<Arc<RestorePlan>, Error>| result.map(drop).unwrap_err();
    for existing in [Existing::Refuse, Existing::Replace, Existing::Update] {
        let error = refused(bench.restore(existing).await);
        assert_eq!(error.code(), ErrorCode::PathNotEmpty, "{existing:?}");
        assert_eq!(tree(&bench.data()).len(), 1);
    }
    fs::write(bench.data().join("PG_VERSION"), "15").unwrap();
    assert_eq!(refused(bench.restore(Existing::Refuse).await).code(), ErrorCode::PathNotEmpty);
    fs::write(bench.data().join("postmaster.pid"), "1\n").unwrap();
    assert_eq!(refused(bench.restore(Existing::Update).await).code(), ErrorCode::PgRunning);
    assert_eq!(tree(&bench.data()).len(), 3);
}

#[tokio::test]
async fn a_missing_parent_is_refused() {
    let mut bench = Bench::new();
    bench.store(&cluster(Vec::new())).await;
    let below = tempfile::tempdir_in(bench.scratch.path()).unwrap();
    fs::remove_dir(below.path()).unwrap();
    bench.scratch = below;
    let error = bench.restore(Existing::Refuse).await.map(drop).unwrap_err();
    assert_eq!(error.code(), ErrorCode::PathMissing);
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_files_are_brought_up_to_date() {
    for existing in [Existing::Update, Existing::Replace] {
        let bench = Bench::new();
        let items = varied();
        bench.store(&items).await;
        bench.restore(Existing::Refuse).await.unwrap();
        let data = bench.data();
        let outside = bench.scratch.path().join("outside");
        fs::write(&outside, "precious").unwrap();
        fs::write(data.join("base/5/one"), "longer than before").unwrap();
        fs::write(data.join("base/5/small400"), "").unwrap();
        fs::remove_file(data.join("base/5/small401")).unwrap();
        fs::remove_file(data.join("base/5/small402")).unwrap();
        fs::create_dir(data.join("base/5/small402")).unwrap();
        fs::remove_file(data.join("base/5/small403")).unwrap();
        std::os::unix::fs::symlink(&outside, data.join("base/5/small403")).unwrap();
        fs::remove_file(data.join("base/5/small404")).unwrap();
        fs::hard_link(&outside, data.join("base/5/small404")).unwrap();
        fs::remove_dir_all(data.join("pg_replslot")).unwrap();
        std::os::unix::fs::symlink(bench.scratch.path(), data.join("pg_replslot")).unwrap();
        fs::create_dir(data.join("base/6")).unwrap();
        fs::write(data.join("base/6/junk"), "junk").unwrap();
        let mut large = fs::read(data.join("base/5/large")).unwrap();
        large[10 << 20] ^= 1;
        fs::write(data.join("base/5/large"), large).unwrap();
        bench.restore(existing).await.unwrap();
        assert_eq!(tree(&data), expected(&items), "{existing:?}");
        assert_eq!(fs::read(&outside).unwrap(), b"precious");
        assert!(bench.scratch.path().join("data").is_dir());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn delta_fetches_only_what_differs() {
    let bench = Bench::new();
    let items = cluster(vec![file("large", noise(8 << 20, 1)), file("other", noise(9 << 20, 2))]);
    bench.store(&items).await;
    bench.restore(Existing::Refuse).await.unwrap();
    // The bundles go: what is there already must be enough, but for the control file.
    let control_only = bench.memory.paths().into_iter().filter(|p| p.as_str().contains("bundle/"));
    let mut bundles: Vec<_> = control_only.collect();
    bundles.pop();
    bundles.iter().for_each(|path| bench.memory.remove(path));
    bench.restore(Existing::Update).await.unwrap();
    assert_eq!(tree(&bench.data()), expected(&items));
    let path = bench.data().join("large");
    let mut large = fs::read(&path).unwrap();
    large[1 << 20] ^= 1;
    fs::write(&path, large).unwrap();
    assert!(bench.restore(Existing::Update).await.is_err());
    assert!(!bench.data().join("global/pg_control").exists());
}

#[tokio::test]
async fn an_interrupted_restore_is_taken_up_with_delta() {
    let bench = Bench::new();
    let items = cluster(vec![file("large", noise(3 << 20, 1))]);
    bench.store(&items).await;
    let bundle = bench.memory.paths().into_iter().find(|p| p.as_str().contains("bundle/")).unwrap();
    let intact = bench.memory.object(&bundle);
    bench.memory.damage(&bundle, |bytes| bytes.truncate(100));
    assert!(bench.restore(Existing::Refuse).await.is_err());
    assert!(bench.data().join(crate::restore::plan::MARKER).exists());
    bench.memory.damage(&bundle, |bytes| *bytes = intact.to_vec());
    let error = bench.restore(Existing::Refuse).await.map(drop).unwrap_err();
    assert_eq!(error.code(), ErrorCode::PathNotEmpty);
    bench.restore(Existing::Update).await.unwrap();
    assert_eq!(tree(&bench.data()), expected(&items));
}

#[tokio::test(flavor = "multi_thread")]
async fn tablespaces_and_links_go_where_they_are_mapped() {
    let bench = Bench::new();
    let version = "pg_tblspc/16401/PG_15_202209061";
    let items = cluster(vec![
        directory("pg_tblspc/16401"),
        directory(version),
        directory(format!("{version}/5")),
        file(format!("{version}/5/1"), noise(50_000, 1)),
        file("tablespace_map", "16401 /old/place\n"),
        file("pg_wal/x", "x"),
        link("log", "/var/log/nowhere"),
    ]);
    let making = Making {
        tablespaces: vec![tablespace(16401, "ts", "/old/place")],
        backup_manifest: MANIFEST_OF_TABLESPACE_MAP,
        ..Making::default()
    };
    store(&bench.storage, &items, &making).await;
    let new = bench.scratch.path().join("new/ts");
    let wal = bench.scratch.path().join("wal");
    let placement = PlacementOptions {
        tablespace_map: [("ts".to_owned(), new.clone())].into(),
        link_map: [("pg_wal".to_owned(), "../wal".into())].into(),
        ..PlacementOptions::default()
    };
    let restored = async |existing| bench.restore_with(existing, &placement).await.map(drop);
    restored(Existing::Refuse).await.unwrap();
    let data = bench.data();
    assert_eq!(fs::read_link(data.join("pg_tblspc/16401")).unwrap(), new);
    assert_eq!(fs::read_link(data.join("pg_wal")).unwrap(), wal);
    assert_eq!(fs::read(new.join("PG_15_202209061/5/1")).unwrap(), noise(50_000, 1));
    assert_eq!(fs::read(wal.join("x")).unwrap(), b"x");
    assert!(data.join("log").is_dir(), "links come back as directories without link-all");
    assert!(!data.join("tablespace_map").exists());
    let listed = fs::read_to_string(data.join("backup_manifest")).unwrap();
    assert!(listed.contains("WAL-Ranges") && !listed.contains("tablespace_map"), "{listed}");

    fs::create_dir(new.join("PG_14_other")).unwrap();
    fs::write(new.join("PG_15_202209061/junk"), "junk").unwrap();
    fs::write(wal.join("junk"), "junk").unwrap();
    assert_eq!(restored(Existing::Refuse).await.unwrap_err().code(), ErrorCode::PathNotEmpty);
    restored(Existing::Update).await.unwrap();
    assert!(new.join("PG_14_other").exists(), "the directory of another version is not ours");
    assert!(!new.join("PG_15_202209061/junk").exists());
    assert!(!wal.join("junk").exists());

    fs::remove_dir_all(&data).unwrap();
    let error = restored(Existing::Replace).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PathNotEmpty, "no link says that the tablespace is ours");
    assert!(new.join("PG_15_202209061/5/1").exists());
}

#[test]
fn the_raw_size_of_units_is_bounded_and_frames_are_not_torn() {
    use crate::repo::block_map::FrameRef;
    let frame = |number: u64| FrameRef {
        reference: 0,
        bundle: 1,
        offset: 16 + number * 1000,
        stored_len: 1000,
        raw_len: 1 << 20,
    };
    let digest = crate::types::BlockDigest([0; crate::types::BlockDigest::LEN]);
    let job = |name: &str, size: u64| {
        let entry = crate::repo::file_list::FileEntry {
            path: path(name),
            kind: crate::repo::file_list::EntryKind::File { size, map: None, base: None },
            mode: 0o600,
            mtime: 0,
            uid: 0,
            gid: 0,
            link: None,
        };
        FileJob::new(entry, name.into(), false)
    };
    let mut builder = UnitBuilder::new(8192);
    let mut out = Vec::new();
    // Ten thousand files of a block, 128 in a frame.
    for number in 0..10_000 {
        let mut map = BlockMap::default();
        map.push(frame(number / 128), (number % 128) as u32 * 8192, &[digest], 8192);
        builder.push(job("small", 8192), map.into(), &mut out);
    }
    let mut map = BlockMap::default();
    (0..1024).for_each(|n| map.push(frame(1000 + n), 0, &[digest; 128], 8192));
    builder.push(job("large", 1 << 30), map.into(), &mut out);
    builder.finish(&mut out);
    let raw: u64 = out.iter().map(|unit| unit.raw).sum();
    assert_eq!(raw, 10_000 * 8192 + (1 << 30));
    let mut before = None;
    for unit in &out {
        assert!(unit.raw <= super::units::UNIT_RAW + (1 << 20), "{}", unit.raw);
        let frames: Vec<_> = unit
            .parts
            .iter()
            .flat_map(|part| {
                part.map.runs[part.runs.clone()]
                    .iter()
                    .map(|run| part.map.frames[run.frame as usize])
            })
            .collect();
        assert_ne!(before, frames.first().copied(), "a frame is in two units");
        before = frames.last().copied();
    }
}
