//! Verifies the stanza's history.

use super::{Error, FaultKind, findings::Findings};
use crate::{
    repo::{
        layout::{self, number_of},
        stanza::{self, StanzaEntry},
    },
    storage::{EntryKind, Storage},
    types::{HistoryId, StanzaName},
};

/// An entry that cannot be read is a fault.
pub(super) async fn check(
    storage: &dyn Storage,
    stanza: &StanzaName,
    findings: &mut Findings,
) -> Result<Vec<StanzaEntry>, Error> {
    let directory = layout::stanza_directory(stanza)?;
    let (mut entries, mut seen) = (Vec::new(), 0);
    for listed in storage.list(&directory, true).await? {
        let EntryKind::Object { size } = listed.kind else { continue };
        let number = number_of(listed.path.file_name());
        let Some(id) = number.filter(|_| listed.path.parent() == directory) else {
            findings.add(
                listed.path.as_str(),
                FaultKind::Orphan,
                "its name is not that of a history entry",
            );
            continue;
        };
        for lost in seen + 1..id {
            let object = layout::stanza_entry(stanza, HistoryId(lost))?;
            findings.add(
                object.as_str(),
                FaultKind::Missing,
                "it does not exist, but later entries do",
            );
        }
        seen = id;
        findings.count(size, 0);
        match stanza::read_entry(storage, stanza, HistoryId(id)).await {
            Ok(entry) => entries.push(entry),
            Err(error) => drop(findings.add_error(listed.path.as_str(), &error)),
        }
    }
    match seen {
        0 => Err(stanza::missing(storage, stanza).await.into()),
        _ => Ok(entries),
    }
}
