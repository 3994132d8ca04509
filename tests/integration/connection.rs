//! How the program gets to the server: passwords, TLS, a role that may do no more than it has to; and
//! that a secret is never shown.

use std::fs;

use crate::support::{
    Cluster, Outcome, Site, SiteBuilder, TestDir, TlsFiles, Version, exit, for_each_version,
    on_one_version, write_file,
};

const SECRET: &str = "Kein-Wort-davon 9!";

/// A site reached over TCP as the role `keeper`, which may only replicate and read settings.
fn site_for_keeper(version: Version, method: &'static str, host_line: &'static str) -> SiteBuilder {
    Site::builder(version)
        .tcp()
        .setting("password_encryption", if method == "md5" { "md5" } else { "scram-sha-256" })
        .option("pg1-user", "keeper")
        .prepare(move |cluster, _| allow_keeper(cluster, method, host_line))
}

/// Puts lines for the role before all others in pg_hba.conf.
fn allow_keeper(cluster: &Cluster, method: &str, host_line: &str) {
    let path = cluster.data_dir.join("pg_hba.conf");
    let rest = fs::read_to_string(&path).expect("initdb wrote it");
    let lines = format!(
        "{host_line} replication keeper 127.0.0.1/32 {method}\n\
         {host_line} all keeper 127.0.0.1/32 {method}\n\
         host all keeper 127.0.0.1/32 reject\nhost replication keeper 127.0.0.1/32 reject\n"
    );
    fs::write(&path, lines + &rest).expect("writable");
}

/// Starts the site and makes the role; the stanza is still to be created.
fn with_keeper(builder: SiteBuilder) -> Site {
    let site = builder.build_without_stanza();
    site.primary.sql(&format!("create role keeper login replication password '{SECRET}'"));
    site.primary.sql("grant pg_read_all_settings to keeper");
    site
}

fn back_up(site: &Site) -> Outcome {
    site.run(&["stanza-create"]).ok();
    site.run(&["--type=full", "backup"]).ok()
}

fn restores(site: &Site) {
    site.primary.archive_wal();
    let restored = site.restore("r", &[]).verified().start_primary();
    assert_eq!(restored.fingerprint(), site.primary.fingerprint());
}

fn pass_file(site: &Site, password: &str) -> String {
    let path = site.dir.path().join("pass file");
    let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
    write_file(
        &path,
        &format!("# comment\nother:1:*:keeper:wrong\n127.0.0.1:*:*:keeper:{escaped}\n"),
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&path, mode).expect("own file");
    path.display().to_string()
}

for_each_version! {
    fn scram_password_from_the_configuration(version) {
        let site = with_keeper(site_for_keeper(version, "scram-sha-256", "host"));
        site.run(&["stanza-create"]).code(exit::DB_CONNECT).says("password");
        site.configure(&format!("[db]\npg1-password={SECRET}"));
        back_up(&site);
        restores(&site);
    }

    fn encrypted_connection_to_a_verified_server(version) {
        let site = with_tls(version, "IP:127.0.0.1");
        site.configure(&format!("[db]\npg1-password={SECRET}\npg1-sslmode=verify-full\n{}", root_of(&site, "ca.crt")));
        back_up(&site);
        restores(&site);
    }
}

/// A site that takes the role's connections over TLS only.
fn with_tls(version: Version, host: &'static str) -> Site {
    with_keeper(
        site_for_keeper(version, "scram-sha-256", "hostssl")
            .setting("ssl", "on")
            .prepare(move |cluster, dir| use_certificate(cluster, dir, host)),
    )
}

fn use_certificate(cluster: &Cluster, dir: &TestDir, host: &str) {
    let files = TlsFiles::make(&dir.make("tls"), host);
    let path = cluster.data_dir.join("postgresql.conf");
    let mut text = fs::read_to_string(&path).expect("initdb wrote it");
    text.push_str(&format!(
        "ssl_cert_file = '{}'\nssl_key_file = '{}'\n",
        files.server_certificate.display(),
        files.server_key.display()
    ));
    fs::write(&path, text).expect("writable");
}

fn root_of(site: &Site, authority: &str) -> String {
    format!("pg1-sslrootcert={}", site.dir.path().join("tls").join(authority).display())
}

/// Tries a connection with the options; the stanza exists already or is made by it.
fn connects(site: &Site, sslmode: &str, root: &str) -> bool {
    let path = site.dir.path().join("tls").join(root);
    let outcome = site.run(&[
        &format!("--pg1-sslmode={sslmode}"),
        &format!("--pg1-sslrootcert={}", path.display()),
        "stanza-create",
    ]);
    if outcome.code != 0 {
        assert_eq!(outcome.code, exit::DB_CONNECT, "{outcome}");
    }
    outcome.code == 0
}

on_one_version! {
    fn password_from_a_pass_file(version) {
        let site = with_keeper(site_for_keeper(version, "scram-sha-256", "host"));
        let path = pass_file(&site, SECRET);
        site.configure(&format!("[db]\npg1-passfile={path}"));
        back_up(&site);
    }

    fn password_from_the_usual_variable(version) {
        let site = with_keeper(site_for_keeper(version, "scram-sha-256", "host"));
        let path = pass_file(&site, SECRET);
        let mut command = site.command(&["stanza-create"]);
        crate::support::run(command.env("PGPASSFILE", path)).ok();
    }

    fn md5_password(version) {
        let site = with_keeper(site_for_keeper(version, "md5", "host"));
        site.configure(&format!("[db]\npg1-password={SECRET}"));
        back_up(&site);
    }

    fn wrong_password_is_said_without_showing_it(version) {
        let site = with_keeper(site_for_keeper(version, "scram-sha-256", "host"));
        site.configure("[db]\npg1-password=Falsch-und-geheim");
        let outcome = site.run(&["--log-level-stderr=trace", "stanza-create"]);
        outcome.code(exit::DB_CONNECT).says("keeper").never_says("Falsch-und-geheim");
    }

    fn sslmodes_mean_what_they_mean_to_libpq(version) {
        let site = with_tls(version, "IP:127.0.0.1");
        site.configure(&format!("[db]\npg1-password={SECRET}"));
        let expected = [
            // The role's lines in pg_hba.conf take encrypted connections only.
            ("disable", "ca.crt", false),
            ("allow", "ca.crt", true),
            ("prefer", "ca.crt", true),
            // A root certificate is always used to verify where it is there; what prefer falls back to,
            // an open connection, is refused by the server.
            ("prefer", "other.crt", false),
            ("require", "ca.crt", true),
            ("require", "other.crt", false),
            ("verify-ca", "ca.crt", true),
            ("verify-ca", "other.crt", false),
            ("verify-full", "ca.crt", true),
            ("verify-full", "other.crt", false),
        ];
        for (mode, root, works) in expected {
            assert_eq!(connects(&site, mode, root), works, "{mode} with {root}");
        }
    }

    fn certificate_for_another_host_fails_only_verify_full(version) {
        let site = with_tls(version, "elsewhere.example");
        site.configure(&format!("[db]\npg1-password={SECRET}"));
        for (mode, works) in [("require", true), ("verify-ca", true), ("verify-full", false)] {
            assert_eq!(connects(&site, mode, "ca.crt"), works, "{mode}");
        }
    }

    fn server_without_tls_is_not_good_enough_for_require(version) {
        let site = with_keeper(site_for_keeper(version, "scram-sha-256", "host"));
        site.configure(&format!("[db]\npg1-password={SECRET}"));
        site.run(&["--pg1-sslmode=prefer", "stanza-create"]).ok();
        site.run(&["--pg1-sslmode=require", "stanza-create"]).code(exit::DB_CONNECT);
    }

    fn secret_is_never_shown(version) {
        let site = with_keeper(site_for_keeper(version, "scram-sha-256", "host"));
        site.configure(&format!("[db]\npg1-password={SECRET}"));
        site.run(&["stanza-create"]).ok().never_says(SECRET);
        let levels = ["--log-level-stderr=trace", "--log-level-file=trace", "--log-level-console=trace"];
        let arguments = [&levels[..], &["--type=full", "--max-rate=16384", "backup"]].concat();
        let mut backup = site.spawn(&arguments);
        let mut seen = 0;
        while backup.running() {
            let seen_by_ps = fs::read(format!("/proc/{}/cmdline", backup.id())).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&seen_by_ps).contains(SECRET));
            seen += 1;
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(seen > 0);
        backup.finish().ok().never_says(SECRET);
        for entry in fs::read_dir(site.dir.path().join("log")).expect("directory") {
            let log = fs::read_to_string(entry.expect("entry").path()).expect("text");
            assert!(!log.contains(SECRET), "{log}");
        }
        let _ = site.restore("r", &[]);
        let conf = fs::read_to_string(site.dir.path().join("r/postgresql.auto.conf")).expect("there");
        assert!(!conf.contains(SECRET), "{conf}");
    }
}
