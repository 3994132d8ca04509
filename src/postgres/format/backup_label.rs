//! `backup_label`: the start of recovery from a backup (`build_backup_content` in
//! `src/backend/access/transam/xlogbackup.c`).

use std::str::FromStr;

use crate::{
    postgres::{Error, Result},
    types::{Lsn, TimeLine, WalSegment},
};

const FILE: &str = "backup_label";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupLabelFile {
    /// The redo position, where recovery begins.
    pub start: Lsn,
    /// The segment with that position.
    pub start_segment: WalSegment,
    /// The end of the backup; present only in the backup history file, which the server archives.
    pub stop: Option<Lsn>,
    /// Position of the checkpoint record.
    pub checkpoint: Lsn,
    /// The timeline of the start.
    pub timeline: TimeLine,
    pub from_standby: bool,
    pub label: String,
    /// Start and timeline of the prior backup of an incremental one (17+).
    pub incremental_from: Option<(Lsn, TimeLine)>,
}

impl BackupLabelFile {
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        // The label is free text and may contain line breaks. The fields after it are searched from the end of the
        // file, so that a line of the label is not taken for a field.
        let (head, tail) = text.split_once("\nLABEL: ").unwrap_or((&text, ""));
        let first = |name: &str| head.lines().find_map(|line| value(line, name));
        let last = |name: &str| tail.lines().skip(1).filter_map(|line| value(line, name)).last();
        let start = required("START WAL LOCATION", first("START WAL LOCATION"))?;
        let (start, segment) = start
            .split_once(" (file ")
            .ok_or_else(|| Error::format(FILE, "START WAL LOCATION does not name its file"))?;
        let stop =
            first("STOP WAL LOCATION").map(|text| text.split(" (file ").next().unwrap_or(text));
        let stop = stop.map(|stop| parsed("STOP WAL LOCATION", stop)).transpose()?;
        let incremental = match (last("INCREMENTAL FROM LSN"), last("INCREMENTAL FROM TLI")) {
            (Some(lsn), Some(timeline)) => Some((
                parsed("INCREMENTAL FROM LSN", lsn)?,
                TimeLine(parsed("INCREMENTAL FROM TLI", timeline)?),
            )),
            _ => None,
        };
        let checkpoint = required("CHECKPOINT LOCATION", first("CHECKPOINT LOCATION"))?;
        let timeline = required("START TIMELINE", last("START TIMELINE"))?;
        Ok(Self {
            start: parsed("START WAL LOCATION", start)?,
            start_segment: parsed("START WAL LOCATION", segment.trim_end_matches(')'))?,
            stop,
            checkpoint: parsed("CHECKPOINT LOCATION", checkpoint)?,
            timeline: TimeLine(parsed("START TIMELINE", timeline)?),
            from_standby: first("BACKUP FROM") == Some("standby"),
            label: tail.lines().next().unwrap_or_default().to_owned(),
            incremental_from: incremental,
        })
    }
}

/// Removes the lines INCREMENTAL FROM LSN and INCREMENTAL FROM TLI, with which PostgreSQL refuses to start. A label
/// without them is returned unchanged.
pub fn plain_backup_label(bytes: &[u8]) -> Result<&[u8]> {
    let mut plain = bytes;
    for name in ["INCREMENTAL FROM TLI", "INCREMENTAL FROM LSN"] {
        let body = plain.strip_suffix(b"\n").unwrap_or(plain);
        let last_at = body.iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1);
        if body[last_at..].starts_with(name.as_bytes()) {
            plain = &plain[..last_at];
        }
    }
    match BackupLabelFile::parse(plain)?.incremental_from {
        None => Ok(plain),
        Some(_) => Err(Error::format(FILE, "it names a prior backup, but none is expected")),
    }
}

fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.strip_prefix(name)?.strip_prefix(": ")
}

fn required<'a>(name: &str, value: Option<&'a str>) -> Result<&'a str> {
    value.ok_or_else(|| Error::format(FILE, format!("there is no {name}")))
}

fn parsed<T: FromStr>(name: &str, text: &str) -> Result<T> {
    text.parse()
        .map_err(|_| Error::format(FILE, format!("{name} cannot be '{}'", text.escape_debug())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: &str = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n\
        CHECKPOINT LOCATION: 0/2000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\n\
        START TIME: 2026-11-21 11:43:49 UTC\nLABEL: nightly\nSTART TIMELINE: 1\n";

    #[test]
    fn fields() {
        let label = BackupLabelFile::parse(PLAIN.as_bytes()).unwrap();
        assert_eq!(label.start, Lsn(0x200_0028));
        assert_eq!(label.checkpoint, Lsn(0x200_0060));
        assert_eq!(label.start_segment.to_string(), "000000010000000000000002");
        assert_eq!((label.timeline, label.from_standby), (TimeLine(1), false));
        assert_eq!((label.label.as_str(), label.stop), ("nightly", None));
        let archived = PLAIN.replace(
            "CHECKPOINT",
            "STOP WAL LOCATION: 0/3000050 (file 000000010000000000000003)\nCHECKPOINT",
        );
        let archived = BackupLabelFile::parse(archived.as_bytes()).unwrap();
        assert_eq!((archived.start, archived.stop), (label.start, Some(Lsn(0x300_0050))));
        assert_eq!(label.incremental_from, None);
        let incremental =
            format!("{PLAIN}INCREMENTAL FROM LSN: 0/1000000\nINCREMENTAL FROM TLI: 1\n");
        let label = BackupLabelFile::parse(incremental.as_bytes()).unwrap();
        assert_eq!(label.incremental_from, Some((Lsn(0x100_0000), TimeLine(1))));
    }

    #[test]
    fn a_plain_label_names_no_prior_backup() {
        let incremental =
            format!("{PLAIN}INCREMENTAL FROM LSN: 0/1000000\nINCREMENTAL FROM TLI: 1\n");
        assert_eq!(plain_backup_label(incremental.as_bytes()).unwrap(), PLAIN.as_bytes());
        assert_eq!(plain_backup_label(PLAIN.as_bytes()).unwrap(), PLAIN.as_bytes());
        let posing =
            PLAIN.replace("nightly", "x\nINCREMENTAL FROM LSN: 0/1\nINCREMENTAL FROM TLI: 1");
        assert!(plain_backup_label(posing.as_bytes()).is_err());
        assert!(plain_backup_label(b"").is_err());
    }

    #[test]
    fn a_label_cannot_pose_as_a_field() {
        let text = PLAIN.replace("nightly", "x\nSTART TIMELINE: 9");
        assert_eq!(BackupLabelFile::parse(text.as_bytes()).unwrap().timeline, TimeLine(1));
    }

    #[test]
    fn a_missing_field_is_an_error() {
        for line in ["START WAL", "CHECKPOINT", "START TIMELINE"] {
            let text: String = PLAIN.lines().filter(|l| !l.starts_with(line)).collect();
            assert!(BackupLabelFile::parse(text.as_bytes()).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..200_usize) {
            let _ = BackupLabelFile::parse(&bytes);
            let mut text = PLAIN.as_bytes().to_vec();
            text.splice(at.min(text.len()).., bytes);
            let _ = BackupLabelFile::parse(&text);
            let _ = plain_backup_label(&text);
        }
    }
}
