//! How archive-push and archive-get end when something ends them, and what PostgreSQL makes of it.

use std::{fs, net::TcpListener, process::Command, time::Duration};

use rustix::process::Signal;

use crate::support::{
    Background, HungDirectory, Outcome, Restored, Site, as_server_user, exit, for_each_version,
    on_one_version, program, run, start, wait_until, waits_in_the_kernel,
};

/// A site with an archived segment, and the directories that servers would call from.
struct Stage {
    site: Site,
    segment: String,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Recovery,
    Standby,
    Archiver,
}

use Caller::{Archiver, Recovery, Standby};

impl Stage {
    fn new(version: crate::support::Version) -> Self {
        let site = Site::new(version);
        let segment = site.primary.archive_wal();
        for (name, signal) in [("Recovery", "recovery.signal"), ("Standby", "standby.signal")] {
            let path = site.dir.make(name);
            fs::create_dir_all(path.join("global")).expect("writable");
            fs::create_dir_all(path.join("pg_wal")).expect("writable");
            let control = "global/pg_control";
            fs::copy(site.primary.data_dir.join(control), path.join(control)).expect("readable");
            fs::write(path.join(signal), "").expect("writable");
            crate::support::give_to_server_user(&path);
        }
        Self { site, segment }
    }

    /// The words of the command after the options.
    fn words(&self, caller: Caller) -> Vec<String> {
        match caller {
            Archiver => vec!["archive-push".to_owned(), format!("pg_wal/{}", self.segment)],
            _ => vec![
                "archive-get".to_owned(),
                self.segment.clone(),
                "pg_wal/RECOVERYXLOG".to_owned(),
            ],
        }
    }

    /// The command as the server runs it, behind `before`, with `options`.
    fn command(&self, caller: Caller, before: &[&str], options: &[&str]) -> Command {
        let mut words: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
        words.push(program().display().to_string());
        words.push(format!("--config={}", self.site.config_file().display()));
        words.push("--stanza=db".to_owned());
        words.extend(options.iter().map(|word| (*word).to_owned()));
        words.extend(self.words(caller));
        let mut command = as_server_user(&words[0]);
        command.args(&words[1..]).current_dir(self.directory(caller));
        command
    }

    fn directory(&self, caller: Caller) -> std::path::PathBuf {
        match caller {
            Archiver => self.site.primary.data_dir.clone(),
            other => self.site.dir.path().join(format!("{other:?}")),
        }
    }

    /// Runs it behind `before` for each caller, and judges how it ends.
    #[track_caller]
    fn each(&self, before: &[&str], options: &[&str]) {
        for caller in [Recovery, Standby, Archiver] {
            let outcome = run(&mut self.command(caller, before, options));
            self.judge(caller, &outcome);
        }
    }

    /// Success is real, and a failure is one that PostgreSQL takes for what it is.
    #[track_caller]
    fn judge(&self, caller: Caller, outcome: &Outcome) {
        let delivered = self.directory(caller).join("pg_wal/RECOVERYXLOG");
        let good = match (caller, outcome.code) {
            (Archiver, code) => (0..=125).contains(&code) && code != 1,
            (_, 0) => fs::metadata(&delivered).is_ok_and(|file| file.len() == 16 << 20),
            (Recovery, code) => code > 125,
            (Standby, code) => (2..=125).contains(&code),
        };
        assert!(good, "{caller:?}: {outcome}");
        let _ = fs::remove_file(delivered);
    }
}

/// Options, or variables of the environment, with their values.
type Settings = Vec<(&'static str, String)>;

/// A store that takes connections and never says a word.
fn silent_store() -> (TcpListener, Settings, [(&'static str, &'static str); 2]) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let options = vec![
        ("repo1-type", "s3".to_owned()),
        ("repo1-path", "/r".to_owned()),
        ("repo1-s3-bucket", "b".to_owned()),
        ("repo1-s3-endpoint", format!("http://127.0.0.1:{port}")),
        ("repo1-s3-region", "r".to_owned()),
        ("repo1-s3-uri-style", "path".to_owned()),
    ];
    let secrets = [("PGSTRATA_REPO1_S3_KEY", "k"), ("PGSTRATA_REPO1_S3_KEY_SECRET", "s")];
    (listener, options, secrets)
}

fn as_options(settings: &[(&str, String)]) -> Vec<String> {
    settings.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

on_one_version! {
    fn no_end_is_taken_for_an_answer(version) {
        let stage = Stage::new(version);
        // Without limits all of them succeed.
        stage.each(&[], &[]);
        for processes in ["--nproc=0", "--nproc=1"] {
            stage.each(&["prlimit", processes], &[]);
        }
        for files in 4..12 {
            stage.each(&["prlimit", &format!("--nofile={files}")], &[]);
        }
        // Below the least in which the program starts at all, the loader ends with 127.
        let starts = |mib: u64| {
            let limit = format!("--as={}", mib << 20);
            let mut command = as_server_user("prlimit");
            run(command.arg(limit).arg(program()).arg("version")).code == 0
        };
        let least = (8..2048).step_by(4).find(|mib| starts(*mib)).expect("it starts in 2 GiB");
        for mib in (least + 1..least + 180).step_by(6) {
            stage.each(&["prlimit", &format!("--as={}", mib << 20)], &[]);
        }
        let closed = "exec \"$@\" >&- 2>&-";
        stage.each(&["sh", "-c", closed, "sh"], &[]);
        for options in [
            &["--config=/none"][..],
            &["--nonsense"],
            &["--process-max=x"],
            &["--repo=7"],
            &["--stanza=other"],
            &["one-word-too-many"],
        ] {
            stage.each(&[], options);
        }
        let config = stage.site.config_file();
        let text = fs::read(&config).expect("readable");
        for broken in [&b"nonsense"[..], b"[db]\npg1-path=\xfc\n", b""] {
            fs::write(&config, broken).expect("writable");
            stage.each(&[], &[]);
        }
        // A byte of another character set in a comment is no reason to stop archiving.
        fs::write(&config, [&b"# f\xfcr\n"[..], &text].concat()).expect("writable");
        run(&mut stage.command(Archiver, &[], &[])).ok();
    }

    /// Regression: it was called a state of the program that cannot be.
    fn too_few_open_files_are_named_as_what_they_are(version) {
        let stage = Stage::new(version);
        for files in 4..12 {
            let limit = format!("--nofile={files}");
            for caller in [Recovery, Standby, Archiver] {
                let outcome = run(&mut stage.command(caller, &["prlimit", &limit], &[]));
                if outcome.code != 0 {
                    outcome.says("Too many open files").says("HINT").says("ulimit -n");
                }
            }
        }
    }

    fn signals_end_them_at_once_as_postgres_needs_it(version) {
        let stage = Stage::new(version);
        let (_store, settings, secrets) = silent_store();
        let options = as_options(&settings);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let ended_by = |caller, signal| {
            let mut command = stage.command(caller, &[], &options);
            let running = Background::new(start(command.envs(secrets)));
            std::thread::sleep(Duration::from_millis(700));
            let outcome = running.signal(signal);
            assert!(outcome.elapsed < Duration::from_secs(3), "{caller:?}: {outcome}");
            outcome.code
        };
        // PostgreSQL stops in order where SIGTERM ended the command; an archiver must not see a signal.
        assert_eq!(ended_by(Recovery, Signal::TERM), -15);
        assert_eq!(ended_by(Archiver, Signal::TERM), exit::TERM);
        assert!(ended_by(Recovery, Signal::ABORT) > 125);
        for caller in [Standby, Archiver] {
            assert!((2..=125).contains(&ended_by(caller, Signal::ABORT)), "{caller:?}");
        }
    }

    fn a_store_that_hangs_is_given_up_early_by_what_postgres_repeats(version) {
        let stage = Stage::new(version);
        let (_store, settings, secrets) = silent_store();
        let mut options = as_options(&settings);
        options.push("--archive-stall-timeout=1s".to_owned());
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        for caller in [Standby, Archiver] {
            let outcome = run(stage.command(caller, &[], &options).envs(secrets));
            stage.judge(caller, &outcome);
            assert!(outcome.code != 0 && outcome.elapsed < Duration::from_secs(4), "{outcome}");
        }
        // A server that recovers does not ask again, so it is waited for; another repository is not.
        let second = format!("--repo2-path={}", stage.site.repository().display());
        let outcome = run(stage.command(Recovery, &[], &[&options[..], &[&second]].concat()).envs(secrets));
        assert!(outcome.code == 0 && outcome.elapsed < Duration::from_secs(4), "{outcome}");
        stage.judge(Recovery, &outcome);
        let mut command = stage.command(Recovery, &[], &options);
        let mut waiting = Background::new(start(command.envs(secrets)));
        std::thread::sleep(Duration::from_secs(4));
        assert!(waiting.running(), "a recovery was ended early");
    }

    /// Regression: the one thread waited in the kernel, so neither a time limit nor a signal ended it.
    fn a_file_system_that_hangs_is_given_up_and_holds_no_signal_up(version) {
        if !rustix::process::geteuid().is_root() {
            // Only root can mount.
            return;
        }
        let stage = Stage::new(version);
        let hung = stage.site.dir.make("hung");
        let option = format!("--repo1-path={}", hung.display());
        let start_hung = |caller, options: &[&str]| {
            let options = [&[option.as_str()], options].concat();
            let directory = HungDirectory::new();
            let mut command = directory.before(&hung, &stage.command(caller, &[], &options));
            let mut running = Background::new(start(&mut command));
            let id = running.id();
            wait_until("it hangs", 60, || waits_in_the_kernel(id) || !running.running());
            (running, directory)
        };
        // A server that recovers does not ask again, so it is waited for.
        let (mut recovery, _holds) = start_hung(Recovery, &["--archive-stall-timeout=1s"]);
        for caller in [Standby, Archiver] {
            let (given_up, _holds) = start_hung(caller, &["--archive-stall-timeout=1s"]);
            let outcome = given_up.finish().failed().says("did not finish within 1s").says("HINT");
            stage.judge(caller, &outcome);
        }
        assert!(recovery.running(), "a recovery was ended early");
        assert_eq!(recovery.signal(Signal::TERM).code, -15);
        let (archiver, _holds) = start_hung(Archiver, &["--archive-stall-timeout=1h"]);
        archiver.signal(Signal::TERM).code(exit::TERM);
        // Another repository has its turn.
        let second = format!("--repo2-path={}", stage.site.repository().display());
        let (archiver, _holds) = start_hung(Archiver, &["--archive-stall-timeout=1s", &second]);
        let outcome = archiver.finish().failed().says("repo1: unable to use").says("in 1 of 2");
        stage.judge(Archiver, &outcome);
        let (recovery, _holds) = start_hung(Recovery, &[&second]);
        stage.judge(Recovery, &recovery.finish().ok());
    }

    fn a_standby_streams_while_its_archive_hangs(version) {
        let site = Site::new(version);
        site.primary.sql("create table t (row int)");
        site.full_backup(&[]);
        let conninfo = format!(
            "--recovery-option=primary_conninfo=host={} port={} user=postgres",
            site.primary.socket_dir.display(),
            site.primary.port()
        );
        let (_store, settings, secrets) = silent_store();
        let secrets: Vec<String> = secrets.map(|(name, value)| format!("{name}={value}")).to_vec();
        let command = format!(
            "{} {} --config={} --stanza=db {} archive-get %f \"%p\"",
            secrets.join(" "),
            program().display(),
            site.config_file().display(),
            as_options(&settings).join(" ")
        );
        let restored = site.restore("standby", &["--type=standby", &conninfo]);
        let standby = restored.auto_setting("restore_command", &command).start();
        site.primary.sql("insert into t values (42)");
        standby.wait_for_value("select count(*) from t", "1", 30);
    }
}

for_each_version! {
    fn postgres_stops_recovery_at_each_end_above_125(version) {
        let site = Site::new(version);
        site.primary.sql("create table t as select 1 a");
        site.full_backup(&[]);
        site.primary.sql("insert into t values (2)");
        site.primary.archive_wal();
        site.primary.stop();
        let path = site.restore("r", &[]).path().to_owned();
        for command in ["kill -ABRT $$", "kill -TERM $$", "exit 126", "exit 160", "exit 137"] {
            let restored = Restored::new(version, &path).auto_setting("restore_command", command);
            let log = match restored.try_start() {
                Err(error) => error.log,
                Ok(cluster) => {
                    cluster.wait_until_down(60);
                    cluster.log()
                }
            };
            assert!(!log.contains("selected new timeline"), "{command} was taken for an end:\n{log}");
        }
        let command = format!(
            "{} --config={} --stanza=db archive-get %f %p",
            program().display(),
            site.config_file().display()
        );
        let restored = Restored::new(version, &path).auto_setting("restore_command", &command);
        assert_eq!(restored.start_primary().value("select count(*) from t"), "2");
    }

    fn archiver_counts_what_ends_up_to_125_and_no_more(version) {
        let site = Site::builder(version)
            .without_archiving()
            .setting("archive_mode", "on")
            .setting("archive_command", "exit 126")
            .build();
        site.primary.switch_wal();
        let died = || site.primary.log().contains("archive command failed with exit code 126");
        wait_until("the archiver ends", 30, died);
        let failed = "select failed_count > 0 from pg_stat_archiver";
        assert_eq!(site.primary.value(failed), "f", "{}", site.primary.log());
        site.primary.sql("alter system set archive_command = 'exit 125'");
        site.primary.sql("select pg_reload_conf()");
        site.primary.wait_for_value(failed, "t", 60);
    }
}
