//! `info`: what backups and WAL there are. Reads one small object for each backup, and never fails
//! because of what it finds: an error is part of what it shows.

mod assemble;
mod gather;

use std::{io::Write, path::PathBuf};

use jiff::tz::TimeZone;

use super::{
    Error, Result,
    context::{self, Repo},
};
use crate::{
    config::{Config, OutputFormat},
    types::{BackupLabel, BackupType, ErrorCode, Failure, StanzaName},
    ui::info::{Detail, StanzaInfo, to_json, to_text},
};

/// What is to be shown.
#[derive(Clone, Debug)]
struct Query {
    /// Only this stanza.
    stanza: Option<StanzaName>,
    /// Where the locks are that tell what runs.
    lock_path: PathBuf,
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
    refuse_if_none_opens(&repos).await?;
    let found = gather::gather(&repos, &query).await;
    let stanzas: Vec<StanzaInfo> =
        found.iter().map(|stanza| assemble::assemble(stanza, &query)).collect();
    let text = match config.output {
        OutputFormat::Text => to_text(&stanzas, query.detail, &TimeZone::system()),
        OutputFormat::Json => to_json(&stanzas, query.detail).map_err(std::io::Error::from)?,
    };
    out.write_all(text.as_bytes())?;
    Ok(0)
}

/// A wrong pass phrase is an error where nothing else could be shown; else it is part of what is shown.
async fn refuse_if_none_opens(repos: &[Repo]) -> Result<()> {
    let mut refused = None;
    for repo in repos {
        match repo.unlock().await {
            Err(error) if error.code() == ErrorCode::Crypto => refused = refused.or(Some(error)),
            _ => return Ok(()),
        }
    }
    refused.map_or(Ok(()), |error| Err(error.into()))
}

fn query(config: &Config) -> Result<Query> {
    let refused = |what: &str| {
        Err(Error::Parameter { what: what.to_owned(), code: ErrorCode::OptionInvalid })
    };
    let set = config.set.clone();
    let detail = match (&set, config.info.progress_only) {
        (Some(_), true) => {
            return refused("option 'set' cannot be used with option 'detail-level' = 'progress'");
        }
        (Some(_), _) if config.stanza.is_none() => {
            return refused("option 'set' not valid without option 'stanza'");
        }
        (Some(_), false) => Detail::Set,
        (None, true) => Detail::Progress,
        (None, false) => Detail::Full,
    };
    Ok(Query {
        stanza: config.stanza.clone(),
        lock_path: config.lock_path.clone(),
        detail,
        set,
        kind: config.info.kind,
    })
}
