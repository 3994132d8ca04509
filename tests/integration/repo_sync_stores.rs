//! `repo-sync` between repositories of every kind, each encrypted in its own way or not at all: the copy alone restores,
//! and a store that fails in the middle shows nothing that is not whole.

use std::{fs, net::SocketAddr};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    ACCOUNT, Asks, Azurite, CONTAINER, Damage, Elsewhere, Fault, Moto, Outcome, Proxy, RepoOptions,
    S3Server, Site, SshServer, Version, exit,
    gcs::{BUCKET, GcsServer, TOKEN},
    numbered, on_one_version, unnumbered, wait_until,
};

/// A site whose first repository is its own; the others are those of `repo-sync`.
struct Copies {
    site: Site,
    others: Vec<RepoOptions>,
}

/// A directory of the site.
fn directory(site: &Site, name: &str) -> RepoOptions {
    vec![("path".to_owned(), site.dir.make(name).display().to_string())]
}

/// The same repository, encrypted.
fn encrypted(mut repository: RepoOptions, pass: &str) -> RepoOptions {
    repository.push(("cipher-type".to_owned(), "aes-256-gcm".to_owned()));
    repository.push(("cipher-pass".to_owned(), pass.to_owned()));
    repository
}

impl Copies {
    /// The others are numbered from 2 on.
    fn new(site: Site, others: Vec<RepoOptions>) -> Self {
        let lines = (2..).zip(&others).map(|(key, options)| numbered(key, options));
        site.configure_for("repo-sync", &lines.collect::<String>());
        Self { site, others }
    }

    fn sync(&self, from: u16, to: u16, options: &[&str]) -> Outcome {
        let (from, to) = (format!("--from={from}"), format!("--to={to}"));
        self.site.run(&[&[from.as_str(), &to, "repo-sync"], options].concat())
    }

    /// The labels of the backups that were copied, and how many files of WAL.
    fn copied(&self, from: u16, to: u16) -> (Vec<String>, u64) {
        let outcome = self.sync(from, to, &["--output=json"]).ok();
        let report: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
        let backups = report[0]["backup"].as_array().expect("list");
        let labels = backups.iter().map(|b| b["label"].as_str().expect("text").to_owned());
        (labels.collect(), report[0]["wal"]["files"].as_u64().expect("a number"))
    }

    /// The program on a host that knows nothing but one copy.
    fn alone(&self, key: u16) -> Elsewhere<'_> {
        let lines = numbered(1, &self.others[usize::from(key) - 2]);
        self.site.elsewhere(&format!("alone{key}"), &lines)
    }

    /// Restores and starts what a copy holds, while the first repository is away.
    fn must_restore(&self, key: u16) {
        let away = self.site.dir.path().join("away");
        self.site.primary.archive_wal();
        self.sync(1, 2, &[]).ok();
        (3..=key).for_each(|to| drop(self.sync(to - 1, to, &[]).ok()));
        let expected = self.site.primary.fingerprint();
        fs::rename(self.site.repository(), &away).expect("writable");
        let copy = self.alone(key).restore(&format!("restored{key}"), &[]).verified();
        assert_eq!(copy.start_primary().fingerprint(), expected);
        fs::rename(&away, self.site.repository()).expect("writable");
    }
}

fn backup(site: &Site, kind: &str) -> String {
    site.primary
        .sql("create table if not exists t (n int); insert into t select generate_series(1, 1000)");
    site.run(&[&format!("--type={kind}"), "backup"]).ok();
    site.last_label()
}

/// The data key that the objects of a repository are encrypted with.
fn data_key(outcome: &Outcome) -> String {
    let report: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    report["recipient"][0]["data-key"].as_str().expect("text").to_owned()
}

/// Whether all objects of a directory but the key objects are encrypted, or none.
fn is_encrypted(site: &Site, name: &str) -> bool {
    let root = site.dir.path().join(name);
    let files = site.repository_files(&root.display().to_string());
    let data: Vec<_> = files.iter().filter(|file| !file.starts_with(root.join("key"))).collect();
    assert!(data.len() > 8, "{data:?}");
    let magic =
        |file: &&&std::path::PathBuf| fs::read(file).expect("an object").starts_with(b"pgstratc");
    let count = data.iter().filter(magic).count();
    assert!(count == 0 || count == data.len(), "{count} of {} are encrypted", data.len());
    count > 0
}

fn bucket(server: &S3Server) -> RepoOptions {
    unnumbered(&server.options())
}

fn container(server: &Azurite) -> RepoOptions {
    unnumbered(&[
        ("repo1-type", "azure".into()),
        ("repo1-path", "/copies".into()),
        ("repo1-azure-account", ACCOUNT.into()),
        ("repo1-azure-container", CONTAINER.into()),
        ("repo1-azure-endpoint", server.endpoint()),
        ("repo1-azure-uri-style", "path".into()),
        ("repo1-azure-key", server.key()),
    ])
}

fn gcs_bucket(server: &GcsServer) -> RepoOptions {
    unnumbered(&[
        ("repo1-type", "gcs".into()),
        ("repo1-path", "/copies".into()),
        ("repo1-gcs-bucket", BUCKET.into()),
        ("repo1-gcs-endpoint", server.endpoint()),
        ("repo1-gcs-key-type", "token".into()),
        ("repo1-gcs-key", TOKEN.into()),
    ])
}

fn other_host(server: &SshServer, site: &Site) -> RepoOptions {
    [directory(site, "sftp"), unnumbered(&server.options())].concat()
}

/// A copy in a bucket behind a proxy, of a backup that takes several parts.
struct Far {
    copies: Copies,
    proxy: Proxy,
    label: String,
    _moto: Moto,
}

fn far(version: Version) -> Far {
    let moto = Moto::start();
    let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], moto.port)));
    let mut target = unnumbered(&moto.options());
    for (name, value) in &mut target {
        match name.as_str() {
            "s3-endpoint" => *value = format!("http://127.0.0.1:{}", proxy.port()),
            "s3-bucket" => *value = Moto::PLAIN_BUCKET.to_owned(),
            _ => {}
        }
    }
    for (name, value) in [("storage-upload-chunk-size", "5MiB"), ("storage-retry-time", "1s")] {
        target.push((name.to_owned(), value.to_owned()));
    }
    let site = Site::builder(version).option("compress-type", "none").build();
    let label = backup(&site, "full");
    let copies = Copies::new(site, vec![encrypted(target, "of the copy")]);
    Far { copies, proxy, label, _moto: moto }
}

impl Far {
    /// Nothing of the backup is to be seen, and what is there is out of sight.
    fn shows_nothing(&self) {
        let alone = self.copies.alone(2);
        let _ = alone.run(&["info"]).code(0).never_says(&self.label);
        let objects = alone.run(&["--recurse", "repo-ls", "backup"]).ok();
        let _ = objects.never_says("/bundle/").never_says("/manifest");
    }
}

on_one_version! {
    fn each_repository_is_encrypted_in_its_own_way(version) {
        let site = Site::builder(version)
            .option("repo1-cipher-type", "aes-256-gcm")
            .option("repo1-cipher-pass", "one")
            .build();
        let others = vec![
            encrypted(directory(&site, "two"), "two"),
            directory(&site, "three"),
            encrypted(directory(&site, "four"), "four"),
        ];
        let copies = Copies::new(site, others);
        let labels = [backup(&copies.site, "full"), backup(&copies.site, "diff")];
        // A dry run makes no key either.
        copies.sync(1, 2, &["--dry-run"]).ok().says(&labels[1]);
        assert!(copies.site.repository_files("../two").is_empty());
        for (from, to) in [(1, 2), (2, 3), (3, 4)] {
            let (copied, files) = copies.copied(from, to);
            assert_eq!(copied, labels);
            assert!(files > 2, "{files}");
            assert_eq!(copies.copied(from, to), (Vec::new(), 0));
        }
        assert!(is_encrypted(&copies.site, "repo") && is_encrypted(&copies.site, "two"));
        assert!(!is_encrypted(&copies.site, "three") && is_encrypted(&copies.site, "four"));
        let status = ["--output=json", "repo-key"];
        let keys = [copies.site.run(&status), copies.alone(2).run(&status), copies.alone(4).run(&status)];
        let keys = keys.map(|outcome| data_key(&outcome.ok()));
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2], "{keys:?}");
        (2..=4).for_each(|key| drop(copies.alone(key).run(&["verify"]).ok()));
        copies.must_restore(4);

        // Nothing is written where a pass phrase is wrong, or where one is missing.
        backup(&copies.site, "incr");
        let before = copies.site.repository_files("../two");
        let wrong = |variable: &str| {
            let mut command = copies.site.command(&["--from=1", "--to=2", "repo-sync"]);
            crate::support::run(command.env(variable, "wrong")).code(exit::CRYPTO).says("HINT").never_says("wrong")
        };
        wrong("PGSTRATA_REPO1_CIPHER_PASS");
        wrong("PGSTRATA_REPO2_CIPHER_PASS");
        for stanza in ["db", "other"] {
            // Also where the target holds nothing of the stanza that would have to be read.
            let history = copies.site.dir.path().join("two/stanza");
            let _ = fs::rename(history.join("db"), history.join(stanza));
            copies.sync(1, 2, &["--repo2-cipher-type=none"]).code(exit::CRYPTO).says("is encrypted");
            let _ = fs::rename(history.join(stanza), history.join("db"));
        }
        assert_eq!(copies.site.repository_files("../two"), before);
    }

    fn damage_in_an_encrypted_source_is_named_and_not_copied(version) {
        let site = Site::builder(version)
            .option("repo1-cipher-type", "aes-256-gcm")
            .option("repo1-cipher-pass", "one")
            .build();
        let target = encrypted(directory(&site, "two"), "two");
        let copies = Copies::new(site, vec![target]);
        let site = &copies.site;
        let first = backup(site, "full");
        site.wait_for_the_next_second();
        let second = backup(site, "full");
        let objects = |name: &str| site.repository_files(&format!("backup/db/{first}/{name}"));
        let (bundle, map) = (objects("bundle").remove(0), objects("map").remove(0));
        for damage in [Damage::FlipAt(0), Damage::FlipAt(999), Damage::CutLastByte, Damage::Gone] {
            damage.during(&bundle, || {
                let outcome = copies.sync(1, 2, &[]).failed();
                outcome.says(&first).says("bundle/00000001");
            });
        }
        // An object under another's name.
        let intact = fs::read(&bundle).expect("an object");
        fs::copy(&map, &bundle).expect("writable");
        copies.sync(1, 2, &[]).code(exit::CHECKSUM).says(&format!("{first}/bundle/00000001"));
        fs::write(&bundle, &intact).expect("writable");
        copies.alone(2).run(&["info"]).ok().never_says(&first).says(&second);
        site.primary.sql("insert into t values (7)");
        let segment = site.primary.archive_wal();
        Damage::FlipAt(500).during(&site.archived(&segment)[0], || {
            copies.sync(1, 2, &[]).failed().says(&segment);
        });
        assert_eq!(copies.copied(1, 2), (Vec::new(), 1));
        copies.alone(2).run(&["info"]).ok().says(&first);
        copies.alone(2).run(&["verify"]).ok();
    }

    fn a_copy_goes_through_every_kind_of_store(version) {
        let (s3, azurite, gcs, ssh) =
            (S3Server::start(), Azurite::start(), GcsServer::start(), SshServer::start());
        let site = Site::new(version);
        let others = vec![
            encrypted(bucket(&s3), "of the bucket"),
            container(&azurite),
            encrypted(gcs_bucket(&gcs), "of the other bucket"),
            encrypted(other_host(&ssh, &site), "of the other host"),
        ];
        let copies = Copies::new(site, others);
        let full = backup(&copies.site, "full");
        (2..=5).for_each(|to| assert_eq!(copies.copied(to - 1, to).0, [full.as_str()]));
        let diff = backup(&copies.site, "diff");
        let set = format!("--set={full}");
        copies.site.run(&[&set, "keep"]).ok();
        (2..=5).for_each(|to| assert_eq!(copies.copied(to - 1, to).0, [diff.as_str()]));
        for key in 2..=5 {
            assert_eq!(copies.copied(key - 1, key), (Vec::new(), 0));
            copies.alone(key).run(&["verify"]).ok();
            copies.alone(key).run(&["info"]).ok().says(&diff).says("keep: until removed");
        }
        copies.must_restore(5);
    }

    fn a_copy_to_a_bucket_that_was_killed_goes_on(version) {
        let far = far(version);
        far.proxy.rules(vec![Asks("PUT", "/bundle/").meet(1, 1, Fault::Stall)]);
        let mut command = far.copies.site.spawn(&["--from=1", "--to=2", "repo-sync"]);
        wait_until("the copy is under way", 60, || {
            assert!(command.running(), "the copy ended before it could be killed");
            far.proxy.struck() > 0
        });
        command.signal(Signal::KILL);
        far.proxy.rules(Vec::new());
        far.shows_nothing();
        far.proxy.rules(Vec::new());
        assert_eq!(far.copies.copied(1, 2).0, [far.label.as_str()]);
        let seen = far.proxy.seen();
        let wal_again = seen.iter().filter(|line| line.starts_with("PUT") && line.contains("/archive/"));
        // What came into the archive since is none of the backup's.
        assert!(wal_again.count() < 2, "{seen:#?}");
        far.copies.alone(2).run(&["verify"]).ok();
    }

    fn an_upload_that_fails_in_the_middle_leaves_nothing_half_visible(version) {
        let far = far(version);
        let busy = || Fault::Answer(503, "", "<Error><Code>SlowDown</Code></Error>");
        for (method, target, skip) in [
            ("PUT", "/archive/", 2),
            ("PUT", "/bundle/", 2),
            // The first one begins the upload.
            ("POST", "/bundle/", 1),
            ("PUT", "/manifest", 0),
        ] {
            far.proxy.rules(vec![Asks(method, target).meet(skip, 1000, busy())]);
            let outcome = far.copies.sync(1, 2, &[]).code(exit::SERVICE).within_ms(60_000);
            let _ = outcome.says("HINT");
            assert!(far.proxy.struck() > 0, "{method} {target}");
            far.proxy.rules(Vec::new());
            match target {
                // All the rest is there, and no backup.
                "/manifest" => drop(far.copies.alone(2).run(&["info"]).code(0).never_says(&far.label)),
                _ => far.shows_nothing(),
            }
        }
        assert_eq!(far.copies.copied(1, 2).0, [far.label.as_str()]);
        far.copies.alone(2).run(&["verify"]).ok();
        far.copies.must_restore(2);
    }
}
