//! What the tests of repositories behind a network share.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use pgstrata::storage::{Storage, conformance};

use super::{
    host::{TestDir, as_server_user, program},
    outcome::{Outcome, run},
    site::{Site, SiteBuilder, write_file},
    version::Version,
};

/// An option of the configuration file and its value.
pub(crate) type Setting = (&'static str, String);

/// A site whose repository is what these options make of it.
pub(crate) fn remote_site(version: Version, options: &[(&str, String)]) -> SiteBuilder {
    let add = |site: SiteBuilder, (name, value): &(&str, String)| site.option(name, value);
    options.iter().fold(Site::builder(version), add)
}

/// A site whose repository is below a prefix of the bucket that these options describe; the stanza is made.
#[track_caller]
pub(crate) fn bucket_site(version: Version, options: &[Setting]) -> Site {
    let prefix = [("repo1-path", "/backups".to_owned())];
    remote_site(version, &[&prefix, options].concat()).build()
}

/// The options of the repository in the first configuration on a page of the documents, as a reader would copy them, but
/// for the path; those that are among `ours` with our value. `reach` is added: what leads to a server of the tests.
#[track_caller]
pub(crate) fn documented(page: &str, ours: &[Setting], reach: &[Setting]) -> Vec<Setting> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = fs::read_to_string(path).expect("the page can be read");
    let (_, rest) = text.split_once("```ini\n").expect("it has a block of configuration");
    let (block, _) = rest.split_once("```").expect("the block ends");
    let shown = block.lines().filter_map(|line| line.split_once('='));
    let shown = shown.filter(|(name, _)| name.starts_with("repo1-") && *name != "repo1-path");
    let mut options: Vec<Setting> = shown
        .map(|(name, value)| {
            let own = ours.iter().find(|(own, _)| *own == name);
            own.cloned().unwrap_or_else(|| (name.to_owned().leak(), value.trim().to_owned()))
        })
        .collect();
    options.extend_from_slice(reach);
    options
}

/// Everything that a repository is for: backups of each kind, WAL, recovery to a point, check, verify, expire. `secret`
/// must be neither said nor logged.
#[track_caller]
pub(crate) fn tour(site: &Site, secret: &str) {
    let primary = &site.primary;
    primary.sql("create table t as select g as row, md5(g::text) from generate_series(1, 30000) g");
    let full = site.full_backup(&[]);
    primary.sql("update t set md5 = 'x' where row < 10");
    site.run(&["--type=diff", "backup"]).ok().never_says(secret);
    primary.sql("insert into t select g, 'y' from generate_series(1, 1000) g");
    site.run(&["--type=incr", "backup"]).ok();
    primary.sql("insert into t values (-1, 'kept')");
    primary.sql("select pg_create_restore_point('here')");
    let wanted = primary.fingerprint();
    primary.sql("insert into t values (-2, 'not kept')");
    let segment = primary.archive_wal();

    let restored = site.restore("restored", &["--type=name", "--target=here"]).verified().start();
    restored.wait_until_paused();
    assert_eq!(restored.fingerprint(), wanted);
    drop(restored);
    let fetched = site.dir.path().join("fetched").display().to_string();
    site.run(&["archive-get", &segment, &fetched]).ok();
    site.run(&["archive-get", "0000000100000FFF00000001", &fetched]).code(1);

    assert_eq!(site.labels().len(), 3);
    site.run(&["check"]).ok();
    site.run(&["verify"]).ok();
    site.full_backup(&["--repo1-retention-full=1"]);
    let labels = site.labels();
    assert!(labels.len() == 1 && labels[0] != full, "{labels:?}");
    site.run(&["verify"]).ok().never_says(secret);
    for entry in fs::read_dir(site.dir.path().join("log")).expect("logs") {
        let log = fs::read(entry.expect("entry").path()).expect("a log");
        assert!(!String::from_utf8_lossy(&log).contains(secret), "the secret is in the log");
    }
}

/// The program with a repository and no cluster.
pub(crate) struct Alone(TestDir);

impl Alone {
    pub(crate) fn new() -> Self {
        Self(TestDir::new())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs a command that needs no cluster.
    #[track_caller]
    pub(crate) fn run(&self, options: &[Setting], arguments: &[&str]) -> Outcome {
        let at = |name: &str| self.0.make(name).display().to_string();
        let mut text = format!(
            "[global]\nlock-path={}\nlog-path={}\nrepo1-path=/backups\n",
            at("lock"),
            at("log"),
        );
        for (name, value) in options {
            text += &format!("{name}={value}\n");
        }
        let config = self.path().join("pgstrata.conf");
        write_file(&config, &text);
        let mut command = as_server_user(program());
        command.arg(format!("--config={}", config.display())).arg("--stanza=db").args(arguments);
        run(&mut command)
    }
}

/// Runs the suite that every backend passes.
#[track_caller]
pub(crate) fn must_conform(storage: impl Storage + 'static) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(conformance::run_all(Arc::new(storage)));
}
