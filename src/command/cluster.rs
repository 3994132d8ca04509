//! Which cluster the configuration means, and which of its servers is what: the connections say, and
//! the data directories, where this host can read them, must agree.

mod directory;

use super::{Error, Result, context};
use crate::{
    config::{BackupStandby, Config, PgConfig},
    postgres::{ConnectOptions, ServerFacts, SqlClient},
    repo::stanza::ClusterId,
    types::{ErrorCode, Failure, SystemId, TimeLine},
};

/// A session with a server of the cluster, and what it is.
pub(super) struct Connected {
    /// N of its pgN options.
    pub(super) key: u16,
    /// How it was connected to.
    pub(super) options: ConnectOptions,
    /// The session.
    pub(super) sql: SqlClient,
    /// What the server says of itself.
    pub(super) facts: ServerFacts,
}

impl Connected {
    /// What identifies the cluster to a stanza.
    pub(super) fn id(&self) -> ClusterId {
        ClusterId { system_id: self.facts.system_id, version: self.facts.version }
    }
}

/// The servers of the cluster that can be reached.
pub(super) struct Servers<S = Connected> {
    /// The primary.
    pub(super) primary: Option<S>,
    /// The first standby.
    pub(super) standby: Option<S>,
}

impl Servers {
    /// The server that stands for the cluster: the primary, else a standby.
    pub(super) fn into_first(self) -> Option<Connected> {
        self.primary.or(self.standby)
    }

    fn add(&mut self, server: Connected) -> Result<()> {
        let others = self.primary.iter().chain(&self.standby);
        if let Some(other) = others.into_iter().find(|other| other.id() != server.id()) {
            return Err(different_clusters(other, &server));
        }
        match (server.facts.in_recovery, &self.primary) {
            (true, _) => {
                self.standby.get_or_insert(server);
            }
            (false, None) => self.primary = Some(server),
            (false, Some(first)) => return Err(two_primaries(first.key, server.key)),
        }
        Ok(())
    }
}

impl<S> Servers<S> {
    /// The server that a backup's files would come from, where one could be taken.
    pub(super) fn source(&self, wanted: BackupStandby) -> Option<&S> {
        match wanted {
            BackupStandby::No => self.primary.as_ref(),
            BackupStandby::Yes => self.standby.as_ref(),
            BackupStandby::Prefer => self.standby.as_ref().or(self.primary.as_ref()),
        }
    }

    /// Takes the server that a backup's files come from, as `backup-standby` says; the primary is left
    /// where that is a standby.
    pub(super) fn take_source(&mut self, wanted: BackupStandby) -> Result<S> {
        let no_primary = || Error::Check {
            what: "unable to find primary cluster - cannot proceed".to_owned(),
            code: ErrorCode::DbConnect,
            hint: "are all available clusters in recovery? backup-standby=y takes a backup from a \
                   standby"
                .to_owned(),
        };
        let no_standby = || Error::Check {
            what: "unable to find standby cluster - cannot proceed".to_owned(),
            code: ErrorCode::DbConnect,
            hint:
                "backup-standby=prefer takes the backup from the primary where no standby can be \
                   reached"
                    .to_owned(),
        };
        match wanted {
            BackupStandby::No => self.primary.take().ok_or_else(no_primary),
            BackupStandby::Yes => self.standby.take().ok_or_else(no_standby),
            BackupStandby::Prefer => match self.standby.take() {
                Some(standby) => Ok(standby),
                None => {
                    let primary = self.primary.take().ok_or_else(no_primary)?;
                    tracing::warn!("no standby can be reached: backing up from the primary");
                    Ok(primary)
                }
            },
        }
    }
}

/// Connects to every configured server, and makes sure that data directories are theirs. One of several
/// that cannot be reached is passed over with a warning.
pub(super) async fn servers(config: &Config) -> Result<Servers> {
    let mut servers = Servers { primary: None, standby: None };
    let mut unreachable = None;
    for pg in config.pgs.values() {
        match connect_to(config, pg).await {
            Ok(server) => servers.add(server)?,
            Err(error @ Error::Postgres(_)) if config.pgs.len() > 1 => {
                let code = error.code().exit_code();
                tracing::warn!("unable to check pg{}: [{code:03}] {error}", pg.key);
                unreachable.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match (unreachable, &servers) {
        (Some(error), Servers { primary: None, standby: None }) => Err(error),
        _ => Ok(servers),
    }
}

/// Connects to the configured cluster: its primary, else a standby.
pub(super) async fn connect(config: &Config) -> Result<Connected> {
    let missing = || Error::OptionRequired { command: "this", option: "pg1-path".to_owned() };
    servers(config).await?.into_first().ok_or_else(missing)
}

/// The primary that is on `timeline`, of those that are configured and can be reached.
pub(super) async fn primary_on(
    config: &Config,
    timeline: TimeLine,
    system_id: SystemId,
) -> Option<Connected> {
    for pg in config.pgs.values() {
        let looked = async {
            let server = connect_to(config, pg).await?;
            let is_primary = !server.facts.in_recovery && server.facts.system_id == system_id;
            let found = is_primary && server.sql.current_timeline().await? == timeline;
            Ok::<_, Error>(found.then_some(server))
        };
        match looked.await {
            Ok(Some(server)) => return Some(server),
            Ok(None) => {}
            Err(error) => tracing::info!("unable to check pg{} again: {error}", pg.key),
        }
    }
    None
}

async fn connect_to(config: &Config, pg: &PgConfig) -> Result<Connected> {
    let options = context::connect_options(config, pg)?;
    let sql = SqlClient::connect(&options).await?;
    let facts = sql.server_facts().await?;
    let connected = Connected { key: pg.key, options, sql, facts };
    directory::check(pg, &connected).await?;
    Ok(connected)
}

fn two_primaries(first: u16, second: u16) -> Error {
    Error::Check {
        what: format!("more than one primary cluster found: pg{first} and pg{second}"),
        code: ErrorCode::DbConnect,
        hint: "the pgN options of a stanza name one primary and its standbys".to_owned(),
    }
}

fn different_clusters(first: &Connected, second: &Connected) -> Error {
    Error::Check {
        what: format!("pg{} is {}, but pg{} is {}", first.key, first.id(), second.key, second.id()),
        code: ErrorCode::DbMismatch,
        hint: "the pgN options of a stanza name servers of one cluster".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reachable(primary: bool, standby: bool) -> Servers<&'static str> {
        Servers { primary: primary.then_some("primary"), standby: standby.then_some("standby") }
    }

    #[test]
    fn the_source_is_what_backup_standby_says() {
        use BackupStandby::{No, Prefer, Yes};
        for (wanted, primary, standby, expected) in [
            (No, true, true, Some("primary")),
            (No, true, false, Some("primary")),
            (No, false, true, None),
            (Yes, true, true, Some("standby")),
            (Yes, false, true, Some("standby")),
            (Yes, true, false, None),
            (Prefer, true, true, Some("standby")),
            (Prefer, false, true, Some("standby")),
            (Prefer, true, false, Some("primary")),
            (Prefer, false, false, None),
        ] {
            let mut servers = reachable(primary, standby);
            let found = servers.take_source(wanted);
            let left = primary && expected != Some("primary");
            assert_eq!(servers.primary.is_some(), left, "{wanted:?}");
            match (found, expected) {
                (Ok(found), Some(expected)) => assert_eq!(found, expected, "{wanted:?}"),
                (Err(error), None) => assert_eq!(error.code(), ErrorCode::DbConnect),
                (found, _) => panic!("{wanted:?}: {found:?}"),
            }
        }
    }
}
