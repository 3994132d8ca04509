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
    Outcome, Site, SshAgent, SshServer, Version, documented, give_to_server_user, on_one_version,
    remote_site, tour, wait_until,
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
    fn documented_configuration_does_everything(version) {
        let server = SshServer::start();
        let reach = [("repo1-sftp-host-port", server.port.to_string())];
        let options = documented("sftp.md", &server.options(), &reach);
        let site = remote_site(version, &options).build();
        tour(&site, "PRIVATE KEY");
        assert_eq!(temporary_files(&site), 0);
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
        reach(&site, &[&empty]).failed().says("is unknown").says("HINT");
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
        reach(&site, &[&new]).failed().says("is unknown");
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
        reach(&site, &[&key("authorized_keys")]).failed().says("in an unknown format");
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
}

// --- the store itself -------------------------------------------------------------------------------------------------

/// A store behind the server, which is reached on this port.
pub(crate) fn options(server: &SshServer, port: u16) -> SftpOptions {
    let root = server.path("repo/below");
    SftpOptions {
        host: "127.0.0.1".into(),
        port,
        user: server.user(),
        root: root.display().to_string(),
        host_key: HostKeyPolicy::Strict,
        known_hosts: vec![server.path("known_hosts")],
        login: Login::KeyFile { private: server.path("id"), passphrase: None, public: None },
        timeout: Duration::from_secs(30),
    }
}

fn store(server: &SshServer) -> SftpStorage {
    SftpStorage::new(options(server, server.port), Requests::new(&RequestOptions::default()))
}

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).expect("a path")
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// Runs the suite, after which nothing is left. Dropped uploads remove their files on their own time, as long as the
/// runtime is there.
pub(crate) async fn conforms(server: &SshServer, store: SftpStorage) {
    conformance::run_all(Arc::new(store)).await;
    let is_empty = || fs::read_dir(server.path("repo/below")).expect("made").next().is_none();
    let emptied = async {
        while !is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), emptied).await.expect("nothing is left");
}

#[test]
fn sftp_keeps_the_promises_of_a_store() {
    let server = SshServer::start();
    block_on(conforms(&server, store(&server)));
    let single = tokio::runtime::Builder::new_current_thread().enable_all().build();
    single.expect("a runtime").block_on(conforms(&server, store(&server)));
}

/// Regression: the delete of another object found the temporary file of an upload that was just being given up, and
/// left the directory to nobody.
#[test]
fn an_upload_given_up_takes_its_empty_directory_along() {
    let server = SshServer::start();
    block_on(async {
        let store = store(&server);
        let directory = server.path("repo/below/gone");
        for abort in [true, false] {
            let mut upload = store.put_stream(&path("gone/below/x")).await.expect("begun");
            upload.write(vec![1; 6 << 20].into()).await.expect("written");
            store.put(&path("gone/y"), Bytes::from_static(b"y")).await.expect("put");
            store.delete(&[path("gone/y")]).await.expect("deleted");
            assert!(directory.exists());
            match abort {
                true => upload.abort().await.expect("removed"),
                false => drop(upload),
            }
            let gone = async {
                while directory.exists() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), gone).await.expect("nothing is left");
        }
    });
}

#[test]
fn files_and_directories_have_their_modes() {
    let server = SshServer::start();
    block_on(async {
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
    block_on(async {
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
    block_on(async {
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
        // A listing that left them out would say that nothing is there.
        let listed = store.list(&path("a"), true).await.expect_err("refused");
        assert_eq!(listed.kind(), ErrorKind::Denied, "{listed}");
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
    block_on(async {
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
    block_on(async {
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
