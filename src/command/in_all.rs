//! A change to one backup in every repository that has it.

use super::{Error, Result, context::Repo, failures::in_each};
use crate::{
    repo::{self, foreign, layout::BackupPaths, manifest::Manifest},
    types::{BackupLabel, ErrorCode, StanzaName},
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
    let mut found = false;
    let failures = in_each(command, repos, async |repo| {
        match Manifest::read(&*repo.storage, stanza, label).await {
            Err(repo::Error::BackupMissing { .. }) => {
                return match foreign::of_stanza(&*repo.storage, stanza).await? {
                    Some(error) => Err(error.into()),
                    None => Ok(()),
                };
            }
            manifest => manifest?,
        };
        change(repo.clone(), BackupPaths::new(stanza, label)?).await?;
        found = true;
        Ok(())
    });
    failures.await?.finish()?;
    if !found {
        return Err(Error::Check {
            what: format!("no backup set to {command} found: '{label}'"),
            code: ErrorCode::BackupSetInvalid,
            hint: "info lists the backups that exist".to_owned(),
        });
    }
    Ok(())
}
