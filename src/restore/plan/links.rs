//! The symbolic links of a restore: those that are made again, those that are mapped, and those that lead from one
//! entry of the data directory to another. Pure names.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::Path,
};

use super::{
    layout::{Layout, PlacementOptions, TABLESPACES},
    planned_link::{NamedBy, PlannedLink},
    targets::{absolute_link, link_map, path_from_text},
};
use crate::{
    repo::file_list::{EntryKind, FileEntry},
    restore::Error,
    types::{DataPath, ErrorCode},
};

/// Maximum number of links restored as files and directories that are named.
const NAMED_MAX: usize = 20;

impl Layout {
    /// Adds the links that the options ask for.
    pub(super) fn add_links(
        &mut self,
        entries: &[FileEntry],
        options: &PlacementOptions,
    ) -> Result<(), Error> {
        self.add_mapped(entries, options)?;
        let mut parents = None;
        let mapped: BTreeSet<DataPath> = self.links.iter().map(|link| link.path.clone()).collect();
        for entry in entries {
            let Some(recorded) = recorded_target(entry) else { continue };
            if is_of_tablespaces(&entry.path) || mapped.contains(&entry.path) {
                continue;
            }
            let recorded = path_from_text(recorded)?;
            if self.is_inner(entry, &recorded) {
                self.inner.insert(entry.path.clone(), recorded);
            } else if options.link_all {
                let target = absolute_link(&self.data, &entry.path, &recorded)?;
                let is_directory = match entry.kind {
                    EntryKind::Dir => true,
                    EntryKind::File { .. } => false,
                    EntryKind::Link { .. } => parents
                        .get_or_insert_with(|| parents_of(entries))
                        .contains(entry.path.as_bytes()),
                };
                self.links.push(PlannedLink {
                    path: entry.path.clone(),
                    target,
                    is_directory,
                    named_by: NamedBy::Backup,
                });
            }
        }
        self.check_inner(entries)
    }

    fn add_mapped(
        &mut self,
        entries: &[FileEntry],
        options: &PlacementOptions,
    ) -> Result<(), Error> {
        if options.link_map.is_empty() && options.kept.is_empty() {
            return Ok(());
        }
        let by_path: BTreeMap<&DataPath, &FileEntry> =
            entries.iter().map(|entry| (&entry.path, entry)).collect();
        let mapped = options.link_map.iter().map(|link| (link, NamedBy::Option));
        let kept = options.kept.iter().map(|link| (link, NamedBy::DataDirectory));
        for ((name, target), named_by) in mapped.chain(kept) {
            let path = DataPath::new(name.as_bytes())?;
            if is_of_tablespaces(&path) {
                return Err(link_map(name, "tablespaces are moved with tablespace-map"));
            }
            let entry = by_path.get(&path).ok_or_else(|| {
                link_map(name, "the name must be that of a link, directory or file of the backup")
            })?;
            let is_directory = !matches!(entry.kind, EntryKind::File { .. });
            let target = absolute_link(&self.data, &path, target)?;
            self.links.push(PlannedLink { path, target, is_directory, named_by });
        }
        Ok(())
    }

    /// Whether an entry is nothing but a link, and leads to a place in the data directory.
    fn is_inner(&self, entry: &FileEntry, target: &Path) -> bool {
        matches!(entry.kind, EntryKind::Link { .. })
            && !target.is_absolute()
            && absolute_link(&self.data, &entry.path, target)
                .is_ok_and(|leads| leads.starts_with(&self.data))
    }

    /// Nothing may be written through a link that is no place of its own.
    fn check_inner(&self, entries: &[FileEntry]) -> Result<(), Error> {
        let is_same = |entry: &FileEntry| {
            self.inner.contains_key(&entry.path) && !matches!(entry.kind, EntryKind::Link { .. })
        };
        let is_below = |entry: &FileEntry| {
            std::iter::successors(entry.path.parent(), DataPath::parent)
                .any(|parent| self.inner.contains_key(&parent))
        };
        let clash = (!self.inner.is_empty())
            .then(|| entries.iter().find(|entry| is_same(entry) || is_below(entry)))
            .flatten();
        match clash {
            None => Ok(()),
            Some(entry) => Err(Error::refused(
                ErrorCode::Format,
                format!(
                    "the file list of the backup contains '{}' below a symbolic link",
                    entry.path
                ),
                "the repository was tampered with: restore another backup or repository",
            )),
        }
    }

    /// The links of the backup that come back as files and directories, in words.
    pub fn links_not_made(&self, entries: &[FileEntry]) -> Vec<String> {
        let not_made = || {
            entries.iter().filter_map(|entry| {
                let target = entry.link.as_deref()?;
                (!self.has_link(&entry.path)).then_some((entry, target))
            })
        };
        let named = not_made().take(NAMED_MAX).map(|(entry, target)| {
            let kind = if matches!(entry.kind, EntryKind::Dir) { "directory" } else { "file" };
            let path = &entry.path;
            format!(
                "link '{path}' to '{target}' is restored as a {kind} in the data directory; \
                 --link-all restores the link, --link-map={path}=PATH restores it with another \
                 target"
            )
        });
        let more = not_made().count().saturating_sub(NAMED_MAX);
        let more =
            (more > 0).then(|| format!("{more} more links are restored as files and directories"));
        named.chain(more).collect()
    }

    /// Whether the link is in the data directory already, whatever the form of its target.
    pub fn is_in_place(&self, link: &PlannedLink) -> bool {
        let found = std::fs::read_link(link.path.under(&self.data));
        found.is_ok_and(|found| self.leads_to(link, &found))
    }

    /// Whether the target that a link has is the one it must have.
    pub fn leads_to(&self, link: &PlannedLink, found: &Path) -> bool {
        absolute_link(&self.data, &link.path, found).is_ok_and(|found| found == link.target)
    }
}

/// The paths that have entries below them.
fn parents_of(entries: &[FileEntry]) -> HashSet<&[u8]> {
    let paths = entries.iter().map(|entry| entry.path.as_bytes());
    paths
        .filter_map(|path| path.iter().rposition(|&byte| byte == b'/').map(|end| &path[..end]))
        .collect()
}

/// Where a link of the backup leads, outside of `pg_tblspc`.
fn recorded_target(entry: &FileEntry) -> Option<&str> {
    match &entry.kind {
        EntryKind::Link { target } => Some(target),
        _ => entry.link.as_deref(),
    }
}

/// Whether the path is `pg_tblspc` or what is directly in it: the places of tablespaces.
fn is_of_tablespaces(path: &DataPath) -> bool {
    path.is_within(TABLESPACES) && path.as_bytes().iter().filter(|&&byte| byte == b'/').count() < 2
}
