//! `info`: what backups and WAL there are. Reads one small object for each backup, and never fails
//! because of what it finds: an error is part of what it shows.

mod assemble;
mod gather;

use std::{collections::BTreeSet, io::Write, path::PathBuf};

use jiff::tz::TimeZone;

use super::{Error, Result, context};
use crate::{
    config::{CipherConfig, Config, OutputFormat},
    types::{BackupLabel, BackupType, ErrorCode, StanzaName},
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
    /// The repositories that are encrypted.
    encrypted: BTreeSet<u16>,
}

/// Shows what there is.
pub(super) async fn run(config: &Config, out: &mut dyn Write) -> Result<u8> {
    let query = query(config)?;
    let found = gather::gather(&context::repos(config)?, &query).await;
    let stanzas: Vec<StanzaInfo> =
        found.iter().map(|stanza| assemble::assemble(stanza, &query)).collect();
    let text = match config.output {
        OutputFormat::Text => to_text(&stanzas, query.detail, &TimeZone::system()),
        OutputFormat::Json => to_json(&stanzas, query.detail).map_err(std::io::Error::from)?,
    };
    out.write_all(text.as_bytes())?;
    Ok(0)
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
        encrypted: config
            .repos
            .values()
            .filter(|repo| !matches!(repo.cipher, CipherConfig::None))
            .map(|repo| repo.key)
            .collect(),
    })
}
