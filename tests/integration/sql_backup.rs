//! Backups that are started and stopped over SQL, and what the server's WAL summaries say of the blocks
//! that changed between two of them.

use std::time::{Duration, Instant};

use pgstrata::{
    postgres::{BackupLabelFile, BackupSession, ConnectOptions, Error, SqlClient},
    types::{Failure, PgVersion},
};

use crate::{
    stream_source::{options_for, outside, run, settings_for},
    support::{
        Cluster, Site, Version, for_each_version, run as run_program, wait_until, write_file,
    },
};

fn pg_version(version: Version) -> PgVersion {
    PgVersion::new(version.major() as u16).expect("supported")
}

async fn session(cluster: &Cluster) -> BackupSession {
    BackupSession::connect(&options_for(cluster)).await.expect("session")
}

/// Options for a role without any right that is not given to all.
fn options_as(cluster: &Cluster, user: &str) -> ConnectOptions {
    let settings = pgstrata::postgres::ConnectSettings {
        user: Some(user.to_owned()),
        database: Some("postgres".to_owned()),
        ..settings_for(cluster)
    };
    ConnectOptions::resolve(&settings, &|_| None).expect("options")
}

fn plain_site(version: Version) -> Site {
    Site::builder(version)
        .without_archiving()
        .setting("statement_timeout", "2s")
        .setting("lock_timeout", "2s")
        .build_without_stanza()
}

/// Whether a backend of the server is in a function whose name has `name`.
fn runs(cluster: &Cluster, name: &str) -> bool {
    let sql = format!(
        "select (count(*) > 0)::text from pg_stat_activity \
         where query like '%{name}%' and state = 'active' and pid <> pg_backend_pid()"
    );
    cluster.value(&sql) == "true"
}

/// A standby of the site's server that has replayed all there is.
fn standby_of(site: &Site) -> Cluster {
    let data_dir = site.dir.path().join("standby");
    site.primary.stop();
    run_program(
        std::process::Command::new("cp").arg("-a").args([&site.primary.data_dir, &data_dir]),
    )
    .ok();
    site.primary.start();
    write_file(&data_dir.join("standby.signal"), "");
    let (host, port) = (site.primary.socket_dir.display(), site.primary.port());
    let mut standby = Cluster::on(site.version, &data_dir);
    standby.set_at_start("primary_conninfo", &format!("'host={host} port={port} user=postgres'"));
    standby.start();
    let written = site.primary.value("select pg_current_wal_lsn()");
    let replayed = format!("select (pg_last_wal_replay_lsn() >= '{written}')::text");
    standby.wait_for_value(&replayed, "true", 60);
    standby
}

for_each_version! {
    fn start_and_stop_agree_with_the_label(version) {
        let site = plain_site(version);
        let space = site.dir.make("spa\\ce");
        let location = space.display();
        site.primary.sql(&format!("create tablespace outside location '{location}'"));
        let pg = pg_version(version);
        run(async {
            let mut session = session(&site.primary).await;
            let before_us = session.sql().clock_us().await.expect("clock");
            assert!(session.sql().may_back_up(pg).await.expect("answer"));
            let start = session.start(pg, "it's a \\ label", true).await.expect("start");
            let checkpoint = session.sql().control_checkpoint().await.expect("checkpoint");
            assert_eq!((checkpoint.redo_lsn, checkpoint.timeline), (start.lsn, start.timeline));
            assert!(checkpoint.checkpoint_lsn >= start.lsn);
            assert!((before_us - 1_000_000..before_us + 60_000_000).contains(&checkpoint.time_us));
            assert!(session.sql().postmaster_start_us().await.expect("time") < before_us);

            let stop = session.stop(pg).await.expect("stop");
            assert!(stop.lsn > start.lsn);
            let label = BackupLabelFile::parse(&stop.backup_label).expect("backup_label");
            assert_eq!((label.start, label.timeline), (start.lsn, start.timeline));
            let text = String::from_utf8(stop.backup_label).expect("text");
            assert!(text.contains(&format!("START WAL LOCATION: {} (", start.lsn)), "{text}");
            assert!(text.contains("LABEL: it's a \\ label\n"), "{text}");
            // From 14 on the server writes a backslash of a path as two.
            let map = String::from_utf8(stop.tablespace_map).expect("text");
            let end = if version.major() >= 14 { "/spa\\\\ce\n" } else { "/spa\\ce\n" };
            assert!(map.ends_with(end), "{map}");

            // The same session takes another one.
            session.start(pg, "again", true).await.expect("start");
            session.stop(pg).await.expect("stop");
            let twice = session.stop(pg).await.expect_err("nothing runs");
            assert!(matches!(twice, Error::Server { .. }), "{twice}");
            session.close().await;
        });
    }

    fn limits_of_the_server_do_not_end_it(version) {
        let site = plain_site(version);
        if version.major() >= 14 {
            site.primary.sql("alter system set idle_session_timeout = '1s'");
            site.primary.sql("select pg_reload_conf()");
        }
        let pg = pg_version(version);
        run(async {
            let mut session = session(&site.primary).await;
            session.start(pg, "x", true).await.expect("start");
            tokio::time::sleep(Duration::from_millis(2500)).await;
            session.stop(pg).await.expect("stop");
        });
    }

    fn waiting_for_the_checkpoint_can_be_cancelled(version) {
        let site = plain_site(version);
        site.primary.sql("create table t as select g, repeat('x', 500) from generate_series(1, 50000) g");
        let pg = pg_version(version);
        run(async {
            let mut waiting = session(&site.primary).await;
            let cancel = waiting.cancel_token();
            let began = Instant::now();
            let (started, ()) = tokio::join!(waiting.start(pg, "x", false), async {
                tokio::time::sleep(Duration::from_millis(800)).await;
                cancel.cancel().await.expect("the request is taken");
            });
            let error = started.expect_err("it waits for long");
            assert_eq!(error.server_error().map(|said| &*said.code), Some("57014"), "{error}");
            assert!(began.elapsed() < Duration::from_secs(20));
            // The session has no backup, and can have one.
            waiting.start(pg, "x", true).await.expect("start");
            waiting.stop(pg).await.expect("stop");
        });
    }

    fn wait_for_the_checkpoint_is_bounded(version) {
        let site = plain_site(version);
        site.primary.sql("create table t as select g, repeat('x', 500) from generate_series(1, 50000) g");
        let pg = pg_version(version);
        run(async {
            let mut options = options_for(&site.primary);
            options.idle_timeout = Duration::from_secs(1);
            let mut session = BackupSession::connect(&options).await.expect("session");
            let error = session.start(pg, "x", false).await.expect_err("it waits for long");
            assert!(matches!(error, Error::Timeout { .. }), "{error}");
            assert!(error.hint().expect("a hint").contains("start-fast"));
        });
        wait_until("the server waits no more", 20, || {
            !runs(&site.primary, "backup_start") && !runs(&site.primary, "start_backup")
        });
    }

    fn backup_ends_with_its_session(version) {
        let site = plain_site(version);
        let pg = pg_version(version);
        run(async {
            let mut lost = session(&site.primary).await;
            lost.start(pg, "lost", true).await.expect("start");
            drop(lost);
            let mut next = session(&site.primary).await;
            next.start(pg, "next", true).await.expect("start");
            next.stop(pg).await.expect("stop");
        });
        let aborted = ["aborting backup due to backend exiting", "aborting backup"];
        wait_until("the server says so", 20, || {
            aborted.iter().any(|words| site.primary.log().contains(words))
        });
    }

    fn promotion_in_the_middle_has_its_own_error(version) {
        let site = plain_site(version);
        let standby = standby_of(&site);
        let pg = pg_version(version);
        run(async {
            let mut whole = session(&standby).await;
            let start = whole.start(pg, "standby", true).await.expect("start");
            let stop = whole.stop(pg).await.expect("stop");
            let label = BackupLabelFile::parse(&stop.backup_label).expect("backup_label");
            assert!(label.from_standby);
            assert_eq!((label.start, label.timeline), (start.lsn, start.timeline));
            assert!(stop.lsn >= start.lsn);

            let mut cut = session(&standby).await;
            cut.start(pg, "cut", true).await.expect("start");
            outside(|| standby.promote());
            let error = cut.stop(pg).await.expect_err("promoted");
            assert!(matches!(error, Error::Promoted { .. }), "{error}");
        });
    }

    fn role_without_the_right_is_told_what_to_grant(version) {
        let site = plain_site(version);
        site.primary.sql("create role \"kee per\" login replication");
        let pg = pg_version(version);
        let options = options_as(&site.primary, "kee per");
        let hint = run(async {
            let mut session = BackupSession::connect(&options).await.expect("session");
            assert!(!session.sql().may_back_up(pg).await.expect("answer"));
            let error = session.start(pg, "x", true).await.expect_err("refused");
            assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");
            assert!(error.to_string().starts_with("unable to start the backup: "), "{error}");
            error.hint().expect("a hint")
        });
        let grant = hint.find("GRANT").expect("a statement");
        site.primary.sql(&hint[grant..]);
        run(async {
            let sql = SqlClient::connect(&options).await.expect("sql");
            assert!(sql.may_back_up(pg).await.expect("answer"));
            let mut session = BackupSession::connect(&options).await.expect("session");
            session.start(pg, "x", true).await.expect("start");
            session.stop(pg).await.expect("stop");
        });
    }
}
