//! What is in a directory.

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    session::{Item, Kind, Look, Session},
    tree::Tree,
};
use crate::storage::{Entry, EntryKind, Listing, ObjectPath, Result, crash_safe::TEMPORARY_PREFIX};

/// Directories that are listed at a time.
const AT_ONCE: usize = 8;

/// What is directly below `directory`, or, with `recurse`, everything.
pub(super) async fn below(
    tree: &Tree,
    directory: &ObjectPath,
    recurse: bool,
) -> Result<Vec<Entry>> {
    without_links(tree, below_and_links(tree, directory, recurse).await?)
}

/// The same, and the symbolic links.
pub(super) async fn below_and_links(
    tree: &Tree,
    directory: &ObjectPath,
    recurse: bool,
) -> Result<Listing> {
    let (mut found, mut todo) = (Listing::default(), vec![directory.clone()]);
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < AT_ONCE
            && let Some(directory) = todo.pop()
        {
            under_way.push(entries(tree, directory));
        }
        let Some(here) = under_way.next().await else { break };
        let here: Listing = here?;
        if recurse {
            let directories = here.entries.iter().filter(|e| e.kind == EntryKind::Directory);
            todo.extend(directories.map(|e| e.path.clone()));
        }
        found.entries.extend(here.entries);
        found.links.extend(here.links);
    }
    found.entries.sort_by(|a, b| a.path.cmp(&b.path));
    found.links.sort();
    Ok(found)
}

/// The objects directly below `directory` whose name starts with `prefix`.
pub(super) async fn with_prefix(
    tree: &Tree,
    directory: &ObjectPath,
    prefix: &str,
) -> Result<Vec<Entry>> {
    let mut found = without_links(tree, entries(tree, directory.clone()).await?)?;
    found.retain(|e| e.kind != EntryKind::Directory && e.path.file_name().starts_with(prefix));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// An object behind a link must not look absent.
fn without_links(tree: &Tree, listing: Listing) -> Result<Vec<Entry>> {
    match listing.links.first() {
        None => Ok(listing.entries),
        Some(link) => Err(tree.is_link("list", link)),
    }
}

/// Objects, directories and links. Other files, and those being written, are left out.
async fn entries(tree: &Tree, directory: ObjectPath) -> Result<Listing> {
    let seen = items(tree, &directory).await?.into_iter();
    let visible = seen.filter(|(name, _)| !name.starts_with(TEMPORARY_PREFIX));
    let mut found = Listing::default();
    for (name, look) in visible {
        let Ok(path) = directory.join(&name) else { continue };
        let kind = match look.kind {
            Kind::File => EntryKind::Object { size: look.size },
            Kind::Directory => EntryKind::Directory,
            Kind::Link => {
                found.links.push(path);
                continue;
            }
            Kind::Other => continue,
        };
        found.entries.push(Entry { path, kind, modified: look.modified });
    }
    Ok(found)
}

/// Everything in a directory; nothing where there is none.
pub(super) async fn items(tree: &Tree, directory: &ObjectPath) -> Result<Vec<(String, Look)>> {
    tree.run("list", directory, |session| async move {
        match tree.find(&session, "list", directory).await {
            Ok(look) if look.kind == Kind::Directory => {}
            Ok(_) => return Ok(Vec::new()),
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
        read(tree, &session, directory).await
    })
    .await
}

async fn read(
    tree: &Tree,
    session: &Session,
    directory: &ObjectPath,
) -> Result<Vec<(String, Look)>> {
    let full = tree.full(directory);
    let failed = |refusal: super::failure::Refusal| refusal.error("list", &tree.name(directory));
    let listed = match session.read_directory(&full).await {
        Err(super::failure::Refusal::Missing) => return Ok(Vec::new()),
        listed => listed.map_err(failed)?,
    };
    let mut items = Vec::with_capacity(listed.len());
    for Item { name, look } in listed {
        let look = match look {
            Some(look) => Ok(look),
            None => session.look(&format!("{}/{name}", full.trim_end_matches('/'))).await,
        };
        match look {
            Ok(look) => items.push((name, look)),
            // It was removed meanwhile.
            Err(super::failure::Refusal::Missing) => {}
            Err(refusal) => return Err(failed(refusal)),
        }
    }
    Ok(items)
}
