//! A store behind a network that fails in the middle: what is survived, and what is a clear error that leaves nothing
//! to be seen. The server is moto; a proxy in front of it breaks what it answers.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::support::{
    Fault, Moto, Proxy, Rule, Site, SiteBuilder, Version, on_one_version, remote_site,
};

const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code><Message>Less.</Message></Error>";
const INTERNAL: &str = "<Error><Code>InternalError</Code><Message>Oh.</Message></Error>";
const EXPIRED: &str = "<Error><Code>ExpiredToken</Code><Message>Too old.</Message></Error>";

/// A server, the proxy before it, and a cluster whose repository is behind both.
struct Far {
    proxy: Proxy,
    site: Site,
    _moto: Moto,
}

fn far(version: Version, more: impl FnOnce(SiteBuilder) -> SiteBuilder) -> Far {
    let moto = Moto::start();
    let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], moto.port)));
    let mut options = moto.options();
    for (name, value) in &mut options {
        match *name {
            "repo1-s3-endpoint" => *value = format!("http://127.0.0.1:{}", proxy.port()),
            "repo1-s3-bucket" => *value = Moto::PLAIN_BUCKET.to_owned(),
            _ => {}
        }
    }
    let site = more(
        remote_site(version, &options)
            .option("repo1-storage-upload-chunk-size", "5MiB")
            .option("compress-type", "none"),
    );
    let site = site.build();
    site.primary.sql("create table t as select g, md5(g::text) from generate_series(1, 20000) g");
    Far { proxy, site, _moto: moto }
}

fn rule(method: &'static str, target: &'static str, skip: u32, times: u32, fault: Fault) -> Rule {
    Rule { method, target, skip, times, fault }
}

impl Far {
    /// Every fault has struck.
    fn all_struck(&self, times: u64) {
        assert!(self.proxy.struck() >= times, "{} of {times}", self.proxy.struck());
    }

    /// The rows come back from the repository.
    fn restores(&self, name: &str) {
        let wanted = self.site.primary.fingerprint();
        self.site.primary.archive_wal();
        let restored = self.site.restore(name, &[]).start();
        restored.wait_until_primary();
        assert_eq!(restored.fingerprint(), wanted);
    }
}

on_one_version! {
    fn faults_in_mid_backup_and_restore_are_survived(version) {
        let far = far(version, |site| site.option("io-timeout", "3s"));
        far.proxy.rules(vec![
            rule("PUT", "backup/", 1, 2, Fault::Answer(503, "retry-after: 1\r\n", SLOW_DOWN)),
            rule("PUT", "partNumber", 1, 1, Fault::Reset),
            rule("PUT", "partNumber", 2, 1, Fault::ResetAfter),
            rule("PUT", "partNumber", 1, 1, Fault::Answer(500, "", INTERNAL)),
            rule("PUT", "partNumber", 1, 1, Fault::Stall),
            rule("POST", "uploadId", 0, 1, Fault::ResetAfter),
            rule("PUT", "files", 0, 1, Fault::ResetAfter),
            rule("GET", "list-type", 0, 1, Fault::Answer(500, "", INTERNAL)),
        ]);
        let began = Instant::now();
        far.site.full_backup(&[]);
        far.all_struck(9);
        assert!(began.elapsed() > Duration::from_secs(2), "the store asked for a second, twice");
        far.proxy.rules(vec![
            rule("GET", "bundle", 0, 1, Fault::Reset),
            rule("GET", "bundle", 1, 1, Fault::Short),
            rule("GET", "bundle", 1, 1, Fault::StallInBody),
            rule("GET", "/archive/", 0, 1, Fault::Short),
            rule("GET", "files", 0, 1, Fault::Short),
        ]);
        far.restores("restored");
        far.all_struck(5);
        far.proxy.rules(Vec::new());
        far.site.run(&["verify"]).ok();
    }

    fn store_that_stays_away_fails_the_backup_and_nothing_of_it_is_seen(version) {
        let far = far(version, |site| site.option("repo1-storage-retry-time", "2s"));
        for (method, target, fault) in [
            ("PUT", "bundle", Fault::Answer(503, "", SLOW_DOWN)),
            ("PUT", "bundle", Fault::Reset),
            ("POST", "uploads", Fault::Answer(500, "", INTERNAL)),
            ("PUT", "manifest", Fault::Answer(503, "", SLOW_DOWN)),
            ("PUT", "bundle", Fault::Answer(400, "", EXPIRED)),
        ] {
            far.proxy.rules(vec![rule(method, target, 0, 1000, fault)]);
            let outcome = far.site.run(&["--type=full", "backup"]).failed().within_ms(60_000);
            let _ = outcome.says("HINT");
            assert!(far.proxy.struck() > 0);
            far.proxy.rules(Vec::new());
            assert!(far.site.labels().is_empty());
        }
        far.site.full_backup(&[]);
        far.site.run(&["verify"]).ok();
        assert_eq!(far.site.labels().len(), 1);
    }

    fn key_that_expires_in_mid_backup_is_named(version) {
        let far = far(version, |site| site);
        far.proxy.rules(vec![rule("PUT", "backup/", 2, 1000, Fault::Answer(400, "", EXPIRED))]);
        far.site.run(&["--type=full", "backup"]).failed().says("ExpiredToken").within_ms(60_000);
        far.proxy.rules(Vec::new());
        assert!(far.site.labels().is_empty());
    }

    fn forged_bytes_are_never_delivered(version) {
        let far = far(version, |site| site);
        far.site.full_backup(&[]);
        let segment = far.site.primary.archive_wal();
        let target = far.site.dir.path().join("fetched");
        let get = ["archive-get", &segment, &target.display().to_string()];
        far.proxy.rules(vec![rule("GET", "/archive/", 0, 1000, Fault::Forge)]);
        far.site.run(&get).failed();
        assert!(!target.exists());
        far.proxy.rules(vec![rule("GET", "bundle", 0, 1000, Fault::Forge)]);
        let outcome = far.site.restore_into(&far.site.dir.path().join("bad"), &[]).failed();
        let _ = outcome.says("HINT");
        assert!(far.proxy.struck() > 0);
        far.proxy.rules(Vec::new());
        far.site.run(&get).ok();
        assert_eq!(fs::metadata(&target).expect("delivered").len(), 16 << 20);
        far.restores("good");
    }

    /// Recovery asks for each segment of WAL, often over a slow line.
    fn archive_get_asks_the_store_twice(version) {
        let far = far(version, |site| site);
        far.site.full_backup(&[]);
        let segment = far.site.primary.archive_wal();
        // It would go on archiving.
        far.site.primary.stop();
        let target = far.site.dir.path().join("fetched").display().to_string();
        far.proxy.rules(Vec::new());
        far.site.run(&["archive-get", &segment, &target]).ok();
        let seen = far.proxy.seen();
        assert!(seen.len() <= 2, "{seen:#?}");
        // Absence is proven by the stanza's own history.
        far.site.run(&["archive-get", "0000000100000FFF00000001", &target]).code(1);
    }

    fn rate_limit_holds_for_a_store(version) {
        let far = far(version, |site| site);
        let began = Instant::now();
        far.site.full_backup(&["--repo1-storage-max-rate=8MiB"]);
        // Over 20 MiB of a new cluster, not compressed.
        assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}
