//! A repository behind SFTP, on a line that breaks, stalls and spoils what passes, and on a server that is full, slow, gone
//! or offers less than OpenSSH's usually does.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use pgstrata::storage::{
    ErrorKind, ObjectPath, Storage,
    requests::{RequestOptions, Requests, RetryPolicy},
    sftp::SftpStorage,
};

use crate::{
    sftp::{block_on, conforms, options},
    support::{
        Bend, Damage, LINK_IS_LATE, LINK_REFUSED, Relay, Site, SshServer, Trouble, What, When,
        on_one_version, remote_site, wait_until,
    },
};

const MIB: u64 = 1 << 20;

/// Whether a file of this name is anywhere in a repository.
fn holds(repository: PathBuf, name: &'static str) -> Box<dyn Fn() -> bool + Send> {
    fn find(directory: &PathBuf, name: &str) -> bool {
        let Ok(entries) = fs::read_dir(directory) else { return false };
        let found = |path: PathBuf| path.ends_with(name) || find(&path, name);
        entries.flatten().any(|entry| found(entry.path()))
    }
    Box::new(move || find(&repository, name))
}

/// Takes a backup, in the middle of which something changes for the worse. Nothing of it may be seen.
fn fails(site: &Site, relay: &Relay, says: &str, change: impl FnOnce()) {
    relay.troubles(vec![Trouble(What::Stall, When::Sent(6 * MIB))]);
    let backup = site.spawn(&["--type=full", "backup"]);
    wait_until("the backup is in its middle", 30, || relay.is_over());
    change();
    relay.go_on();
    let _ = backup.finish().failed().says(says).says("HINT").within_ms(60_000);
}

on_one_version! {
    fn faults_in_mid_backup_and_restore_are_survived(version) {
        let server = SshServer::start();
        let relay = Relay::start(server.port);
        let site = remote_site(version, &server.options_through(&relay))
            .option("io-timeout", "3s")
            .option("compress-type", "none")
            .build();
        site.primary.sql("create table t as select g, md5(g::text) from generate_series(1, 20000) g");
        relay.troubles(vec![
            Trouble(What::Cut, When::Sent(1)),
            Trouble(What::Cut, When::Sent(4 * MIB)),
            Trouble(What::Spoil, When::Sent(8 * MIB)),
            Trouble(What::Stall, When::Sent(12 * MIB)),
            Trouble(What::Cut, When::Answers(holds(site.repository().join("backup"), "files"))),
            Trouble(What::Cut, When::Answers(holds(site.repository().join("backup"), "manifest"))),
        ]);
        site.full_backup(&[]);
        relay.all_happened();
        assert_eq!(site.labels().len(), 1);
        let wanted = site.primary.fingerprint();
        site.primary.archive_wal();
        relay.troubles(vec![
            Trouble(What::Cut, When::Received(1)),
            Trouble(What::Cut, When::Received(4 * MIB)),
            Trouble(What::Spoil, When::Received(8 * MIB)),
            Trouble(What::Stall, When::Received(12 * MIB)),
        ]);
        let restored = site.restore("restored", &[]).verified();
        relay.all_happened();
        assert_eq!(restored.start_primary().fingerprint(), wanted);
        site.run(&["verify"]).ok();
    }

    fn a_server_that_cannot_go_on_fails_the_backup_and_nothing_of_it_is_seen(version) {
        let mut server = SshServer::bent();
        let relay = Relay::start(server.port);
        let site = remote_site(version, &server.options_through(&relay))
            .option("repo1-storage-retry-time", "1s")
            .option("io-timeout", "2s")
            .option("compress-type", "none")
            .build();
        let nothing_is_seen = || assert_eq!(site.labels().len(), 0);
        for (how, says) in [
            (Bend::DiskFull, "the file system of the server is full"),
            (Bend::OverQuota, "the server returned 'Failure'"),
        ] {
            fails(&site, &relay, says, || server.bend(how, true));
            server.bend(how, false);
            nothing_is_seen();
        }
        // It is there and says nothing.
        fails(&site, &relay, "unable to", || server.halt(true));
        server.halt(false);
        nothing_is_seen();
        // It no longer lets the user in.
        fails(&site, &relay, "does not accept", || {
            server.write("authorized_keys", "");
            server.break_connections();
        });
        server.write("authorized_keys", &server.public("id"));
        nothing_is_seen();
        // It is gone.
        fails(&site, &relay, "unable to", || server.stop());
        server.start_again();
        nothing_is_seen();
        site.full_backup(&[]);
        site.run(&["verify"]).ok();
    }

    fn forged_and_short_files_are_never_delivered(version) {
        let server = SshServer::start();
        let site = remote_site(version, &server.options()).option("compress-type", "none").build();
        site.primary.sql("create table t as select g, md5(g::text) from generate_series(1, 20000) g");
        site.full_backup(&[]);
        let segment = site.primary.archive_wal();
        let target = site.dir.path().join("fetched");
        let get = ["archive-get", &segment, &target.display().to_string()];
        let bundle = site.repository_files("backup").into_iter().find(|file| {
            file.to_string_lossy().contains("bundle")
        });
        for damage in [Damage::FlipAt(500), Damage::CutHalf, Damage::Empty] {
            damage.during(&site.archived(&segment)[0], || {
                site.run(&get).failed();
                assert!(!target.exists());
            });
            damage.during(bundle.as_deref().expect("a bundle"), || {
                let into = site.dir.path().join("bad");
                let _ = site.restore_into(&into, &[]).failed().says("HINT");
                let _ = fs::remove_dir_all(into);
            });
        }
        site.run(&get).ok();
    }
}

// --- the store itself -------------------------------------------------------------------------------------------------

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).expect("a path")
}

/// A store behind a server, that gives up after `patience`.
fn store(server: &SshServer, port: u16, patience: Duration) -> SftpStorage {
    let retry = RetryPolicy { deadline: patience, ..RetryPolicy::default() };
    let requests = Requests::new(&RequestOptions { retry, ..RequestOptions::default() });
    SftpStorage::new(options(server, port), requests)
}

const PATIENT: Duration = Duration::from_secs(30);

async fn read(store: &SftpStorage, name: &str) -> Vec<u8> {
    let mut download = store.get(&path(name)).await.expect("opened");
    let mut whole = Vec::new();
    while let Some(chunk) = download.next().await.expect("read") {
        whole.extend_from_slice(&chunk);
    }
    whole
}

/// The name is there, and the answer that says so is lost. Nothing but the object is left.
fn settles_the_lost_answer(server: &SshServer) {
    let relay = Relay::start(server.port);
    server.options_through(&relay);
    let root = server.path("repo/below");
    let store = store(server, relay.port, PATIENT);
    block_on(async {
        for name in ["large", "small"] {
            let data = vec![7; if name == "large" { 3 << 20 } else { 10 }];
            let target = root.join(name);
            let made = When::Answers(Box::new(move || target.exists()));
            relay.troubles(vec![Trouble(What::Cut, made)]);
            store.put(&path(name), data.clone().into()).await.expect("put");
            relay.all_happened();
            assert!(read(&store, name).await == data);
        }
        let taken = store.put(&path("small"), Bytes::from_static(b"0123456789")).await;
        assert_eq!(taken.expect_err("taken").kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_dir(&root).expect("there").count(), 2);
    });
}

#[test]
fn the_lost_answer_to_a_link_is_settled() {
    settles_the_lost_answer(&SshServer::start());
}

#[test]
fn the_lost_answer_to_a_rename_is_settled() {
    let server = SshServer::without("hardlink");
    assert!(server.offers("fsync@openssh.com") && !server.offers("hardlink@openssh.com"));
    settles_the_lost_answer(&server);
}

#[test]
fn the_lost_answer_on_a_file_system_without_links_is_settled() {
    let server = SshServer::bent();
    server.bend(Bend::NoLinks, true);
    settles_the_lost_answer(&server);
    assert!(server.path(LINK_REFUSED).exists());
}

/// The server is slow, and makes the link only after the connection that asked for it is gone and another one asks.
#[test]
fn a_link_that_is_made_after_its_connection_broke_is_ours() {
    let server = SshServer::bent();
    let relay = Relay::start(server.port);
    server.options_through(&relay);
    let store = store(&server, relay.port, PATIENT);
    block_on(async {
        store.put(&path("first"), Bytes::from_static(b"1")).await.expect("connected");
        server.bend(Bend::LateLink, true);
        let slow = server.path(LINK_IS_LATE);
        let cut = tokio::task::spawn_blocking(move || {
            wait_until("the server holds the link up", 20, || slow.exists());
            relay.cut();
            relay
        });
        store.put(&path("late"), Bytes::from_static(b"late")).await.expect("put");
        let _relay = cut.await.expect("cut");
        assert_eq!(read(&store, "late").await, b"late");
    });
}

#[test]
fn a_server_that_offers_less_keeps_the_promises() {
    let server = SshServer::without("hardlink,fsync,statvfs,limits");
    for extension in ["hardlink", "fsync", "statvfs", "limits"] {
        assert!(!server.offers(&format!("{extension}@openssh.com")), "{extension}");
    }
    block_on(conforms(&server, store(&server, server.port, PATIENT)));
}

#[test]
fn writers_and_readers_may_take_their_time() {
    let server = SshServer::start();
    let relay = Relay::start(server.port);
    server.options_through(&relay);
    let store = store(&server, relay.port, Duration::from_secs(1));
    block_on(async {
        let data = vec![5; 2 << 20];
        store.put(&path("x"), data.clone().into()).await.expect("put");
        let mut upload = store.put_stream(&path("y")).await.expect("begun");
        upload.write(Bytes::from_static(b"y")).await.expect("gathered");
        relay.troubles(vec![Trouble(What::Cut, When::Received(200 << 10))]);
        let mut download = store.get(&path("x")).await.expect("opened");
        let mut whole = download.next().await.expect("read").expect("bytes").to_vec();
        tokio::task::block_in_place(|| wait_until("the line is cut", 10, || relay.is_over()));
        // Longer than a request is tried again.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        while let Some(chunk) = download.next().await.expect("read") {
            whole.extend_from_slice(&chunk);
        }
        assert!(whole == data);
        relay.troubles(vec![Trouble(What::Cut, When::Sent(1))]);
        upload.finish().await.expect("published");
        relay.all_happened();
        assert_eq!(read(&store, "y").await, b"y");
    });
}

/// Each of them would connect by himself, one after the other.
#[test]
fn many_that_wait_for_a_stalled_server_wait_once() {
    let server = SshServer::start();
    let timeout = Duration::from_secs(1);
    let retry = RetryPolicy { deadline: Duration::from_millis(50), ..RetryPolicy::default() };
    let requests = Requests::new(&RequestOptions { retry, ..RequestOptions::default() });
    let options = pgstrata::storage::sftp::SftpOptions { timeout, ..options(&server, server.port) };
    let store = Arc::new(SftpStorage::new(options, requests));
    server.halt(true);
    let began = std::time::Instant::now();
    block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let store = store.clone();
            tasks.spawn(async move { store.stat(&path("x")).await.map_err(|error| error.kind()) });
        }
        for result in tasks.join_all().await {
            assert_eq!(result.expect_err("stalled"), ErrorKind::Transient);
        }
    });
    assert!(began.elapsed() < 4 * timeout, "{:?}", began.elapsed());
}
