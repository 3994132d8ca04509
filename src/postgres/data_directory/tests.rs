//! Scans of directories that are made by hand: odd names, links, what vanishes, what is refused.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::Path,
};

use tempfile::TempDir;

use super::*;

const CATALOG: u32 = 202_209_061;

struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(TempDir::new().unwrap());
        tree.directory("pg_tblspc").directory("global").directory("base/5");
        tree
    }

    fn directory(&self, path: &str) -> &Self {
        fs::create_dir_all(self.path().join(path)).unwrap();
        self
    }

    fn file(&self, path: impl AsRef<[u8]>) -> &Self {
        let path = self.path().join(OsStr::from_bytes(path.as_ref()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "content").unwrap();
        self
    }

    fn link(&self, path: &str, target: &Path) -> &Self {
        symlink(target, self.path().join(path)).unwrap();
        self
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn opened(&self) -> DataDirectory {
        DataDirectory::open(self.path()).unwrap()
    }

    fn scan(&self, major: u16) -> Scan {
        self.opened().scan(PgVersion::new(major).unwrap(), CATALOG).unwrap()
    }

    /// The paths of a scan, but for what every tree has.
    fn scanned(&self, major: u16) -> Vec<String> {
        let common = ["pg_tblspc", "global", "base", "base/5"];
        let paths = self.scan(major).entries.into_iter().map(|entry| entry.path.to_string());
        paths.filter(|path| !common.contains(&&**path)).collect()
    }
}

fn path(text: &str) -> DataPath {
    DataPath::new(text.as_bytes()).unwrap()
}

fn kind_of(scan: &Scan, at: &str) -> ScannedKind {
    let entry = scan.entries.iter().find(|entry| entry.path == path(at));
    entry.unwrap_or_else(|| panic!("no {at}")).kind.clone()
}

#[test]
fn what_is_left_out() {
    let tree = Tree::new();
    tree.file("PG_VERSION").file("postmaster.pid").file("global/pg_control").file("global/1262");
    tree.file("mine/postmaster.pid").file("mine/global/pg_control").file("base/pgsql_tmp/x");
    tree.file("base/5/16384").file("base/5/16384_init").file("base/5/t3_9").file("base/5/17");
    tree.file("pg_notify/0000").file("mine/pg_notify/0000").file("mine/pg_serial");
    let expected = [
        "PG_VERSION",
        "base/5/16384_init",
        "base/5/17",
        "global/1262",
        "mine",
        "mine/global",
        "mine/global/pg_control",
        "mine/pg_notify",
        "mine/pg_serial",
        "pg_notify",
    ];
    assert_eq!(tree.scanned(15), expected);
}

#[test]
fn names_are_bytes() {
    let tree = Tree::new();
    tree.file(b"mine/\xff\xfe").file("mine/a b").file("mine/new\nline").file("mine/100%");
    let expected = ["mine", "mine/100%25", "mine/a b", "mine/new%0Aline", "mine/%FF%FE"];
    assert_eq!(tree.scanned(15), expected);
}

#[test]
fn wal_is_left_out_and_its_directories_kept() {
    let tree = Tree::new();
    tree.file("pg_wal/000000010000000000000001").file("pg_wal/archive_status/x.ready");
    assert_eq!(tree.scanned(16), ["pg_wal", "pg_wal/archive_status"]);
    assert_eq!(tree.scanned(17), ["pg_wal", "pg_wal/archive_status", "pg_wal/summaries"]);
}

#[test]
fn links_become_directories_where_the_server_makes_them_so() {
    let (tree, elsewhere) = (Tree::new(), TempDir::new().unwrap());
    tree.link("pg_wal", elsewhere.path()).link("pg_stat_tmp", elsewhere.path());
    tree.link("log", elsewhere.path()).link("base/5/x", elsewhere.path());
    fs::write(elsewhere.path().join("file"), "").unwrap();
    for (mode, expected) in [(0o700, 0o700), (0o750, 0o750), (0o770, 0o750)] {
        fs::set_permissions(tree.path(), fs::Permissions::from_mode(mode)).unwrap();
        let scan = tree.scan(15);
        for at in ["pg_wal", "pg_wal/archive_status", "pg_stat_tmp"] {
            assert_eq!(kind_of(&scan, at), ScannedKind::Directory, "{at}");
            let entry = scan.entries.iter().find(|entry| entry.path == path(at)).unwrap();
            assert_eq!(entry.mode, expected, "{at}");
        }
        let link = "a symbolic link";
        assert_eq!(scan.skipped, [(path("base/5/x"), link), (path("log"), link)]);
    }
}

#[test]
fn tablespaces_are_scanned_through_their_links() {
    let (tree, elsewhere) = (Tree::new(), TempDir::new().unwrap());
    let location = elsewhere.path();
    tree.link("pg_tblspc/16400", location);
    tree.link("pg_tblspc/16401", &location.join("gone")).link("pg_tblspc/mine", location);
    fs::create_dir_all(location.join("PG_15_202209061/5")).unwrap();
    fs::create_dir_all(location.join("PG_14_202107181/5")).unwrap();
    for file in ["16384", "16385", "16385_init", "t3_16390"] {
        fs::write(location.join("PG_15_202209061/5").join(file), "").unwrap();
    }
    tree.file("pg_tblspc/16402/PG_15_202209061/5/t3_7").file("pg_tblspc/16402/PG_15_202209061/5/7");
    let expected = [
        "pg_tblspc/16400",
        "pg_tblspc/16400/PG_15_202209061",
        "pg_tblspc/16400/PG_15_202209061/5",
        "pg_tblspc/16400/PG_15_202209061/5/16384",
        "pg_tblspc/16400/PG_15_202209061/5/16385_init",
        "pg_tblspc/16401",
        "pg_tblspc/16402",
        "pg_tblspc/16402/PG_15_202209061",
        "pg_tblspc/16402/PG_15_202209061/5",
        "pg_tblspc/16402/PG_15_202209061/5/7",
    ];
    assert_eq!(tree.scanned(15), expected);
    let scan = tree.scan(15);
    assert_eq!(scan.skipped, [(path("pg_tblspc/mine"), "a symbolic link")]);
    let target = location.as_os_str().as_bytes().to_vec();
    assert_eq!(kind_of(&scan, "pg_tblspc/16400"), ScannedKind::Link { target });
    let file = tree.opened().open_file(&path("pg_tblspc/16400/PG_15_202209061/5/16384"));
    assert!(file.unwrap().is_some());
}

#[test]
fn tablespace_inside_the_data_directory_comes_once() {
    let tree = Tree::new();
    tree.file("mine/PG_15_202209061/5/16384").file("mine/other");
    tree.link("pg_tblspc/16400", &tree.path().join("mine"));
    let expected = [
        "mine",
        "pg_tblspc/16400",
        "pg_tblspc/16400/PG_15_202209061",
        "pg_tblspc/16400/PG_15_202209061/5",
        "pg_tblspc/16400/PG_15_202209061/5/16384",
    ];
    assert_eq!(tree.scanned(15), expected);
}

#[test]
fn special_files_are_named_and_refused() {
    let tree = Tree::new();
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        mode,
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.path().join("socket")).unwrap();
    tree.file("file").link("link", &tree.path().join("file"));
    let scan = tree.scan(15);
    let skipped = [("link", "a symbolic link"), ("pipe", "a named pipe"), ("socket", "a socket")];
    assert_eq!(scan.skipped, skipped.map(|(at, what)| (path(at), what)));
    for at in ["pipe", "socket", "link", "base"] {
        let error = tree.opened().open_file(&path(at)).unwrap_err();
        assert!(matches!(error, DataDirectoryError::NotRegular { .. }), "{at}: {error}");
    }
    assert!(tree.opened().open_file(&path("file")).unwrap().is_some());
    assert!(tree.opened().open_file(&path("nothing")).unwrap().is_none());
    assert!(tree.opened().open_file(&path("no/thing")).unwrap().is_none());
}

#[test]
fn depth_is_bounded() {
    let tree = Tree::new();
    tree.directory(&["d"; 64].join("/"));
    assert_eq!(tree.scanned(15).len(), 64);
    tree.directory(&["d"; 65].join("/"));
    let error = tree.opened().scan(PgVersion::OLDEST, CATALOG).unwrap_err();
    assert!(matches!(error, DataDirectoryError::TooDeep { limit: 64, .. }), "{error}");
}

#[test]
fn scan_of_what_vanishes_is_no_error() {
    let tree = Tree::new();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for n in 0..20 {
                    tree.file(format!("base/{}/{n}", n % 3 + 10));
                }
                for n in 0..3 {
                    fs::remove_dir_all(tree.path().join(format!("base/{}", n + 10))).unwrap();
                }
            }
        });
        for _ in 0..300 {
            tree.scan(15);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn control_file_is_read_until_it_is_whole() {
    let whole = include_bytes!("../../../fixtures/postgres/pg_control-15").to_vec();
    let tree = Tree::new();
    let at = tree.path().join(ControlFile::PATH);
    let error = tree.opened().control_file().unwrap_err();
    assert!(matches!(error, DataDirectoryError::Missing { .. }), "{error}");
    let mut torn = whole.clone();
    torn[100] ^= 1;
    fs::write(&at, &torn).unwrap();
    let error = tree.opened().control_file().unwrap_err();
    assert!(error.to_string().contains("20 tries"), "{error}");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sleep(Duration::from_millis(20));
            let next = at.with_extension("next");
            fs::write(&next, &whole).unwrap();
            fs::rename(next, &at).unwrap();
        });
        assert_eq!(tree.opened().control_file().unwrap(), whole);
    });
}

#[test]
fn what_is_no_directory_cannot_be_opened() {
    let tree = Tree::new();
    tree.file("file");
    for at in ["file", "nothing"] {
        let error = DataDirectory::open(&tree.path().join(at)).unwrap_err();
        assert!(error.to_string().contains(at), "{error}");
    }
}
