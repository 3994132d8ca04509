//! Removing what writers left that died.

use std::{sync::Arc, time::Duration};

use super::{
    delete::{self, Touched},
    failure::Answer,
    list,
    session::{Kind, Look, Session},
    tree::Tree,
    upload::temporary_in,
};
use crate::storage::{
    ObjectPath, Result,
    crash_safe::{TEMPORARY_PREFIX, is_temporary_name},
};

/// Removes stale temporary files below `directory`, and stale directories that hold nothing.
pub(super) async fn remove(
    tree: &Tree,
    directory: &ObjectPath,
    older_than: Duration,
) -> Result<u64> {
    let (mut removed, mut touched) = (0, Touched::default());
    let (mut todo, mut limit) = (vec![directory.clone()], None);
    while let Some(directory) = todo.pop() {
        let (files, directories) = sorted(list::items(tree, &directory).await?);
        let limit = match limit {
            Some(limit) => limit,
            None if files.is_empty() && directories.is_empty() => continue,
            None => *limit.insert(now(tree, &directory).await? - older_than.as_secs() as i64),
        };
        let is_stale = |look: &Look| look.modified.is_some_and(|modified| modified <= limit);
        for (name, _) in files.iter().filter(|(_, look)| is_stale(look)) {
            let full = format!("{}/{name}", tree.full(&directory));
            delete::remove_file(tree, &directory, &full).await?;
            removed += 1;
            touched.insert(directory.clone());
        }
        for (name, look) in directories {
            let Ok(child) = directory.join(&name) else { continue };
            if is_stale(&look) {
                touched.insert(child.clone());
            }
            todo.push(child);
        }
    }
    delete::tidy(tree, touched).await?;
    Ok(removed)
}

type Items = Vec<(String, Look)>;

/// Temporary files and directories.
fn sorted(items: Items) -> (Items, Items) {
    let (temporary, others): (Items, Items) =
        items.into_iter().partition(|(name, _)| name.starts_with(TEMPORARY_PREFIX));
    let of = |kind: Kind| move |(_, look): &(String, Look)| look.kind == kind;
    (
        temporary
            .into_iter()
            .filter(of(Kind::File))
            .filter(|(n, _)| is_temporary_name(n))
            .collect(),
        others.into_iter().filter(of(Kind::Directory)).collect(),
    )
}

/// The time by the server's clock, which also made the times of the files: that of a file made now. Two clocks that
/// differ would make the files of living writers look old.
async fn now(tree: &Tree, directory: &ObjectPath) -> Result<i64> {
    let probe = temporary_in(tree, directory);
    let probe = probe.as_str();
    let made = tree
        .run("write", directory, |session| async move {
            match make(&session, probe).await {
                Ok(look) => Ok(look.modified.unwrap_or_default()),
                Err(refusal) => Err(tree.write_failed(&session, directory, refusal).await),
            }
        })
        .await;
    delete::remove_file(tree, directory, probe).await?;
    made
}

async fn make(session: &Arc<Session>, probe: &str) -> Answer<Look> {
    let handle = session.create(probe).await?;
    let look = session.look_at(&handle).await;
    session.close(&handle).await?;
    look
}
