//! The settings of each PostgreSQL version, to check what a restore writes: a server does not start with an unknown
//! setting.

mod names;

use self::names::{ALWAYS, CHANGED, DIRECTIVES, FIXED, OF_BUILDS, OLD, STILL};
use crate::types::{PgVersion, nearest_of};

const PROMOTE: &str = "promote the server with pg_ctl promote or the SQL function pg_promote()";

/// Replacements of removed settings, most of them removed before the oldest supported version.
static INSTEAD: [(&str, &str); 5] = [
    ("standby_mode", "restore a standby with --type=standby"),
    ("trigger_file", PROMOTE),
    ("promote_trigger_file", PROMOTE),
    ("pause_at_recovery_target", "use --target-action"),
    ("wal_keep_segments", "use wal_keep_size"),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfitSetting {
    /// Completes a sentence that begins with the name of the setting.
    pub reason: String,
    pub instead: String,
}

/// Why a server of `version` would not start with the setting `name` in its configuration; `None` if it would. The
/// name is in lower case.
pub fn unfit_setting(name: &str, version: PgVersion) -> Option<UnfitSetting> {
    let unfit =
        |reason: &str, instead: String| Some(UnfitSetting { reason: reason.to_owned(), instead });
    if name.contains('.') {
        return if is_of_extension(name) {
            None
        } else {
            unfit(
                "which is not the name of a setting",
                "a setting of an extension is extension.name".to_owned(),
            )
        };
    }
    if FIXED.contains(&name) {
        return unfit("which no configuration file may set", "leave it out".to_owned());
    }
    if names_of(version).any(|known| known == name) {
        None
    } else {
        unfit(&format!("which PostgreSQL {version} does not know"), instead_of(name, version))
    }
}

/// Whether the name is that of an extension's setting, which a server accepts unknown (`QUALIFIED_ID` in guc-file.l).
fn is_of_extension(name: &str) -> bool {
    let is_identifier = |part: &str| {
        let mut characters = part.chars();
        characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && characters.all(|other| other.is_ascii_alphanumeric() || other == '_')
    };
    name.split_once('.')
        .is_some_and(|(extension, rest)| is_identifier(extension) && is_identifier(rest))
}

/// All names of settings in this version.
fn names_of(version: PgVersion) -> impl Iterator<Item = &'static str> {
    let major = version.major();
    let changed =
        CHANGED.iter().filter(move |changed| (changed.since..changed.until).contains(&major));
    let always = [&ALWAYS[..], &OLD, &OF_BUILDS, &DIRECTIVES].into_iter().flatten().copied();
    always.chain(changed.map(|changed| changed.name))
}

fn instead_of(name: &str, version: PgVersion) -> String {
    if let Some((_, instead)) = INSTEAD.iter().find(|(gone, _)| *gone == name) {
        return (*instead).to_owned();
    }
    if let Some(changed) = CHANGED.iter().find(|changed| changed.name == name) {
        return match changed.until {
            STILL => format!("leave it out: version {} brought it", changed.since),
            until => format!("leave it out: version {} was the last that had it", until - 1),
        };
    }
    match nearest_of(name, names_of(version).map(str::to_owned)) {
        Some(near) => format!("did you mean '{near}'?"),
        None => "see the documentation of PostgreSQL".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unfit(name: &str, major: u16) -> Option<UnfitSetting> {
        unfit_setting(name, PgVersion::new(major).unwrap())
    }

    fn known(name: &str, major: u16) -> bool {
        unfit(name, major).is_none()
    }

    #[test]
    fn settings_come_and_go_with_versions() {
        for major in PgVersion::OLDEST.major()..=PgVersion::NEWEST.major() {
            assert!(!known("standby_mode", major) && !known("trigger_file", major));
            assert!(known("recovery_target_xid", major) && known("primary_conninfo", major));
            assert!(!known("recovery_target_date", major) && !known("recovery_targe_time", major));
            assert_eq!(known("promote_trigger_file", major), major < 16);
            assert_eq!(known("recovery_prefetch", major), major >= 15);
            assert_eq!(known("old_snapshot_threshold", major), major < 17);
            assert!(!known("foo_bar", major) && !known("", major));
        }
    }

    #[test]
    fn a_setting_of_an_extension_is_known_by_its_form_alone() {
        for name in ["my_extension.setting", "_a._1", "plpgsql.foo"] {
            assert!(known(name, 18), "{name}");
        }
        for name in ["a.b.c", "a.1", "1.a", ".x", "x.", ".", "a.b-c"] {
            assert_eq!(unfit(name, 18).unwrap().reason, "which is not the name of a setting");
        }
    }

    #[test]
    fn the_hint_says_what_was_meant() {
        let instead = |name, major| unfit(name, major).unwrap().instead;
        assert_eq!(instead("recovery_targe_time", 15), "did you mean 'recovery_target_time'?");
        assert_eq!(instead("primary_coninfo", 15), "did you mean 'primary_conninfo'?");
        assert_eq!(instead("recovery_prefetch", 14), "leave it out: version 15 brought it");
        assert_eq!(
            instead("vacuum_defer_cleanup_age", 16),
            "leave it out: version 15 was the last that had it"
        );
        assert_eq!(instead("wal_keep_segments", 13), "use wal_keep_size");
        assert_eq!(instead("foo_bar", 15), "see the documentation of PostgreSQL");
        let fixed = unfit("server_version", 15).unwrap();
        assert_eq!(fixed.reason, "which no configuration file may set");
    }

    #[test]
    fn no_name_is_listed_twice() {
        for version in (13..=18).map(|major| PgVersion::new(major).unwrap()) {
            let mut names: Vec<&str> = names_of(version).chain(FIXED).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }
}
