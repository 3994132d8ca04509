//! A change to one backup in every repository that has it: one that fails does not keep the others from
//! being changed.

use super::{Error, Result, context::Repo};
use crate::{
    repo::{self, foreign, layout::BackupPaths, manifest::Manifest},
    types::{BackupLabel, ErrorCode, Failure, StanzaName},
};

/// Applies `change` in every repository that has the backup; `command` is the word for it.
pub(super) async fn in_all<F>(
    command: &'static str,
    repos: &[Repo],
    stanza: &StanzaName,
    label: &BackupLabel,
    change: impl Fn(Repo, BackupPaths) -> F,
) -> Result<()>
where
    F: Future<Output = std::result::Result<(), repo::Error>>,
{
    if let [only] = repos {
        only.unlock().await?;
    }
    let (mut found, mut failed) = (0, 0);
    for repo in repos {
        let changed = async {
            match Manifest::read(&*repo.storage, stanza, label).await {
                Err(repo::Error::BackupMissing { .. }) => {
                    return match foreign::of_stanza(&*repo.storage, stanza).await? {
                        Some(error) => Err(error),
                        None => Ok(false),
                    };
                }
                manifest => manifest?,
            };
            change(repo.clone(), BackupPaths::new(stanza, label)?).await.map(|()| true)
        };
        match changed.await {
            Ok(true) => found += 1,
            Ok(false) => {}
            Err(error @ repo::Error::Foreign { .. }) if repos.len() == 1 => {
                return Err(error.into());
            }
            Err(error) => {
                let hint = error.hint().unwrap_or_default();
                let code = u64::from(error.code().exit_code());
                tracing::error!(code, hint, "repo{}: {error}", repo.key);
                failed += 1;
            }
        }
    }
    match (found, failed) {
        (_, 1..) => Err(Error::Check {
            what: format!("{command} command encountered {failed} error(s)"),
            code: ErrorCode::Command,
            hint: format!(
                "the errors are in the log; run {command} again once their cause is gone"
            ),
        }),
        (0, 0) => Err(Error::Check {
            what: format!("no backup set to {command} found: '{label}'"),
            code: ErrorCode::BackupSetInvalid,
            hint: "info lists the backups that exist".to_owned(),
        }),
        _ => Ok(()),
    }
}
