//! Listings: pages of keys to entries in byte order, with the directories that keys only imply.

use std::collections::BTreeMap;

use super::{
    super::{Entry, EntryKind, Error, ErrorKind, ObjectPath, Result},
    Found, Page,
    objects::Objects,
};

/// The most pages and keys of one listing, and empty pages one after the other: a store may never end.
const PAGES_MAX: usize = 200_000;
const KEYS_MAX: usize = 20_000_000;
const EMPTY_PAGES_MAX: usize = 1000;

/// The prefix of the keys below a directory.
pub(super) fn directory_key(objects: &Objects, directory: &ObjectPath) -> String {
    match objects.key(directory) {
        key if key.is_empty() || key.ends_with('/') => key,
        key => key + "/",
    }
}

pub(super) async fn below(
    objects: &Objects,
    directory: &ObjectPath,
    recurse: bool,
) -> Result<Vec<Entry>> {
    let prefix = directory_key(objects, directory);
    let mut entries = Entries::default();
    pages(objects, &prefix, !recurse, |page| {
        for found in page.objects {
            // The consoles of some stores make an empty object to show a directory.
            match found.key.strip_suffix('/') {
                Some(marker) => entries.directory(objects.path(marker), directory),
                None => entries.object(objects, found, directory),
            }
        }
        for common in page.prefixes {
            entries.directory(objects.path(common.trim_end_matches('/')), directory);
        }
    })
    .await?;
    Ok(entries.in_order())
}

pub(super) async fn with_prefix(
    objects: &Objects,
    directory: &ObjectPath,
    name_prefix: &str,
) -> Result<Vec<Entry>> {
    let prefix = directory_key(objects, directory) + name_prefix;
    let mut entries = Entries::default();
    pages(objects, &prefix, true, |page| {
        let files = page.objects.into_iter().filter(|found| !found.key.ends_with('/'));
        files.for_each(|found| entries.object(objects, found, directory));
    })
    .await?;
    Ok(entries.in_order())
}

async fn pages(
    objects: &Objects,
    prefix: &str,
    delimited: bool,
    mut take: impl FnMut(Page) + Send,
) -> Result<()> {
    let name = objects.name(prefix);
    let mut next = None;
    let (mut keys, mut empty) = (0, 0);
    for _ in 0..PAGES_MAX {
        let list = || objects.api.list(prefix, delimited, next.clone());
        let mut page = objects.requests.run("list", &name, 0, list).await?;
        let before = std::mem::replace(&mut next, page.next.take());
        if next.is_some() && next == before {
            return Err(Error::new(ErrorKind::Other, "list", name)
                .caused_by("the store returns the same page of the listing repeatedly"));
        }
        let found = page.objects.len() + page.prefixes.len();
        keys += found;
        empty = if found == 0 { empty + 1 } else { 0 };
        take(page);
        if next.is_none() {
            return Ok(());
        }
        if empty > EMPTY_PAGES_MAX || keys > KEYS_MAX {
            break;
        }
    }
    Err(Error::new(ErrorKind::Other, "list", name)
        .caused_by("the store returns more pages than this listing can have"))
}

/// What a listing shows, each thing once.
#[derive(Default)]
struct Entries(BTreeMap<String, Entry>);

impl Entries {
    /// A key that is no path of ours is passed over: this program cannot have made it.
    fn object(&mut self, objects: &Objects, found: Found, below: &ObjectPath) {
        let Some(path) = objects.path(&found.key) else { return };
        self.directory(Some(path.parent()), below);
        let kind = EntryKind::Object { size: found.size };
        self.0.insert(found.key, Entry { path, kind, modified: found.modified });
    }

    /// A directory and those it is in, as far as they are below the one that is listed.
    fn directory(&mut self, path: Option<ObjectPath>, below: &ObjectPath) {
        let Some(mut path) = path else { return };
        let is_below = |path: &ObjectPath| path.as_str().len() > below.as_str().len();
        while is_below(&path) && !self.0.contains_key(&format!("{path}/")) {
            let parent = path.parent();
            let entry = Entry { path: path.clone(), kind: EntryKind::Directory, modified: None };
            self.0.insert(format!("{path}/"), entry);
            path = parent;
        }
    }

    fn in_order(self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.0.into_values().collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries
    }
}
