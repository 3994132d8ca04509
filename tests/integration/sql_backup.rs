//! Backups that are started and stopped over SQL, and what the server's WAL summaries say of the blocks
//! that changed between two of them.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use pgstrata::{
    postgres::{
        BackupLabelFile, BackupSession, ChangedBlocks, ConnectOptions, Error, FileChanges,
        SqlClient, is_checked_file,
    },
    types::{DataPath, Failure, Lsn, PgVersion, TimeLine},
};

use crate::{
    stream_source::{options_for, outside, run, settings_for},
    support::{
        Cluster, Site, Version, for_each_fixed_version, for_each_version, run as run_program,
        wait_until, write_file,
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
            assert!(session.sql().may_back_up(pg).await.expect("answer"));
            let start = session.start(pg, "it's a \\ label", true).await.expect("start");
            let checkpoint = session.sql().control_checkpoint().await.expect("checkpoint");
            assert_eq!((checkpoint.redo_lsn, checkpoint.timeline), (start.lsn, start.timeline));
            assert!(checkpoint.checkpoint_lsn >= start.lsn);
            let now_us = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_micros() as i64;
            let started_us = session.sql().postmaster_start_us().await.expect("time");
            assert!((now_us - 600_000_000..now_us).contains(&started_us), "{started_us} {now_us}");

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
            // A request that comes before the server waits does nothing, and one too many would end the next statement.
            let waits = || {
                let waits = "select (count(*) > 0)::text from pg_stat_activity \
                    where wait_event in ('CheckpointStart', 'CheckpointDone')";
                let asked = || site.primary.value(waits) == "true";
                std::thread::scope(|scope| scope.spawn(asked).join().expect("an answer"))
            };
            let mut asked = false;
            let started = {
                let mut start = std::pin::pin!(waiting.start(pg, "x", false));
                loop {
                    tokio::select! {
                        done = &mut start => break done,
                        () = tokio::time::sleep(Duration::from_millis(20)) => {
                            if !asked && waits() {
                                cancel.cancel().await.expect("the request is taken");
                                asked = true;
                            }
                        }
                    }
                }
            };
            let error = started.expect_err("it waits for long");
            assert_eq!(error.server_error().map(|said| &*said.code), Some("57014"), "{error}");
            // The session has no backup, and can have one. The server signals the process and then its group
            // (signal_child in postmaster.c): the second signal may come late and end this statement too.
            let code = |error: &Error| error.server_error().map(|said| said.code.clone());
            let started = match waiting.start(pg, "x", true).await {
                Err(error) if code(&error).as_deref() == Some("57014") => {
                    waiting.start(pg, "x", true).await
                }
                started => started,
            };
            started.expect("start");
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
            assert!(error.may_be_of_promotion(), "{error}");
            assert!(!cut.sql().is_in_recovery().await.expect("answer"));
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

const PAGE: usize = 8192;

fn summarizing(version: Version) -> Site {
    Site::builder(version)
        .without_archiving()
        .setting("summarize_wal", "on")
        .setting("allow_in_place_tablespaces", "on")
        .build_without_stanza()
}

/// Every relation file that the WAL accounts for: no free space maps, no unlogged relations.
fn relation_files(data_dir: &Path) -> BTreeMap<DataPath, Vec<u8>> {
    let mut files = BTreeMap::new();
    for top in ["base", "global", "pg_tblspc"] {
        collect(data_dir, top, &mut files);
    }
    let unlogged: Vec<String> = files
        .keys()
        .filter_map(|path: &DataPath| path.to_string().strip_suffix("_init").map(str::to_owned))
        .collect();
    files.retain(|path, _| {
        let path = path.to_string();
        !path.contains("_fsm") && !unlogged.contains(&path.replace("_vm", ""))
    });
    files
}

fn collect(data_dir: &Path, below: &str, files: &mut BTreeMap<DataPath, Vec<u8>>) {
    for entry in fs::read_dir(data_dir.join(below)).expect("a directory") {
        let name = format!("{below}/{}", entry.expect("entry").file_name().display());
        let path = DataPath::new(name.as_bytes()).expect("path");
        if data_dir.join(&name).is_dir() {
            collect(data_dir, &name, files);
        } else if is_checked_file(&path).is_some() {
            files.insert(path, fs::read(data_dir.join(&name)).expect("readable"));
        }
    }
}

/// A checkpoint; where it begins.
fn checkpoint(cluster: &Cluster) -> Lsn {
    cluster.sql("checkpoint");
    cluster.value("select redo_lsn from pg_control_checkpoint()").parse().expect("LSN")
}

async fn changes(options: &ConnectOptions, from: Lsn, to: Lsn) -> Result<ChangedBlocks, Error> {
    let sql = SqlClient::connect(options).await?;
    sql.wait_for_summaries(TimeLine::FIRST, to).await?;
    sql.changed_blocks(TimeLine::FIRST, from, to).await
}

fn filled(site: &Site) {
    let space = site.dir.make("space");
    site.primary.sql(&format!("create tablespace outside location '{}'", space.display()));
    for sql in [
        "create tablespace inside location ''",
        "create table edited as select g, repeat('x', 100) t from generate_series(1, 50000) g",
        "create index on edited (g)",
        "create table away tablespace outside as table edited",
        "create table still as table edited",
        "create table grown as table edited",
        "create table shrunk as table edited",
        "create table emptied as table edited",
        "create table refilled as table edited",
        "create table rewritten as table edited",
        "create table dropped as table edited",
        "create table moved as table edited",
        "create unlogged table fleeting as table edited",
        "create database many",
        "create database copied oid 50001 template template0 strategy file_copy",
        "create database logged oid 50002 template template0 strategy wal_log",
        "create database travelling strategy file_copy",
        "vacuum",
    ] {
        site.primary.sql(sql);
    }
    let tables = "do $$ begin for i in 1..200 loop \
        execute format('create table t%s (a int primary key, b text)', i); end loop; end $$";
    site.primary.try_sql_in("many", tables).expect("tables");
    let table = "create table t as select g, repeat('x', 100) from generate_series(1, 5000) g";
    site.primary.try_sql_in("travelling", table).expect("table");
    site.primary.try_sql_in("travelling", "vacuum").expect("vacuum");
}

fn changed(site: &Site) {
    for sql in [
        "update edited set t = 'y' where g % 5000 = 0",
        "update away set t = 'y' where g % 5000 = 0",
        "insert into grown select g, repeat('z', 100) from generate_series(1, 3000) g",
        "delete from shrunk where g > 10000",
        "vacuum shrunk",
        "checkpoint",
        "insert into shrunk select g, 'after' from generate_series(1, 30000) g",
        "truncate emptied",
        "insert into emptied values (1, 'again')",
        // What COPY adds ahead of its rows are pages of zeros that the WAL does not name: here they take
        // the place of pages with rows.
        "delete from refilled",
        "vacuum refilled",
        "copy refilled from program 'for i in $(seq 1 5000); do echo \"$i\tcopied\"; done'",
        "vacuum full rewritten",
        "drop table dropped",
        "create table fresh as table edited",
        "create index on grown (g)",
        "alter table moved set tablespace inside",
        "create database other",
        // The same directories and the same names of files, but files of another database.
        "drop database copied",
        "drop database logged",
        "create database copied oid 50001 template many strategy file_copy",
        "create database logged oid 50002 template many strategy wal_log",
        "alter database travelling set tablespace outside",
    ] {
        site.primary.sql(sql);
    }
    let update = "update t set repeat = 'on the way' where g % 500 = 0";
    site.primary.try_sql_in("travelling", update).expect("update");
    site.primary.sql("alter database travelling set tablespace pg_default");
    site.primary.sql("update edited set t = 'w' where g = 33333");
    site.primary.kill();
    site.primary.start();
    for sql in ["vacuum edited", "select count(*) from grown", "delete from away where g > 49000"] {
        site.primary.sql(sql);
    }
}

/// Blocks that differ, and how many of them and of all would be read.
#[derive(Debug, Default)]
struct Compared {
    differing: usize,
    read: usize,
    all: usize,
}

/// Holds every file that was there before against what is said to have changed of it.
fn compare(
    before: &BTreeMap<DataPath, Vec<u8>>,
    after: &BTreeMap<DataPath, Vec<u8>>,
    changes: &ChangedBlocks,
) -> Compared {
    let mut compared = Compared::default();
    for (path, bytes) in after {
        let Some(old) = before.get(path) else { continue };
        let said = changes.of(path, bytes.len() as u64, old.len() as u64, PAGE as u32);
        let is_read = |block: usize| match &said {
            FileChanges::All => true,
            FileChanges::Ranges(ranges) => ranges.iter().any(|r| r.contains(&(block as u32))),
        };
        for (block, page) in bytes.chunks(PAGE).enumerate() {
            let differs = old.get(block * PAGE..(block + 1) * PAGE) != Some(page);
            assert!(is_read(block) || !differs, "block {block} of {path} is said not to differ");
            compared.differing += usize::from(differs);
            compared.read += usize::from(is_read(block));
            compared.all += 1;
        }
    }
    compared
}

for_each_fixed_version! {
    fn no_block_that_differs_is_missed(version) {
        let site = summarizing(version);
        filled(&site);
        let from = checkpoint(&site.primary);
        let before = relation_files(&site.primary.data_dir);
        changed(&site);
        let to = checkpoint(&site.primary);
        let after = relation_files(&site.primary.data_dir);
        let options = options_for(&site.primary);
        let said = run(changes(&options, from, to)).expect("changes");
        let compared = compare(&before, &after, &said);
        // What is moved, copied or made anew is read whole; the rest is nearly what differs.
        assert!(compared.differing > 1000, "{compared:?}");
        assert!(compared.read < compared.all / 2, "{compared:?}");
        let file_of = |table: &str| {
            let path = site.primary.value(&format!("select pg_relation_filepath('{table}')"));
            DataPath::new(path.as_bytes()).expect("path")
        };
        let of = |path: &DataPath| {
            let size = after[path].len() as u64;
            said.of(path, size, size, PAGE as u32)
        };
        assert_eq!(of(&file_of("still")), FileChanges::Ranges(Vec::new()));
        let FileChanges::Ranges(edited) = of(&file_of("edited")) else { panic!("all") };
        let count: u32 = edited.iter().map(|range| range.end - range.start).sum();
        assert!((10..40).contains(&count), "{edited:?}");
        for directory in ["base/50001", "base/50002"] {
            let same: Vec<_> = after.keys()
                .filter(|path| path.is_within(directory) && before.contains_key(path))
                .collect();
            assert!(same.len() > 100, "{}", same.len());
            assert!(same.into_iter().all(|path| of(path) == FileChanges::All), "{directory}");
        }

        // Nothing happened since.
        let again = checkpoint(&site.primary);
        let said = run(changes(&options, to, again)).expect("changes");
        let compared = compare(&after, &relation_files(&site.primary.data_dir), &said);
        assert_eq!((compared.differing, compared.read), (0, 0));
    }

    fn hole_in_the_summaries_is_named(version) {
        let site = summarizing(version);
        let options = options_for(&site.primary);
        site.primary.sql("create table t as select g from generate_series(1, 1000) g");
        let from = checkpoint(&site.primary);
        site.primary.sql("update t set g = g + 1");
        let middle = checkpoint(&site.primary);
        site.primary.sql("update t set g = g + 1");
        let to = checkpoint(&site.primary);
        run(changes(&options, from, to)).expect("changes");
        run(changes(&options, from, from)).expect("none");

        let name = |from: Lsn, to: Lsn| format!("00000001{:016X}{:016X}.summary", from.0, to.0);
        let summaries = site.primary.data_dir.join("pg_wal/summaries");
        let damaged = fs::read_dir(&summaries).expect("summaries")
            .map(|entry| entry.expect("entry").path())
            .find(|path| path.display().to_string().contains(&format!("{:016X}", middle.0)))
            .expect("a summary begins or ends in the middle");
        let good = fs::read(&damaged).expect("readable");
        let mut bad = good.clone();
        bad[10] ^= 1;
        fs::write(&damaged, bad).expect("writable");
        let error = run(changes(&options, from, to)).expect_err("damaged");
        assert!(error.is_about_incremental(), "{error}");
        fs::write(&damaged, good).expect("writable");
        run(changes(&options, from, to)).expect("changes");

        let all: Vec<_> = fs::read_dir(&summaries).expect("summaries")
            .map(|entry| entry.expect("entry").path())
            .filter(|path| {
                let file = path.file_name().expect("name").to_string_lossy().into_owned();
                file >= name(middle, Lsn(0)) && file.contains(&format!("{:016X}", to.0))
            })
            .collect();
        for path in all {
            fs::remove_file(path).expect("removable");
        }
        let error = run(changes(&options, from, to)).expect_err("a hole");
        assert!(matches!(error, Error::Summaries { .. }) && error.is_about_incremental(), "{error}");
        assert!(error.to_string().contains("no summary covers 0/"), "{error}");
        run(changes(&options, from, middle)).expect("changes");
    }

    fn server_that_stopped_summarizing_is_not_waited_for(version) {
        let site = summarizing(version);
        let from = checkpoint(&site.primary);
        site.primary.sql("alter system set summarize_wal = off");
        site.primary.sql("select pg_reload_conf()");
        site.primary.wait_for_value("show summarize_wal", "off", 20);
        site.primary.sql("create table t as select g from generate_series(1, 1000) g");
        let to = checkpoint(&site.primary);
        let began = Instant::now();
        let error = run(changes(&options_for(&site.primary), from, to)).expect_err("off");
        assert!(error.is_about_incremental(), "{error}");
        assert!(error.to_string().contains("summarize_wal is off"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    fn any_role_may_read_summaries_unless_it_is_forbidden(version) {
        let site = summarizing(version);
        site.primary.sql("create role keeper login replication");
        let options = options_as(&site.primary, "keeper");
        let from = checkpoint(&site.primary);
        site.primary.sql("create table t as select g from generate_series(1, 1000) g");
        let to = checkpoint(&site.primary);
        run(changes(&options, from, to)).expect("changes");
        site.primary.sql(
            "revoke execute on function pg_wal_summary_contents(bigint, pg_lsn, pg_lsn) from public",
        );
        let error = run(changes(&options, from, to)).expect_err("revoked");
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");
    }
}
