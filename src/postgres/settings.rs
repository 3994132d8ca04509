//! Which settings a version of PostgreSQL knows, as far as a restore writes them: a server does not start with a
//! setting that it does not know (guc_tables.c of each version).

use crate::types::PgVersion;

/// A setting that not every supported version knows.
struct Changed {
    name: &'static str,
    /// The first version that knows it.
    since: u16,
    /// The first version that does not know it any more.
    until: u16,
    /// What to do instead.
    instead: &'static str,
}

const NEVER: u16 = 0;
const STILL: u16 = u16::MAX;

const PROMOTE: &str = "promote the server with pg_ctl promote or the SQL function pg_promote()";
const LATER: &str = "leave it out";

const fn changed(name: &'static str, since: u16, until: u16, instead: &'static str) -> Changed {
    Changed { name, since, until, instead }
}

static CHANGED: [Changed; 17] = [
    changed("standby_mode", NEVER, NEVER, "restore a standby with --type=standby"),
    changed("trigger_file", NEVER, NEVER, PROMOTE),
    changed("pause_at_recovery_target", NEVER, NEVER, "use --target-action"),
    changed("promote_trigger_file", NEVER, 16, PROMOTE),
    changed("wal_keep_segments", NEVER, 13, "use wal_keep_size"),
    changed("vacuum_defer_cleanup_age", NEVER, 16, LATER),
    changed("stats_temp_directory", NEVER, 15, LATER),
    changed("old_snapshot_threshold", NEVER, 17, LATER),
    changed("recovery_init_sync_method", 14, STILL, LATER),
    changed("recovery_prefetch", 15, STILL, LATER),
    changed("wal_decode_buffer_size", 15, STILL, LATER),
    changed("archive_library", 15, STILL, LATER),
    changed("summarize_wal", 17, STILL, LATER),
    changed("wal_summary_keep_time", 17, STILL, LATER),
    changed("sync_replication_slots", 17, STILL, LATER),
    changed("synchronized_standby_slots", 17, STILL, LATER),
    changed("idle_replication_slot_timeout", 18, STILL, LATER),
];

/// The settings named `recovery_…` that every supported version knows.
const RECOVERY: [&str; 10] = [
    "recovery_end_command",
    "recovery_min_apply_delay",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
];

/// What to do instead of a setting that `version` does not know; `None` where nothing is known against it.
pub fn unknown_setting(name: &str, version: PgVersion) -> Option<&'static str> {
    let major = version.major();
    if let Some(found) = CHANGED.iter().find(|changed| changed.name == name) {
        let known = (found.since..found.until).contains(&major);
        return (!known).then_some(found.instead);
    }
    let is_recovery = name.starts_with("recovery_");
    (is_recovery && !RECOVERY.contains(&name))
        .then_some("the name is wrong: see the documentation of PostgreSQL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str, major: u16) -> bool {
        unknown_setting(name, PgVersion::new(major).unwrap()).is_none()
    }

    #[test]
    fn settings_come_and_go_with_versions() {
        for major in 13..=18 {
            assert!(!known("standby_mode", major) && !known("trigger_file", major));
            assert!(known("recovery_target_xid", major) && known("primary_conninfo", major));
            assert!(!known("recovery_target_date", major) && !known("recovery_targe_time", major));
            assert_eq!(known("promote_trigger_file", major), major < 16);
            assert_eq!(known("recovery_prefetch", major), major >= 15);
            assert_eq!(known("old_snapshot_threshold", major), major < 17);
        }
        assert!(known("my_extension.setting", 18));
    }
}
