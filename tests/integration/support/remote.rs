//! What the tests of repositories in object stores share.

use std::{fs, path::Path, sync::Arc};

use pgstrata::storage::{Storage, conformance};

use super::{
    host::{TestDir, as_server_user, program},
    outcome::{Outcome, run},
    repository_kind::{options_of, remote_site},
    site::{Site, write_file},
    version::Version,
};

/// A site whose repository these options describe, below a prefix; the stanza is made.
#[track_caller]
pub(crate) fn bucket_site(version: Version, options: &[(&str, String)]) -> Site {
    let prefix = [("repo1-path", "/backups".to_owned())];
    remote_site(version, &[&prefix, options].concat()).build()
}

/// The options of the first configuration on a page of the documents, those in `changed` with the test's values.
pub(crate) fn documented(
    page: &str,
    changed: &[(&'static str, String)],
) -> Vec<(&'static str, String)> {
    let shown = options_of(page).into_iter().filter(|(name, _)| name != "repo1-path");
    let mut options: Vec<(&'static str, String)> =
        shown.map(|(name, value)| (&*name.leak(), value)).collect();
    for (name, value) in changed {
        options.retain(|(option, _)| option != name);
        options.push((name, value.clone()));
    }
    options
}

/// Everything that a repository is for: backups of two kinds, recovery to a point, info, verify, expire. `secret` must
/// be neither said nor logged.
#[track_caller]
pub(crate) fn tour(site: &Site, secret: &str) {
    site.primary
        .sql("create table t as select g as row, md5(g::text) from generate_series(1, 30000) g");
    let full = site.full_backup(&[]);
    site.primary.sql("update t set md5 = 'x' where row < 10");
    site.run(&["--type=diff", "backup"]).ok().never_says(secret);
    site.primary.sql("insert into t values (-1, 'kept')");
    site.primary.sql("select pg_create_restore_point('here')");
    site.primary.sql("insert into t values (-2, 'not kept')");
    site.primary.archive_wal();

    let restored = site.restore("restored", &["--type=name", "--target=here"]).verified().start();
    restored.wait_until_paused();
    let rows =
        "select count(*) || ' ' || min(row) || ' ' || count(*) filter (where md5 = 'x') from t";
    assert_eq!(restored.value(rows), "30001 -1 9");
    drop(restored);

    assert_eq!(site.labels().len(), 2);
    site.run(&["verify"]).ok();
    site.full_backup(&["--repo1-retention-full=1"]);
    let labels = site.labels();
    assert!(labels.len() == 1 && labels[0] != full, "{labels:?}");
    site.run(&["check"]).ok();
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
    pub(crate) fn run(&self, options: &[(&'static str, String)], arguments: &[&str]) -> Outcome {
        let at = |name: &str| self.0.make(name).display().to_string();
        let mut text = format!(
            "[global]\nlock-path={}\nlog-path={}\nspool-path={}\nrepo1-path=/backups\n",
            at("lock"),
            at("log"),
            at("spool")
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
