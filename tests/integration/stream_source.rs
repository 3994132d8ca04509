//! The stream source against real servers: what it yields is whole, agrees with the server's own
//! manifest, and ends when it is told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    time::{Duration, Instant},
};

use pgstrata::{
    backup::source::{
        BackupSource, BackupStart, BackupStop, FileHeader, FileKind, SourceEvent, SourceOptions,
        StreamSource,
    },
    postgres::{
        BackupLabelFile, BackupManifest, ConnectOptions, ConnectSettings, ControlFile, SqlClient,
        check_pages, is_checked_file,
    },
    types::{DataPath, Lsn, WalSegmentSize},
};

use crate::support::{Cluster, Site, Version, for_each_version, on_one_version};

/// A whole backup in memory.
struct Backup {
    start: BackupStart,
    stop: BackupStop,
    files: BTreeMap<DataPath, Vec<u8>>,
    headers: BTreeMap<DataPath, FileHeader>,
    order: Vec<DataPath>,
}

pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// Runs what brings a runtime of its own from inside one.
pub(crate) fn outside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().expect("it ran"))
}

pub(crate) fn settings_for(cluster: &Cluster) -> ConnectSettings {
    ConnectSettings {
        socket_directory: Some(cluster.socket_dir.clone()),
        port: Some(cluster.port()),
        user: Some("postgres".to_owned()),
        ..Default::default()
    }
}

pub(crate) fn options_for(cluster: &Cluster) -> ConnectOptions {
    ConnectOptions::resolve(&settings_for(cluster), &|_| None).expect("options")
}

fn fast() -> SourceOptions {
    SourceOptions {
        label: "it's a test".to_owned(),
        start_fast: true,
        max_rate_kb: None,
        ..SourceOptions::default()
    }
}

/// Takes a backup; checks the order of events on the way.
async fn take(mut source: StreamSource) -> Backup {
    let start = source.start(&fast()).await.expect("start");
    let mut files = BTreeMap::new();
    let mut headers = BTreeMap::new();
    let mut order = Vec::new();
    let mut current: Option<(FileHeader, Vec<u8>)> = None;
    let stop = loop {
        match source.next().await.expect("event") {
            SourceEvent::Begin(header) => {
                assert!(current.is_none(), "{} begins inside a file", header.path);
                current = Some((header, Vec::new()));
            }
            SourceEvent::Bytes(bytes) => {
                assert!(!bytes.is_empty());
                current.as_mut().expect("a begin").1.extend_from_slice(&bytes);
            }
            SourceEvent::End => {
                let (header, bytes) = current.take().expect("a begin");
                order.push(header.path.clone());
                if let FileKind::File { size, .. } = header.kind {
                    assert_eq!(size, bytes.len() as u64, "{}", header.path);
                    files.insert(header.path.clone(), bytes);
                } else {
                    assert!(bytes.is_empty(), "{}", header.path);
                }
                let earlier = headers.insert(header.path.clone(), header);
                assert!(earlier.is_none(), "{:?} came twice", earlier.map(|h| h.path));
            }
            SourceEvent::Stop(stop) => break stop,
            other => panic!("not from a server without a prior backup: {other:?}"),
        }
    };
    assert!(current.is_none());
    Backup { start, stop, files, headers, order }
}

fn path(text: &str) -> DataPath {
    DataPath::new(text.as_bytes()).expect("path")
}

impl Backup {
    fn file(&self, name: &str) -> &[u8] {
        self.files.get(&path(name)).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Holds every file against the server's manifest.
    fn check_manifest(&self) -> BackupManifest {
        let manifest =
            BackupManifest::parse(self.stop.backup_manifest.as_ref().expect("the server's"))
                .expect("manifest");
        let listed: BTreeSet<&DataPath> = manifest.files.iter().map(|file| &file.path).collect();
        let received: BTreeSet<&DataPath> = self.files.keys().collect();
        assert_eq!(listed, received);
        for file in &manifest.files {
            let bytes = &self.files[&file.path];
            assert_eq!(file.size, bytes.len() as u64, "{}", file.path);
            assert_eq!(file.crc32c, Some(crc32c::crc32c(bytes)), "{}", file.path);
        }
        let range = manifest.wal_ranges[0];
        assert_eq!((range.start, range.end), (self.start.lsn, self.stop.lsn));
        assert_eq!(range.timeline, self.stop.timeline());
        manifest
    }

    /// The damaged pages of every relation, as `path block`.
    fn damaged_pages(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (path, bytes) in &self.files {
            let Some(segment) = is_checked_file(path) else { continue };
            let first = segment * (1 << 30) / 8192;
            let bad = check_pages(bytes, 8192, first, self.start.lsn);
            found.extend(bad.iter().map(|block| format!("{path} {block}")));
        }
        found
    }
}

/// A cluster with a tablespace, an unlogged table, odd names and empty files.
fn filled(site: &Site) {
    let space = site.dir.make("a space");
    site.primary.sql(&format!("create tablespace outside location '{}'", space.display()));
    for sql in [
        "create table here as select g, repeat('x', 100) t from generate_series(1, 20000) g",
        "create table there tablespace outside as select g from generate_series(1, 20000) g",
        "create table empty (n int)",
        "create unlogged table fleeting as select g from generate_series(1, 100) g",
    ] {
        site.primary.sql(sql);
    }
    let odd = site.primary.data_dir.join("odd 'name\" \n%00 ü");
    std::fs::write(odd, "").expect("writable");
}

for_each_version! {
    fn backup_is_whole(version) {
        let site = Site::builder(version).without_archiving().build_without_stanza();
        filled(&site);
        let backup = run(async {
            let source = StreamSource::connect(&options_for(&site.primary)).await.expect("connect");
            let facts = source.facts().clone();
            let backup = take(source).await;
            let control = ControlFile::parse(backup.file(ControlFile::PATH)).expect("pg_control");
            assert_eq!(u32::from(facts.version.major()), version.major());
            assert_eq!(facts.version_num / 10_000, version.major());
            assert_eq!(control.system_id, facts.system_id);
            assert_eq!(control.version, facts.version);
            assert_eq!(control.wal_segment_size, facts.wal_segment_size);
            assert_eq!(control.page_size, facts.page_size);
            assert_eq!(control.page_checksums(), facts.page_checksums);
            assert!(facts.page_checksums && !facts.in_recovery);
            backup
        });
        let manifest = backup.check_manifest();
        assert_eq!(manifest.system_id.is_some(), version.major() >= 17);
        let label = BackupLabelFile::parse(backup.file("backup_label")).expect("backup_label");
        assert_eq!(label.start, backup.start.lsn);
        assert_eq!(label.timeline, backup.start.timeline);
        assert_eq!(label.label, "it's a test");
        assert!(!label.from_standby);
        assert!(backup.start.lsn < backup.stop.lsn);
        assert_eq!(backup.damaged_pages(), Vec::<String>::new());
        assert_eq!(backup.stop.checksum_complaints, Vec::<String>::new());

        let [space] = &backup.start.tablespaces[..] else { panic!("one tablespace") };
        let link = &backup.headers[&path(&format!("pg_tblspc/{}", space.oid))];
        assert_eq!(link.kind, FileKind::Link { target: space.location.clone() });
        assert!(space.location.ends_with(b"a space"));
        let inside = backup.files.keys().filter(|p| p.is_within(&format!("pg_tblspc/{}", space.oid)));
        assert!(inside.count() > 0);
        assert_eq!(backup.order.last(), Some(&path(ControlFile::PATH)));
        let received: u64 = backup.files.values().map(|bytes| bytes.len() as u64).sum();
        let estimate = backup.start.size_estimate.expect("an estimate");
        assert!(received.abs_diff(estimate) < received / 10, "{received} of {estimate}");
        for directory in ["pg_wal", "pg_wal/archive_status", "pg_tblspc", "pg_notify", "base"] {
            assert_eq!(backup.headers[&path(directory)].kind, FileKind::Directory, "{directory}");
        }
        assert_eq!(backup.headers[&path("base")].mode, 0o700);
    }

    fn damaged_page_is_found_on_both_sides(version) {
        let site = Site::builder(version).without_archiving().build_without_stanza();
        site.primary.sql("create table victim as select g, repeat('x', 100) t from generate_series(1, 20000) g");
        site.primary.sql("checkpoint");
        let relation = site.primary.value("select pg_relation_filepath('victim')");
        site.primary.stop();
        let file = site.primary.data_dir.join(&relation);
        let mut bytes = std::fs::read(&file).expect("relation");
        for page in [2_usize, 7] {
            bytes[page * 8192 + 4000] ^= 1;
        }
        std::fs::write(&file, bytes).expect("writable");
        site.primary.start();
        run(async {
            let options = options_for(&site.primary);
            let source = StreamSource::connect(&options).await.expect("connect");
            let backup = take(source.with_server_checksums(true)).await;
            backup.check_manifest();
            assert_eq!(backup.damaged_pages(), [format!("{relation} 2"), format!("{relation} 7")]);
            let complaints = &backup.stop.checksum_complaints;
            assert!(complaints.iter().any(|text| text.contains(&relation)), "{complaints:?}");

            let source = StreamSource::connect(&options).await.expect("connect");
            let backup = take(source).await;
            assert_eq!(backup.damaged_pages().len(), 2);
            assert!(backup.stop.checksum_complaints.is_empty());

            let sql = SqlClient::connect(&options).await.expect("sql");
            let page = sql.reread_page(&path(&relation), 7 * 8192, 8192).await.expect("read");
            assert_eq!(check_pages(&page.expect("there"), 8192, 7, backup.start.lsn), [7]);
        });
    }

    fn cancel_ends_the_backup_within_a_second(version) {
        let site = Site::builder(version).without_archiving().build_without_stanza();
        run(async {
            // In the middle of the stream, held back by a rate limit.
            let options = options_for(&site.primary);
            let mut source = StreamSource::connect(&options).await.expect("connect");
            source.start(&SourceOptions { max_rate_kb: Some(32), ..fast() }).await.expect("start");
            for _ in 0..3 {
                source.next().await.expect("event");
            }
            end_quickly(&site, &mut source).await;

            // While the server waits for a checkpoint that is spread over minutes.
            outside(|| {
                site.primary.sql("create table t as select g from generate_series(1, 200000) g")
            });
            let mut source = StreamSource::connect(&options).await.expect("connect");
            let slow = SourceOptions { start_fast: false, ..fast() };
            let waited = tokio::time::timeout(Duration::from_secs(1), source.start(&slow)).await;
            assert!(waited.is_err(), "the checkpoint was not spread: {waited:?}");
            end_quickly(&site, &mut source).await;
        });
    }

    fn standby_knows_that_it_is_one(version) {
        let site = Site::builder(version).without_archiving().build_without_stanza();
        site.primary.sql("alter role postgres set default_transaction_read_only = on");
        let facts = |cluster: &Cluster| run(async {
            let source = StreamSource::connect(&options_for(cluster)).await.expect("connect");
            source.facts().clone()
        });
        let before = facts(&site.primary);
        assert!(!before.in_recovery);
        site.primary.stop();
        std::fs::write(site.primary.data_dir.join("standby.signal"), "").expect("writable");
        site.primary.start();
        assert!(facts(&site.primary).in_recovery);
        let sql = run(async {
            let sql = SqlClient::connect(&options_for(&site.primary)).await.expect("sql");
            sql.is_in_recovery().await.expect("answer")
        });
        assert!(sql);
    }

    fn server_that_dies_is_an_error_and_no_hang(version) {
        let site = Site::builder(version).without_archiving().build_without_stanza();
        run(async {
            let mut source =
                StreamSource::connect(&options_for(&site.primary)).await.expect("connect");
            source.start(&SourceOptions { max_rate_kb: Some(1024), ..fast() }).await.expect("start");
            site.primary.kill();
            let began = Instant::now();
            let error = loop {
                match source.next().await {
                    Ok(SourceEvent::Stop(_)) => panic!("a killed server completed a backup"),
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert!(began.elapsed() < Duration::from_secs(10));
            assert!(error.to_string().contains("connection"), "{error}");
        });
    }

    fn sql_side_channel_knows_the_server(version) {
        let site = Site::builder(version).without_archiving().build_without_stanza();
        filled(&site);
        run(async {
            let sql = SqlClient::connect(&options_for(&site.primary)).await.expect("sql");
            let facts = sql.server_facts().await.expect("facts");
            assert_eq!(u32::from(facts.version.major()), version.major());
            assert!(!facts.in_recovery);
            let control = std::fs::read(site.primary.data_dir.join(ControlFile::PATH)).expect("file");
            let control = ControlFile::parse(&control).expect("pg_control");
            assert_eq!(facts.system_id, control.system_id);
            assert_eq!(facts.control_version, control.control_version);
            assert_eq!(facts.catalog_version, control.catalog_version);
            assert_eq!(facts.data_directory.as_deref(), site.primary.data_dir.to_str());
            let databases = sql.databases().await.expect("databases");
            assert!(databases.iter().any(|database| database.name == "postgres"));
            let spaces = sql.tablespaces().await.expect("tablespaces");
            assert_eq!((spaces.len(), &*spaces[0].name), (1, "outside"));
            assert!(spaces[0].location.ends_with("a space"));
            assert_eq!(sql.setting("archive_mode").await.expect("known").as_deref(), Some("off"));
            let library = sql.setting("archive_library").await.expect("no error");
            assert_eq!(library.is_some(), version.major() >= 15);
            let point = sql.create_restore_point("here").await.expect("restore point");
            let switched = sql.switch_wal().await.expect("switch");
            assert!(point <= switched);
            let name = sql.wal_file_name(switched).await.expect("name");
            assert!(name.parse::<pgstrata::types::WalSegment>().is_ok(), "{name}");
            assert!(sql.current_wal_lsn().await.expect("lsn") >= switched);
            let archiver = sql.archiver().await.expect("archiver");
            assert_eq!((archiver.failed_count, archiver.failing), (0, false));
            let gone = sql.reread_page(&path("base/1/nothing"), 0, 8192).await.expect("no error");
            assert_eq!(gone, None);
            sql.close().await;
        });
    }
}

/// Cancels, and waits until the server has no walsender left.
async fn end_quickly(site: &Site, source: &mut StreamSource) {
    let began = Instant::now();
    source.cancel().await;
    let count = "select count(*) from pg_stat_activity where backend_type = 'walsender'";
    while outside(|| site.primary.value(count)) != "0" {
        assert!(began.elapsed() < Duration::from_secs(5), "the walsender lives on");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
}

on_one_version! {
    fn odd_segment_size_and_no_checksums(version) {
        let site = Site::builder(version)
            .without_archiving()
            .wal_segment_mib(1)
            .checksums(false)
            .build_without_stanza();
        run(async {
            let options = options_for(&site.primary);
            let source = StreamSource::connect(&options).await.expect("connect");
            assert_eq!(source.facts().wal_segment_size, WalSegmentSize::new(1 << 20).expect("size"));
            assert!(!source.facts().page_checksums);
            take(source).await.check_manifest();
        });
    }

    fn backup_survives_writes(version) {
        let site = Site::builder(version).without_archiving().build_without_stanza();
        site.primary.sql("create table busy as select g, 0 n from generate_series(1, 50000) g");
        let load = crate::support::WriteLoad::start(&site.primary);
        let backup = run(async {
            take(StreamSource::connect(&options_for(&site.primary)).await.expect("connect")).await
        });
        drop(load);
        backup.check_manifest();
        assert!(backup.stop.lsn > Lsn(0));
    }
}

/// Servers before 16 leave tablespaces made in place out of every backup, or cannot make them.
mod tablespace_in_place_is_a_directory {
    use super::*;

    fn check(version: Version) {
        let site = Site::builder(version)
            .without_archiving()
            .setting("allow_in_place_tablespaces", "on")
            .build_without_stanza();
        site.primary.sql("create tablespace inside location ''");
        site.primary
            .sql("create table t tablespace inside as select g from generate_series(1, 1000) g");
        let oid = site.primary.value("select oid from pg_tablespace where spcname = 'inside'");
        let backup = run(async {
            take(StreamSource::connect(&options_for(&site.primary)).await.expect("connect")).await
        });
        backup.check_manifest();
        assert_eq!(backup.headers[&path(&format!("pg_tblspc/{oid}"))].kind, FileKind::Directory);
    }

    #[test]
    fn pg16() {
        check(Version::new(16));
    }
    #[test]
    fn pg17() {
        check(Version::new(17));
    }
    #[test]
    fn pg18() {
        check(Version::new(18));
    }
}
