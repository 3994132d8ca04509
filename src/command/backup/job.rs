//! A backup in the making: its name is taken, and everybody who looks at the repository can see that it
//! has begun.

use super::{base, base::Choice, change_detection::ChangeDetection, label};
use crate::{
    command::{
        Error, Result,
        context::{self, Repo},
    },
    config::Config,
    repo::{self, layout::BackupPaths, stanza::StanzaEntry, started::Started},
    storage::ErrorKind,
    types::{BackupLabel, ErrorCode, StanzaName},
};

/// How often a label that another host took in the same second is stepped over.
const TRIES_MAX: usize = 10;

/// A backup in the making.
pub(super) struct Job<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The stanza.
    pub stanza: &'a StanzaName,
    /// The repository.
    pub repo: Repo,
    /// The cluster in the stanza's history.
    pub entry: StanzaEntry,
    /// Its type, and what it builds on.
    pub choice: Choice,
    /// How it is found out what has changed.
    pub changes: Option<ChangeDetection>,
    /// The label.
    pub label: BackupLabel,
    /// The backup's paths in the repository.
    pub paths: BackupPaths,
    /// The notice that it has begun, by which its objects are known to be its own.
    notice: Started,
    /// When it began, microseconds since 1970.
    pub started_us: i64,
}

impl<'a> Job<'a> {
    /// A backup that starts now: takes a label and leaves the notice that it has begun.
    pub(super) async fn begin(
        config: &'a Config,
        repo: Repo,
        entry: StanzaEntry,
        choice: Choice,
        changes: Option<ChangeDetection>,
    ) -> Result<Self> {
        let stanza = context::stanza(config)?;
        let Taken { label, paths, notice } = take_label(&repo, stanza, &choice).await?;
        let started_us = jiff::Timestamp::now().as_microsecond();
        let job =
            Self { config, stanza, repo, entry, choice, changes, label, paths, notice, started_us };
        // With the notice in place, no expire removes them any more; before it, one may have.
        base::check_references(&job.repo, stanza, &job.choice.references()).await?;
        Ok(job)
    }

    /// Whether the label is still this backup's: an expire that saw no sign of life for a day takes the notice away, and
    /// with it what this backup has written. A notice with another nonce is of another backup.
    pub(super) async fn owns_label(&self) -> std::result::Result<bool, repo::Error> {
        let found = Started::read_opt(&*self.repo.storage, &self.paths).await?;
        Ok(found.as_ref() == Some(&self.notice))
    }

    /// An error unless the label is still this backup's.
    pub(super) async fn check_notice(&self) -> Result<()> {
        match self.owns_label().await? {
            true => Ok(()),
            false => Err(self.removed()),
        }
    }

    /// The error of a backup whose objects were taken away.
    pub(super) fn removed(&self) -> Error {
        Error::Check {
            what: format!(
                "backup {} was taken for an interrupted one, and its label is no longer its own",
                self.label
            ),
            code: ErrorCode::FileMissing,
            hint: "an expire found no new object of it for a day, or another host took the label; \
                   take the backup again"
                .to_owned(),
        }
    }
}

/// A label that this backup has, with the notice that says so.
struct Taken {
    label: BackupLabel,
    paths: BackupPaths,
    notice: Started,
}

async fn take_label(repo: &Repo, stanza: &StanzaName, choice: &Choice) -> Result<Taken> {
    let prior = choice.base.as_ref().map(|base| &base.manifest.label);
    let mut tries = 0;
    loop {
        let label = label::choose(&*repo.storage, stanza, choice.kind, prior).await?;
        let paths = BackupPaths::new(stanza, &label).map_err(repo::Error::from)?;
        tries += 1;
        let notice = Started::now(choice.references(), None);
        match notice.write(&*repo.storage, &paths).await {
            Ok(()) => return Ok(Taken { label, paths, notice }),
            Err(repo::Error::Storage(error))
                if error.kind() == ErrorKind::AlreadyExists && tries < TRIES_MAX => {}
            Err(error) => return Err(error.into()),
        }
    }
}
