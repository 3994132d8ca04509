//! A repository behind SFTP, on OpenSSH's server.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use pgstrata::storage::{
    ErrorKind, ObjectPath, Storage, conformance,
    requests::{RequestOptions, Requests},
    sftp::{HostKeyPolicy, Login, SftpOptions, SftpStorage},
};

use crate::support::{
    Outcome, Site, SshAgent, SshServer, Version, give_to_server_user, on_one_version, remote_site,
    wait_until,
};

fn sftp_site(version: Version, server: &SshServer) -> Site {
    remote_site(version, &server.options()).build()
}

/// A command that has to reach the repository, with options that count more than the configuration file.
fn reach(site: &Site, options: &[&str]) -> Outcome {
    site.run(&[options, &["--repo1-storage-retry-time=1s", "expire"]].concat())
}

fn temporary_files(site: &Site) -> usize {
    let all = site.repository_files("").into_iter();
    all.filter(|file| file.to_string_lossy().contains("/.tmp-")).count()
}

on_one_version! {
    fn backups_wal_and_recovery_work_over_sftp(version) {
        let server = SshServer::start();
        let site = sftp_site(version, &server);
        site.run(&["check"]).ok();
        site.primary.sql("create table t as select g from generate_series(1, 20000) g");
        site.full_backup(&[]);
        site.primary.sql("insert into t select g from generate_series(20001, 20100) g");
        site.run(&["--type=diff", "backup"]).ok();
        site.primary.sql("select pg_create_restore_point('here')");
        site.primary.sql("delete from t");
        site.primary.archive_wal();
        assert_eq!(site.labels().len(), 2);
        let options = ["--type=name", "--target=here", "--target-action=promote"];
        let restored = site.restore("r", &options).start_primary();
        assert_eq!(restored.value("select count(*) from t"), "20100");
        drop(restored);
        site.run(&["verify"]).ok();
        site.full_backup(&[]);
        site.run(&["--repo1-retention-full=1", "expire"]).ok();
        assert_eq!(site.labels().len(), 1);
        site.run(&["verify"]).ok();
        assert_eq!(temporary_files(&site), 0);
    }

    fn the_configuration_of_the_user_page_works(version) {
        let server = SshServer::start();
        let page = include_str!("../../docs/sftp.md");
        let block = page.split("```ini\n").nth(1).and_then(|rest| rest.split("```").next());
        let lines = block.expect("the page has a configuration").lines();
        let ours = server.options();
        let options: Vec<(&str, String)> = lines
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| name.starts_with("repo1-") && *name != "repo1-path")
            .map(|(name, value)| {
                let replaced = ours.iter().find(|(own, _)| *own == name);
                (name, replaced.map_or(value.to_owned(), |(_, own)| own.clone()))
            })
            .chain([("repo1-sftp-host-port", server.port.to_string())])
            .collect();
        assert!(options.iter().any(|(name, _)| *name == "repo1-sftp-private-key-file"));
        let site = remote_site(version, &options).build();
        site.primary.sql("create table t as select 1 as one");
        site.full_backup(&[]);
        site.primary.archive_wal();
        let restored = site.restore("r", &[]).start_primary();
        assert_eq!(restored.value("select one from t"), "1");
    }

    fn only_the_right_host_is_believed(version) {
        let server = SshServer::start();
        let site = sftp_site(version, &server);
        reach(&site, &[]).ok();
        let known = |name: &str, text: &str| {
            server.write(name, text);
            format!("--repo1-sftp-known-host={}", server.text(name))
        };
        let check = |kind: &str| format!("--repo1-sftp-host-key-check-type={kind}");
        // Nobody knows the host.
        let empty = known("empty", "# nothing\n");
        reach(&site, &[&empty]).failed().says("is not known").says("HINT");
        // It is known by another key; the one that it is known by is asked for.
        server.make_key("other", &["-t", "ed25519", "-N", ""]);
        let changed = known("changed", &server.known_host("other"));
        for kind in ["strict", "accept-new"] {
            reach(&site, &[&changed, &check(kind)]).failed().says("host key has changed").says("HINT");
        }
        reach(&site, &[&changed, &check("none")]).ok();
        let rsa = known("rsa", &server.known_host("host_rsa"));
        reach(&site, &[&rsa]).ok();
        // A revoked key is no key.
        let both = format!("{}@revoked * {}", server.known_host("host_ed25519"), server.public("host_ed25519"));
        reach(&site, &[&known("revoked", &both)]).failed().says("revoked");
        // A new host is noted down, and known from then on.
        let new = format!("--repo1-sftp-known-host={}", server.text("new/known_hosts"));
        reach(&site, &[&new]).failed().says("is not known");
        reach(&site, &[&new, &check("accept-new")]).ok();
        reach(&site, &[&new]).ok();
        let noted = fs::read_to_string(server.path("new/known_hosts")).expect("made");
        assert_eq!(noted.lines().count(), 1, "{noted}");
        // By fingerprint: any of the host's keys, in any form.
        for (key, hash) in [("host_ed25519", "sha256"), ("host_rsa", "sha256"), ("host_rsa", "md5")] {
            let fingerprint = server.fingerprint(key, hash);
            let fingerprint = format!("--repo1-sftp-host-fingerprint={fingerprint}");
            let hash = format!("--repo1-sftp-host-key-hash-type={hash}");
            reach(&site, &[&empty, &check("fingerprint"), &fingerprint, &hash]).ok();
        }
        let wrong = format!("--repo1-sftp-host-fingerprint={}", server.fingerprint("other", "sha256"));
        reach(&site, &[&check("fingerprint"), &wrong]).failed().says("another fingerprint");
        reach(&site, &[&check("fingerprint"), "--repo1-sftp-host-fingerprint=abc"])
            .failed()
            .says("host key fingerprint");
    }

    fn only_the_right_user_is_let_in(version) {
        let server = SshServer::start();
        let site = sftp_site(version, &server);
        let key = |name: &str| format!("--repo1-sftp-private-key-file={}", server.text(name));
        // The pass phrase stands where the others cannot read it.
        let secret = "correct horse battery";
        server.make_key("locked", &["-t", "ed25519", "-N", secret]);
        server.make_key("pem", &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", secret]);
        server.make_key("stranger", &["-t", "ed25519", "-N", ""]);
        let keys = ["id", "locked", "pem"].map(|name| server.public(name)).concat();
        server.write("authorized_keys", &keys);
        let with = |name: &str, pass: &str| {
            let mut command = site.command(&[&key(name), "--repo1-storage-retry-time=1s", "expire"]);
            crate::support::run(command.env("PGSTRATA_REPO1_SFTP_PRIVATE_KEY_PASSPHRASE", pass))
        };
        for name in ["locked", "pem"] {
            with(name, secret).ok().never_says(secret);
            with(name, "wrong pass phrase").failed().says("pass phrase").never_says("wrong pass phrase");
            reach(&site, &[&key(name)]).failed().says("no pass phrase is configured");
        }
        reach(&site, &[&key("stranger")]).failed().says("does not accept").says("HINT");
        reach(&site, &[&key("missing")]).failed().says("cannot be read");
        reach(&site, &[&key("authorized_keys")]).failed().says("in no format");
        let public = |name: &str| format!("--repo1-sftp-public-key-file={}", server.text(name));
        reach(&site, &[&public("id.pub")]).ok();
        reach(&site, &[&public("stranger.pub")]).failed().says("does not belong to");
    }

    fn an_agent_logs_in_where_no_key_file_is_named(version) {
        let server = SshServer::start();
        server.make_key("stranger", &["-t", "ed25519", "-N", ""]);
        let mut options = server.options();
        let site = remote_site(version, &options).build();
        options.retain(|(name, _)| *name != "repo1-sftp-private-key-file");
        let agent = SshAgent::start(&server, &["stranger", "id"]);
        let with = |arguments: &[&str]| {
            let lines: Vec<String> = options.iter().map(|(n, v)| format!("--{n}={v}")).collect();
            let lines = lines.iter().map(String::as_str).chain(["--reset-repo1-sftp-private-key-file"]);
            let all: Vec<&str> = lines.chain(arguments.iter().copied()).collect();
            crate::support::run(site.command(&all).env("SSH_AUTH_SOCK", &agent.socket))
        };
        with(&["expire"]).ok();
        let public = |name: &str| format!("--repo1-sftp-public-key-file={}", server.text(name));
        with(&[&public("id.pub"), "expire"]).ok();
        with(&[&public("stranger.pub"), "expire"]).failed().says("does not accept");
        reach(&site, &["--reset-repo1-sftp-private-key-file"]).failed().says("no SSH agent");
    }

    fn a_backup_survives_broken_connections(version) {
        let server = SshServer::start();
        let site = sftp_site(version, &server);
        site.primary.sql("create table t as select g, md5(g::text) from generate_series(1, 100000) g");
        let mut backup = site.slow_backup(&["--type=full", "--compress-type=none"]);
        for _ in 0..2 {
            // It connects again when it has something to store.
            wait_until("the backup is connected", 30, || {
                assert!(backup.running(), "the backup ended too early");
                server.break_connections() > 0
            });
            std::thread::sleep(Duration::from_millis(700));
        }
        backup.finish().ok();
        site.run(&["verify"]).ok();
        site.primary.archive_wal();
        let restored = site.restore("r", &[]).verified().start_primary();
        assert_eq!(restored.value("select count(*) from t"), "100000");
    }

    fn a_backup_without_its_server_fails_and_leaves_nothing_to_see(version) {
        let mut server = SshServer::start();
        let site = sftp_site(version, &server);
        let backup = site.slow_backup(&["--type=full", "--repo1-storage-retry-time=2s"]);
        server.stop();
        backup.finish().failed().says("unable to").says("HINT");
        server.start_again();
        assert_eq!(site.labels().len(), 0);
        site.full_backup(&[]);
        site.run(&["verify"]).ok();
    }
}

// --- the store itself -------------------------------------------------------------------------------------------------

fn store(server: &SshServer) -> SftpStorage {
    let root = server.path("repo/below");
    let options = SftpOptions {
        host: "127.0.0.1".into(),
        port: server.port,
        user: server.user(),
        root: root.display().to_string(),
        host_key: HostKeyPolicy::Strict,
        known_hosts: vec![server.path("known_hosts")],
        login: Login::KeyFile { private: server.path("id"), passphrase: None, public: None },
        timeout: Duration::from_secs(30),
    };
    SftpStorage::new(options, Requests::new(&RequestOptions::default()))
}

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).expect("a path")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

#[test]
fn sftp_keeps_the_promises_of_a_store() {
    let server = SshServer::start();
    runtime().block_on(conformance::run_all(Arc::new(store(&server))));
    let single = tokio::runtime::Builder::new_current_thread().enable_all().build();
    single.expect("a runtime").block_on(conformance::run_all(Arc::new(store(&server))));
    // Dropped uploads remove their files on their own time.
    assert!(fs::read_dir(server.path("repo/below")).expect("made").next().is_none());
}

#[test]
fn files_and_directories_have_their_modes() {
    let server = SshServer::start();
    runtime().block_on(async {
        let store = store(&server);
        store.put(&path("a/b/c"), Bytes::from_static(b"x")).await.expect("put");
        let mode = |name: &str| {
            let metadata = fs::metadata(server.path("repo/below").join(name)).expect("there");
            metadata.permissions().mode() & 0o7777
        };
        assert_eq!((mode(""), mode("a"), mode("a/b"), mode("a/b/c")), (0o750, 0o750, 0o750, 0o640));
        assert_eq!(fs::read_dir(server.path("repo/below/a/b")).expect("there").count(), 1);
    });
}

#[test]
fn what_a_killed_writer_left_is_invisible_and_removed_when_it_is_old() {
    let server = SshServer::start();
    runtime().block_on(async {
        let store = store(&server);
        assert_eq!(store.remove_stale(&path("a"), Duration::ZERO).await.expect("nothing"), 0);
        store.put(&path("a/b"), Bytes::from_static(b"x")).await.expect("put");
        let left = server.path("repo/below/a/.tmp-0123456789abcdef");
        fs::write(&left, b"half").expect("writable");
        fs::create_dir_all(server.path("repo/below/a/empty/below")).expect("writable");
        give_to_server_user(&server.path("repo"));
        assert_eq!(store.list(&path("a"), false).await.expect("listed").len(), 2);
        assert!(store.list_prefix(&path("a"), ".tmp-").await.expect("listed").is_empty());
        let minute = Duration::from_secs(60);
        assert_eq!(store.remove_stale(&path("a"), minute).await.expect("looked"), 0);
        assert!(left.exists());
        assert_eq!(store.remove_stale(&path("a"), Duration::ZERO).await.expect("removed"), 1);
        assert!(!left.exists() && !server.path("repo/below/a/empty").exists());
        assert!(store.stat(&path("a/b")).await.is_ok());
    });
}

#[test]
fn links_are_neither_followed_nor_taken_for_absent() {
    let server = SshServer::start();
    let outside = server.path("outside");
    fs::create_dir(&outside).expect("writable");
    fs::write(outside.join("secret"), b"s").expect("writable");
    give_to_server_user(&outside);
    runtime().block_on(async {
        let store = store(&server);
        store.put(&path("a/b"), Bytes::from_static(b"x")).await.expect("put");
        symlink(outside.join("secret"), server.path("repo/below/a/file")).expect("linked");
        symlink(&outside, server.path("repo/below/a/dir")).expect("linked");
        symlink("nowhere", server.path("repo/below/a/broken")).expect("linked");
        for name in ["a/file", "a/dir/secret", "a/broken"] {
            let kinds = [
                store.get(&path(name)).await.err().map(|e| e.kind()),
                store.stat(&path(name)).await.err().map(|e| e.kind()),
                store.get_range(&path(name), 0..1).await.err().map(|e| e.kind()),
            ];
            assert_eq!(kinds, [Some(ErrorKind::Denied); 3], "{name}");
        }
        let written = store.put(&path("a/dir/new"), Bytes::new()).await;
        assert_eq!(written.expect_err("refused").kind(), ErrorKind::Denied);
        assert!(store.delete(&[path("a/dir/secret")]).await.is_err());
        assert!(store.list(&path("a/dir"), false).await.is_err());
        assert_eq!(fs::read_dir(&outside).expect("there").count(), 1);
        assert_eq!(store.list(&path("a"), true).await.expect("listed").len(), 1);
        // A root that a link leads away from is not absence.
        fs::rename(server.path("repo/below"), server.path("repo/away")).expect("renamed");
        symlink("gone", server.path("repo/below")).expect("linked");
        let looked = store.stat(&path("a/b")).await.expect_err("no root");
        assert_eq!(looked.kind(), ErrorKind::Other, "{looked}");
        assert!(store.list(&ObjectPath::root(), false).await.is_err());
    });
}

#[test]
fn uploads_and_downloads_go_on_after_a_break() {
    let server = SshServer::start();
    runtime().block_on(async {
        let store = store(&server);
        let data: Vec<u8> = (0..12_000_001_usize).map(|i| (i ^ (i >> 8)) as u8).collect();
        let mut upload = store.put_stream(&path("big")).await.expect("begun");
        for (index, chunk) in data.chunks(1_000_000).enumerate() {
            if index % 4 == 2 {
                server.break_connections();
            }
            upload.write(Bytes::copy_from_slice(chunk)).await.expect("written");
        }
        server.break_connections();
        upload.finish().await.expect("published");
        let mut download = store.get(&path("big")).await.expect("opened");
        let mut read = Vec::new();
        while let Some(chunk) = download.next().await.expect("read") {
            if read.len() < 6_000_000 && read.len() + chunk.len() >= 6_000_000 {
                server.break_connections();
            }
            read.extend_from_slice(&chunk);
        }
        assert!(read == data);
        server.break_connections();
        assert_eq!(store.get_range(&path("big"), 3..9).await.expect("read"), data[3..9]);
        assert_eq!(fs::read_dir(server.path("repo/below")).expect("there").count(), 1);
    });
}

#[test]
fn an_upload_that_is_dropped_leaves_no_file() {
    let server = SshServer::start();
    runtime().block_on(async {
        let store = store(&server);
        let mut upload = store.put_stream(&path("a/big")).await.expect("begun");
        let chunk = Bytes::from(vec![1; 3 << 20]);
        upload.write(chunk.clone()).await.expect("written");
        drop(tokio::time::timeout(Duration::ZERO, upload.write(chunk)).await);
        drop(upload);
        let left = || fs::read_dir(server.path("repo/below/a")).map_or(0, Iterator::count);
        tokio::task::block_in_place(|| wait_until("the file is removed", 10, || left() == 0));
    });
}

#[test]
fn a_store_that_is_not_used_connects_to_nobody() {
    let server = SshServer::start();
    let (port, store) = (server.port, store(&server));
    drop(server);
    assert!(store.location().contains(&format!("@127.0.0.1:{port}/")));
}
