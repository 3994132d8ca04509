//! What `repo-key status` shows.

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    command::Result,
    repo::{self, recipient::Recipient, recipient::RecipientId},
    ui,
};

type Read = (RecipientId, std::result::Result<Recipient, repo::Error>);

/// All of it, as JSON.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    cipher: &'static str,
    recipient: Vec<Shown>,
    repo_key: u16,
}

/// A recipient.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    comment: String,
    data_key: Option<String>,
    /// Why its key object cannot be read.
    error: Option<String>,
    id: String,
    kdf: Option<KdfShown>,
    /// Seconds since 1970.
    made: Option<i64>,
    /// Whether the configured pass phrase is its.
    opens: bool,
}

/// What a derivation costs.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct KdfShown {
    lanes: u32,
    memory_kib: u32,
    name: &'static str,
    passes: u32,
}

pub(super) fn text(recipients: &[Read], used: Option<RecipientId>) -> String {
    let row = |(id, read): &Read| {
        let opens = if used == Some(*id) { "yes" } else { "no" }.to_owned();
        match read {
            Ok(recipient) => {
                let kdf = recipient.kdf;
                let cost = format!(
                    "argon2id, m={} KiB, t={}, p={}",
                    kdf.memory_kib, kdf.passes, kdf.lanes
                );
                vec![id.to_string(), opens, made(recipient.made), cost, recipient.comment.clone()]
            }
            Err(error) => {
                vec![id.to_string(), opens, String::new(), String::new(), error.to_string()]
            }
        }
    };
    let rows: Vec<Vec<String>> = recipients.iter().map(row).collect();
    ui::table(&["recipient", "opens", "made", "key derivation", "comment"], &rows)
}

fn made(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

pub(super) fn json(
    repo_key: u16,
    cipher: &'static str,
    recipients: &[Read],
    used: Option<RecipientId>,
) -> Result<String> {
    let shown = |(id, read): &Read| {
        let shown = Shown { id: id.to_string(), opens: used == Some(*id), ..Shown::default() };
        match read {
            Ok(recipient) => Shown {
                comment: recipient.comment.clone(),
                data_key: Some(recipient.data_key.to_string()),
                kdf: Some(KdfShown {
                    lanes: recipient.kdf.lanes,
                    memory_kib: recipient.kdf.memory_kib,
                    name: "argon2id",
                    passes: recipient.kdf.passes,
                }),
                made: Some(recipient.made),
                ..shown
            },
            Err(error) => Shown { error: Some(error.to_string()), ..shown },
        }
    };
    let report = Report { cipher, recipient: recipients.iter().map(shown).collect(), repo_key };
    let text = serde_json::to_string(&report).map_err(std::io::Error::from)?;
    Ok(text + "\n")
}
