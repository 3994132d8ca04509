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

fn target_of(scan: &Scan, at: &str) -> Option<String> {
    let entry = scan.entries.iter().find(|entry| entry.path == path(at));
    let link = entry.unwrap_or_else(|| panic!("no {at}")).link.clone();
    link.map(|target| String::from_utf8(target).unwrap())
}

#[test]
fn links_to_directories_that_are_kept_empty_are_not_followed() {
    let (tree, elsewhere) = (Tree::new(), TempDir::new().unwrap());
    let gone = elsewhere.path().join("not mounted here");
    tree.link("pg_wal", &gone).link("pg_stat_tmp", elsewhere.path());
    tree.directory("mine").link("pg_serial", &tree.path().join("mine"));
    fs::write(elsewhere.path().join("file"), "").unwrap();
    for (mode, expected) in [(0o700, 0o700), (0o750, 0o750), (0o770, 0o750)] {
        fs::set_permissions(tree.path(), fs::Permissions::from_mode(mode)).unwrap();
        let scan = tree.scan(15);
        for at in ["pg_wal", "pg_wal/archive_status", "pg_stat_tmp", "pg_serial"] {
            assert_eq!(kind_of(&scan, at), ScannedKind::Directory, "{at}");
            let entry = scan.entries.iter().find(|entry| entry.path == path(at)).unwrap();
            assert_eq!(entry.mode, expected, "{at}");
        }
        assert_eq!(target_of(&scan, "pg_wal").as_deref(), gone.to_str());
        assert_eq!(target_of(&scan, "pg_stat_tmp").as_deref(), elsewhere.path().to_str());
        assert_eq!(target_of(&scan, "pg_wal/archive_status"), None);
        assert_eq!(target_of(&scan, "pg_serial"), None, "it leads into the data directory");
        assert!(!scan.entries.iter().any(|entry| entry.path == path("pg_stat_tmp/file")));
    }
}

#[test]
fn what_is_behind_a_link_is_not_left_out() {
    let (tree, elsewhere) = (Tree::new(), TempDir::new().unwrap());
    let away = elsewhere.path();
    fs::create_dir_all(away.join("16384/sub")).unwrap();
    for file in ["16384/7", "16384/8", "16384/8_init", "16384/t3_9", "pg.conf", "rel"] {
        fs::write(away.join(file), "12345").unwrap();
    }
    std::os::unix::fs::symlink("../pg.conf", away.join("16384/nested")).unwrap();
    tree.link("base/16384", &away.join("16384")).link("postgresql.conf", &away.join("pg.conf"));
    tree.link("base/5/7", &away.join("rel"));
    let expected = [
        "base/16384",
        "base/16384/7",
        "base/16384/8_init",
        "base/16384/nested",
        "base/16384/sub",
        "base/5/7",
        "postgresql.conf",
    ];
    assert_eq!(tree.scanned(15), expected, "the rules for relations hold behind links too");
    let scan = tree.scan(15);
    assert!(scan.skipped.is_empty());
    assert_eq!(kind_of(&scan, "base/5/7"), ScannedKind::File { size: 5 });
    assert_eq!(kind_of(&scan, "base/16384"), ScannedKind::Directory);
    assert_eq!(target_of(&scan, "base/16384").as_deref(), away.join("16384").to_str());
    let nested = target_of(&scan, "base/16384/nested");
    let real = fs::canonicalize(away.join("pg.conf")).unwrap();
    assert_eq!(nested.as_deref(), real.to_str(), "it does not count from the data directory");
    assert_eq!(target_of(&scan, "base/16384/7"), None);
    assert!(tree.opened().open_file(&path("base/5/7")).unwrap().is_some());
    let stat = tree.opened().stat(&path("base/5/7")).unwrap().unwrap();
    assert_eq!(stat.kind, ScannedKind::File { size: 5 });
}

#[test]
fn a_link_to_another_entry_stays_a_link() {
    let (tree, above) = (Tree::new(), TempDir::new().unwrap());
    tree.file("log/today").link("log/now", Path::new("today")).link("now", Path::new("log/now"));
    tree.link("log/conf", &tree.path().join("PG_VERSION")).file("PG_VERSION");
    tree.link("self", Path::new("."));
    let through = above.path().join("data");
    std::os::unix::fs::symlink(tree.path(), &through).unwrap();
    let scan = DataDirectory::open(&through).unwrap().scan(PgVersion::OLDEST, CATALOG).unwrap();
    let target = |target: &str| ScannedKind::Link { target: target.into() };
    assert_eq!(kind_of(&scan, "log/now"), target("../log/today"));
    assert_eq!(kind_of(&scan, "now"), target("log/now"), "one that is a link itself");
    assert_eq!(kind_of(&scan, "log/conf"), target("../PG_VERSION"));
    assert_eq!(kind_of(&scan, "self"), target("."));
}

#[test]
fn a_link_that_leads_nowhere_is_an_error_and_not_an_absence() {
    let tree = Tree::new();
    tree.link("postgresql.conf", Path::new("/no such place"));
    assert_eq!(tree.scan(15).left_out, [path("postgresql.conf")]);
    for at in ["base/16384", "base/5/7"] {
        let tree = Tree::new();
        tree.link(at, Path::new("/no such place"));
        let error = tree.opened().scan(PgVersion::OLDEST, CATALOG).unwrap_err();
        assert!(
            error.to_string().contains("'/no such place', which does not exist here"),
            "{error}"
        );
        assert_eq!(crate::types::Failure::code(&error), crate::types::ErrorCode::FileOpen);
    }
}

#[test]
fn a_link_that_holds_itself_is_not_followed_for_ever() {
    let (tree, elsewhere) = (Tree::new(), TempDir::new().unwrap());
    let loops = |tree: &Tree| {
        let error = tree.opened().scan(PgVersion::OLDEST, CATALOG).unwrap_err();
        assert!(matches!(error, DataDirectoryError::LinkLoop { .. }), "{error}");
    };
    tree.link("out", elsewhere.path());
    std::os::unix::fs::symlink(elsewhere.path(), elsewhere.path().join("again")).unwrap();
    loops(&tree);
    let tree = Tree::new();
    tree.directory("data/global").link("data/above", tree.path());
    let data = DataDirectory::open(&tree.path().join("data")).unwrap();
    let error = data.scan(PgVersion::OLDEST, CATALOG).unwrap_err();
    assert!(matches!(error, DataDirectoryError::LinkLoop { .. }), "{error}");
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
    tree.file("file").link("link", &tree.path().join("pipe"));
    let (away, to_socket) = (TempDir::new().unwrap(), "to socket");
    let _other = std::os::unix::net::UnixListener::bind(away.path().join("s")).unwrap();
    tree.link(to_socket, &away.path().join("s"));
    let scan = tree.scan(15);
    let special = "a symbolic link to a socket, pipe or device";
    let skipped = [("pipe", "a named pipe"), ("socket", "a socket"), (to_socket, special)];
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
    assert!(error.to_string().contains("20 attempts"), "{error}");
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
