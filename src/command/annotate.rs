//! `annotate`: adds, changes or removes annotations of a backup. The manifest stays as it is; the
//! change is an object of its own.

use std::{collections::BTreeMap, io::Write};

use super::{
    Error, Result,
    context::{self, Repo},
    in_all::in_all,
};
use crate::{
    config::Config,
    repo::{
        annotation::{self, Change},
        lock,
    },
    types::{BackupLabel, StanzaName},
};

/// Annotates the backup in every repository that has it.
pub(super) async fn run(config: &Config, _out: &mut dyn Write) -> Result<u8> {
    let stanza = context::stanza(config)?;
    lock::check_not_stopped(&context::lock_path(config), stanza)?;
    let required =
        |option: &str| Error::OptionRequired { command: "annotate", option: option.to_owned() };
    let label = config.set.as_ref().ok_or_else(|| required("set"))?;
    let set: BTreeMap<String, String> = config.annotations.iter().cloned().collect();
    if set.is_empty() {
        return Err(required("annotation"));
    }
    annotate(&context::repos(config)?, stanza, label, &Change { set }).await?;
    Ok(0)
}

async fn annotate(
    repos: &[Repo],
    stanza: &StanzaName,
    label: &BackupLabel,
    change: &Change,
) -> Result<()> {
    in_all("annotate", repos, stanza, label, |repo, paths| async move {
        tracing::info!("backup set '{label}' to annotate found in repo{}", repo.key);
        annotation::add(&*repo.storage, &paths, change).await
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        command::testing::{manifest, repo_with_stanza, stanza_name},
        types::{ErrorCode, Failure},
    };

    const FULL: &str = "20261121-092452F";

    fn change(key: &str, value: &str) -> Change {
        Change { set: [(key.to_owned(), value.to_owned())].into() }
    }

    #[tokio::test]
    async fn changes_apply_in_order_in_every_repository_that_has_the_backup() {
        let dir = tempfile::tempdir().unwrap();
        let roots = [dir.path().join("1"), dir.path().join("2")];
        let repos = [repo_with_stanza(&roots[0], 1).await, repo_with_stanza(&roots[1], 2).await];
        let manifest = manifest(FULL, &[]);
        manifest.publish(&*repos[1].storage).await.unwrap();
        for change in [change("a", "1"), change("b", "2"), change("a", ""), change("b", "3")] {
            annotate(&repos, &stanza_name(), &manifest.label, &change).await.unwrap();
        }
        let holds = annotation::effective(&*repos[1].storage, &manifest).await.unwrap();
        assert_eq!(holds, BTreeMap::from([("b".to_owned(), "3".to_owned())]));
        assert!(!roots[0].join("backup").exists());
    }

    #[tokio::test]
    async fn a_backup_that_is_nowhere_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let repos = [repo_with_stanza(dir.path(), 1).await];
        let label = FULL.parse().unwrap();
        let error = annotate(&repos, &stanza_name(), &label, &change("a", "1")).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::BackupSetInvalid);
    }

    #[tokio::test]
    async fn a_damaged_repository_is_an_error_but_the_other_is_annotated() {
        let dir = tempfile::tempdir().unwrap();
        let roots = [dir.path().join("1"), dir.path().join("2")];
        let repos = [repo_with_stanza(&roots[0], 1).await, repo_with_stanza(&roots[1], 2).await];
        let manifest = manifest(FULL, &[]);
        for repo in &repos {
            manifest.publish(&*repo.storage).await.unwrap();
        }
        std::fs::write(roots[0].join("backup/demo").join(FULL).join("manifest"), "x").unwrap();
        let change = change("a", "1");
        let error = annotate(&repos, &stanza_name(), &manifest.label, &change).await.unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("annotate failed in 1 of 2 repositories:\nrepo1: "),
            "{message}"
        );
        let holds = annotation::effective(&*repos[1].storage, &manifest).await.unwrap();
        assert_eq!(holds.len(), 1);
    }
}
