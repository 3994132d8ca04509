//! Directories of lock and stop files.

use std::path::{Path, PathBuf};

use rustix::fs::{self, Access};

use super::{Error, HostDirectory, User};

/// Created by root, or by the package, for the user of the commands.
const RUN: &str = "/run/pgstrata";
/// Every user may read it to check for stop files.
const RUN_MODE: u32 = 0o755;
/// Parent of the directories of users; world-writable.
const TEMPORARY: &str = "/tmp";
const OF_USER: &str = "pgstrata-";
const OF_USER_MODE: u32 = 0o700;
/// Mode of a configured directory.
const CONFIGURED_MODE: u32 = 0o770;

/// The directory of lock and stop files, and the others whose stop files are respected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockPath {
    own: PathBuf,
    mode: u32,
    others: Vec<PathBuf>,
}

impl LockPath {
    /// The configured directory.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { own: path.into(), mode: CONFIGURED_MODE, others: Vec::new() }
    }

    /// The default: `/run/pgstrata` if this user may use it, otherwise a directory of the user. Stop files in
    /// `/run/pgstrata` are always respected, so that root can stop all users, and those in `former`, the earlier
    /// default.
    pub fn of_host(former: &Path) -> Self {
        Self::choose(Path::new(RUN), Path::new(TEMPORARY), former)
    }

    fn choose(run: &Path, temporary: &Path, former: &Path) -> Self {
        let user = User::current();
        let (own, mode) = if is_usable(run, user) {
            (run.to_owned(), RUN_MODE)
        } else {
            (temporary.join(format!("{OF_USER}{}", user.id())), OF_USER_MODE)
        };
        let mut others = vec![run.to_owned(), former.to_owned()];
        if user.is_root() {
            others.extend(of_users(temporary));
        }
        others.retain(|other| *other != own);
        Self { own, mode, others }
    }

    /// The directory in which this process creates lock and stop files. Creates it if it is missing.
    pub fn ensure(&self) -> Result<HostDirectory, Error> {
        HostDirectory::ensure(&self.own, self.mode)?.trusted()
    }

    /// The directory in which this process creates lock and stop files.
    pub fn own(&self) -> &Path {
        &self.own
    }

    /// The other directories with lock and stop files.
    pub fn others(&self) -> impl Iterator<Item = &Path> {
        self.others.iter().map(PathBuf::as_path)
    }

    /// All directories, the own one first.
    pub fn all(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.own()).chain(self.others())
    }
}

/// Root creates it if it is missing; other users use it if root created it for them.
fn is_usable(run: &Path, user: User) -> bool {
    match HostDirectory::open(run).map(|found| found.map(HostDirectory::trusted)) {
        Ok(Some(Ok(_))) => fs::access(run, Access::WRITE_OK | Access::EXEC_OK).is_ok(),
        Ok(None) => {
            let parent = run.parent().unwrap_or(run);
            user.is_root() && fs::access(parent, Access::WRITE_OK).is_ok()
        }
        Ok(Some(Err(_))) | Err(_) => false,
    }
}

/// The directories of all users, for root. A directory counts only if it belongs to its user.
fn of_users(temporary: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(temporary) else { return Vec::new() };
    let of_its_user = |path: PathBuf| {
        let id: u32 = path.file_name()?.to_str()?.strip_prefix(OF_USER)?.parse().ok()?;
        let directory = HostDirectory::open(&path).ok()??;
        (directory.owner() == User::new(id)).then_some(path)
    };
    entries.flatten().filter_map(|entry| of_its_user(entry.path())).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn own(run: &Path, temporary: &Path) -> PathBuf {
        LockPath::choose(run, temporary, Path::new("/nowhere/former")).own
    }

    #[test]
    fn the_run_directory_is_used_where_it_is_there_and_ours() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        std::fs::create_dir(&run).unwrap();
        assert_eq!(own(&run, dir.path()), run);
        std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o777)).unwrap();
        let user = User::current().id();
        assert_eq!(own(&run, dir.path()), dir.path().join(format!("pgstrata-{user}")));
    }

    #[test]
    fn the_directory_of_a_user_is_the_users_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("run"), "").unwrap();
        let path = LockPath::choose(&dir.path().join("run"), dir.path(), Path::new("/nowhere"));
        path.ensure().unwrap();
        let mode = std::fs::metadata(path.own()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
    }
}
