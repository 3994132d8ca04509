//! A cluster that archives into a repository, with the configuration file of the program between them.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{
    background::Background,
    cluster::Cluster,
    host::{TestDir, as_server_user, give_to_server_user, program},
    outcome::{Outcome, run, start},
    restored::Restored,
    source::Source,
    template::{Kind, copy_template, initdb},
    version::Version,
    wait::wait_until,
};

/// The stanza of every site.
pub(crate) const STANZA: &str = "db";

/// A running cluster, its repository, and the program configured for both.
pub(crate) struct Site {
    // Dropped in this order: servers stop before their directory goes.
    pub(crate) primary: Cluster,
    pub(crate) dir: TestDir,
    pub(crate) version: Version,
}

/// A change to a data directory before its first start.
type Preparation = Box<dyn FnOnce(&Cluster, &TestDir)>;

/// What a site is to be like.
pub(crate) struct SiteBuilder {
    version: Version,
    checksums: bool,
    wal_segment_mib: u32,
    own_initdb: bool,
    archiving: bool,
    tcp: bool,
    settings: Vec<(String, String)>,
    options: Vec<(String, String)>,
    prepare: Vec<Preparation>,
}

impl Site {
    /// A site with everything as usual, the stanza created.
    #[track_caller]
    pub(crate) fn new(version: Version) -> Self {
        Self::builder(version).build()
    }

    pub(crate) fn builder(version: Version) -> SiteBuilder {
        SiteBuilder {
            version,
            checksums: true,
            wal_segment_mib: 16,
            own_initdb: false,
            archiving: true,
            tcp: false,
            settings: Vec::new(),
            options: Vec::new(),
            prepare: Vec::new(),
        }
    }

    /// The configuration file.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.path().join("pgstrata.conf")
    }

    /// The root of the repository.
    pub(crate) fn repository(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    /// Adds lines to the configuration file.
    pub(crate) fn configure(&self, lines: &str) {
        let mut text = fs::read_to_string(self.config_file()).expect("written by build");
        let _ = write!(text, "\n{lines}\n");
        write_file(&self.config_file(), &text);
    }

    /// The program with the site's configuration and stanza, then `arguments`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = as_server_user(program());
        command.arg(format!("--config={}", self.config_file().display()));
        command.arg(format!("--stanza={STANZA}")).args(arguments);
        command
    }

    /// The program with nothing but `arguments`; the configuration is named in the environment.
    pub(crate) fn bare_command(&self, arguments: &[&str]) -> Command {
        let mut command = as_server_user(program());
        command.env("PGSTRATA_CONFIG", self.config_file()).args(arguments);
        command
    }

    /// Runs the program to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        run(&mut self.command(arguments))
    }

    /// Starts the program.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Background {
        Background::new(start(&mut self.command(arguments)))
    }

    /// Starts the program in a directory.
    pub(crate) fn spawn_in(&self, directory: &Path, arguments: &[&str]) -> Background {
        Background::new(start(self.command(arguments).current_dir(directory)))
    }

    /// Starts a backup slow enough for other things to happen beside it, and waits until it copies files.
    #[track_caller]
    pub(crate) fn slow_backup(&self, options: &[&str]) -> Background {
        let arguments = [&["--max-rate=2048"], options, &["backup"]].concat();
        let mut backup = self.spawn(&arguments);
        wait_until("the backup copies files", 60, || {
            assert!(backup.running(), "the backup ended before anything could be done beside it");
            let lock = self.info()["status"]["lock"]["backup"].clone();
            lock["size-cplt"].as_u64().is_some_and(|size| size > 0)
        });
        backup
    }

    /// Takes a full backup, with further options, and returns its label.
    #[track_caller]
    pub(crate) fn full_backup(&self, options: &[&str]) -> String {
        let mut arguments = vec!["--type=full"];
        arguments.extend(options);
        arguments.push("backup");
        self.run(&arguments).ok();
        self.last_label()
    }

    /// Backup times are whole seconds: only a time target in a later second is surely after the backup.
    pub(crate) fn wait_for_the_next_second(&self) {
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }

    /// The one stanza of `info --output=json`.
    #[track_caller]
    pub(crate) fn info(&self) -> Value {
        let outcome = self.run(&["--output=json", "info"]).ok();
        let parsed: Value = serde_json::from_str(&outcome.stdout)
            .unwrap_or_else(|error| panic!("info is not JSON: {error}: {outcome}"));
        parsed[0].clone()
    }

    /// The labels of all backups, oldest first.
    #[track_caller]
    pub(crate) fn labels(&self) -> Vec<String> {
        let info = self.info();
        let backups = info["backup"].as_array().expect("backup is a list");
        backups.iter().map(|b| b["label"].as_str().expect("label").to_owned()).collect()
    }

    /// The label of the newest backup.
    #[track_caller]
    pub(crate) fn last_label(&self) -> String {
        self.labels().pop().expect("there is a backup")
    }

    /// Restores into a fresh directory, which has to succeed. Nothing is started.
    #[track_caller]
    pub(crate) fn restore(&self, name: &str, options: &[&str]) -> Restored {
        let data_dir = self.dir.make(name);
        self.restore_into(&data_dir, options).ok();
        Restored::new(self.version, &data_dir)
    }

    /// Runs restore into a directory, whatever comes of it.
    #[track_caller]
    pub(crate) fn restore_into(&self, data_dir: &Path, options: &[&str]) -> Outcome {
        let pg_path = format!("--pg1-path={}", data_dir.display());
        let mut arguments = vec!["restore", &pg_path];
        arguments.extend(options);
        self.run(&arguments)
    }

    /// Every file of the repository below `below`, in order.
    pub(crate) fn repository_files(&self, below: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        list_files(&self.repository().join(below), &mut files);
        files.sort();
        files
    }

    /// The archived objects whose name starts with `name` (a segment, with or without its digest).
    pub(crate) fn archived(&self, name: &str) -> Vec<PathBuf> {
        let all = self.repository_files(&format!("archive/{STANZA}"));
        let starts = |path: &PathBuf| {
            path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name))
        };
        all.into_iter().filter(starts).collect()
    }

    /// A second, unrelated cluster of the same version, stopped, with archiving off.
    pub(crate) fn foreign_cluster(&self, name: &str) -> Cluster {
        let data_dir = self.dir.make(name);
        initdb(Kind { version: self.version, checksums: true, wal_segment_mib: 16 }, &data_dir);
        let cluster = Cluster::on(self.version, &data_dir);
        append_settings(&data_dir, &base_settings(16));
        cluster
    }
}

impl SiteBuilder {
    pub(crate) fn checksums(mut self, on: bool) -> Self {
        self.checksums = on;
        self
    }

    pub(crate) fn wal_segment_mib(mut self, size: u32) -> Self {
        self.wal_segment_mib = size;
        self
    }

    /// A system identifier that no other test has.
    pub(crate) fn own_initdb(mut self) -> Self {
        self.own_initdb = true;
        self
    }

    /// No archive_command of ours, and no stanza.
    pub(crate) fn without_archiving(mut self) -> Self {
        self.archiving = false;
        self
    }

    /// Connections go over TCP to 127.0.0.1 instead of the socket.
    pub(crate) fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// A line of postgresql.conf.
    pub(crate) fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A line of the stanza's section of the configuration file.
    pub(crate) fn option(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Changes the data directory before the first start.
    pub(crate) fn prepare(mut self, change: impl FnOnce(&Cluster, &TestDir) + 'static) -> Self {
        self.prepare.push(Box::new(change));
        self
    }

    /// Makes and starts it all; creates the stanza where the site archives.
    #[track_caller]
    pub(crate) fn build(self) -> Site {
        let archiving = self.archiving;
        let site = self.build_without_stanza();
        if archiving {
            site.run(&["stanza-create"]).ok();
        }
        site
    }

    /// Makes and starts cluster and configuration; the repository stays empty.
    #[track_caller]
    pub(crate) fn build_without_stanza(mut self) -> Site {
        let dir = TestDir::new();
        for name in ["repo", "lock", "log"] {
            dir.make(name);
        }
        let data_dir = self.make_data_dir(&dir);
        let mut primary = Cluster::on(self.version, &data_dir);
        if self.tcp {
            primary.with_tcp();
        }
        let config_file = dir.path().join("pgstrata.conf");
        append_settings(&data_dir, &self.postgres_settings(&config_file));
        write_file(&config_file, &self.program_config(&dir, &primary));
        for change in self.prepare.drain(..) {
            change(&primary, &dir);
        }
        give_to_server_user(&data_dir);
        primary.start();
        Site { primary, dir, version: self.version }
    }

    fn make_data_dir(&self, dir: &TestDir) -> PathBuf {
        let kind = Kind {
            version: self.version,
            checksums: self.checksums,
            wal_segment_mib: self.wal_segment_mib,
        };
        let data_dir = dir.path().join("data");
        if self.own_initdb {
            dir.make("data");
            initdb(kind, &data_dir);
        } else {
            copy_template(kind, &data_dir);
        }
        data_dir
    }

    fn postgres_settings(&self, config_file: &Path) -> Vec<(String, String)> {
        let mut settings = base_settings(self.wal_segment_mib);
        if self.archiving {
            settings.push(("archive_mode".into(), "on".into()));
            settings.push(("archive_command".into(), archive_command(config_file)));
        }
        settings.extend(self.settings.iter().cloned());
        settings
    }

    fn program_config(&self, dir: &TestDir, primary: &Cluster) -> String {
        let at = |name: &str| dir.path().join(name).display().to_string();
        let mut text = format!(
            "[global]\nrepo1-path={}\nlock-path={}\nlog-path={}\n\
             log-level-file=debug\nlog-level-stderr=warn\nprocess-max=2\nstart-fast=y\n\
             archive-timeout=30s\n\n[{STANZA}]\npg1-path={}\npg1-port={}\n",
            at("repo"),
            at("lock"),
            at("log"),
            primary.data_dir.display(),
            primary.port(),
        );
        if self.tcp {
            text.push_str("pg1-host=127.0.0.1\n");
        } else {
            let _ = writeln!(text, "pg1-socket-path={}", primary.socket_dir.display());
        }
        if !self.options.iter().any(|(name, _)| name == "pg1-user") {
            text.push_str("pg1-user=postgres\n");
        }
        let source = Source::of_this_test().option();
        let chosen = |name: &str| self.options.iter().any(|(option, _)| option == name);
        if let Some(source) = source.filter(|_| !chosen("backup-source")) {
            let _ = writeln!(text, "backup-source={source}");
        }
        for (name, value) in &self.options {
            let _ = writeln!(text, "{name}={value}");
        }
        text
    }
}

fn archive_command(config_file: &Path) -> String {
    let (program, config) = (program().display(), config_file.display());
    format!("{program} --config={config} --stanza={STANZA} archive-push %p")
}

/// Small, quick and quiet. Throwaway data needs no fsync: the machine does not crash, only processes do.
fn base_settings(wal_segment_mib: u32) -> Vec<(String, String)> {
    let wal_size = |segments: u32| format!("{}MB", segments * wal_segment_mib.max(8));
    [
        ("fsync", "off".into()),
        ("autovacuum", "off".into()),
        ("shared_buffers", "32MB".into()),
        ("max_connections", "20".into()),
        ("wal_level", "replica".into()),
        ("max_wal_senders", "5".into()),
        ("min_wal_size", wal_size(2)),
        ("max_wal_size", wal_size(16)),
        ("checkpoint_timeout", "30min".into()),
        ("timezone", "UTC".into()),
        ("log_line_prefix", "%m [%p] ".into()),
        ("jit", "off".into()),
    ]
    .map(|(name, value): (&str, String)| (name.to_owned(), value))
    .to_vec()
}

fn append_settings(data_dir: &Path, settings: &[(String, String)]) {
    let path = data_dir.join("postgresql.conf");
    let mut text = fs::read_to_string(&path).expect("initdb wrote it");
    for (name, value) in settings {
        let _ = writeln!(text, "{name} = '{}'", value.replace('\'', "''"));
    }
    fs::write(&path, text).expect("data directory is writable");
}

/// Writes a file that the servers' user owns.
pub(crate) fn write_file(path: &Path, text: &str) {
    fs::write(path, text).expect("test directory is writable");
    give_to_server_user(path);
}

fn list_files(directory: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            list_files(&path, files);
        } else {
            files.push(path);
        }
    }
}
