//! Sessions that are held while files are copied: no limit of the server ends them, what ends them all the same
//! costs nothing, and a pooler in between is named.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use pgstrata::postgres::{ConnectOptions, ConnectSettings, ReplicationClient, SqlClient};

use crate::{
    stream_source::run,
    support::{Site, exit, for_each_version, on_one_version, wait_until},
};

const LIMIT: &str = "200ms";

fn options(site: &Site) -> ConnectOptions {
    let settings = ConnectSettings {
        socket_directory: Some(site.primary.socket_dir.clone()),
        port: Some(site.primary.port()),
        user: Some("postgres".to_owned()),
        ..ConnectSettings::default()
    };
    ConnectOptions::resolve(&settings, &|_| None).expect("options")
}

for_each_version! {
    fn sessions_outlive_the_limits_of_the_server(version) {
        let mut builder = Site::builder(version)
            .without_archiving()
            .setting("idle_in_transaction_session_timeout", LIMIT)
            .setting("tcp_user_timeout", LIMIT);
        if version.major() >= 14 {
            builder = builder.setting("idle_session_timeout", LIMIT);
        }
        if version.major() >= 17 {
            builder = builder.setting("transaction_timeout", LIMIT);
        }
        let site = builder.build_without_stanza();
        let options = options(&site);
        run(async {
            let sql = SqlClient::connect(&options).await.expect("session");
            let mut replication = ReplicationClient::connect(&options).await.expect("session");
            tokio::time::sleep(Duration::from_millis(700)).await;
            sql.server_facts().await.expect("the session for SQL is there");
            replication.identify_system().await.expect("the session for replication is there");
            for name in ["idle_session_timeout", "statement_timeout", "tcp_user_timeout"] {
                let value = sql.setting(name).await.expect("answer");
                assert!(value.is_none_or(|value| value == "0"), "{name}");
            }
        });
    }
}

/// Stands between program and server as a pooler does: the session's process is another one than it says.
fn pooler(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for client in listener.incoming().take(4) {
            let client = client.expect("a connection");
            let server = TcpStream::connect(("127.0.0.1", server)).expect("the server");
            let (mut from, mut to) =
                (client.try_clone().expect("own"), server.try_clone().expect("own"));
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            thread::spawn(move || pass_on_with_another_key(server, client));
        }
    });
    port
}

fn pass_on_with_another_key(mut server: TcpStream, mut client: TcpStream) {
    let mut buffer = [0; 65536];
    while let Ok(read @ 1..) = server.read(&mut buffer) {
        let key = b"K\0\0\0\x0c";
        if let Some(at) = buffer[..read].windows(key.len()).position(|window| window == key) {
            buffer[at + key.len() + 3] ^= 1;
        }
        if client.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

on_one_version! {
    /// Regression: pages that looked damaged were looked at again over a session that the server had ended.
    fn session_that_was_ended_is_opened_again(version) {
        let site = Site::new(version);
        let mut backup = site.slow_backup(&["--type=full", "--backup-source=stream"]);
        let sessions = "from pg_stat_activity where application_name = 'pgstrata' and backend_type = \
            'client backend'";
        site.primary.sql(&format!("select pg_terminate_backend(pid) {sessions}"));
        wait_until("the session is gone", 10, || {
            site.primary.value(&format!("select count(*) {sessions}")) == "0"
        });
        assert!(backup.running(), "the backup was over too early");
        backup.finish().ok();
    }

    fn pooler_is_named(version) {
        let site = Site::builder(version).tcp().build();
        let port = format!("--pg1-port={}", pooler(site.primary.port()));
        let refused = site.run(&[&port, "--pg1-sslmode=disable", "check"]);
        refused.code(exit::DB_CONNECT).says("is a connection pooler").says("PgBouncer");
    }
}
