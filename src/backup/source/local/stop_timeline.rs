//! On which timeline a backup stopped. `pg_backup_stop` does not say: a primary stays on its timeline, a standby follows
//! the server before it, also to the timeline that this begins where it is promoted.

use std::{fs::File, io::Read};

use super::broken;
use crate::{
    backup::Error,
    postgres::{ControlFile, DataDirectory, DataDirectoryError},
    types::{DataPath, Lsn, TimeLine, TimelineHistory},
};

/// The history of the timeline on which the backup of a standby that began on `started` stopped, at `lsn`; called after
/// the stop. The control file then has the timeline of the minimum recovery point, which is where the backup stopped or
/// later (`do_pg_backup_stop` in `xlog.c`).
pub(super) fn history(
    directory: &DataDirectory,
    started: TimeLine,
    lsn: Lsn,
) -> Result<TimelineHistory, Error> {
    let control = ControlFile::parse(&directory.control_file()?)?;
    let reached = control.min_recovery_timeline;
    if reached <= started {
        return Ok(TimelineHistory::without_ancestors(started));
    }
    // A standby keeps the history files of the timelines that it follows.
    let path = DataPath::new(format!("pg_wal/{}", reached.history_file_name()).as_bytes())?;
    let gone = || {
        broken(&format!(
            "'{path}', which the server needs to follow its timeline, was \
                                   removed"
        ))
    };
    let file = directory.open_file(&path)?.ok_or_else(gone)?;
    let history = TimelineHistory::parse(reached, &read(file, &path, directory)?)?;
    Ok(until(history, lsn))
}

fn read(file: File, path: &DataPath, directory: &DataDirectory) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let limit = TimelineHistory::SIZE_MAX as u64;
    file.take(limit).read_to_end(&mut bytes).map_err(|source| DataDirectoryError::Read {
        path: path.under(directory.path()),
        source,
    })?;
    Ok(bytes)
}

/// The history of the timeline that the byte before `lsn` is on.
fn until(history: TimelineHistory, lsn: Lsn) -> TimelineHistory {
    let timeline = history.timeline_at(Lsn(lsn.0.saturating_sub(1)));
    let ancestors = history.ancestors.into_iter().take_while(|entry| entry.timeline < timeline);
    TimelineHistory { timeline, ancestors: ancestors.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promotion_after_the_stop_does_not_count() {
        let text = b"1\t0/3000100\tx\n2\t0/5000100\tx\n";
        let history = TimelineHistory::parse(TimeLine(3), text).unwrap();
        let stopped = |lsn| until(history.clone(), Lsn(lsn));
        assert_eq!(stopped(0x300_0100), TimelineHistory::without_ancestors(TimeLine(1)));
        let second = stopped(0x300_0138);
        assert_eq!((second.timeline, second.ancestors.len()), (TimeLine(2), 1));
        assert_eq!(stopped(0x500_0138), history);
    }
}
