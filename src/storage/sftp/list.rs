//! What is in a directory.

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    session::{Item, Kind, Look, Session},
    tree::Tree,
};
use crate::storage::{Entry, EntryKind, ObjectPath, Result, crash_safe::TEMPORARY_PREFIX};

/// Directories that are listed at a time.
const AT_ONCE: usize = 8;

/// What is directly below `directory`, or, with `recurse`, everything.
pub(super) async fn below(
    tree: &Tree,
    directory: &ObjectPath,
    recurse: bool,
) -> Result<Vec<Entry>> {
    let (mut found, mut todo) = (Vec::new(), vec![directory.clone()]);
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < AT_ONCE
            && let Some(directory) = todo.pop()
        {
            under_way.push(entries(tree, directory));
        }
        let Some(entries) = under_way.next().await else { break };
        let entries: Vec<Entry> = entries?;
        if recurse {
            let directories = entries.iter().filter(|e| e.kind == EntryKind::Directory);
            todo.extend(directories.map(|e| e.path.clone()));
        }
        found.extend(entries);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The objects directly below `directory` whose name starts with `prefix`.
pub(super) async fn with_prefix(
    tree: &Tree,
    directory: &ObjectPath,
    prefix: &str,
) -> Result<Vec<Entry>> {
    let mut found = entries(tree, directory.clone()).await?;
    found.retain(|e| e.kind != EntryKind::Directory && e.path.file_name().starts_with(prefix));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Objects and directories; what is neither, or is being written, is not shown. A link is an error: what is behind it must
/// not look as if it were not there.
async fn entries(tree: &Tree, directory: ObjectPath) -> Result<Vec<Entry>> {
    let seen = items(tree, &directory).await?.into_iter();
    let visible = seen.filter(|(name, _)| !name.starts_with(TEMPORARY_PREFIX));
    let mut entries = Vec::new();
    for (name, look) in visible {
        let Ok(path) = directory.join(&name) else { continue };
        let kind = match look.kind {
            Kind::File => EntryKind::Object { size: look.size },
            Kind::Directory => EntryKind::Directory,
            Kind::Link => return Err(tree.is_link("list", &path)),
            Kind::Other => continue,
        };
        entries.push(Entry { path, kind, modified: look.modified });
    }
    Ok(entries)
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
