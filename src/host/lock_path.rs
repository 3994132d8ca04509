//! Where locks and stop files are.

use std::path::{Path, PathBuf};

use rustix::fs::{self, Access};

use super::{Error, HostDirectory, User};

/// The directory that root, or the package, makes for the user of the commands.
const RUN: &str = "/run/pgstrata";
/// Every user may look for a stop file in it.
const RUN_MODE: u32 = 0o755;
/// The parent of the directory of a user; every user may create entries in it.
const TEMPORARY: &str = "/tmp";
const OF_USER: &str = "pgstrata-";
const OF_USER_MODE: u32 = 0o700;
/// Mode of a directory that the configuration names.
const CONFIGURED_MODE: u32 = 0o770;

/// The directory of locks and stop files, and where else stop files count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockPath {
    own: PathBuf,
    mode: u32,
    others: Vec<PathBuf>,
}

impl LockPath {
    /// The directory that the configuration names.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { own: path.into(), mode: CONFIGURED_MODE, others: Vec::new() }
    }

    /// Where none is configured: `/run/pgstrata` if this user may use it, else a directory of the user's own. Stop files
    /// count in `/run/pgstrata` in any case, so that root can stop everybody, and in `former`, the default of old.
    pub fn of_host(former: &Path) -> Self {
        Self::choose(Path::new(RUN), Path::new(TEMPORARY), former)
    }

    fn choose(run: &Path, temporary: &Path, former: &Path) -> Self {
        let user = User::current();
        let (own, mode) = match is_usable(run, user) {
            true => (run.to_owned(), RUN_MODE),
            false => (temporary.join(format!("{OF_USER}{}", user.id())), OF_USER_MODE),
        };
        let mut others = vec![run.to_owned(), former.to_owned()];
        if user.is_root() {
            others.extend(of_users(temporary));
        }
        others.retain(|other| *other != own);
        Self { own, mode, others }
    }

    /// The directory that this process makes locks and stop files in, made where it is missing.
    pub fn ensure(&self) -> Result<HostDirectory, Error> {
        HostDirectory::ensure(&self.own, self.mode)?.trusted()
    }

    /// The directory that this process makes locks and stop files in.
    pub fn own(&self) -> &Path {
        &self.own
    }

    /// The other directories that locks and stop files may be in.
    pub fn others(&self) -> impl Iterator<Item = &Path> {
        self.others.iter().map(PathBuf::as_path)
    }

    /// All of them, the own one first.
    pub fn all(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.own()).chain(self.others())
    }
}

/// Root makes it where it is missing; others use what root made for them.
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

/// The directories of all users, for root, who looks after them all. Each counts only if it is its user's.
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
