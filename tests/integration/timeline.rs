//! Timelines: what happens after a recovery was promoted, and how to get back to before it.

use std::io::Write;

use crate::support::{
    Cluster, Site, Version, as_server_user, exit, for_each_version, must_succeed, on_one_version,
    wait_until,
};

/// A cluster that was restored to before its row `b` and went on from there: timeline 1 has the rows
/// a and b, timeline 2 has a and c. One backup on each.
struct Fork {
    site: Site,
    first: String,
    second: String,
    /// The server on timeline 2.
    branch: Cluster,
}

/// Two copies of one backup, both promoted to timeline 2. The segments in the archive are the rival's.
struct Rivals {
    ours: Cluster,
    _rival: Cluster,
    /// The backup of the origin.
    good: String,
    site: Site,
}

impl Rivals {
    fn make(version: Version) -> Self {
        let site = Site::new(version);
        site.primary.sql("create table t (row text)");
        let good = site.full_backup(&[]);
        site.primary.archive_wal();
        site.primary.stop();
        // Neither must see what the other archives before it has chosen its timeline.
        let copies = ["rival", "ours"].map(|name| {
            site.restore(name, &[]).archiving().auto_setting("archive_command", "false")
        });
        let [rival, ours] = copies.map(|copy| copy.start_primary());
        let archive = |cluster: &Cluster| {
            cluster.sql("alter system reset archive_command");
            cluster.sql("select pg_reload_conf()");
        };
        archive(&rival);
        for _ in 0..6 {
            rival.sql("insert into t values ('rival')");
            rival.archive_wal();
        }
        archive(&ours);
        Self { ours, _rival: rival, good, site }
    }
}

/// A standby that gets its WAL from its primary alone.
fn base_backup_of(site: &Site, primary: &Cluster) -> Cluster {
    let data_dir = site.dir.make("standby");
    let mut command = as_server_user(primary.version.program("pg_basebackup"));
    command.arg("--host").arg(&primary.socket_dir).arg("--pgdata").arg(&data_dir);
    command.args(["--port", &primary.port().to_string(), "--username=postgres"]);
    must_succeed(command.args(["--checkpoint=fast", "--write-recovery-conf"]));
    let standby = Cluster::on(primary.version, &data_dir);
    let mut settings = std::fs::OpenOptions::new();
    let mut settings =
        settings.append(true).open(data_dir.join("postgresql.auto.conf")).expect("a file");
    writeln!(settings, "restore_command = ''").expect("writable");
    standby.start();
    standby
}

fn rows(cluster: &Cluster) -> String {
    cluster.value("select string_agg(row, ' ' order by row) from t")
}

impl Fork {
    fn make(version: Version) -> Self {
        let site = Site::new(version);
        site.primary.sql("create table t (row text)");
        let first = site.full_backup(&[]);
        site.primary.sql("insert into t values ('a')");
        site.primary.sql("select pg_create_restore_point('fork')");
        site.primary.sql("insert into t values ('b')");
        site.primary.archive_wal();
        site.primary.stop();
        let options = ["--target-name=fork", "--target-action=promote"];
        let branch = site.restore("branch", &options).archiving().start_primary();
        assert_eq!(rows(&branch), "a");
        branch.sql("insert into t values ('c')");
        branch.archive_wal();
        wait_until("the history of timeline 2 is archived", 30, || {
            !site.archived("00000002.history").is_empty()
        });
        let second = backup_of(&site, &branch);
        branch.archive_wal();
        Self { site, first, second, branch }
    }

    fn rows_of(&self, name: &str, options: &[&str]) -> String {
        rows(&self.site.restore(name, options).verified().start_primary())
    }
}

fn backup_of(site: &Site, cluster: &Cluster) -> String {
    let path = format!("--pg1-path={}", cluster.data_dir.display());
    let socket = format!("--pg1-socket-path={}", cluster.socket_dir.display());
    site.full_backup(&[&path, &socket])
}

for_each_version! {
    fn both_branches_can_be_restored(version) {
        let fork = Fork::make(version);
        let set = format!("--set={}", fork.first);
        assert_eq!(fork.rows_of("latest", &[]), "a c");
        assert_eq!(fork.rows_of("first-latest", &[&set]), "a c");
        assert_eq!(fork.rows_of("first-old", &[&set, "--target-timeline=1"]), "a b");
        assert_eq!(fork.rows_of("first-current", &[&set, "--target-timeline=current"]), "a b");
        let start = fork.site.info()["backup"][1]["archive"]["start"].clone();
        assert!(start.as_str().expect("segment").starts_with("00000002"), "{start}");
    }
}

on_one_version! {
    fn timeline_that_the_backup_is_not_on_is_refused(version) {
        let fork = Fork::make(version);
        let data_dir = fork.site.dir.make("r");
        let set = format!("--set={}", fork.second);
        fork.site.restore_into(&data_dir, &[&set, "--target-timeline=1"]).failed().says("timeline");
        assert_eq!(std::fs::read_dir(&data_dir).expect("directory").count(), 0);
    }

    fn a_copy_that_archives_beside_its_original_is_named(version) {
        let fork = Fork::make(version);
        drop(fork.branch);
        let site = fork.site;
        // The original goes on, on timeline 1, after the copy began timeline 2.
        site.primary.start();
        site.primary.sql("insert into t values ('d')");
        site.primary.archive_wal();
        site.primary.sql("insert into t values ('e')");
        site.primary.archive_wal();
        let named = "timeline 1 continues to 0000000100";
        site.run(&["check"]).ok().says(named).says("this server is on timeline 1");
        let backup = site.run(&["--type=full", "backup"]).ok();
        assert!(backup.has(named) && backup.has("--archive-mode=off"), "{backup}");
        site.run(&["info"]).ok().says("wal archive branch: timeline 1 continues to");
        assert_eq!(site.info()["archive"][0]["branch"][0]["timeline"], 1);
        site.run(&["--output=text", "verify"]).ok().says("branch: timeline 1 continues to");
        site.run(&["--log-level-console=warn", "verify"]).ok().says(named).says("--target-timeline");
        let set = format!("--set={}", fork.first);
        let warned = "without the changes that only timeline 1 has";
        site.restore_into(&site.dir.make("copy"), &[&set]).ok().says(warned);
        let data_dir = site.dir.make("chosen");
        site.restore_into(&data_dir, &[&set, "--target-timeline=1"]).ok().never_says(warned);
    }

    fn without_a_set_a_backup_on_the_way_to_the_timeline_is_taken(version) {
        let fork = Fork::make(version);
        assert_eq!(fork.rows_of("r", &["--target-timeline=1"]), "a b");
    }

    fn missing_history_is_refused_and_named(version) {
        let fork = Fork::make(version);
        for object in fork.site.archived("00000002.history") {
            std::fs::remove_file(object).expect("repository is writable");
        }
        let data_dir = fork.site.dir.make("r");
        let set = format!("--set={}", fork.first);
        fork.site.restore_into(&data_dir, &[&set]).failed().says("00000002.history");
        assert_eq!(std::fs::read_dir(&data_dir).expect("directory").count(), 0);
    }

    fn newest_timeline_that_forked_before_the_backup_is_explained(version) {
        let fork = Fork::make(version);
        // Timeline 1 goes on after the fork: its next backup cannot reach timeline 2.
        drop(fork.branch);
        fork.site.primary.start();
        fork.site.primary.sql("insert into t values ('d')");
        let third = fork.site.full_backup(&[]);
        fork.site.primary.archive_wal();
        let data_dir = fork.site.dir.make("r");
        let set = format!("--set={third}");
        let outcome = fork.site.restore_into(&data_dir, &[&set]);
        assert!(outcome.has("timeline"), "{outcome}");
        if outcome.code == 0 {
            let restored = crate::support::Restored::new(version, &data_dir).start_primary();
            assert_eq!(rows(&restored), "a b d");
        }
    }

    fn segments_of_a_rival_on_the_same_timeline_make_no_backup(version) {
        let Rivals { ours, _rival, good, site } = Rivals::make(version);
        let path = format!("--pg1-path={}", ours.data_dir.display());
        let socket = format!("--pg1-socket-path={}", ours.socket_dir.display());
        for source in ["local", "stream"] {
            let source = format!("--backup-source={source}");
            let options = [&source, &path, &socket, "--type=full", "--archive-timeout=3s", "backup"];
            let outcome = site.run(&options.map(|option: &str| option));
            outcome.code_in(&[exit::ARCHIVE_TIMEOUT, exit::ARCHIVE_MISMATCH]).says("HINT");
        }
        let checked = site.run(&[&path, &socket, "--archive-timeout=3s", "check"]);
        checked.code_in(&[exit::ARCHIVE_TIMEOUT, exit::ARCHIVE_MISMATCH]).says("HINT");
        assert_eq!(site.labels(), [good]);
    }

    fn segments_of_a_rival_make_no_backup_of_a_standby(version) {
        let Rivals { ours, _rival, good, site } = Rivals::make(version);
        let standby = base_backup_of(&site, &ours);
        ours.sql("insert into t values ('ours')");
        ours.sql("checkpoint");
        let written = ours.value("select pg_current_wal_lsn()");
        let replayed = format!("select (pg_last_wal_replay_lsn() >= '{written}')::text");
        standby.wait_for_value(&replayed, "true", 60);
        standby.sql("checkpoint");
        let path = format!("--pg1-path={}", standby.data_dir.display());
        let socket = format!("--pg1-socket-path={}", standby.socket_dir.display());
        let standby_alone = [&path[..], &socket];
        let primary = format!("--pg2-socket-path={}", ours.socket_dir.display());
        let primary_path = format!("--pg2-path={}", ours.data_dir.display());
        let with_primary = [&path[..], &socket, &primary, &primary_path, "--pg2-user=postgres"];
        for servers in [&standby_alone[..], &with_primary] {
            for source in ["--backup-source=local", "--backup-source=stream"] {
                let own = [source, "--backup-standby=y", "--type=full", "--archive-timeout=3s"];
                let outcome = site.run(&[servers, &own, &["backup"]].concat());
                outcome.code_in(&[exit::ARCHIVE_TIMEOUT, exit::ARCHIVE_MISMATCH]).says("HINT");
            }
        }
        assert_eq!(site.labels(), [good]);
    }
}
