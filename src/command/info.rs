//! `info`: what backups and WAL there are. Reads one small object for each backup, and never fails
//! because of what it finds: an error is part of what it shows.

mod assemble;
mod gather;

use std::{collections::BTreeMap, io::Write};

use futures_util::future::join_all;
use jiff::tz::TimeZone;

use self::gather::Closed;

use super::{
    Error, Result,
    context::{self, Repo},
};
use crate::{
    config::{Config, DetailLevel, OutputFormat},
    host::LockPath,
    repo,
    types::{BackupLabel, BackupType, ErrorCode, Failure, StanzaName},
    ui::info::{Detail, StanzaInfo, to_json, to_text},
};

/// What is to be shown.
#[derive(Clone, Debug)]
struct Query {
    /// Only this stanza.
    stanza: Option<StanzaName>,
    /// Where the locks are that tell what runs.
    lock_path: LockPath,
    detail: Detail,
    /// Only this backup.
    set: Option<BackupLabel>,
    /// Only backups of this type.
    kind: Option<BackupType>,
}

/// Shows what there is.
pub(super) async fn run(config: &Config, out: &mut dyn Write) -> Result<u8> {
    let query = query(config)?;
    let repos = context::repos(config)?;
    let closed = closed(&repos).await?;
    let found = gather::gather(&repos, &closed, &query).await;
    let stanzas: Vec<StanzaInfo> =
        found.iter().map(|stanza| assemble::assemble(stanza, &query)).collect();
    let text = match config.output {
        OutputFormat::Text => to_text(&stanzas, query.detail, &TimeZone::system()),
        OutputFormat::Json => to_json(&stanzas, query.detail).map_err(std::io::Error::from)?,
    };
    out.write_all(text.as_bytes())?;
    Ok(0)
}

/// The repositories that do not open, and why. A wrong pass phrase is an error where nothing else could be shown; else it
/// is part of what is shown. A store that does not answer is waited for here, and not once more.
async fn closed(repos: &[Repo]) -> Result<Closed> {
    let opened = join_all(repos.iter().map(Repo::unlock)).await;
    let failed =
        repos.iter().zip(opened).filter_map(|(repo, opened)| Some((repo.key, opened.err()?)));
    let mut closed: BTreeMap<u16, repo::Error> = failed.collect();
    let is_refused = |error: &repo::Error| error.code() == ErrorCode::Crypto;
    if closed.len() == repos.len()
        && closed.values().all(is_refused)
        && let Some((_, error)) = closed.pop_first()
    {
        return Err(error.into());
    }
    Ok(closed.iter().map(|(key, error)| (*key, gather::describe(error))).collect())
}

fn query(config: &Config) -> Result<Query> {
    let refused = |what: &str| {
        Err(Error::Parameter { what: what.to_owned(), code: ErrorCode::OptionInvalid })
    };
    let set = config.set.clone();
    let detail = match (&set, config.info.detail_level) {
        (Some(_), DetailLevel::Progress) => {
            return refused("option 'set' cannot be used with option 'detail-level' = 'progress'");
        }
        (Some(_), _) if config.stanza.is_none() => {
            return refused("option 'set' not valid without option 'stanza'");
        }
        (Some(_), DetailLevel::Full) => Detail::Set,
        (None, DetailLevel::Progress) => Detail::Progress,
        (None, DetailLevel::Full) => Detail::Full,
    };
    Ok(Query {
        stanza: config.stanza.clone(),
        lock_path: context::lock_path(config),
        detail,
        set,
        kind: config.info.kind,
    })
}
