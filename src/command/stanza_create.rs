//! `stanza-create`: makes a stanza for the cluster in every repository.

use std::io::Write;

use super::{
    Error, Result, cluster,
    context::{self, Repo},
    failures::in_each,
    own_place,
};
use crate::{
    config::Config,
    repo::{
        foreign, layout,
        lock::{self, Lock, LockKind},
        stanza::{self, ClusterId, Created, StanzaHistory},
    },
    types::{ErrorCode, StanzaName},
};

/// Makes the stanza; where it exists already for this cluster, that is fine.
pub(super) async fn run(config: &Config, _out: &mut dyn Write) -> Result<u8> {
    let stanza = context::stanza(config)?;
    if config.force {
        tracing::warn!("option 'force' is ignored: stanza-create overwrites no existing stanza");
    }
    lock::check_not_stopped(&context::lock_path(config), stanza)?;
    own_place::check(config, config.pgs.values().filter_map(|pg| pg.path.as_deref()))?;
    let cluster = cluster::connect(config).await?;
    let control_version = Some(cluster.facts.control_version);
    let repos = context::repos(config)?;
    let failures = in_each("stanza-create", &repos, async |repo| {
        tracing::info!("stanza-create for stanza '{stanza}' on repo{}", repo.key);
        let kind = LockKind::Backup { repo: repo.key };
        let _lock = Lock::acquire(&context::lock_path(config), stanza, kind, "stanza-create")?;
        create(repo, stanza, cluster.id(), control_version).await
    });
    let failures = failures.await?;
    cluster.sql.close().await;
    failures.finish().map(|()| 0)
}

async fn create(
    repo: &Repo,
    stanza: &StanzaName,
    cluster: ClusterId,
    control_version: Option<u32>,
) -> Result<()> {
    if !stanza::exists(&*repo.storage, stanza).await? {
        // Before anything is written, the key object too.
        foreign::refuse(&*repo.storage, stanza).await?;
    }
    repo.make_key("made by stanza-create").await?;
    refuse_leftovers(repo, stanza).await?;
    match stanza::create(&*repo.storage, stanza, cluster, control_version).await? {
        Created::New => {}
        Created::AlreadyThere => {
            tracing::info!("stanza '{stanza}' already exists on repo{} and is valid", repo.key);
        }
    }
    Ok(())
}

/// Backups or WAL without a history may be of another cluster: they must not become this one's.
async fn refuse_leftovers(repo: &Repo, stanza: &StanzaName) -> Result<()> {
    if StanzaHistory::read_opt(&*repo.storage, stanza).await?.is_some() {
        return Ok(());
    }
    for directory in [layout::backup_directory(stanza)?, layout::archive_directory(stanza)?] {
        if !repo.storage.list(&directory, false).await?.is_empty() {
            return Err(Error::Check {
                what: format!(
                    "'{}/{directory}' is not empty, but stanza '{stanza}' does not exist",
                    repo.storage.location()
                ),
                code: ErrorCode::PathNotEmpty,
                hint: "a stanza-delete may have been interrupted; run stop and stanza-delete to \
                       remove the rest"
                    .to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        command::testing::{cluster, manifest, repo, stanza_name},
        types::Failure,
    };

    #[tokio::test]
    async fn the_same_cluster_again_is_fine_and_another_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (repo, stanza) = (repo(dir.path(), 1), stanza_name());
        create(&repo, &stanza, cluster(7), Some(1300)).await.unwrap();
        create(&repo, &stanza, cluster(7), Some(1300)).await.unwrap();
        let refused = create(&repo, &stanza, cluster(8), Some(1300)).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::FileInvalid);
        assert!(refused.hint().unwrap().contains("stanza-upgrade"), "{refused:?}");
        let history = StanzaHistory::read(&*repo.storage, &stanza).await.unwrap();
        assert_eq!((history.entries().len(), history.current().cluster), (1, cluster(7)));
    }

    #[tokio::test]
    async fn what_another_cluster_may_have_left_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (repo, stanza) = (repo(dir.path(), 1), stanza_name());
        manifest("20261121-092452F", &[]).publish(&*repo.storage).await.unwrap();
        let refused = create(&repo, &stanza, cluster(7), None).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::PathNotEmpty);
    }
}
