//! Checks the symbolic links of a data directory before a backup: refuses links that no backup can follow, and
//! compares the targets with those the server sees. In another mount namespace a link may lead to an old copy.

use std::{
    collections::BTreeSet,
    fs, io, iter,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::fs::{AtFlags, statat};

use super::{
    DataDirectory, DataDirectoryError, Result, Unseen,
    rules::{is_emptied, is_excluded},
};
use crate::{
    postgres::{Required, RequiredKind, is_of_postgres},
    types::{DataPath, PgVersion, escape_path},
};

/// Directories in which PostgreSQL or administrators create links.
const LOOKED_INTO: [&str; 2] = ["base", TABLESPACES];
const TABLESPACES: &str = "pg_tblspc";
const WAL: &[u8] = b"pg_wal";

const OTHER: &str = "the server has another file or directory there";

/// Times of a file or directory, seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileTimes {
    /// `mtime`.
    pub modified: i64,
    /// `ctime`. No program can set it, so a copy never has the ctime of the original.
    pub changed: i64,
}

impl FileTimes {
    /// Whether these times, read between `before` and `after`, can belong to the same file.
    pub fn are_between(self, before: Self, after: Self) -> bool {
        (before.modified..=after.modified).contains(&self.modified)
            && (before.changed..=after.changed).contains(&self.changed)
    }
}

impl DataDirectory {
    /// Links in the data directory, in `base`, and of tablespaces, whose targets a backup reads.
    pub fn links(&self, version: PgVersion) -> Result<Vec<DataPath>> {
        let mut links = self.links_in(None)?;
        if let Some(link) = links.iter().find(|link| link.as_bytes() == TABLESPACES.as_bytes()) {
            return Err(DataDirectoryError::LinkedTablespaces { path: link.under(&self.path) });
        }
        for directory in LOOKED_INTO {
            links.extend(self.links_in(Some(directory))?);
        }
        links.retain(|link| {
            let name = link.file_name();
            link.as_bytes() != WAL && !is_emptied(name) && !is_excluded(name, version)
        });
        Ok(links)
    }

    fn links_in(&self, directory: Option<&str>) -> Result<Vec<DataPath>> {
        let at = directory.map_or_else(|| self.path.clone(), |name| self.path.join(name));
        let failed = |source| DataDirectoryError::Directory { path: at.clone(), source };
        let entries = match fs::read_dir(&at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut links = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_symlink() {
                let name = entry.file_name();
                let path = match directory {
                    Some(directory) => [directory.as_bytes(), b"/", name.as_bytes()].concat(),
                    None => name.as_bytes().to_vec(),
                };
                let too_long = |_| DataDirectoryError::TooLong { path: entry.path() };
                links.push(DataPath::new(&path).map_err(too_long)?);
            }
        }
        Ok(links)
    }

    /// Refuses a link to another directory of the data directory if `required` has paths below it: the server sends
    /// the link and the target, but not the database below the link's path.
    pub fn check_links_inside(
        &self,
        links: &[DataPath],
        required: &BTreeSet<Required>,
    ) -> Result<()> {
        let failed = |source| DataDirectoryError::Examine { path: self.path.clone(), source };
        let root = fs::canonicalize(&self.path).map_err(failed)?;
        let has_required = |link: &&DataPath| {
            !link.is_within(TABLESPACES) && required.iter().any(|one| is_behind(&one.path, link))
        };
        // A link that this process cannot follow is reported by the presence check.
        let leads_inside =
            |path: &PathBuf| fs::canonicalize(path).is_ok_and(|real| real.starts_with(&root));
        let mut paths = links.iter().filter(has_required).map(|link| link.under(&self.path));
        match paths.find(leads_inside) {
            Some(path) => Err(DataDirectoryError::LinkInside { path }),
            None => Ok(()),
        }
    }

    /// Refuses a link in PostgreSQL's own directories whose target this process cannot see.
    pub fn check_links_visible(&self, links: &[DataPath]) -> Result<()> {
        for link in links.iter().filter(|link| is_of_postgres(link)) {
            let path = link.under(&self.path);
            if let Err(error) = fs::metadata(&path)
                && error.kind() == io::ErrorKind::NotFound
                && let Ok(target) = fs::read_link(&path)
            {
                let target = escape_path(target.as_os_str().as_bytes());
                return Err(DataDirectoryError::LinkBroken { path, target });
            }
        }
        Ok(())
    }

    /// The links whose target differs between the server process `pid` and this process. `None` if the process cannot
    /// be inspected. In another PID namespace, `pid` may be a different process.
    pub fn links_of_others(&self, pid: i32, links: &[DataPath]) -> Option<Vec<Unseen>> {
        let process = Path::new("/proc").join(pid.to_string());
        // The working directory of the server is its data directory.
        if is_same(&process.join("cwd"), self.path()) != Some(true) {
            return None;
        }
        let (mut others, mut is_known) = (Vec::new(), true);
        for link in links {
            let here = link.under(&self.path);
            let Ok(target) = fs::read_link(&here) else { continue };
            let there = match target.strip_prefix("/") {
                Ok(target) => process.join("root").join(target),
                Err(_) => link.under(&process.join("cwd")),
            };
            match is_same(&there, &here) {
                Some(true) => {}
                Some(false) => others.push(self.unlike(link, OTHER)),
                None => is_known = false,
            }
        }
        (is_known || !others.is_empty()).then_some(others)
    }

    /// Times of a file or directory, following links; `None` if it cannot be read.
    pub fn times(&self, path: &DataPath) -> Option<FileTimes> {
        let stat = statat(&self.root, path.as_bytes(), AtFlags::empty()).ok()?;
        Some(FileTimes { modified: stat.st_mtime, changed: stat.st_ctime })
    }

    /// A path below a link whose times differ from those the server sees.
    pub fn changed_at_another_time(&self, path: &DataPath, there: FileTimes) -> Unseen {
        let shown = |seconds| match Timestamp::from_second(seconds) {
            Ok(moment) => moment.to_string(),
            Err(_) => seconds.to_string(),
        };
        let here = self.times(path).map_or_else(String::new, |times| {
            format!(
                ", which was changed at {} and not at {}",
                shown(there.changed),
                shown(times.changed)
            )
        });
        self.unlike(path, &format!("{OTHER}{here}"))
    }

    fn unlike(&self, path: &DataPath, reason: &str) -> Unseen {
        let above = iter::successors(Some(path.clone()), DataPath::parent);
        let mut targets = above.filter_map(|path| fs::read_link(path.under(&self.path)).ok());
        let owner = match targets.next() {
            Some(target) if path.is_within(TABLESPACES) => {
                format!("the tablespace at '{}'", target.display())
            }
            Some(target) => format!("the link to '{}'", target.display()),
            None => "a link".to_owned(),
        };
        let required = Required { path: path.clone(), kind: RequiredKind::Directory, owner };
        Unseen { required, reason: reason.to_owned() }
    }
}

/// The links and the paths of `required` below them.
pub fn followed(links: &[DataPath], required: &BTreeSet<Required>) -> Vec<DataPath> {
    let paths = required.iter().map(|one| &one.path);
    let behind = paths.filter(|path| links.iter().any(|link| is_behind(path, link)));
    links.iter().chain(behind).cloned().collect()
}

fn is_behind(path: &DataPath, link: &DataPath) -> bool {
    let rest = path.as_bytes().strip_prefix(link.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Whether two paths lead to the same file or directory (device and inode); `None` if one cannot be examined.
fn is_same(one: &Path, other: &Path) -> Option<bool> {
    let identity = |path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    Some(identity(one)? == identity(other)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn path(text: &str) -> DataPath {
        DataPath::new(text.as_bytes()).unwrap()
    }

    fn directory(root: &Path) -> DataDirectory {
        for name in ["base/5", "global", "pg_tblspc", "kept"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        DataDirectory::open(root).unwrap()
    }

    fn database(oid: u32) -> BTreeSet<Required> {
        let path = path(&format!("base/{oid}/PG_VERSION"));
        [Required { path, kind: RequiredKind::File, owner: "database 'app'".to_owned() }].into()
    }

    #[test]
    fn a_link_behind_which_nothing_is_read_need_not_lead_anywhere() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let directory = directory(root);
        for name in ["pg_wal", "pg_stat_tmp", "base/pgsql_tmp", "log"] {
            symlink("/nowhere at all", root.join(name)).unwrap();
        }
        let links = directory.links(PgVersion::NEWEST).unwrap();
        assert_eq!(links, [path("log")]);
        directory.check_links_visible(&links).unwrap();
        symlink("/nowhere at all", root.join("pg_xact")).unwrap();
        let links = directory.links(PgVersion::NEWEST).unwrap();
        let error = directory.check_links_visible(&links).unwrap_err();
        assert!(matches!(error, DataDirectoryError::LinkBroken { .. }), "{error}");
    }

    #[test]
    fn a_database_behind_a_link_within_the_data_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let away = tempfile::tempdir().unwrap();
        let root = dir.path();
        let directory = directory(root);
        symlink("../kept", root.join("base/6")).unwrap();
        symlink(away.path(), root.join("base/7")).unwrap();
        symlink("kept", root.join("pg_xact")).unwrap();
        let links = directory.links(PgVersion::NEWEST).unwrap();
        let check = |oid| directory.check_links_inside(&links, &database(oid));
        assert!(matches!(check(6).unwrap_err(), DataDirectoryError::LinkInside { .. }));
        check(5).unwrap();
        check(7).unwrap();
    }

    #[test]
    fn a_copy_is_known_by_its_times() {
        let dir = tempfile::tempdir().unwrap();
        let directory = directory(dir.path());
        let now = directory.times(&path("base/5")).unwrap();
        assert!(now.are_between(now, now));
        let later = FileTimes { changed: now.changed + 1, ..now };
        assert!(later.are_between(now, later) && !later.are_between(now, now));
        assert!(!now.are_between(later, later));
        assert_eq!(directory.times(&path("base/6")), None);
    }
}
