//! One of several repositories is a store that does not answer: the others have their WAL at once, recovery and restore
//! go on with the next, and what nobody could be asked for is never taken for absent.

use std::{fs, net::TcpListener, path::PathBuf};

use crate::support::{Elsewhere, Restored, Site, Version, exit, on_one_version, write_file};

/// How long a single request may take.
const BOUNDED: &str = "io-timeout=1s\n";

/// Where nobody answers: nobody listens, or whoever does says nothing.
struct Away {
    port: u16,
    /// Connections are taken by the kernel.
    _silent: Option<TcpListener>,
}

impl Away {
    fn both() -> [Self; 2] {
        let listener = || TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
        let (refusing, silent) = (listener(), listener());
        [
            Self { port: port(&refusing), _silent: None },
            Self { port: port(&silent), _silent: Some(silent) },
        ]
    }

    /// The lines that make it the repository of that number; it is asked for so many seconds.
    fn lines(&self, key: u16, seconds: u32) -> String {
        let port = self.port;
        [
            "type=s3".to_owned(),
            "path=/away".to_owned(),
            "s3-bucket=away".to_owned(),
            format!("s3-endpoint=http://127.0.0.1:{port}"),
            "s3-region=us-east-1".to_owned(),
            "s3-uri-style=path".to_owned(),
            "s3-key=key".to_owned(),
            "s3-key-secret=secret".to_owned(),
            format!("storage-retry-time={seconds}s"),
        ]
        .map(|line| format!("repo{key}-{line}\n"))
        .concat()
    }
}

/// A cluster that archives into its own repository, and what is around it where that is `key` and the other is away.
fn beside<'a>(site: &'a Site, away: &Away, key: u16, seconds: u32) -> Elsewhere<'a> {
    let own = format!("repo{key}-path={}\n", site.repository().display());
    let name = format!("away{}-{key}", away.port);
    site.elsewhere(&name, &(own + &away.lines(3 - key, seconds) + BOUNDED))
}

fn history(site: &Site, name: &str) -> PathBuf {
    let path = site.dir.make("wal-in").join(name);
    write_file(&path, "1\t0/3000000\tno recovery target specified\n");
    path
}

fn site(version: Version) -> Site {
    let site = Site::new(version);
    site.primary.sql("create table t as select generate_series(1, 1000)");
    site
}

on_one_version! {
    fn wal_is_in_the_others_at_once(version) {
        let site = site(version);
        for (away, name) in Away::both().iter().zip(["00000002.history", "00000003.history"]) {
            let path = history(&site, name).display().to_string();
            let mut push = beside(&site, away, 1, 4).spawn(&["archive-push", &path]);
            crate::support::wait_until("repo1 has the file", 30, || {
                !push.running() || site.archived(name).len() == 1
            });
            assert!(push.running(), "it is there long before the other is given up");
            let outcome = push.finish().code(exit::SERVICE).within_ms(30_000);
            outcome.says("failed in 1 of 2 repositories").says("repo2: unable to ").says("HINT");
            assert_eq!(site.archived(name).len(), 1);
        }
    }

    fn wal_comes_from_the_next(version) {
        let site = site(version);
        let segment = site.primary.archive_wal();
        let target = site.dir.path().join("RECOVERYXLOG");
        let path = target.display().to_string();
        for away in &Away::both() {
            let beside = beside(&site, away, 2, 1);
            let outcome = beside.run(&["archive-get", &segment, &path]).ok().within_ms(30_000);
            outcome.says("WARN: repo1: ");
            assert_eq!(fs::metadata(&target).expect("delivered").len(), 16 << 20);
            fs::remove_file(&target).expect("own file");
            // Whether the one that is away has it nobody knows.
            for absent in ["0000000100000000000000F0", "00000009.history"] {
                let outcome = beside.run(&["archive-get", absent, &path]).within_ms(30_000);
                assert!(outcome.code > 125 && !target.exists(), "{outcome}");
            }
        }
        // On a standby, which asks again, the code is that of the error, and not 1 either.
        let standby = site.dir.make("standby");
        write_file(&standby.join("standby.signal"), "");
        for directory in ["global", "pg_wal"] {
            site.dir.make(&format!("standby/{directory}"));
        }
        let control = "global/pg_control";
        fs::copy(site.primary.data_dir.join(control), standby.join(control)).expect("a copy");
        crate::support::give_to_server_user(&standby.join(control));
        let [refusing, _] = Away::both();
        let into_standby = standby.join("pg_wal/RECOVERYXLOG").display().to_string();
        let arguments = ["archive-get", "0000000100000000000000F0", &into_standby];
        beside(&site, &refusing, 2, 1).run(&arguments).code(exit::SERVICE);
        site.run(&["archive-get", "0000000100000000000000F0", &path]).code(1);
    }

    fn a_restore_takes_the_next(version) {
        let site = site(version);
        let label = site.full_backup(&[]);
        let expected = site.primary.fingerprint();
        site.primary.archive_wal();
        let [refusing, _] = Away::both();
        let beside = beside(&site, &refusing, 2, 1);
        let data_dir = site.dir.make("r2");
        let pg_path = format!("--pg1-path={}", data_dir.display());
        beside.run(&["--repo=1", "restore", &pg_path]).code(exit::SERVICE);
        beside.run(&["--dry-run", "restore", &pg_path]).ok().says(&label).says("WARN: repo1: ");
        let restored = beside.restore("r", &[]).verified();
        let data_dir = restored.path().to_owned();
        // It may have a newer timeline, or more WAL: nobody knows where recovery has to end.
        let stopped = restored.try_start().err().expect("recovery does not end");
        assert!(stopped.log.contains("exit code 160"), "{}", stopped.log);
        // The page says what to do: the repository is taken out of the configuration.
        let name = format!("away{}-2", refusing.port);
        site.elsewhere(&name, &format!("repo2-path={}", site.repository().display()));
        let restored = Restored::new(version, &data_dir).start_primary();
        assert_eq!(restored.fingerprint(), expected);
    }

    fn info_shows_what_it_can(version) {
        let site = site(version);
        let label = site.full_backup(&[]);
        for (away, key) in Away::both().iter().zip([1, 2]) {
            let beside = beside(&site, away, key, 2);
            let outcome = beside.run(&["--output=json", "info"]).ok().within_ms(30_000);
            let info: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
            let info = &info[0];
            assert_eq!((&info["status"]["code"], &info["status"]["message"]), (&4.into(), &"different across repos".into()));
            let (ours, theirs) = (&info["repo"][usize::from(key) - 1], &info["repo"][usize::from(2 - key)]);
            assert_eq!((&ours["key"], &ours["status"]["code"]), (&key.into(), &0.into()), "{info}");
            assert_eq!((&theirs["key"], &theirs["status"]["code"]), (&(3 - key).into(), &99.into()), "{info}");
            let message = theirs["status"]["message"].as_str().expect("text");
            assert!(message.starts_with("[ServiceError] unable to "), "{message}");
            let backups = info["backup"].as_array().expect("list");
            assert_eq!((backups.len(), &backups[0]["label"]), (1, &label.as_str().into()));
            assert_eq!(backups[0]["database"]["repo-key"], key);
            let text = beside.run(&["info"]).ok().says("    status: mixed\n").says(&label);
            text.says(&format!("        repo{key}: ok\n")).says(&format!("        repo{}: error (other)\n               [ServiceError] unable to ", 3 - key));
        }
        // Where none can be read, that is all there is to say; still it is not a failure.
        let [one, two] = Away::both();
        let none = site.elsewhere("none", &(one.lines(1, 1) + &two.lines(2, 1) + BOUNDED));
        let outcome = none.run(&["--output=json", "info"]).ok();
        let info: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
        assert_eq!((&info[0]["status"]["code"], &info[0]["name"]), (&99.into(), &"db".into()), "{info}");
    }
}
