//! What a backup may name outside of the data directory. A repository is not trusted here: a user who can write to
//! it must not be able to make a restore write anywhere but into the places of a cluster's tablespaces and links.

use super::planned_link::{PlannedLink, below};
use crate::{
    postgres::{self, catalog_version_of, version_directory},
    repo::file_list::{EntryKind, FileEntry},
    restore::Error,
    types::{ErrorCode, PgVersion},
};

/// Directories of a tablespace may have these permission bits: those of PostgreSQL with access for its group.
pub(super) const TABLESPACE_MODE_MASK: u32 = 0o750;

/// Whether a name in `pg_tblspc` is that of a tablespace: an object identifier as PostgreSQL writes it.
pub(super) fn is_oid(name: &str) -> bool {
    name.parse::<u32>().is_ok_and(|oid| oid > 0 && oid.to_string() == name)
}

/// Refuses whatever would be written below a tablespace's location and is not in the directory of the cluster's
/// version there: neither kind of source stores anything else, and the location may be any directory. The name of that
/// directory is not read from the backup, because a user who can write to the repository can change all of it.
pub(super) fn check_tablespaces(
    version: PgVersion,
    links: &[PlannedLink],
    entries: &[FileEntry],
) -> Result<(), Error> {
    let catalog_version =
        catalog_version_of(version).ok_or_else(|| postgres::Error::Version(version.to_string()))?;
    let directory = version_directory(version, catalog_version);
    let spaces: Vec<&PlannedLink> =
        links.iter().filter(|link| link.path.is_within("pg_tblspc")).collect();
    for entry in entries.iter().filter(|entry| entry.path.is_within("pg_tblspc")) {
        let inside = spaces.iter().find_map(|link| below(&entry.path, &link.path));
        let fits = match (inside, &entry.kind) {
            (None, _) | (Some([]), EntryKind::Dir | EntryKind::Link { .. }) => true,
            (Some(inside), kind) => is_within(inside, kind, directory.as_bytes()),
        };
        if !fits {
            let path = &entry.path;
            let what = format!("'{path}' is not in the directory '{directory}' of its tablespace");
            return Err(tampered(what));
        }
    }
    Ok(())
}

/// Whether `inside`, a path below a tablespace's location, is the directory `version` or in it.
fn is_within(inside: &[u8], kind: &EntryKind, version: &[u8]) -> bool {
    let mut parts = inside.split(|byte| *byte == b'/');
    parts.next() == Some(version) && (*kind == EntryKind::Dir || parts.next().is_some())
}

/// Refuses two links of one name. One may lie behind another: then it is made in the place that the other leads to.
pub(super) fn check_names(links: &[PlannedLink]) -> Result<(), Error> {
    let mut sorted: Vec<&PlannedLink> = links.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    match sorted.windows(2).find(|pair| pair[0].path == pair[1].path) {
        None => Ok(()),
        Some(pair) => Err(tampered(format!("'{}' is a link with two targets", pair[0].path))),
    }
}

fn tampered(what: String) -> Error {
    Error::refused(
        ErrorCode::Format,
        what,
        "the repository was tampered with: restore another backup or repository",
    )
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        path::{Path, PathBuf},
    };

    use super::*;
    use crate::{
        restore::{
            plan::{Layout, NamedBy, PlacementOptions},
            tests::repository::{manifest, tablespace},
        },
        types::{Failure, Lsn, TimeLine},
    };

    fn entry(path: &str, kind: EntryKind) -> FileEntry {
        let path = path.parse().unwrap();
        FileEntry { path, kind, mode: 0o600, mtime: 0, uid: 0, gid: 0, link: None }
    }

    fn file(path: &str) -> FileEntry {
        entry(path, EntryKind::File { size: 0, map: None, base: None })
    }

    fn link(path: &str, target: &str) -> FileEntry {
        entry(path, EntryKind::Link { target: target.to_owned() })
    }

    fn layout(entries: &[FileEntry], options: &PlacementOptions) -> Result<Layout, Error> {
        let mut manifest = manifest("20261121-092452F", TimeLine(1), Lsn(1), Lsn(2), 0);
        manifest.tablespaces = vec![tablespace(10, "one", "/home/postgres/.ssh")];
        Layout::new(Path::new("/pg/data"), &manifest, entries, options)
    }

    fn refused(entries: &[FileEntry]) -> bool {
        let all = PlacementOptions { link_all: true, ..PlacementOptions::default() };
        match layout(entries, &all) {
            Ok(_) => false,
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::Format, "{error}");
                true
            }
        }
    }

    #[test]
    fn only_the_directory_of_the_version_is_written_below_a_tablespace() {
        for path in [
            "pg_tblspc/10/authorized_keys",
            "pg_tblspc/10",
            "pg_tblspc/10/PG_15_202209061",
            "pg_tblspc/10/PG_14_202107181/5/1",
            "pg_tblspc/10/PG_15_/5/1",
            "pg_tblspc/10/PG_15_x/5/1",
            "pg_tblspc/10/PG_15_202209062/5/1",
            "pg_tblspc/10/PG_15_0202209061/5/1",
            "pg_tblspc/10/PG_15_202107181/5/1",
            "pg_tblspc/10/PG_15/5/1",
            "pg_tblspc/10/pg_15_202209061/5/1",
        ] {
            assert!(refused(&[file(path)]), "{path}");
        }
        assert!(refused(&[entry("pg_tblspc/10/other", EntryKind::Dir)]));
        assert!(refused(&[link("pg_tblspc/10/x", "/etc")]));
        for good in [
            file("pg_tblspc/10/PG_15_202209061/5/1"),
            entry("pg_tblspc/10/PG_15_202209061", EntryKind::Dir),
            entry("pg_tblspc/10", EntryKind::Dir),
            link("pg_tblspc/10", "/home/postgres/.ssh"),
            file("pg_tblspc/11/x"),
        ] {
            assert!(!refused(std::slice::from_ref(&good)), "{}", good.path);
        }
    }

    #[test]
    fn a_link_is_a_tablespace_only_by_the_number_of_one() {
        for (name, tablespace) in [
            ("16384", true),
            ("evil", false),
            ("016384", false),
            ("0", false),
            ("4294967296", false),
        ] {
            let entries = [link(&format!("pg_tblspc/{name}"), "/etc")];
            let links = layout(&entries, &PlacementOptions::default()).unwrap().links;
            let planned = links.iter().any(|link| link.target == Path::new("/etc"));
            assert_eq!(planned, tablespace, "{name}");
        }
    }

    #[test]
    fn links_that_lead_each_other_astray_are_refused() {
        let nested = [link("base", "/a"), link("base/5", "/b"), file("base/5/1")];
        let all = PlacementOptions { link_all: true, ..PlacementOptions::default() };
        let place = layout(&nested, &all).unwrap().resolve(&nested[2].path);
        assert_eq!(place, Path::new("/b/1"), "the nearest link decides");
        assert!(refused(&[link("log", "/a"), link("log", "/b")]));
        assert!(!refused(&[link("log", "/a"), link("logs", "/b")]));
    }

    #[test]
    fn every_place_outside_is_listed_with_who_names_it() {
        let entries = [
            file("pg_tblspc/10/PG_15_202209061/5/1"),
            file("postgresql.conf"),
            link("log", "/var/log/pg"),
        ];
        let mapped: BTreeMap<String, PathBuf> =
            [("postgresql.conf".to_owned(), "/etc/pg.conf".into())].into();
        let options =
            PlacementOptions { link_all: true, link_map: mapped, ..PlacementOptions::default() };
        let layout = layout(&entries, &options).unwrap();
        let listed: Vec<(&str, NamedBy)> = layout
            .outside()
            .iter()
            .map(|place| (place.path.to_str().unwrap(), place.named_by))
            .collect();
        assert_eq!(
            listed,
            [
                ("/home/postgres/.ssh/PG_15_202209061", NamedBy::Backup),
                ("/etc/pg.conf", NamedBy::Option),
                ("/var/log/pg", NamedBy::Backup)
            ]
        );
    }
}
