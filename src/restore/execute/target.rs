//! Looks at the target before anything is written, and refuses whatever could destroy something: a
//! running server, files whose removal was not requested, directories that do not belong to this cluster.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{existing::Existing, linked_files};
use crate::{
    restore::{
        Error,
        plan::{Layout, MARKER, PlannedLink, Root},
    },
    types::ErrorCode,
};

/// Checks the target; `Ok` says whether it holds files.
pub fn check(layout: &Layout, existing: Existing) -> Result<bool, Error> {
    check_data_directory(&layout.data)?;
    check_not_running(&layout.data)?;
    layout.links.iter().try_for_each(check_link_target)?;
    check_apart(layout)?;
    let mut occupied = false;
    for root in &layout.roots {
        if is_empty(&root.directory)? {
            continue;
        }
        occupied = true;
        check_may_change(layout, root, existing)?;
    }
    for link in layout.links.iter().filter(|link| !link.is_directory) {
        occupied |= linked_files::check(layout, link, existing)?;
    }
    Ok(occupied)
}

fn check_data_directory(data: &Path) -> Result<(), Error> {
    if !data.is_absolute() || data.parent().is_none() {
        let what = format!("'{}' cannot be a data directory", data.display());
        return Err(Error::refused(ErrorCode::OptionInvalidValue, what, "give an absolute path"));
    }
    let directory = match fs::metadata(data) {
        Ok(metadata) => return check_owner(data, &metadata),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => data.parent(),
        Err(error) => return Err(Error::target("look at", data, ErrorCode::PathOpen)(error)),
    };
    match directory.is_some_and(Path::is_dir) {
        true => Ok(()),
        false => Err(Error::refused(
            ErrorCode::PathMissing,
            format!("data directory '{}' does not exist, nor does its parent", data.display()),
            "check pg1-path, or create the directory",
        )),
    }
}

fn check_owner(data: &Path, metadata: &fs::Metadata) -> Result<(), Error> {
    let data = data.display();
    if !metadata.is_dir() {
        let what = format!("'{data}' is not a directory");
        return Err(Error::refused(ErrorCode::PathOpen, what, "check pg1-path"));
    }
    let me = rustix::process::geteuid();
    match me.is_root() || metadata.uid() == me.as_raw() {
        true => Ok(()),
        false => Err(Error::refused(
            ErrorCode::FileOwner,
            format!("'{data}' belongs to user {}, not to the user of this program", metadata.uid()),
            "run the restore as the owner of the data directory",
        )),
    }
}

/// Whether the process in the file still lives cannot be told from inside of a container, so the
/// file alone decides.
fn check_not_running(data: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(data.join("postmaster.pid")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::target("look at", data, ErrorCode::PathOpen)(error)),
        Ok(_) => Err(Error::refused(
            ErrorCode::PgRunning,
            "unable to restore while PostgreSQL is running",
            format!(
                "presence of 'postmaster.pid' in '{}' indicates PostgreSQL is running\n\
                 remove 'postmaster.pid' only if PostgreSQL is not running",
                data.display()
            ),
        )),
    }
}

/// Two names may lead to one directory through links of the file system.
fn check_apart(layout: &Layout) -> Result<(), Error> {
    let data = real(&layout.data)?;
    let directories = layout.roots[1..].iter().map(|root| &root.directory);
    let files = layout.links.iter().filter(|link| !link.is_directory).map(|link| &link.target);
    let mut places: Vec<(PathBuf, &Path)> = Vec::new();
    for path in directories.chain(files) {
        let place = real(path)?;
        if place.starts_with(&data) || data.starts_with(&place) {
            return Err(not_apart(path, &layout.data));
        }
        places.push((place, path));
    }
    // Sorted by their components, a directory comes right before what is in it.
    places.sort();
    match places.windows(2).find(|pair| pair[1].0.starts_with(&pair[0].0)) {
        None => Ok(()),
        Some(pair) => Err(not_apart(pair[1].1, pair[0].1)),
    }
}

fn not_apart(a: &Path, b: &Path) -> Error {
    let what = format!("'{}' and '{}' are not two separate directories", a.display(), b.display());
    Error::refused(ErrorCode::LinkDestination, what, "map one of them elsewhere")
}

/// The path without links, as far as it exists.
fn real(path: &Path) -> Result<PathBuf, Error> {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        match fs::canonicalize(existing) {
            Ok(mut real) => {
                real.extend(missing.iter().rev());
                return Ok(real);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::target("look at", path, ErrorCode::PathOpen)(error)),
        }
        match (existing.parent(), existing.file_name()) {
            (Some(parent), Some(name)) => {
                missing.push(name.to_owned());
                existing = parent;
            }
            _ => return Ok(path.to_owned()),
        }
    }
}

/// Refuses a target that is of another kind than what is restored there.
fn check_link_target(link: &PlannedLink) -> Result<(), Error> {
    let target = link.target.display();
    let is_directory = match fs::metadata(&link.target) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Error::target("look at", &link.target, ErrorCode::PathOpen)(error));
        }
    };
    let refuse = |what: String, hint| Err(Error::refused(ErrorCode::LinkDestination, what, hint));
    if is_directory != link.is_directory {
        let is = if is_directory { "a directory" } else { "not a directory" };
        let what = format!("'{}' cannot point to '{target}', which is {is}", link.path);
        return refuse(what, "map the tablespace or link elsewhere");
    }
    Ok(())
}

fn is_empty(directory: &Path) -> Result<bool, Error> {
    match fs::read_dir(directory) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(Error::target("list", directory, ErrorCode::PathOpen)(error)),
    }
}

/// Whether the files in a root may be removed or changed.
fn check_may_change(layout: &Layout, root: &Root, existing: Existing) -> Result<(), Error> {
    let directory = root.directory.display();
    let what = format!("unable to restore to path '{directory}' because it contains files");
    if existing == Existing::Refuse {
        let hint = "use --delta to keep files that are identical, or --force to replace everything";
        return Err(Error::refused(ErrorCode::PathNotEmpty, what, hint));
    }
    let ours = match &root.prefix {
        None => is_data_directory(&layout.data),
        Some(_) => {
            let mut links = layout.links.iter();
            links.any(|link| root.directory.starts_with(&link.target) && layout.is_in_place(link))
        }
    };
    match ours {
        true => Ok(()),
        false => Err(Error::refused(
            ErrorCode::PathNotEmpty,
            what,
            match root.prefix {
                None => {
                    "neither 'PG_VERSION' nor 'backup_manifest' is there to confirm that it is a \
                     data directory, so --delta and --force do not apply: empty it by hand"
                }
                Some(_) => {
                    "no link in the data directory points there, so it may belong to another \
                     cluster: map the tablespace or link elsewhere, or empty the directory by hand"
                }
            },
        )),
    }
}

fn is_data_directory(data: &Path) -> bool {
    ["PG_VERSION", "backup_manifest", MARKER].iter().any(|name| data.join(name).is_file())
}
