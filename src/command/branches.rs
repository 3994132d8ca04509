//! Says where two servers archive into one stanza: `check` and `backup` are run often, and know on which timeline
//! their server is; `verify` sees it in the repository alone.

use super::Result;
use crate::{
    repo::archive::WalArchive,
    restore::{self, Branch, COPY_HINT},
    types::{TimeLine, WalSegmentSize},
};

/// Warns of each branch in the archive of repository `repo`; `server` is the timeline that the server is on.
pub(super) async fn warn(
    archive: &WalArchive,
    repo: u16,
    size: WalSegmentSize,
    server: TimeLine,
) -> Result<()> {
    for branch in restore::branches_in(archive, size).await? {
        tracing::warn!("{}\nHINT: {COPY_HINT}", sentence(&branch, repo, server));
    }
    Ok(())
}

/// Warns of a branch that was found without asking a server.
pub(super) fn warn_of(branch: &Branch, repo: u16) {
    tracing::warn!("{}\nHINT: {COPY_HINT}", found(branch, repo));
}

fn sentence(branch: &Branch, repo: u16, server: TimeLine) -> String {
    format!("{}; this server is on timeline {server}", found(branch, repo))
}

fn found(branch: &Branch, repo: u16) -> String {
    let newest = branch.newest_timeline();
    let newest = newest.map(|newest| format!("; timeline {newest} has the newest WAL"));
    format!(
        "two servers archive into this stanza on repo{repo}: {branch}{}",
        newest.unwrap_or_default()
    )
}
