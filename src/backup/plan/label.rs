//! Chooses the label of a new backup: the time it starts, but always later than every label there is.

use jiff::{Zoned, civil::DateTime};

use crate::{
    backup::Result,
    repo::backup_list,
    storage::Storage,
    types::{BackupLabel, BackupType, StanzaName},
};

const STAMP: &str = "%Y%m%d-%H%M%S";

/// The label for a backup that starts now and builds on `prior`.
pub(in crate::backup) async fn choose(
    storage: &dyn Storage,
    stanza: &StanzaName,
    kind: BackupType,
    prior: Option<&BackupLabel>,
) -> Result<BackupLabel> {
    // Directories and not manifests: an interrupted backup may have left objects under its label, and a write that it gave
    // up may still take effect.
    let taken = backup_list::directories(storage, stanza).await?;
    let newest = taken.last().map(BackupLabel::stamp);
    let stamp = stamp_after(Zoned::now().datetime(), newest);
    Ok(match prior {
        None => BackupLabel::full(&stamp)?,
        Some(prior) => BackupLabel::dependent(prior, kind, &stamp)?,
    })
}

/// The stamp of `now`, or, where the clock stands still or went back, a second after `newest`.
fn stamp_after(now: DateTime, newest: Option<&str>) -> String {
    let stamp = now.strftime(STAMP).to_string();
    match newest {
        Some(newest) if newest >= stamp.as_str() => match DateTime::strptime(STAMP, newest) {
            Ok(newest) => {
                newest.saturating_add(jiff::Span::new().seconds(1)).strftime(STAMP).to_string()
            }
            Err(_) => stamp,
        },
        _ => stamp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stay_ordered_when_the_clock_does_not() {
        let now = jiff::civil::date(2026, 11, 21).at(9, 24, 59, 0);
        assert_eq!(stamp_after(now, None), "20261121-092459");
        assert_eq!(stamp_after(now, Some("20261121-092458")), "20261121-092459");
        assert_eq!(stamp_after(now, Some("20261121-092459")), "20261121-092500");
        assert_eq!(stamp_after(now, Some("20261231-235959")), "20270101-000000");
    }
}
