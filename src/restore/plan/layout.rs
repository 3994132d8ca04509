//! Where the files of a backup go: the data directory, and the directories outside of it that
//! tablespaces and links lead to. Pure names; the file system is looked at when the plan is executed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use super::{
    planned_link::{NamedBy, PlannedLink, below},
    tampering,
    targets::path_from_text,
};
use crate::{
    postgres::is_of_postgres,
    repo::{
        file_list::{EntryKind, FileEntry},
        manifest::Manifest,
    },
    restore::Error,
    types::{DataPath, ErrorCode},
};

/// Where tablespaces and links are restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacementOptions {
    /// Tablespace, by oid or name, and its new directory.
    pub tablespace_map: BTreeMap<String, PathBuf>,
    /// The directory that gets a directory for every other tablespace.
    pub tablespace_map_all: Option<PathBuf>,
    /// A path in the data directory, and the target of its link.
    pub link_map: BTreeMap<String, PathBuf>,
    /// Whether the links of the backup are made again; else they become files and directories.
    pub link_all: bool,
    /// Links that the data directory has in the place of an entry of the backup, and where they lead: they stay.
    pub kept: BTreeMap<String, PathBuf>,
    /// Links of the data directory that the backup does not have, and that stay.
    pub staying: BTreeSet<DataPath>,
}

/// A directory whose content belongs to the restore: nothing else may be or stay in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The path in the data directory that it stands for; `None` for the data directory itself.
    pub prefix: Option<DataPath>,
    /// The directory.
    pub directory: PathBuf,
    /// Whether what the backup does not have is removed. Behind a link to a directory that is not PostgreSQL's own,
    /// such as one of logs, other files may be of others.
    pub is_exact: bool,
}

/// Where everything goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The data directory.
    pub data: PathBuf,
    /// The links to make, tablespaces among them.
    pub links: Vec<PlannedLink>,
    /// The directories whose content belongs to the restore, the data directory first.
    pub roots: Vec<Root>,
    /// The links from one entry of the data directory to another, and their targets, which count from the directory
    /// that holds the link.
    pub inner: BTreeMap<DataPath, PathBuf>,
    /// Links of the data directory that the backup does not have, and that stay.
    pub staying: BTreeSet<DataPath>,
    /// The places of `links` in it, by path.
    by_path: BTreeMap<Vec<u8>, usize>,
}

pub(super) const TABLESPACES: &str = "pg_tblspc";

impl Layout {
    /// Works out where the entries of a backup go.
    pub fn new(
        data: &Path,
        manifest: &Manifest,
        entries: &[FileEntry],
        options: &PlacementOptions,
    ) -> Result<Self, Error> {
        let mut layout = Self {
            data: data.to_owned(),
            links: Vec::new(),
            roots: vec![Root { prefix: None, directory: data.to_owned(), is_exact: true }],
            inner: BTreeMap::new(),
            staying: options.staying.clone(),
            by_path: BTreeMap::new(),
        };
        layout.add_tablespaces(manifest, entries, options)?;
        layout.add_links(entries, options)?;
        tampering::check_names(&layout.links)?;
        layout.check_targets()?;
        tampering::check_tablespaces(manifest.cluster.version, &layout.links, entries)?;
        let links = layout.links.iter().enumerate();
        layout.by_path = links.map(|(at, link)| (link.path.as_bytes().to_vec(), at)).collect();
        layout.add_roots(entries);
        Ok(layout)
    }

    /// Whether the path is a link of the restored data directory.
    pub fn has_link(&self, path: &DataPath) -> bool {
        self.by_path.contains_key(path.as_bytes()) || self.inner.contains_key(path)
    }

    /// Where an entry goes: behind the nearest link above it.
    pub fn resolve(&self, path: &DataPath) -> PathBuf {
        match self.behind(path) {
            None => path.under(&self.data),
            Some((link, b"")) => link.target.clone(),
            Some((link, rest)) => link.target.join(OsStr::from_bytes(rest)),
        }
    }

    /// Whether an entry goes behind a link.
    pub fn is_outside(&self, path: &DataPath) -> bool {
        self.behind(path).is_some()
    }

    /// The nearest link that a path is, or is below, and what follows it.
    fn behind<'a>(&self, path: &'a DataPath) -> Option<(&PlannedLink, &'a [u8])> {
        let mut end = if self.links.is_empty() { 0 } else { path.as_bytes().len() };
        while end > 0 {
            let (prefix, rest) = path.as_bytes().split_at(end);
            if let Some(&at) = self.by_path.get(prefix) {
                return Some((&self.links[at], rest.strip_prefix(b"/").unwrap_or(rest)));
            }
            end = prefix.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        }
        None
    }

    fn add_tablespaces(
        &mut self,
        manifest: &Manifest,
        entries: &[FileEntry],
        options: &PlacementOptions,
    ) -> Result<(), Error> {
        let mut unused: BTreeSet<&str> =
            options.tablespace_map.keys().map(String::as_str).collect();
        for (oid, name, location) in tablespaces(manifest, entries) {
            let link: DataPath = format!("{TABLESPACES}/{oid}").parse()?;
            if !location.starts_with('/') {
                // An in-place tablespace is a plain directory of the data directory.
                continue;
            }
            let original = path_from_text(&location)?;
            let by_oid = options.tablespace_map.get_key_value(&oid);
            let by_name = name.as_ref().and_then(|name| options.tablespace_map.get_key_value(name));
            for (key, _) in by_oid.iter().chain(&by_name) {
                unused.remove(key.as_str());
            }
            let mapped = one_mapping(&oid, by_oid.map(|m| m.1), by_name.map(|m| m.1))?;
            let all = || {
                let directory = name.as_ref().filter(|name| is_file_name(name)).unwrap_or(&oid);
                options.tablespace_map_all.as_ref().map(|all| all.join(directory))
            };
            let placed = mapped.or_else(all);
            let named_by = if placed.is_some() { NamedBy::Option } else { NamedBy::Backup };
            let target = placed.unwrap_or(original);
            self.links.push(PlannedLink { path: link, target, is_directory: true, named_by });
        }
        match unused.first() {
            None => Ok(()),
            Some(key) => Err(Error::refused(
                ErrorCode::TablespaceMap,
                format!("unable to remap invalid tablespace '{key}'"),
                "info --set shows the tablespaces of a backup by name and OID",
            )),
        }
    }

    /// No target may be relative, climb, lie in the data directory or hold it, or be there twice.
    fn check_targets(&self) -> Result<(), Error> {
        for link in &self.links {
            if !is_plain(&link.target) {
                let code =
                    if is_tablespace(link) { ErrorCode::TablespaceMap } else { ErrorCode::LinkMap };
                let what = "the path is not absolute, or contains '.' or '..'";
                return Err(refuse(link, code, what.to_owned()));
            }
            if overlap(&link.target, &self.data) {
                let data = self.data.display();
                let what = format!(
                    "it must neither be in the data directory '{data}' nor contain \
                                    it"
                );
                return Err(refuse(link, ErrorCode::LinkDestination, what));
            }
        }
        self.check_targets_apart()
    }

    /// Sorted by their components, targets come right after those that hold them.
    fn check_targets_apart(&self) -> Result<(), Error> {
        let mut sorted: Vec<&PlannedLink> = self.links.iter().collect();
        sorted.sort_by(|a, b| a.target.cmp(&b.target));
        let mut above: Vec<&PlannedLink> = Vec::new();
        for link in sorted {
            while above.last().is_some_and(|last| !link.target.starts_with(&last.target)) {
                above.pop();
            }
            // PostgreSQL gives each tablespace a directory of its own in its location.
            let clashes = |other: &&&PlannedLink| {
                other.target == link.target || !(is_tablespace(link) && is_tablespace(other))
            };
            if let Some(other) = above.iter().rev().find(clashes) {
                let both = is_tablespace(link) && is_tablespace(other);
                let code = if both { ErrorCode::TablespaceMap } else { ErrorCode::LinkDestination };
                return Err(refuse(link, code, format!("'{}' points there too", other.path)));
            }
            above.push(link);
        }
        Ok(())
    }

    /// In a tablespace's directory only the directory of the cluster's version is ours.
    fn add_roots(&mut self, entries: &[FileEntry]) {
        let mut versions: BTreeSet<DataPath> = BTreeSet::new();
        for entry in entries.iter().filter(|entry| entry.path.is_within(TABLESPACES)) {
            let mut parts = entry.path.as_bytes().split(|&b| b == b'/');
            if let (Some(a), Some(b), Some(c)) = (parts.next(), parts.next(), parts.next())
                && let Ok(path) = DataPath::new(&[a, b, c].join(&b'/'))
            {
                versions.insert(path);
            }
        }
        for link in self.links.iter().filter(|link| link.is_directory) {
            if !is_tablespace(link) {
                let (prefix, directory) = (Some(link.path.clone()), link.target.clone());
                let is_exact = is_of_postgres(&link.path);
                self.roots.push(Root { prefix, directory, is_exact });
                continue;
            }
            for version in &versions {
                if let Some(rest) = below(version, &link.path) {
                    let directory = link.target.join(OsStr::from_bytes(rest));
                    let prefix = Some(version.clone());
                    self.roots.push(Root { prefix, directory, is_exact: true });
                }
            }
        }
    }
}

/// Oid, name and location of each tablespace: the manifest's, and links that only the list has.
fn tablespaces(
    manifest: &Manifest,
    entries: &[FileEntry],
) -> Vec<(String, Option<String>, String)> {
    let recorded = manifest.tablespaces.iter();
    let mut all: Vec<_> = recorded
        .map(|record| (record.oid.to_string(), record.name.clone(), record.location.clone()))
        .collect();
    for entry in entries {
        if let EntryKind::Link { target } = &entry.kind
            && let Some(oid) = entry.path.as_bytes().strip_prefix(b"pg_tblspc/")
            && let Ok(oid) = str::from_utf8(oid)
            && tampering::is_oid(oid)
            && all.iter().all(|(known, ..)| known != oid)
        {
            all.push((oid.to_owned(), None, target.clone()));
        }
    }
    all
}

/// Whether the name of a tablespace, which may hold any character, can be that of a directory.
fn is_file_name(name: &str) -> bool {
    DataPath::new(name.as_bytes()).is_ok() && !name.contains('/')
}

fn one_mapping(
    oid: &str,
    by_oid: Option<&PathBuf>,
    by_name: Option<&PathBuf>,
) -> Result<Option<PathBuf>, Error> {
    match (by_oid, by_name) {
        (Some(a), Some(b)) if a != b => Err(Error::refused(
            ErrorCode::TablespaceMap,
            format!("tablespace {oid} is mapped by its OID and by its name to different paths"),
            "",
        )),
        (a, b) => Ok(a.or(b).cloned()),
    }
}

/// Whether the link is that of a tablespace.
fn is_tablespace(link: &PlannedLink) -> bool {
    link.path.parent().is_some_and(|parent| parent.as_bytes() == TABLESPACES.as_bytes())
}

fn refuse(link: &PlannedLink, code: ErrorCode, what: String) -> Error {
    let (path, target) = (&link.path, link.target.display());
    let hint = match is_tablespace(link) {
        true => format!(
            "--tablespace-map={}=<directory> restores the tablespace to another directory",
            String::from_utf8_lossy(path.file_name())
        ),
        false => String::new(),
    };
    Error::refused(code, format!("'{path}' cannot point to '{target}': {what}"), hint)
}

fn is_plain(path: &Path) -> bool {
    let normal = |c: Component<'_>| matches!(c, Component::RootDir | Component::Normal(_));
    path.is_absolute() && path.components().all(normal) && path.parent().is_some()
}

fn overlap(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        restore::tests::repository::{manifest, tablespace},
        types::{Failure, Lsn, TimeLine},
    };

    fn entry(path: &str, kind: EntryKind) -> FileEntry {
        let path = path.parse().unwrap();
        FileEntry { path, kind, mode: 0o600, mtime: 0, uid: 0, gid: 0, link: None }
    }

    fn linked(path: &str, kind: EntryKind, target: &str) -> FileEntry {
        FileEntry { link: Some(target.to_owned()), ..entry(path, kind) }
    }

    fn entries() -> Vec<FileEntry> {
        let file = || EntryKind::File { size: 0, map: None, base: None };
        let link = |target: &str| EntryKind::Link { target: target.to_owned() };
        vec![
            entry("global/pg_control", file()),
            entry("pg_wal", EntryKind::Dir),
            entry("postgresql.conf", file()),
            entry("pg_tblspc/10/PG_15_202209061/5/1", file()),
            entry("pg_tblspc/10/PG_15_202209061/5/2", file()),
            entry("pg_tblspc/11/PG_15_202209061/5/1", file()),
            entry("log", link("/var/log/pg")),
            entry("conf", link("../conf")),
            entry("conf/inside", file()),
        ]
    }

    fn layout(options: &PlacementOptions) -> Result<Layout, Error> {
        let mut manifest =
            manifest("20261121-092452F", TimeLine(1), Lsn(0x200_0028), Lsn(0x200_0100), 0);
        manifest.tablespaces =
            vec![tablespace(10, "one", "/ts/1"), tablespace(11, "two/../x", "/ts/2")];
        Layout::new(Path::new("/pg/data"), &manifest, &entries(), options)
    }

    fn layout_of(entries: &[FileEntry], options: &PlacementOptions) -> Result<Layout, Error> {
        let manifest =
            manifest("20261121-092452F", TimeLine(1), Lsn(0x200_0028), Lsn(0x200_0100), 0);
        Layout::new(Path::new("/pg/data"), &manifest, entries, options)
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, PathBuf> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), PathBuf::from(value))).collect()
    }

    fn tablespaces_to(pairs: &[(&str, &str)]) -> Result<Layout, Error> {
        layout(&PlacementOptions { tablespace_map: map(pairs), ..PlacementOptions::default() })
    }

    fn links_to(pairs: &[(&str, &str)]) -> Result<Layout, Error> {
        layout(&PlacementOptions { link_map: map(pairs), ..PlacementOptions::default() })
    }

    fn shown(layout: &Layout) -> Vec<String> {
        let links = layout.links.iter();
        links.map(|link| format!("{} -> {}", link.path, link.target.display())).collect()
    }

    fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
        result.unwrap_err().code()
    }

    #[test]
    fn tablespaces_stay_where_they_were_unless_mapped() {
        let plain = layout(&PlacementOptions::default()).unwrap();
        assert_eq!(shown(&plain), ["pg_tblspc/10 -> /ts/1", "pg_tblspc/11 -> /ts/2"]);
        let mapped = tablespaces_to(&[("one", "/new/1"), ("11", "/new/2")]).unwrap();
        assert_eq!(shown(&mapped), ["pg_tblspc/10 -> /new/1", "pg_tblspc/11 -> /new/2"]);
        let inside: DataPath = "pg_tblspc/10/PG_15_202209061/5/1".parse().unwrap();
        assert_eq!(mapped.resolve(&inside), Path::new("/new/1/PG_15_202209061/5/1"));
        let similar: DataPath = "pg_tblspc/101".parse().unwrap();
        assert_eq!(mapped.resolve(&similar), Path::new("/pg/data/pg_tblspc/101"));
        let roots: Vec<_> = mapped.roots.iter().map(|root| root.directory.clone()).collect();
        let expected = ["/pg/data", "/new/1/PG_15_202209061", "/new/2/PG_15_202209061"];
        assert_eq!(roots, expected.map(PathBuf::from));
    }

    #[test]
    fn map_all_takes_the_rest_by_name_or_number() {
        let options = PlacementOptions {
            tablespace_map: map(&[("one", "/new/1")]),
            tablespace_map_all: Some("/all".into()),
            ..PlacementOptions::default()
        };
        // The second one's name cannot be that of a directory.
        let layout = layout(&options).unwrap();
        assert_eq!(shown(&layout), ["pg_tblspc/10 -> /new/1", "pg_tblspc/11 -> /all/11"]);
    }

    #[test]
    fn maps_that_make_no_sense_are_refused() {
        assert_eq!(code(tablespaces_to(&[("nobody", "/new")])), ErrorCode::TablespaceMap);
        let twice = [("10", "/a"), ("one", "/b")];
        assert_eq!(code(tablespaces_to(&twice)), ErrorCode::TablespaceMap);
        let together = [("10", "/a"), ("11", "/a")];
        assert_eq!(code(tablespaces_to(&together)), ErrorCode::TablespaceMap);
        for target in ["relative", "/a/../b", "/"] {
            let refused = code(tablespaces_to(&[("10", target)]));
            assert!(
                matches!(refused, ErrorCode::TablespaceMap | ErrorCode::LinkDestination),
                "{target}: {refused:?}"
            );
        }
        for target in ["/pg/data", "/pg/data/x", "/pg"] {
            assert_eq!(code(tablespaces_to(&[("10", target)])), ErrorCode::LinkDestination);
            assert_eq!(code(links_to(&[("pg_wal", target)])), ErrorCode::LinkDestination);
        }
        assert_eq!(code(links_to(&[("nothing", "/a")])), ErrorCode::LinkMap);
        assert_eq!(code(links_to(&[("pg_tblspc/10", "/a")])), ErrorCode::LinkMap);
        assert!(links_to(&[("../x", "/a")]).is_err());
        let nested = [("pg_wal", "/a"), ("log", "/a/b")];
        assert_eq!(code(links_to(&nested)), ErrorCode::LinkDestination);
        assert_eq!(code(links_to(&[("pg_wal", "../../../../x")])), ErrorCode::LinkMap);
    }

    #[test]
    fn links_are_made_again_when_asked_for() {
        let all = PlacementOptions { link_all: true, ..PlacementOptions::default() };
        let layout = layout(&all).unwrap();
        assert_eq!(shown(&layout)[2..], ["log -> /var/log/pg", "conf -> /pg/conf"]);
        assert!(!layout.links[2].is_directory && layout.links[3].is_directory);
        let mapped = links_to(&[("pg_wal", "/wal"), ("postgresql.conf", "/etc/pg.conf")]).unwrap();
        assert_eq!(shown(&mapped)[2..], ["pg_wal -> /wal", "postgresql.conf -> /etc/pg.conf"]);
        let conf: DataPath = "postgresql.conf".parse().unwrap();
        assert_eq!(mapped.resolve(&conf), Path::new("/etc/pg.conf"));
    }

    #[test]
    fn content_behind_links_goes_into_the_data_directory_or_behind_the_links() {
        let file = || EntryKind::File { size: 0, map: None, base: None };
        let entries = [
            linked("log", EntryKind::Dir, "/var/log/pg/"),
            linked("log/old", EntryKind::Dir, "/pg/old%20logs"),
            entry("log/old/x", file()),
            linked("postgresql.conf", file(), "/etc/%25/pg.conf"),
        ];
        let plain = layout_of(&entries, &PlacementOptions::default()).unwrap();
        assert!(plain.links.is_empty());
        assert_eq!(plain.resolve(&entries[2].path), Path::new("/pg/data/log/old/x"));
        let notes = plain.links_not_made(&entries);
        assert_eq!(notes.len(), 3);
        assert!(
            notes[2]
                .starts_with("link 'postgresql.conf' to '/etc/%25/pg.conf' is restored as a file")
        );
        let all = PlacementOptions { link_all: true, ..PlacementOptions::default() };
        let all = layout_of(&entries, &all).unwrap();
        let expected =
            ["log -> /var/log/pg", "log/old -> /pg/old logs", "postgresql.conf -> /etc/%/pg.conf"];
        assert_eq!(shown(&all), expected);
        assert_eq!(all.resolve(&entries[2].path), Path::new("/pg/old logs/x"));
        assert_eq!(all.roots.len(), 3);
        assert!(all.links_not_made(&entries).is_empty());
        assert!(!all.roots[1].is_exact, "others may keep logs there");
    }

    #[test]
    fn links_to_one_place_are_refused() {
        let all = PlacementOptions { link_all: true, ..PlacementOptions::default() };
        let dir = |path, target| linked(path, EntryKind::Dir, target);
        for (a, b) in
            [("/x", "/x/y"), ("/x/y", "/x"), ("/x", "/x"), ("/a", "/pg"), ("/a", "/pg/data/b")]
        {
            let refused = layout_of(&[dir("a", a), dir("b", b), dir("c", "/xx")], &all);
            assert_eq!(code(refused), ErrorCode::LinkDestination, "{a} {b}");
        }
        assert!(layout_of(&[dir("a", "/x/y"), dir("b", "/x/z"), dir("c", "/x y")], &all).is_ok());
    }

    #[test]
    fn links_within_the_data_directory_are_made_and_lead_nowhere_else() {
        let file = || EntryKind::File { size: 0, map: None, base: None };
        let link = |path, target: &str| entry(path, EntryKind::Link { target: target.to_owned() });
        let inner = layout_of(
            &[link("log/now", "../logs/1"), link("up", "../../etc"), link("out", "/pg/data/x")],
            &PlacementOptions::default(),
        )
        .unwrap();
        let expected = [("log/now".parse().unwrap(), PathBuf::from("../logs/1"))];
        assert_eq!(inner.inner, expected.into());
        assert!(inner.links.is_empty());
        for hidden in ["log/now", "log/now/x", "log/now/x/y"] {
            let entries = [link("log/now", "../logs/1"), entry(hidden, file())];
            let refused = layout_of(&entries, &PlacementOptions::default());
            assert_eq!(code(refused), ErrorCode::Format, "{hidden}");
        }
    }

    proptest! {
        /// Whatever the maps say, nothing is resolved to a place that was not named.
        #[test]
        fn nothing_leaves_the_roots(
            target in "/[a-c./]{0,8}",
            path in "[a-c./]{1,12}",
        ) {
            let options = PlacementOptions {
                tablespace_map_all: Some(target.clone().into()),
                link_map: map(&[("pg_wal", &target)]),
                ..PlacementOptions::default()
            };
            let (Ok(layout), Ok(path)) = (layout(&options), DataPath::new(path.as_bytes())) else {
                return Ok(());
            };
            let resolved = layout.resolve(&path);
            prop_assert!(resolved.components().all(|c| c != Component::ParentDir));
            prop_assert!(layout.roots.iter().any(|root| resolved.starts_with(&root.directory)));
        }
    }
}
