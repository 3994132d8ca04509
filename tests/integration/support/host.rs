//! The machine a test runs on: which user owns servers and data, one scratch directory for the whole
//! test process, and how many tests may have servers up at once.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Condvar, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// The user that owns servers, data and repositories: `postgres` for root, else whoever runs the test.
struct ServerUser {
    uid: u32,
    gid: u32,
}

fn server_user() -> Option<&'static ServerUser> {
    static USER: OnceLock<Option<ServerUser>> = OnceLock::new();
    USER.get_or_init(|| rustix::process::geteuid().is_root().then(find_postgres)).as_ref()
}

fn find_postgres() -> ServerUser {
    let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd can be read");
    let line = passwd
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .expect("there is a user postgres (scripts/install-test-servers makes one)");
    let fields: Vec<&str> = line.split(':').collect();
    ServerUser { uid: fields[2].parse().expect("uid"), gid: fields[3].parse().expect("gid") }
}

/// A command that runs as the servers' user, in a known environment.
pub(crate) fn as_server_user(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    if let Some(user) = server_user() {
        command.uid(user.uid).gid(user.gid);
    }
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PG") {
            command.env_remove(&name);
        }
    }
    command.env("HOME", scratch()).env("LC_ALL", "C").env("TZ", "UTC").current_dir(scratch());
    command.stdin(Stdio::null());
    command
}

/// Hands a file or a directory, with all below it, to the servers' user.
pub(crate) fn give_to_server_user(path: &Path) {
    let Some(user) = server_user() else { return };
    let kind = fs::symlink_metadata(path).expect("the path exists").file_type();
    if kind.is_symlink() {
        return;
    }
    chown(path, Some(user.uid), Some(user.gid)).expect("root may chown");
    if kind.is_dir() {
        for entry in fs::read_dir(path).expect("directory can be listed") {
            give_to_server_user(&entry.expect("entry").path());
        }
    }
}

/// The scratch directory of this test process. A watcher outside the process removes it, and stops
/// what still runs in it, as soon as the process is gone, even by SIGKILL.
pub(crate) fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<(PathBuf, Child)> = OnceLock::new();
    &SCRATCH.get_or_init(make_scratch).0
}

// The watcher reads a pipe whose other end only this process holds: end of file means we are gone.
const WATCHER: &str = r#"
read -r _
for pid_file in "$0"/*/*/postmaster.pid; do
    [ -f "$pid_file" ] && kill -QUIT "$(head -n 1 "$pid_file")" 2>/dev/null
done
sleep 1
rm -rf "$0"
"#;

fn make_scratch() -> (PathBuf, Child) {
    // Short, for the names of sockets; a file system in memory makes the suite faster.
    let parent = std::env::var_os("PGSTRATA_TEST_DIR").unwrap_or_else(|| "/tmp".into());
    let dir = tempfile::Builder::new().prefix("pgs-").tempdir_in(parent).expect("writable");
    let path = dir.keep();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("own directory");
    let watcher = Command::new("/bin/bash")
        .args(["-c", WATCHER])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("bash runs");
    (path, watcher)
}

/// The program under test, at a place where the servers' user may execute it.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let built = Path::new(env!("CARGO_BIN_EXE_pgstrata"));
        if server_user().is_none() {
            return built.to_owned();
        }
        let copy = scratch().join("pgstrata");
        fs::copy(built, &copy).expect("the program can be copied");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("own file");
        copy
    })
}

/// A directory of one test, owned by the servers' user; it holds a permit to run servers and is
/// removed at the end of the test.
pub(crate) struct TestDir {
    path: PathBuf,
    _permit: Permit,
}

impl TestDir {
    /// Waits for a permit and makes the directory. The name is short: it ends up in socket paths,
    /// which may not be longer than 107 bytes.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let permit = Permit::acquire();
        let path = scratch().join(format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&path).expect("scratch is writable");
        give_to_server_user(&path);
        Self { path, _permit: permit }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory in it, mode 0700, and returns its path.
    pub(crate) fn make(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir_all(&path).expect("test directory is writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("own directory");
        give_to_server_user(&path);
        path
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("PGSTRATA_TEST_KEEP").is_some() {
            let kept = std::env::temp_dir().join(format!("pgs-kept-{}", std::process::id()));
            let _ = fs::create_dir_all(&kept);
            let name = self.path.file_name().unwrap_or_default();
            if fs::rename(&self.path, kept.join(name)).is_ok() {
                eprintln!("kept: {}", kept.join(name).display());
            }
            return;
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// One of the few places for a test with servers up.
struct Permit;

static FREE_PERMITS: (Mutex<Option<usize>>, Condvar) = (Mutex::new(None), Condvar::new());

/// A little more than the cores, since servers also wait; PGSTRATA_TEST_CLUSTERS overrides.
fn permits_at_start() -> usize {
    let configured = std::env::var("PGSTRATA_TEST_CLUSTERS").ok().and_then(|n| n.parse().ok());
    configured
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8))
}

impl Permit {
    fn acquire() -> Self {
        let (free, freed) = &FREE_PERMITS;
        let mut count = free.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        while *count.get_or_insert_with(permits_at_start) == 0 {
            count = freed.wait(count).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        *count = count.map(|n| n - 1);
        Self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let (free, freed) = &FREE_PERMITS;
        let mut count = free.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *count = count.map(|n| n + 1);
        freed.notify_one();
    }
}
