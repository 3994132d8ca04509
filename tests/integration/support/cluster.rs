//! One PostgreSQL server: started, queried, stopped or killed; never left behind.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::{
    host::as_server_user,
    outcome::{Outcome, run},
    version::Version,
    wait::{wait_for, wait_until},
};

/// Ports count per socket directory only, and each server has a directory of its own.
const PORT: u16 = 5432;

/// A data directory and the server on it.
pub(crate) struct Cluster {
    pub(crate) version: Version,
    pub(crate) data_dir: PathBuf,
    /// Holds the unix socket; the port is part of the socket's name.
    pub(crate) socket_dir: PathBuf,
    /// A TCP port on 127.0.0.1 where the test asked for one.
    pub(crate) tcp_port: Option<u16>,
    log_file: PathBuf,
    start_options: Vec<String>,
}

/// Why a server did not come up: the end of its log.
#[derive(Debug)]
pub(crate) struct StartError {
    pub(crate) log: String,
}

impl Cluster {
    /// Describes a server on `data_dir`; nothing is started. Its socket and log stand beside the
    /// data directory.
    pub(crate) fn on(version: Version, data_dir: &Path) -> Self {
        let beside = |suffix: &str| {
            let mut name = data_dir.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let socket_dir = beside(".s");
        fs::create_dir_all(&socket_dir).expect("test directory is writable");
        super::give_to_server_user(&socket_dir);
        Self {
            version,
            data_dir: data_dir.to_owned(),
            socket_dir,
            tcp_port: None,
            log_file: beside(".log"),
            start_options: Vec::new(),
        }
    }

    /// Listens on TCP as well, on a port that is free now.
    pub(crate) fn with_tcp(&mut self) {
        let probe = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        self.tcp_port = Some(probe.local_addr().expect("bound").port());
    }

    /// Adds a setting that counts more than the configuration files.
    pub(crate) fn set_at_start(&mut self, name: &str, value: &str) {
        self.start_options.push(format!("-c {name}={value}"));
    }

    /// The port of the socket's name, and of TCP where there is one.
    pub(crate) fn port(&self) -> u16 {
        self.tcp_port.unwrap_or(PORT)
    }

    /// Starts the server and waits until it answers.
    #[track_caller]
    pub(crate) fn start(&self) {
        if let Err(error) = self.try_start() {
            panic!("PostgreSQL {} does not start:\n{}", self.version, error.log);
        }
    }

    /// Starts the server; an error carries its log.
    pub(crate) fn try_start(&self) -> Result<(), StartError> {
        let addresses = if self.tcp_port.is_some() { "127.0.0.1" } else { "''" };
        let mut options = format!(
            "-c port={} -c unix_socket_directories='{}' -c listen_addresses={addresses}",
            self.port(),
            self.socket_dir.display()
        );
        for option in &self.start_options {
            let _ = write!(options, " {option}");
        }
        let outcome = self.pg_ctl(&["start", "-w", "-t", "90", "-o", &options]);
        if outcome.code == 0 { Ok(()) } else { Err(StartError { log: self.log() }) }
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Outcome {
        let mut command = as_server_user(self.version.program("pg_ctl"));
        command.arg("-D").arg(&self.data_dir).arg("-l").arg(&self.log_file).args(arguments);
        run(&mut command)
    }

    /// Stops the server in order, with a checkpoint.
    #[track_caller]
    pub(crate) fn stop(&self) {
        self.pg_ctl(&["stop", "-w", "-m", "fast", "-t", "60"]).ok();
    }

    /// Ends the server as a crash would.
    pub(crate) fn kill(&self) {
        if let Some(pid) = self.postmaster() {
            let _ = kill_process(pid, Signal::KILL);
            wait_until("the killed server is gone", 20, || test_kill_process(pid).is_err());
        }
    }

    /// The postmaster's process id, while it runs.
    pub(crate) fn postmaster(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.data_dir.join("postmaster.pid")).ok()?;
        let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok()?)?;
        test_kill_process(pid).is_ok().then_some(pid)
    }

    /// Waits until the server is gone by itself.
    #[track_caller]
    pub(crate) fn wait_until_down(&self, seconds: u64) {
        wait_until("the server stops by itself", seconds, || self.postmaster().is_none());
    }

    /// What the server logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log_file).unwrap_or_default()
    }

    /// Runs SQL as the superuser; all rows, values as text.
    pub(crate) fn try_sql(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        self.try_sql_in("postgres", sql)
    }

    /// Runs SQL in a named database.
    pub(crate) fn try_sql_in(
        &self,
        database: &str,
        sql: &str,
    ) -> Result<Vec<Vec<Option<String>>>, String> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(&self.socket_dir).port(self.port()).user("postgres").dbname(database);
        // A query that waits for a lock for ever would hang the test.
        config.options("-c statement_timeout=90s");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let (client, connection) = config.connect(NoTls).await.map_err(|e| describe(&e))?;
            let driver = tokio::spawn(connection);
            let messages = client.simple_query(sql).await.map_err(|e| describe(&e))?;
            drop(client);
            let _ = driver.await;
            Ok(messages.iter().filter_map(row_texts).collect())
        })
    }

    /// Runs SQL that has to succeed.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{sql}: {error}\n{}", self.log()))
    }

    /// The first column of the first row.
    #[track_caller]
    pub(crate) fn value(&self, sql: &str) -> String {
        let rows = self.sql(sql);
        rows.first()
            .and_then(|row| row.first().cloned().flatten())
            .unwrap_or_else(|| panic!("{sql}: no value"))
    }

    /// Waits until SQL gives `expected`.
    #[track_caller]
    pub(crate) fn wait_for_value(&self, sql: &str, expected: &str, seconds: u64) {
        let mut last = String::new();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
        while std::time::Instant::now() < deadline {
            match self.try_sql(sql) {
                Ok(rows) => last = rows[0][0].clone().unwrap_or_default(),
                Err(error) => last = error,
            }
            if last == expected {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{sql}: '{last}' instead of '{expected}' after {seconds} s\n{}", self.log());
    }

    /// Ends the current WAL segment and waits until the archive has it. Returns its name.
    #[track_caller]
    pub(crate) fn archive_wal(&self) -> String {
        let segment = self.switch_wal();
        let sql = format!(
            "select coalesce(max(last_archived_wal) >= '{segment}', false) from pg_stat_archiver"
        );
        wait_for(&format!("segment {segment} is archived"), 60, || {
            let done = self.value(&sql) == "t";
            done.then_some(())
        });
        segment
    }

    /// Ends the current WAL segment; returns its name.
    #[track_caller]
    pub(crate) fn switch_wal(&self) -> String {
        // Without a record since the last switch there would be nothing to end.
        self.sql("select pg_create_restore_point('switch')");
        let segment = self.value("select pg_walfile_name(pg_current_wal_lsn())");
        self.sql("select pg_switch_wal()");
        segment
    }

    /// Ends recovery and waits until the server takes writes.
    #[track_caller]
    pub(crate) fn promote(&self) {
        self.pg_ctl(&["promote", "-w", "-t", "60"]).ok();
        self.wait_until_primary();
    }

    /// Waits until the server has left recovery.
    #[track_caller]
    pub(crate) fn wait_until_primary(&self) {
        self.wait_for_value("select pg_is_in_recovery()", "f", 60);
    }

    /// Waits until recovery has reached its target and pauses there.
    #[track_caller]
    pub(crate) fn wait_until_paused(&self) {
        self.wait_for_value("select pg_is_wal_replay_paused()", "t", 60);
    }

    /// Every user table of every database with a digest of its rows: equal if and only if every row is.
    #[track_caller]
    pub(crate) fn fingerprint(&self) -> Vec<String> {
        let mut prints = Vec::new();
        for row in self.sql("select datname from pg_database where datallowconn order by 1") {
            let database = row[0].clone().expect("a name");
            let found = self.try_sql_in(&database, TABLES).expect("tables can be listed");
            for table in found.into_iter().filter_map(|row| row[0].clone()) {
                let sql = format!(
                    "select count(*) || ' ' || coalesce(md5(string_agg(md5(t::text), '' \
                     order by md5(t::text))), '-') from {table} t"
                );
                let print = self.try_sql_in(&database, &sql).expect("table can be read");
                prints.push(format!("{database} {table} {}", print[0][0].clone().expect("text")));
            }
        }
        prints
    }
}

/// Reads every row of every page through indexes turned off: a damaged page cannot hide.
const TABLES: &str = "select format('%I.%I', nspname, relname) from pg_class c \
    join pg_namespace n on n.oid = relnamespace \
    where relkind in ('r', 'm') and nspname not in ('pg_catalog', 'information_schema') \
    and nspname !~ '^pg_toast' order by 1";

fn row_texts(message: &SimpleQueryMessage) -> Option<Vec<Option<String>>> {
    let SimpleQueryMessage::Row(row) = message else { return None };
    Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
}

fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |db| format!("{db} ({:?})", db.code()))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.postmaster().is_some() {
            let outcome = self.pg_ctl(&["stop", "-w", "-m", "immediate", "-t", "20"]);
            if outcome.code != 0 {
                self.kill();
            }
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("--- end of the log of {}", self.data_dir.display());
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}
