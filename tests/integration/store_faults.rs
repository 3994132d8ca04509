//! An object store behind a network that fails in the middle: what is survived, and what is a clear error that leaves
//! nothing to be seen. A proxy in front of each store's server breaks what it answers.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::support::{
    Asks, Fault, ObjectStore, Proxy, S3, Setting, Site, SiteBuilder, Started, Version, exit,
    on_each_object_store, on_one_version, remote_site, wait_until,
};

/// Each file and segment that is put in one request.
const SMALL: Asks = Asks("PUT", "backup/");
const FILE_LIST: Asks = Asks("PUT", "files");
const MANIFEST: Asks = Asks("PUT", "manifest");
/// The manifest itself, not PostgreSQL's.
const PUBLICATION: Asks = Asks("PUT", "/manifest");
const READ_BUNDLE: Asks = Asks("GET", "bundle");
const READ_FILE_LIST: Asks = Asks("GET", "files");
const READ_WAL: Asks = Asks("GET", "/archive/");
/// As often as it is asked.
const ALWAYS: u32 = 100_000;
/// For a command whose store stays unavailable. Other commands wait for a slow store.
const GIVES_UP_EARLY: &str = "--repo1-storage-retry-time=1s";

/// A server, the proxy before it, and a cluster whose repository is behind both.
struct Far {
    proxy: Proxy,
    site: Site,
    _server: Started,
}

fn far(
    store: &ObjectStore,
    version: Version,
    more: impl FnOnce(SiteBuilder) -> SiteBuilder,
) -> Far {
    let server = (store.start)();
    let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], server.port)));
    let path = |name: &str| [store.endpoint, "repo1-path"].contains(&name);
    let mut options: Vec<Setting> = server.options.clone();
    options.retain(|(name, _)| !path(name));
    options.push((store.endpoint, format!("http://127.0.0.1:{}", proxy.port())));
    options.push(("repo1-path", "/far".to_owned()));
    let site = more(
        remote_site(version, &options)
            .option("repo1-storage-upload-chunk-size", "5MiB")
            .option("compress-type", "none"),
    );
    let site = site.build();
    site.primary.sql("create table t as select g, md5(g::text) from generate_series(1, 20000) g");
    Far { proxy, site, _server: server }
}

impl Far {
    /// The rows come back from the repository.
    fn restores(&self, name: &str) {
        let wanted = self.site.primary.fingerprint();
        self.site.primary.archive_wal();
        let restored = self.site.restore(name, &[]).start();
        restored.wait_until_primary();
        assert_eq!(restored.fingerprint(), wanted);
    }

    /// Takes a backup that fails under a fault, of which nothing may be seen.
    fn fails(&self, asks: Asks, skip: u32, fault: &Fault, says: &[&str]) {
        self.proxy.rules(vec![asks.meet(skip, ALWAYS, fault.clone())]);
        // A late response of a busy host is not the fault under test.
        let limit =
            if matches!(fault, Fault::Stall) { "--io-timeout=5s" } else { "--io-timeout=60s" };
        let outcome = self.site.run(&[GIVES_UP_EARLY, limit, "--type=full", "backup"]).failed();
        let outcome = says.iter().fold(outcome.says("HINT"), |outcome, text| outcome.says(text));
        drop(outcome);
        assert!(self.proxy.struck() > 0, "{asks:?} {fault:?}");
        self.proxy.rules(Vec::new());
        assert!(self.site.labels().is_empty(), "{asks:?} {fault:?}");
    }
}

on_each_object_store! {
    fn faults_in_mid_backup_and_restore_are_survived(store, version) {
        let far = far(store, version, |site| site.option("io-timeout", "2s"));
        let mut rules = vec![
            SMALL.meet(1, 2, store.busy_for_a_second.clone()),
            store.part.meet(1, 1, Fault::Reset),
            store.part.meet(2, 1, Fault::ResetAfter),
            store.part.meet(1, 1, store.out_of_order.clone()),
            store.part.meet(0, 1, store.not_as_sent.clone()),
            store.part.meet(1, 1, Fault::Stall),
            store.complete.meet(0, 1, Fault::ResetAfter),
            FILE_LIST.meet(0, 1, Fault::ResetAfter),
            MANIFEST.meet(0, 1, Fault::ResetAfter),
            store.list.meet(0, 1, store.out_of_order.clone()),
            store.list.meet(0, 1, Fault::Short),
            store.list.meet(0, 1, Fault::Reset),
        ];
        if let Some(begin) = store.begin {
            rules.push(begin.meet(0, 1, Fault::Short));
        }
        far.proxy.rules(rules);
        let began = Instant::now();
        far.site.full_backup(&[]);
        far.proxy.all_struck();
        assert!(began.elapsed() > Duration::from_secs(2), "the store asked for a second, twice");
        far.proxy.rules(vec![
            READ_BUNDLE.meet(0, 1, Fault::Reset),
            READ_BUNDLE.meet(1, 1, Fault::Short),
            READ_BUNDLE.meet(1, 1, Fault::StallInBody),
            READ_WAL.meet(0, 1, Fault::Short),
            READ_FILE_LIST.meet(0, 1, Fault::Short),
        ]);
        far.restores("restored");
        far.proxy.all_struck();
        far.proxy.rules(Vec::new());
        far.site.run(&["verify"]).ok();
        // What is removed is gone, whatever became of the answer.
        far.site.full_backup(&[]);
        far.proxy.rules(vec![
            store.delete.meet(0, 1, store.out_of_order.clone()),
            store.delete.meet(0, 1, Fault::ResetAfter),
            store.delete.meet(0, 1, Fault::Short),
        ]);
        far.site.run(&["--repo1-retention-full=1", "expire"]).ok();
        far.proxy.all_struck();
        assert_eq!(far.site.labels().len(), 1);
        far.site.run(&["verify"]).ok();
    }

    fn a_store_that_stays_away_fails_the_backup_and_nothing_of_it_is_seen(store, version) {
        let far = far(store, version, |site| site);
        far.fails(store.part, 0, &store.busy, &[]);
        far.fails(store.part, 0, &Fault::Reset, &[]);
        far.fails(store.begin.unwrap_or(store.part), 0, &store.out_of_order, &["InternalError"]);
        far.fails(store.complete, 0, &Fault::Stall, &["no response within"]);
        far.fails(SMALL, 2, &store.key_is_over, &[store.says_over, "expired"]);
        far.site.full_backup(&[]);
        far.site.run(&["verify"]).ok();
        assert_eq!(far.site.labels().len(), 1);
        // What is left of it may yet become a backup: it is named.
        far.proxy.rules(vec![PUBLICATION.meet(0, ALWAYS, store.busy.clone())]);
        far.site.run(&[GIVES_UP_EARLY, "--type=full", "backup"]).failed().says("unable to determine whether");
        far.proxy.rules(Vec::new());
        assert_eq!(far.site.labels().len(), 1);
        far.site.run(&["verify"]).failed().says("the file list of the backup does");
    }

    fn forged_bytes_are_never_delivered(store, version) {
        let far = far(store, version, |site| site);
        far.site.full_backup(&[]);
        let segment = far.site.primary.archive_wal();
        let target = far.site.dir.path().join("fetched");
        let get = ["archive-get", &segment, &target.display().to_string()];
        far.proxy.rules(vec![READ_WAL.meet(0, ALWAYS, Fault::Forge)]);
        far.site.run(&get).failed();
        assert!(far.proxy.struck() > 0);
        assert!(!target.exists());
        far.proxy.rules(vec![READ_BUNDLE.meet(0, ALWAYS, Fault::Forge)]);
        let outcome = far.site.restore_into(&far.site.dir.path().join("bad"), &[]).failed();
        let _ = outcome.says("HINT");
        assert!(far.proxy.struck() > 0);
        far.proxy.rules(Vec::new());
        far.site.run(&get).ok();
        assert_eq!(fs::metadata(&target).expect("delivered").len(), 16 << 20);
        far.restores("good");
    }
}

on_one_version! {
    /// What was sent may take effect, so it is not taken back.
    fn publication_is_not_cancelled_by_a_signal(version) {
        let far = far(&S3, version, |site| site.option("io-timeout", "3s"));
        let earlier = far.site.full_backup(&[]);
        far.proxy.rules(vec![PUBLICATION.meet(0, 1, Fault::Stall)]);
        let mut backup = far.site.spawn(&["--type=full", "backup"]);
        wait_until("the manifest is sent", 60, || !backup.running() || far.proxy.struck() > 0);
        backup.signal(Signal::TERM).code(exit::TERM).says("is complete");
        far.proxy.rules(Vec::new());
        let labels = far.site.labels();
        assert_eq!(labels.len(), 2, "{labels:?}");
        assert_eq!(labels[0], earlier);
        far.site.run(&["verify"]).ok();
        far.site.run(&["--repo1-retention-full=1", "expire"]).ok();
        assert_eq!(far.site.labels(), labels[1..]);
        far.restores("restored");
    }

    fn a_publication_that_is_not_answered_removes_nothing(version) {
        let far = far(&S3, version, |site| site);
        far.proxy.rules(vec![PUBLICATION.meet(0, ALWAYS, Fault::ResetAfter)]);
        let outcome = far.site.run(&[GIVES_UP_EARLY, "--type=full", "backup"]).failed();
        let _ = outcome.says("unable to determine whether").says("no object of the backup was removed");
        far.proxy.rules(Vec::new());
        // It was done, and nobody took its data away.
        assert_eq!(far.site.labels().len(), 1);
        far.site.run(&["verify"]).ok();
        far.proxy.rules(vec![PUBLICATION.meet(0, ALWAYS, Fault::Reset)]);
        let outcome = far.site.run(&[GIVES_UP_EARLY, "--type=full", "backup"]).failed();
        let _ = outcome.says("no object of the backup was removed");
        far.proxy.rules(Vec::new());
        assert_eq!(far.site.labels().len(), 1);
        far.restores("restored");
    }

    /// Recovery asks for each segment of WAL, often over a slow line.
    fn archive_get_asks_the_store_twice(version) {
        let far = far(&S3, version, |site| site);
        far.site.full_backup(&[]);
        let segment = far.site.primary.archive_wal();
        // It would go on archiving.
        far.site.primary.stop();
        // As a server in recovery calls it: by its data directory it is known which archive is meant.
        let target = far.site.primary.data_dir.join("pg_wal/RECOVERYXLOG").display().to_string();
        far.proxy.rules(Vec::new());
        far.site.run(&["archive-get", &segment, &target]).ok();
        let seen = far.proxy.seen();
        assert!(seen.len() <= 2, "{seen:#?}");
        // Absence is proven by the stanza's own history.
        far.site.run(&["archive-get", "0000000100000FFF00000001", &target]).code(1);
    }

    fn rate_limit_holds_for_a_store(version) {
        let far = far(&S3, version, |site| site);
        let began = Instant::now();
        far.site.full_backup(&["--repo1-storage-max-rate=8MiB"]);
        // Over 20 MiB of a new cluster, not compressed.
        assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}
