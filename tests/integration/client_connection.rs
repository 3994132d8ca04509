//! How the library's two clients get to a server: sockets, passwords of every kind, TLS with libpq's
//! meaning, and what is refused.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use pgstrata::postgres::{
    ChannelBindingMode, ConnectOptions, ConnectSettings, Error, Password, ReplicationClient,
    SqlClient,
};

use crate::{
    stream_source::run,
    support::{
        Cluster, Site, SiteBuilder, TestDir, TlsFiles, Version, for_each_version, on_one_version,
        run as run_program, write_file,
    },
};

const SECRET: &str = "Kein:Wort\\davon 9!";

/// A server on TCP that knows the role `keeper`, with these lines first in pg_hba.conf.
fn site(version: Version, hba: &'static str) -> SiteBuilder {
    Site::builder(version).without_archiving().tcp().prepare(move |cluster, _| {
        let path = cluster.data_dir.join("pg_hba.conf");
        let rest = fs::read_to_string(&path).expect("initdb wrote it");
        fs::write(&path, format!("{hba}\n{rest}")).expect("writable");
    })
}

fn start(builder: SiteBuilder, encryption: &str) -> Site {
    let site = builder.build_without_stanza();
    let secret = SECRET.replace('\'', "''");
    site.primary.sql(&format!(
        "set password_encryption = '{encryption}'; \
         create role keeper login replication password '{secret}'"
    ));
    site
}

fn settings(site: &Site, host: &str) -> ConnectSettings {
    ConnectSettings {
        host: Some(host.to_owned()),
        port: site.primary.tcp_port,
        user: Some("keeper".to_owned()),
        password: Some(Password::new(SECRET)),
        ssl_mode: Some("disable".to_owned()),
        ..Default::default()
    }
}

fn options(settings: &ConnectSettings) -> ConnectOptions {
    ConnectOptions::resolve(settings, &|_| None).expect("options")
}

/// Connects both clients, which must agree; whether the connection is encrypted.
fn connect(options: &ConnectOptions) -> Result<bool, Error> {
    run(async {
        let sql = SqlClient::connect(options).await;
        let client = ReplicationClient::connect(options).await;
        assert_eq!(sql.is_ok(), client.is_ok(), "{:?} {:?}", sql.err(), client.err());
        let mut client = client?;
        let recovery = sql?.is_in_recovery().await?;
        assert!(!recovery);
        client.identify_system().await?;
        let encrypted = client.is_encrypted();
        client.close().await;
        Ok(encrypted)
    })
}

/// The server's certificate, made by `make` in a directory, and TLS switched on.
fn with_tls(
    builder: SiteBuilder,
    make: impl FnOnce(&Path) -> (PathBuf, PathBuf) + 'static,
) -> SiteBuilder {
    builder.setting("ssl", "on").prepare(move |cluster: &Cluster, dir: &TestDir| {
        let (certificate, key) = make(&dir.make("tls"));
        let path = cluster.data_dir.join("postgresql.conf");
        let mut text = fs::read_to_string(&path).expect("initdb wrote it");
        text.push_str(&format!(
            "ssl_cert_file = '{}'\nssl_key_file = '{}'\n",
            certificate.display(),
            key.display()
        ));
        fs::write(&path, text).expect("writable");
    })
}

fn signed_for(host: &'static str) -> impl FnOnce(&Path) -> (PathBuf, PathBuf) {
    move |directory| {
        let files = TlsFiles::make(directory, host);
        (files.server_certificate, files.server_key)
    }
}

/// A certificate of `extra` options that signed itself.
fn self_signed(extra: &'static str) -> impl FnOnce(&Path) -> (PathBuf, PathBuf) {
    move |directory| {
        openssl(
            directory,
            &format!("req -x509 -newkey rsa:2048 -nodes -days 2 -keyout s.key -out s.crt {extra}"),
        );
        let key = directory.join("s.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("own file");
        crate::support::give_to_server_user(directory);
        (directory.join("s.crt"), key)
    }
}

fn openssl(directory: &Path, arguments: &str) {
    let mut command = std::process::Command::new("openssl");
    let outcome = run_program(command.current_dir(directory).args(arguments.split_whitespace()));
    assert_eq!(outcome.code, 0, "{outcome}");
}

fn tls_file(site: &Site, name: &str) -> Option<PathBuf> {
    Some(site.dir.path().join("tls").join(name))
}

const KEEPER_TLS: &str = "hostssl all,replication keeper 127.0.0.1/32 scram-sha-256\n\
    host all,replication keeper 127.0.0.1/32 reject";

for_each_version! {
    fn scram_over_tcp(version) {
        let hba = "host all,replication keeper 127.0.0.1/32 scram-sha-256";
        let site = start(site(version, hba), "scram-sha-256");
        // The name stands for two addresses, and the server listens on the second only.
        assert!(!connect(&options(&settings(&site, "localhost"))).expect("connects"));
        let wrong = ConnectSettings { password: Some(Password::new("x")), ..settings(&site, "127.0.0.1") };
        let error = connect(&options(&wrong)).expect_err("wrong password");
        assert_eq!(error.server_error().map(|e| e.code.as_str()), Some("28P01"), "{error}");
        let none = ConnectSettings { password: None, ..settings(&site, "127.0.0.1") };
        let error = connect(&options(&none)).expect_err("no password");
        assert!(matches!(error, Error::Authentication { .. }), "{error}");
    }

    fn verified_tls_with_channel_binding(version) {
        let site = start(with_tls(site(version, KEEPER_TLS), signed_for("IP:127.0.0.1")), "scram-sha-256");
        let verified = ConnectSettings {
            ssl_mode: Some("verify-full".to_owned()),
            ssl_root_cert: tls_file(&site, "ca.crt"),
            ..settings(&site, "127.0.0.1")
        };
        let mut options = options(&verified);
        for binding in [
            ChannelBindingMode::Disable,
            ChannelBindingMode::Prefer,
            ChannelBindingMode::Require,
        ] {
            options.channel_binding = binding;
            assert!(connect(&options).expect("connects"), "{binding:?}");
        }
    }
}

on_one_version! {
    fn older_password_methods(version) {
        let hba = "host all,replication keeper 127.0.0.1/32 md5";
        let site_md5 = start(site(version, hba), "md5");
        connect(&options(&settings(&site_md5, "127.0.0.1"))).expect("md5");
        drop(site_md5);
        let hba = "host all,replication keeper 127.0.0.1/32 password";
        let site_clear = start(site(version, hba), "scram-sha-256");
        let settings = settings(&site_clear, "127.0.0.1");
        connect(&options(&settings)).expect("cleartext");
        let mut bound = options(&settings);
        bound.channel_binding = ChannelBindingMode::Require;
        assert!(connect(&bound).is_err());
    }

    fn pass_file_of_the_environment(version) {
        let hba = "host all,replication keeper 127.0.0.1/32 scram-sha-256";
        let site = start(site(version, hba), "scram-sha-256");
        let file = site.dir.path().join("pass");
        write_file(&file, "# all\n*:*:*:keeper:Kein\\:Wort\\\\davon 9!\n");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("own file");
        let settings = ConnectSettings { password: None, ..settings(&site, "127.0.0.1") };
        let env = |name: &str| (name == "PGPASSFILE").then(|| file.clone().into_os_string());
        let options = ConnectOptions::resolve(&settings, &env).expect("options");
        connect(&options).expect("connects");
    }

    fn sslmodes_mean_what_they_mean_to_libpq(version) {
        let site = start(with_tls(site(version, KEEPER_TLS), signed_for("db.example")), "scram-sha-256");
        for (mode, root, works) in [
            ("disable", Some("ca.crt"), false),
            ("allow", Some("ca.crt"), true),
            ("prefer", Some("ca.crt"), true),
            ("prefer", None, true),
            // Verification fails, and the plain connection that follows is refused by pg_hba.conf.
            ("prefer", Some("other.crt"), false),
            ("require", None, true),
            ("require", Some("absent.crt"), true),
            ("require", Some("ca.crt"), true),
            ("require", Some("other.crt"), false),
            ("verify-ca", Some("ca.crt"), true),
            ("verify-ca", Some("other.crt"), false),
            ("verify-ca", Some("absent.crt"), false),
            ("verify-ca", None, false),
            // The certificate is for another name.
            ("verify-full", Some("ca.crt"), false),
        ] {
            let settings = ConnectSettings {
                ssl_mode: Some(mode.to_owned()),
                ssl_root_cert: root.and_then(|root| tls_file(&site, root)),
                ..settings(&site, "127.0.0.1")
            };
            let result = connect(&options(&settings));
            assert_eq!(result.is_ok(), works, "{mode} with {root:?}: {result:?}");
            if let Ok(encrypted) = result {
                assert!(encrypted, "{mode} with {root:?}");
            }
        }
    }

    fn plain_server_is_good_enough_for_prefer_only(version) {
        let hba = "host all,replication keeper 127.0.0.1/32 scram-sha-256";
        let site = start(site(version, hba), "scram-sha-256");
        for (mode, works) in [("allow", true), ("prefer", true), ("require", false)] {
            let settings =
                ConnectSettings { ssl_mode: Some(mode.to_owned()), ..settings(&site, "127.0.0.1") };
            let result = connect(&options(&settings));
            assert_eq!(result.is_ok(), works, "{mode}: {result:?}");
        }
    }

    fn prefer_falls_back_when_the_server_wants_no_encryption(version) {
        let hba = "hostnossl all,replication keeper 127.0.0.1/32 scram-sha-256\n\
            host all,replication keeper 127.0.0.1/32 reject";
        let site = start(with_tls(site(version, hba), signed_for("db")), "scram-sha-256");
        for (mode, works) in [("prefer", true), ("allow", true), ("require", false)] {
            let settings =
                ConnectSettings { ssl_mode: Some(mode.to_owned()), ..settings(&site, "127.0.0.1") };
            let result = connect(&options(&settings));
            assert_eq!(result.as_ref().ok(), works.then_some(&false), "{mode}: {result:?}");
        }
    }

    fn self_signed_certificate_is_its_own_root(version) {
        // No subjectAltName: the common name counts, also for an address.
        let site = start(with_tls(site(version, KEEPER_TLS), self_signed("-subj /CN=127.0.0.1")), "scram-sha-256");
        let settings = ConnectSettings {
            ssl_mode: Some("verify-full".to_owned()),
            ssl_root_cert: tls_file(&site, "s.crt"),
            ..settings(&site, "127.0.0.1")
        };
        assert!(connect(&options(&settings)).expect("connects"));
        let elsewhere = ConnectSettings { host: Some("localhost".to_owned()), ..settings };
        let error = connect(&options(&elsewhere)).expect_err("another name");
        assert!(error.to_string().contains("localhost"), "{error}");
    }

    fn client_certificate_is_enough(version) {
        let hba = "hostssl all,replication keeper 127.0.0.1/32 cert";
        let builder = with_tls(site(version, hba), signed_for("IP:127.0.0.1"))
            .prepare(|cluster, dir| {
                let tls = dir.path().join("tls");
                openssl(&tls, "req -newkey rsa:2048 -nodes -subj /CN=keeper -keyout c.key -out c.csr");
                openssl(&tls, "x509 -req -in c.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out c.crt");
                let path = cluster.data_dir.join("postgresql.conf");
                let text = fs::read_to_string(&path).expect("there");
                let root = tls.join("ca.crt");
                fs::write(&path, format!("{text}ssl_ca_file = '{}'\n", root.display())).expect("writable");
            });
        let site = start(builder, "scram-sha-256");
        let key = tls_file(&site, "c.key").expect("path");
        let with_key = ConnectSettings {
            ssl_mode: Some("verify-full".to_owned()),
            ssl_root_cert: tls_file(&site, "ca.crt"),
            ssl_cert: tls_file(&site, "c.crt"),
            ssl_key: Some(key.clone()),
            password: None,
            ..settings(&site, "127.0.0.1")
        };
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("own file");
        assert!(connect(&options(&with_key)).expect("connects"));
        let without = ConnectSettings { ssl_cert: None, ..with_key.clone() };
        assert!(connect(&options(&without)).is_err());
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("own file");
        let error = connect(&options(&with_key)).expect_err("a key that all can read");
        assert!(error.to_string().contains("c.key"), "{error}");
    }

    fn missing_entry_in_pg_hba_has_a_hint(version) {
        use pgstrata::types::{ErrorCode, Failure};
        let hba = "host postgres keeper 127.0.0.1/32 trust\nhost replication keeper 127.0.0.1/32 reject";
        let site = start(site(version, hba), "scram-sha-256");
        let options = options(&settings(&site, "127.0.0.1"));
        let Err(error) = run(ReplicationClient::connect(&options)) else { panic!("connected") };
        assert_eq!(error.code(), ErrorCode::DbConnect);
        assert!(error.hint().expect("a hint").contains("pg_hba.conf"));
    }

    fn permission_that_is_missing_is_told_apart(version) {
        let hba = "host all,replication keeper 127.0.0.1/32 trust";
        let site = start(site(version, hba), "scram-sha-256");
        run(async {
            let sql = SqlClient::connect(&options(&settings(&site, "127.0.0.1"))).await.expect("sql");
            let path = pgstrata::types::DataPath::new(b"PG_VERSION").expect("path");
            let denied = sql.reread_page(&path, 0, 1).await;
            assert!(matches!(denied, Err(Error::PermissionDenied { .. })), "{denied:?}");
            let facts = sql.server_facts().await.expect("facts");
            assert_eq!(facts.data_directory, None);
        });
    }

    fn silence_is_not_waited_for_without_end(_version) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let settings = ConnectSettings {
            host: Some("127.0.0.1".to_owned()),
            port: Some(listener.local_addr().expect("bound").port()),
            user: Some("keeper".to_owned()),
            connect_timeout: Some(std::time::Duration::from_millis(300)),
            ..Default::default()
        };
        for mode in ["disable", "prefer"] {
            let settings = ConnectSettings { ssl_mode: Some(mode.to_owned()), ..settings.clone() };
            let began = std::time::Instant::now();
            assert!(connect(&options(&settings)).is_err());
            assert!(began.elapsed() < std::time::Duration::from_secs(3), "{mode}");
        }
    }
}
