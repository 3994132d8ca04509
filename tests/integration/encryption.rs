//! Encrypted repositories: everything works as in others, nothing can be read without the pass phrase, and pass phrases
//! come and go while no data is written again.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{
    Damage, Outcome, Site, SiteBuilder, Version, exit, for_each_version, give_to_server_user,
    on_one_version, run, write_file,
};

const PASS: &str = "correct horse battery staple";
/// A text that stands in the data and must not be seen.
const MARKER: &str = "xyzzy-marker-of-the-plain-data";

/// A site whose repository is to be encrypted; the pass phrase is in a file, so that tests can change it.
fn builder(version: Version) -> SiteBuilder {
    Site::builder(version)
        .option("repo1-cipher-type", "aes-256-gcm")
        .option("repo1-cipher-pass", PASS)
}

/// The program with another pass phrase than the configured one.
fn with_pass(site: &Site, pass: &str, arguments: &[&str]) -> Outcome {
    run(site.command(arguments).env("PGSTRATA_REPO1_CIPHER_PASS", pass))
}

fn backup(site: &Site, kind: &str) -> String {
    site.primary.sql("insert into t select g, md5(g::text) from generate_series(1, 2000) g");
    site.primary.archive_wal();
    site.run(&[&format!("--type={kind}"), "backup"]).ok();
    site.last_label()
}

fn table(site: &Site) {
    site.primary.sql("create table t (n int, m text)");
    site.primary
        .sql(&format!("insert into t select g, '{MARKER}' || g from generate_series(1, 2000) g"));
}

/// Every object of the data with what would differ if it were written again.
fn data_objects(site: &Site) -> BTreeMap<PathBuf, (u64, i64, i64, u64)> {
    let key = site.repository().join("key");
    let files = site.repository_files("").into_iter().filter(|path| !path.starts_with(&key));
    files
        .map(|path| {
            let facts = fs::metadata(&path).expect("file");
            let facts = (facts.ino(), facts.mtime(), facts.mtime_nsec(), facts.len());
            (path, facts)
        })
        .collect()
}

/// The recipients, as `repo-key --output=json` tells them.
fn recipients(outcome: &Outcome) -> Vec<Value> {
    let report: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    report["recipient"].as_array().expect("list").clone()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

fn secret_file(site: &Site, name: &str, pass: &str) -> PathBuf {
    let path = site.dir.path().join(name);
    write_file(&path, &format!("{pass}\n"));
    path
}

for_each_version! {
    fn an_encrypted_chain_comes_back(version) {
        let site = builder(version).build();
        table(&site);
        for kind in ["full", "diff", "incr"] {
            backup(&site, kind);
        }
        site.primary.archive_wal();
        let restored = site.restore("r", &[]).verified().start_primary();
        assert_eq!(restored.fingerprint(), site.primary.fingerprint());
        restored.stop();
        site.run(&["verify"]).ok();
        let info = site.info();
        assert_eq!((&info["cipher"], &info["repo"][0]["cipher"]), (&"aes-256-gcm".into(), &"aes-256-gcm".into()));
        site.run(&["info"]).ok().says("    cipher: aes-256-gcm\n");
    }
}

on_one_version! {
    fn nothing_plain_is_in_the_store(version) {
        let site = builder(version).option("compress-type", "none").build();
        table(&site);
        let full = backup(&site, "full");
        backup(&site, "incr");
        site.run(&[&format!("--set={full}"), "--annotation=reason=secret-remark", "annotate"]).ok();
        let label = site.last_label();
        let get = |object: &str| site.run(&["--raw", "repo-get", &format!("backup/db/{label}/{object}")]).ok().stdout;
        assert!(get("manifest").contains("system-id"), "it is there for who has the pass phrase");
        let objects = site.repository_files("");
        let (mut keys, mut others) = (0, 0);
        for object in &objects {
            let bytes = fs::read(object).expect("object");
            if object.starts_with(site.repository().join("key")) {
                keys += 1;
                assert!(bytes.starts_with(b"pgstratakey "));
                continue;
            }
            others += 1;
            assert!(bytes.starts_with(b"pgstratc"), "{}", object.display());
            for text in [MARKER, "pg_control", "PG_VERSION", "postgres", "system-id", "secret-remark", "base/", PASS] {
                assert!(!contains(&bytes, text), "'{text}' is in {}", object.display());
            }
        }
        assert!(keys == 1 && others > 10, "{objects:?}");
    }

    fn points_in_time_delta_and_expire(version) {
        let site = builder(version).option("repo1-retention-full", "1").build();
        table(&site);
        backup(&site, "full");
        site.wait_for_the_next_second();
        site.primary.sql("create table before ()");
        let time = site.primary.value("select clock_timestamp()");
        site.wait_for_the_next_second();
        site.primary.sql("create table after ()");
        site.primary.archive_wal();
        let options = ["--type=time", &format!("--target={time}"), "--target-action=promote"];
        let restored = site.restore("r", &options).verified().start_primary();
        let tables = "select string_agg(relname, ' ') from pg_class where relname in ('before', 'after')";
        assert_eq!(restored.value(tables), "before");
        restored.sql("drop table t");
        restored.stop();

        let data_dir = site.dir.path().join("r");
        site.restore_into(&data_dir, &["--delta"]).ok();
        let restored = crate::support::Restored::new(version, &data_dir).start_primary();
        assert_eq!(restored.fingerprint(), site.primary.fingerprint());
        restored.stop();

        backup(&site, "full");
        assert_eq!(site.labels().len(), 1, "the first full was expired");
        site.run(&["verify"]).ok();
    }

    fn a_wrong_pass_phrase_is_told_by_every_command(version) {
        let site = builder(version).build();
        table(&site);
        let label = backup(&site, "full");
        let set = format!("--set={label}");
        let manifest = format!("backup/db/{label}/manifest");
        let segment = site.primary.data_dir.join("pg_wal").join(site.primary.archive_wal()).display().to_string();
        let target_option = format!("--pg1-path={}", site.dir.make("target").display());
        let below = ["backup", "stanza", "key"];
        let before = below.map(|below| site.repository_files(below));
        let commands: [&[&str]; 17] = [
            &["stanza-create"],
            &["stanza-upgrade"],
            &["check"],
            &["--type=full", "backup"],
            &["--type=incr", "backup"],
            &["archive-push", &segment],
            &["info"],
            &["--output=json", "info"],
            &["verify"],
            &["expire"],
            &[&set, "keep"],
            &[&set, "--annotation=a=b", "annotate"],
            &["repo-ls"],
            &["repo-get", &manifest],
            &["repo-key"],
            &["--recipient=0000000000000001", "repo-key", "remove"],
            &["restore", &target_option],
        ];
        for arguments in commands {
            let outcome = with_pass(&site, "wrong", arguments).code(exit::CRYPTO);
            outcome.says("[095]").says("unlocks none of its key objects (1 found)").says("HINT").never_says("wrong");
        }
        // PostgreSQL must not take it for the end of the archive.
        let name = Path::new(&segment).file_name().expect("name").to_string_lossy().into_owned();
        let target = site.dir.path().join("RECOVERYXLOG").display().to_string();
        with_pass(&site, "wrong", &["archive-get", &name, &target]).code(160).says("[095]");
        site.run(&["stop"]).ok();
        with_pass(&site, "wrong", &["stanza-delete"]).code(exit::CRYPTO);
        site.run(&["start"]).ok();
        assert_eq!(below.map(|below| site.repository_files(below)), before);
        site.run(&["archive-get", &name, &target]).ok();
    }

    fn a_changed_pass_phrase_writes_no_data(version) {
        let site = Site::builder(version).build_without_stanza();
        let pass = secret_file(&site, "pass", PASS);
        site.configure(&format!("repo1-cipher-type=aes-256-gcm\nrepo1-cipher-pass-file={}", pass.display()));
        site.run(&["stanza-create"]).ok();
        table(&site);
        backup(&site, "full");
        let before = data_objects(&site);
        let new = secret_file(&site, "new", "another one");
        let option = format!("--cipher-pass-new-file={}", new.display());
        site.run(&["repo-key", "change"]).code(exit::OPTION_REQUIRED);
        site.run(&[&option, "--dry-run", "repo-key", "change"]).ok();
        site.run(&["verify"]).ok();
        site.run(&[&option, "repo-key", "change"]).ok();
        // The server may have archived a file meanwhile.
        let after = data_objects(&site);
        for (path, facts) in &before {
            assert_eq!(after.get(path), Some(facts), "{} was touched", path.display());
        }
        assert_eq!(site.repository_files("key").len(), 1);
        site.run(&["info"]).code(exit::CRYPTO);
        fs::copy(&new, &pass).expect("writable");
        site.run(&["verify"]).ok();
        backup(&site, "incr");
        let restored = site.restore("r", &["--type=immediate", "--target-action=promote"]).verified().start_primary();
        assert_eq!(restored.fingerprint(), site.primary.fingerprint());
    }

    fn recipients_are_added_and_removed(version) {
        let site = builder(version).build();
        table(&site);
        backup(&site, "full");
        let file = secret_file(&site, "second", "of the other site");
        let option = format!("--cipher-pass-new-file={}", file.display());
        site.run(&[&option, "--comment=other site", "repo-key", "add"]).ok();
        site.run(&[&option, "repo-key", "add"]).code(exit::OPTION_INVALID_VALUE);
        let listed = recipients(&site.run(&["--output=json", "repo-key"]).ok());
        assert_eq!(listed.len(), 2);
        let (first, second) = match listed[0]["id"] == "0000000000000001" {
            true => (&listed[0], &listed[1]),
            false => (&listed[1], &listed[0]),
        };
        assert_eq!((&first["opens"], &second["opens"]), (&true.into(), &false.into()));
        assert_eq!(second["comment"], "other site");
        assert_eq!(second["kdf"]["memory-kib"], 19456);
        let id = second["id"].as_str().expect("id");
        site.run(&["repo-key", "status"]).ok().says(id).says("other site").says("argon2id");

        with_pass(&site, "of the other site", &["verify"]).ok();
        let recipient = format!("--recipient={id}");
        with_pass(&site, "of the other site", &[&recipient, "repo-key", "remove"]).code(exit::CRYPTO).says("--force");
        site.run(&[&recipient, "--dry-run", "repo-key", "remove"]).ok();
        with_pass(&site, "of the other site", &["info"]).ok();
        site.run(&[&recipient, "repo-key", "remove"]).ok();
        with_pass(&site, "of the other site", &["info"]).code(exit::CRYPTO);
        site.run(&["--recipient=0000000000000001", "--force", "repo-key", "remove"]).code(exit::CRYPTO).says("last");
        site.run(&["--recipient=00", "repo-key", "remove"]).failed();
        site.run(&["repo-key", "remove"]).code(exit::OPTION_REQUIRED);
        site.run(&["repo-key", "rotate"]).failed().says("rotate");
        site.run(&["verify"]).ok();
    }

    fn a_repository_is_encrypted_or_not_and_never_both(version) {
        let encrypted = builder(version).build();
        table(&encrypted);
        backup(&encrypted, "full");
        let segment = encrypted.primary.data_dir.join("pg_wal").join(encrypted.primary.archive_wal()).display().to_string();
        let text = fs::read_to_string(encrypted.config_file()).expect("written by build");
        let plain: Vec<&str> = text.lines().filter(|line| !line.contains("cipher")).collect();
        write_file(&encrypted.config_file(), &plain.join("\n"));
        let below = ["backup", "stanza", "key"];
        let before = below.map(|below| encrypted.repository_files(below));
        let commands: [&[&str]; 9] = [
            &["info"],
            &["check"],
            &["--type=full", "backup"],
            &["archive-push", &segment],
            &["verify"],
            &["stanza-create"],
            &["expire"],
            &["repo-ls"],
            &["repo-key"],
        ];
        for arguments in commands {
            encrypted.run(arguments).code(exit::CRYPTO).says("is encrypted").says("repoN-cipher-type");
        }
        let mut other = encrypted.bare_command(&["--stanza=other", "stanza-create"]);
        let other = run(other.env("PGSTRATA_PG1_PATH", &encrypted.primary.data_dir)
            .env("PGSTRATA_PG1_SOCKET_PATH", &encrypted.primary.socket_dir)
            .env("PGSTRATA_PG1_PORT", encrypted.primary.port().to_string())
            .env("PGSTRATA_PG1_USER", "postgres"));
        other.code(exit::CRYPTO).says("is encrypted");
        assert_eq!(below.map(|below| encrypted.repository_files(below)), before);
        drop(encrypted);

        let site = Site::new(version);
        table(&site);
        backup(&site, "full");
        site.configure(&format!("repo1-cipher-type=aes-256-gcm\nrepo1-cipher-pass={PASS}"));
        let before = below.map(|below| site.repository_files(below));
        for arguments in [&["info"][..], &["check"], &["--type=full", "backup"], &["verify"], &["stanza-create"], &["repo-ls"], &["repo-key"]] {
            site.run(arguments).code(exit::CRYPTO).says("it is not encrypted").says("HINT");
        }
        assert_eq!(below.map(|below| site.repository_files(below)), before);
    }

    fn verify_finds_damage_anywhere(version) {
        let site = builder(version).build();
        table(&site);
        let label = backup(&site, "full");
        site.primary.archive_wal();
        let below = site.repository().join("backup/db").join(&label);
        let damaged = [exit::CHECKSUM];
        let found = |object: &Path, damage: Damage| {
            let name = object.strip_prefix(site.repository()).expect("below the repository").display().to_string();
            damage.during(object, || {
                site.run(&["--output=text", "verify"]).code_in(&damaged).says(&name);
            });
        };
        for name in ["bundle/00000001", "map/00000001", "files", "manifest", "backup_manifest"] {
            for damage in [Damage::FlipAt(0), Damage::FlipAt(500), Damage::FlipAt(999), Damage::CutHalf] {
                found(&below.join(name), damage);
            }
        }
        let stop = site.info()["backup"][0]["archive"]["stop"].as_str().expect("name").to_owned();
        let segment = site.archived(&stop).remove(0);
        for damage in [Damage::FlipAt(0), Damage::FlipAt(30), Damage::FlipAt(999), Damage::CutLastByte, Damage::Empty] {
            found(&segment, damage);
        }
        // An object in the place of another one.
        let (one, two) = (below.join("files"), below.join("backup_manifest"));
        let intact = fs::read(&two).expect("object");
        fs::copy(&one, &two).expect("writable");
        site.run(&["verify"]).code(exit::CHECKSUM);
        fs::write(&two, &intact).expect("writable");
        site.run(&["verify"]).ok();
    }

    fn a_way_in_that_is_lost_is_told(version) {
        let site = builder(version).build();
        table(&site);
        backup(&site, "full");
        let first = site.repository_files("key").remove(0);
        let file = secret_file(&site, "second", "of the other site");
        let option = format!("--cipher-pass-new-file={}", file.display());
        site.run(&[&option, "repo-key", "add"]).ok();
        let second = site.repository_files("key").into_iter().find(|path| *path != first).expect("two");
        let id = second.file_name().expect("name").to_string_lossy().into_owned();
        let name = format!("key/{id}");
        for damage in [Damage::FlipAt(500), Damage::CutHalf, Damage::Empty, Damage::Zeroed] {
            damage.during(&second, || {
                site.run(&["verify"]).code(exit::CHECKSUM).says(&name).says("repo-key remove");
                let report = site.run(&["--output=json", "repo-key"]).code(exit::CHECKSUM).says("HINT");
                assert!(recipients(&report).iter().any(|one| one["id"] == *id && one["error"] != Value::Null));
                // The others open as ever.
                site.run(&["check"]).ok();
                with_pass(&site, "of the other site", &["info"]).code(exit::CRYPTO).says("1 unreadable");
            });
        }
        Damage::FlipAt(500).during(&first, || {
            with_pass(&site, "of the other site", &["verify"]).code(exit::CHECKSUM).says("key/0000000000000001");
            site.run(&["info"]).code(exit::CRYPTO).says("1 unreadable").says("from a copy");
        });
        // What can be done about it.
        let intact = fs::read(&second).expect("object");
        fs::write(&second, &intact[..99]).expect("writable");
        site.run(&[&format!("--recipient={id}"), "repo-key", "remove"]).ok();
        site.run(&[&option, "repo-key", "add"]).ok();
        site.run(&["verify"]).ok();
        with_pass(&site, "of the other site", &["verify"]).ok();
        let (key, away) = (site.repository().join("key"), site.dir.path().join("away"));
        fs::rename(&key, &away).expect("writable");
        for command in ["info", "verify", "stanza-create", "repo-key"] {
            site.run(&[command]).code(exit::CRYPTO).says("its key objects are missing").says("from a copy");
        }
        assert!(!key.exists());
        fs::rename(&away, &key).expect("writable");
        site.run(&["verify"]).ok();
    }

    fn a_file_of_the_older_tool_is_taken_without_a_warning(version) {
        let site = Site::builder(version).option("repo1-cipher-type", "aes-256-cbc").option("repo1-cipher-pass", PASS).build();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(site.config_file(), mode).expect("own file");
        table(&site);
        let segment = site.primary.data_dir.join("pg_wal").join(site.primary.archive_wal()).display().to_string();
        let outcome = site.run(&["--log-level-console=info", "archive-push", &segment]).ok();
        outcome.never_says("WARN").never_says("aes-256-cbc'");
        let outcome = site.run(&["--log-level-console=info", "--type=full", "backup"]).ok();
        outcome.says("INFO: option 'repo1-cipher-type=aes-256-cbc'").never_says("WARN: option");
        assert_eq!(site.info()["cipher"], "aes-256-gcm");
    }

    fn one_of_two_repositories_is_encrypted(version) {
        let site = Site::builder(version).build_without_stanza();
        let second = site.dir.make("repo2");
        site.configure(&format!(
            "repo2-path={}\nrepo2-cipher-type=aes-256-gcm\nrepo2-cipher-pass={PASS}",
            second.display()
        ));
        site.run(&["stanza-create"]).ok();
        table(&site);
        site.primary.archive_wal();
        site.run(&["--type=full", "--repo=1", "backup"]).ok();
        site.run(&["--type=full", "--repo=2", "backup"]).ok();
        let info = site.info();
        assert_eq!(info["cipher"], "mixed");
        assert_eq!((&info["repo"][0]["cipher"], &info["repo"][1]["cipher"]), (&"none".into(), &"aes-256-gcm".into()));
        site.run(&["info"]).ok().says("    cipher: mixed\n        repo1: none\n        repo2: aes-256-gcm\n");
        site.run(&["repo-key"]).code(exit::OPTION_REQUIRED);
        site.run(&["--repo=2", "repo-key"]).ok();
        let wrong = || {
            let mut command = site.command(&["--output=json", "info"]);
            run(command.env("PGSTRATA_REPO2_CIPHER_PASS", "wrong"))
        };
        // What can be shown is shown; what cannot says so.
        wrong().ok().says("[CryptoError]");
    }

    fn the_documented_configuration_works(version) {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/encryption.md");
        let page = fs::read_to_string(page).expect("the page");
        let block = page.split("```ini\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
        let site = Site::builder(version).build_without_stanza();
        let pass = site.dir.path().join("repo1.pass");
        write_file(&pass, "what the command of the page writes\n");
        let lines: Vec<&str> = block.lines().filter(|line| line.starts_with("repo1-cipher-")).collect();
        assert_eq!(lines.len(), 2, "{block}");
        let lines = lines.join("\n");
        assert!(lines.contains("/etc/pgstrata/repo1.pass"), "{lines}");
        site.configure(&lines.replace("/etc/pgstrata/repo1.pass", &pass.display().to_string()));
        give_to_server_user(&site.config_file());
        site.run(&["stanza-create"]).ok();
        table(&site);
        backup(&site, "full");
        site.primary.archive_wal();
        site.run(&["check"]).ok();
        let restored = site.restore("r", &[]).verified().start_primary();
        assert_eq!(restored.fingerprint(), site.primary.fingerprint());
    }
}
