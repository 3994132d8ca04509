//! The data directory read in place: what is found in it is what the server itself would send, file by
//! file, and a manifest made of it is the one that the server would write.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    io::Read,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
};

use pgstrata::{
    backup::source::{
        BackupSource, BackupStart, BackupStop, FileHeader, FileKind, SourceEvent, SourceOptions,
        StreamSource,
    },
    postgres::{
        BackupManifest, ControlFile, DataDirectory, ManifestBuilder, PostmasterPid,
        PostmasterStatus, Scan, ScannedEntry, ScannedKind, WalRange,
    },
    types::{DataPath, Lsn, TimeLine},
};

use crate::{
    stream_source::{options_for, outside, run},
    support::{
        Cluster, Site, TestDir, Version, for_each_version, give_to_server_user, pg_verifybackup,
    },
};

/// Files of a user's own whose names mean something to the server, or to nobody.
const OWN_FILES: [&[u8]; 22] = [
    b"mine/plain",
    b"mine/a b",
    b"mine/it's \"so\" \\ 100%",
    b"mine/new\nline\ttab\x01",
    b"mine/\xc3\xbc",
    b"mine/\xff\xfe",
    b"mine/.DS_Store",
    b"mine/postmaster.pid",
    b"mine/backup_label",
    b"mine/backup_label.old",
    b"mine/pgsql_tmp_of_mine",
    b"mine/pg_internal.init.5",
    b"mine/pg_notify/0000",
    b"mine/pg_wal/000000010000000000000001",
    b"mine/global/pg_control",
    b"12345/7",
    b"12345/7_init",
    b"ba/5/t3_77",
    b"mine/5/t3_77",
    b"base/pgsql_tmp/pgsql_tmp4711.0",
    b"postgresql.auto.conf.tmp",
    b"current_logfiles.tmp",
];

/// The same in the directory of a database.
const OWN_RELATIONS: [&str; 8] =
    ["t3_999999", "99_init", "99.1", "99_vm", "097", "097_init", "98.01", "98_init"];

/// Moves a directory of the cluster elsewhere, behind a link.
fn move_behind_link(cluster: &Cluster, dir: &TestDir, name: &str) {
    let target = dir.path().join(format!("{name}-elsewhere"));
    fs::rename(cluster.data_dir.join(name), &target).expect("writable");
    symlink(&target, cluster.data_dir.join(name)).expect("writable");
}

fn write_own_files(site: &Site) {
    let data_dir = &site.primary.data_dir;
    let database = site.primary.value("select oid from pg_database where datname = 'postgres'");
    let relations = OWN_RELATIONS.map(|name| format!("base/{database}/{name}").into_bytes());
    for name in OWN_FILES.iter().copied().chain(relations.iter().map(|name| &name[..])) {
        let path = data_dir.join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().expect("a parent")).expect("writable");
        fs::write(path, name).expect("writable");
    }
    symlink("/etc/passwd", data_dir.join("mine/link")).expect("writable");
    std::os::unix::net::UnixListener::bind(data_dir.join("mine/socket")).expect("writable");
    give_to_server_user(data_dir);
}

/// A cluster with everything that its server leaves out of a backup, or sends in a way of its own.
fn filled(version: Version) -> Site {
    let site = Site::builder(version)
        .without_archiving()
        .setting("allow_in_place_tablespaces", "on")
        .prepare(|cluster, dir| {
            move_behind_link(cluster, dir, "pg_wal");
            move_behind_link(cluster, dir, "pg_stat_tmp");
        })
        .build_without_stanza();
    let inside = site.primary.data_dir.join("a location");
    fs::create_dir(&inside).expect("writable");
    give_to_server_user(&inside);
    for (name, location) in [("outside", site.dir.make("a space")), ("inside", inside)] {
        site.primary.sql(&format!("create tablespace {name} location '{}'", location.display()));
        site.primary.sql(&format!("create table in_{name} tablespace {name} as select 1"));
        site.primary.sql(&format!("create unlogged table un_{name} (n int) tablespace {name}"));
    }
    // Before 16 the server leaves those made in place out of every backup.
    if version.major() >= 16 {
        site.primary.sql("create tablespace in_place location ''");
        site.primary.sql("create table in_in_place tablespace in_place as select 1");
    }
    site.primary.sql("create table t as select g from generate_series(1, 10000) g");
    site.primary.sql("create unlogged table fleeting as select g from generate_series(1, 9999) g");
    site.primary.sql("create index on fleeting (g)");
    site.primary.sql("vacuum t, fleeting");
    write_own_files(&site);
    site
}

/// A backup that the server sent, and what was found in the data directory while it did.
struct Taken {
    headers: BTreeMap<DataPath, FileHeader>,
    contents: BTreeMap<DataPath, Vec<u8>>,
    start: BackupStart,
    stop: BackupStop,
    scan: Scan,
}

impl Taken {
    fn manifest(&self) -> &[u8] {
        self.stop.backup_manifest.as_ref().expect("the server's manifest")
    }
}

async fn take(site: &Site) -> Taken {
    let mut source = StreamSource::connect(&options_for(&site.primary)).await.expect("connect");
    let options =
        SourceOptions { label: "x".to_owned(), start_fast: true, ..SourceOptions::default() };
    let start = source.start(&options).await.expect("start");
    let scan = scanned(&site.primary.data_dir);
    let (mut headers, mut contents) = (BTreeMap::new(), BTreeMap::new());
    let mut current = DataPath::new(b"none").expect("path");
    let stop = loop {
        match source.next().await.expect("event") {
            SourceEvent::Begin(header) => {
                current = header.path.clone();
                headers.insert(header.path.clone(), header);
            }
            SourceEvent::Bytes(bytes) => {
                contents.entry(current.clone()).or_insert_with(Vec::new).extend_from_slice(&bytes);
            }
            SourceEvent::End => {}
            SourceEvent::Stop(stop) => break stop,
            other => panic!("not from a server without a prior backup: {other:?}"),
        }
    };
    Taken { headers, contents, start, stop, scan }
}

fn control_of(directory: &DataDirectory) -> ControlFile {
    ControlFile::parse(&directory.control_file().expect("readable")).expect("pg_control")
}

fn scanned(data_dir: &Path) -> Scan {
    let directory = DataDirectory::open(data_dir).expect("a directory");
    let control = control_of(&directory);
    directory.scan(control.version, control.catalog_version).expect("a scan")
}

/// A session that has a temporary table, for as long as it lives.
async fn session_with_temporary_table(cluster: &Cluster) -> tokio_postgres::Client {
    let mut config = tokio_postgres::Config::new();
    config.host_path(&cluster.socket_dir).port(cluster.port()).user("postgres");
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("connect");
    tokio::spawn(connection);
    client.batch_execute("create temp table t as select 1").await.expect("a table");
    client
}

/// What is compared of an entry; of what the server does not send itself, the kind alone.
type Facts = (ScannedKind, Option<(u32, i64, u32, u32)>);

fn of_server(taken: &Taken) -> BTreeMap<DataPath, Facts> {
    let apart = ["backup_label", "tablespace_map", ControlFile::PATH];
    let sent = taken.headers.values().filter(|header| !apart.contains(&&*header.path.to_string()));
    let facts = sent.map(|header| {
        let kind = match &header.kind {
            FileKind::File { size, .. } => ScannedKind::File { size: *size },
            FileKind::Directory => ScannedKind::Directory,
            FileKind::Link { target } => ScannedKind::Link { target: target.clone() },
        };
        let attributes = (header.mode, header.modified, header.uid, header.gid);
        (header.path.clone(), (kind, (header.modified != 0).then_some(attributes)))
    });
    facts.collect()
}

fn of_scan(scan: &Scan, server: &BTreeMap<DataPath, Facts>) -> BTreeMap<DataPath, Facts> {
    let facts = scan.entries.iter().map(|entry| {
        let by_server = server.get(&entry.path).is_none_or(|(_, attributes)| attributes.is_some());
        let attributes = (entry.mode, entry.modified, entry.uid, entry.gid);
        (entry.path.clone(), (entry.kind.clone(), by_server.then_some(attributes)))
    });
    facts.collect()
}

/// Every directory comes before what is in it, and nothing comes twice.
fn check_order(scan: &Scan) {
    let mut seen = BTreeSet::new();
    for entry in &scan.entries {
        let parent = entry.path.parent();
        assert!(parent.is_none_or(|parent| seen.contains(&parent)), "{}", entry.path);
        assert!(seen.insert(entry.path.clone()), "{} came twice", entry.path);
    }
}

fn read(directory: &DataDirectory, path: &DataPath) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = directory.open_file(path).expect("readable").expect("it is there");
    { file }.read_to_end(&mut bytes).expect("readable");
    bytes
}

/// The manifest of a backup, its files in the order that the server had them in.
fn manifest_made_anew(taken: &Taken) -> Vec<u8> {
    let sent = BackupManifest::parse(taken.manifest()).expect("a manifest");
    let control = &taken.contents[&DataPath::new(ControlFile::PATH.as_bytes()).expect("path")];
    let control = ControlFile::parse(control).expect("pg_control");
    let mut made = ManifestBuilder::new(control.version, control.system_id);
    for file in &sent.files {
        let content = taken.contents.get(&file.path).map_or(&[][..], |content| &content[..]);
        let modified = taken.headers[&file.path].modified;
        made.file(&file.path, content.len() as u64, modified, Some(crc32c::crc32c(content)));
    }
    let (start, end) = (taken.start.lsn, taken.stop.lsn);
    made.finish(&[WalRange { timeline: taken.stop.timeline(), start, end }])
}

/// Copies what was scanned, links of tablespaces as directories, with a manifest of its own.
fn copy(directory: &DataDirectory, entries: &[ScannedEntry], to: &Path) {
    let control = directory.control_file().expect("readable");
    let facts = control_of(directory);
    let mut manifest = ManifestBuilder::new(facts.version, facts.system_id);
    let mut write = |path: &DataPath, modified: i64, bytes: &[u8]| {
        fs::write(path.under(to), bytes).expect("writable");
        manifest.file(path, bytes.len() as u64, modified, Some(crc32c::crc32c(bytes)));
    };
    for entry in entries {
        match entry.kind {
            ScannedKind::File { .. } => {
                write(&entry.path, entry.modified, &read(directory, &entry.path));
            }
            _ => fs::create_dir(entry.path.under(to)).expect("writable"),
        }
    }
    write(&DataPath::new(ControlFile::PATH.as_bytes()).expect("path"), 0, &control);
    let range = WalRange { timeline: TimeLine::FIRST, start: Lsn(1), end: Lsn(2) };
    let manifest = manifest.finish(&[range]);
    fs::write(to.join("backup_manifest"), manifest).expect("writable");
    give_to_server_user(to);
}

for_each_version! {
    fn scan_finds_what_the_server_sends(version) {
        let site = filled(version);
        let taken = run(async {
            let _session = session_with_temporary_table(&site.primary).await;
            let oid = "select relfilenode from pg_class where relpersistence = 't' and relname = 't'";
            let temporary = format!("_{}", outside(|| site.primary.value(oid)));
            let taken = take(&site).await;
            let found = |e: &ScannedEntry| e.path.file_name().ends_with(temporary.as_bytes());
            assert!(!taken.scan.entries.iter().any(found));
            taken
        });
        let server = of_server(&taken);
        let scan = of_scan(&taken.scan, &server);
        for (path, facts) in &server {
            assert_eq!(scan.get(path), Some(facts), "{path}");
        }
        let followed = DataPath::new(b"mine/link").expect("path");
        for path in scan.keys().filter(|path| **path != followed) {
            assert!(server.contains_key(path), "{path} is not sent by the server");
        }
        let link = taken.scan.entries.iter().find(|entry| entry.path == followed).expect("a link");
        assert_eq!(link.link.as_deref(), Some(&b"/etc/passwd"[..]));
        let left_out = taken.stop.left_out.iter().map(DataPath::to_string).collect::<Vec<_>>();
        assert_eq!(left_out, ["mine/link", "mine/socket"]);
        check_order(&taken.scan);
        let skipped: Vec<(String, &str)> =
            taken.scan.skipped.iter().map(|(path, what)| (path.to_string(), *what)).collect();
        let expected = [("mine/socket", "a socket")];
        assert_eq!(skipped, expected.map(|(path, what)| (path.to_owned(), what)));

        let directory = DataDirectory::open(&site.primary.data_dir).expect("a directory");
        assert_eq!(directory.mode(), 0o700);
        let is_file = |e: &&ScannedEntry| matches!(e.kind, ScannedKind::File { .. });
        for entry in taken.scan.entries.iter().filter(is_file).filter(|e| e.link.is_none()) {
            let sent = taken.contents.get(&entry.path).map_or(&[][..], |bytes| &bytes[..]);
            assert!(read(&directory, &entry.path) == sent, "{}", entry.path);
        }
    }

    fn manifest_is_that_of_the_server(version) {
        let site = filled(version);
        let taken = run(take(&site));
        let made = manifest_made_anew(&taken);
        let (made, sent) = (String::from_utf8(made), taken.manifest());
        assert_eq!(made.expect("UTF-8"), String::from_utf8(sent.to_vec()).expect("UTF-8"));
    }

    fn manifest_of_a_copy_is_taken_by_pg_verifybackup(version) {
        let site = filled(version);
        site.primary.sql("checkpoint");
        let directory = DataDirectory::open(&site.primary.data_dir).expect("a directory");
        let scan = scanned(&site.primary.data_dir);
        let target = site.dir.make("copy");
        copy(&directory, &scan.entries, &target);
        pg_verifybackup(version, &target);
    }

    fn running_server_is_named_by_its_pid_file(version) {
        let site = Site::builder(version).without_archiving().build_without_stanza();
        let bytes = fs::read(site.primary.data_dir.join(PostmasterPid::PATH)).expect("readable");
        let facts = PostmasterPid::parse(&bytes).expect("valid");
        let pid = site.primary.postmaster().expect("it runs");
        assert_eq!(facts.pid, pid.as_raw_nonzero().get());
        assert_eq!(facts.data_directory, site.primary.data_dir);
        assert_eq!(facts.socket_directory.as_ref(), Some(&site.primary.socket_dir));
        assert_eq!(facts.port, site.primary.port());
        assert_eq!((facts.single_user, facts.listen_address), (false, None));
        assert_eq!(facts.status, Some(PostmasterStatus::Ready));
        assert!(facts.shared_memory.is_some() && facts.started > 1_700_000_000);
    }
}
