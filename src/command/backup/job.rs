//! A backup in the making: its name is taken, and everybody who looks at the repository can see that it
//! has begun.

use super::{label, prior, prior::Choice, summaries::ChangeDetection};
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
        let (label, paths) = take_label(&repo, stanza, &choice).await?;
        let started_us = jiff::Timestamp::now().as_microsecond();
        let job = Self { config, stanza, repo, entry, choice, changes, label, paths, started_us };
        // With the notice in place, nobody removes them any more; before it, somebody may have.
        prior::check_references(&job.repo, stanza, &job.choice.references()).await?;
        Ok(job)
    }

    /// The notice must still be there: an expire that saw no sign of life for a day takes it away, and
    /// with it what this backup has written.
    pub(super) async fn check_notice(&self) -> Result<()> {
        match Started::read(&*self.repo.storage, &self.paths).await {
            Err(error) if error.is_not_found() => Err(Error::Check {
                what: format!(
                    "backup {} was taken for an interrupted one, and what it wrote was removed",
                    self.label
                ),
                code: ErrorCode::FileMissing,
                hint: "an expire found no new object of it for a day; take the backup again"
                    .to_owned(),
            }),
            other => Ok(other.map(drop)?),
        }
    }
}

async fn take_label(
    repo: &Repo,
    stanza: &StanzaName,
    choice: &Choice,
) -> Result<(BackupLabel, BackupPaths)> {
    let prior = choice.base.as_ref().map(|base| &base.manifest.label);
    let mut tries = 0;
    loop {
        let label = label::choose(&*repo.storage, stanza, choice.kind, prior).await?;
        let paths = BackupPaths::new(stanza, &label).map_err(repo::Error::from)?;
        tries += 1;
        match notice(choice).write(&*repo.storage, &paths).await {
            Ok(()) => return Ok((label, paths)),
            Err(repo::Error::Storage(error))
                if error.kind() == ErrorKind::AlreadyExists && tries < TRIES_MAX => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn notice(choice: &Choice) -> Started {
    Started {
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        process: std::process::id(),
        time: jiff::Timestamp::now().as_second(),
        references: choice.references(),
        copies: None,
    }
}
