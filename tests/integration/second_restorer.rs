//! `docs/repository-format.md` is enough to get the data back: a second restorer, written from it alone and in another
//! language, restores what the program stored, and the clusters start.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use pgstrata::types::DataPath;
use sha2::{Digest, Sha256};

use crate::support::{
    Outcome, Restored, Site, TestDir, Version, give_to_server_user, run, second_restorer,
    tests_with, write_file,
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
/// The pass phrase of the encrypted golden repository, as `fixtures/README.md` has it.
const GOLDEN_PASS: &str = "the pass phrase of the golden repository";
const PASS: &str = "correct horse battery staple";
const TOLD: &str = "changes found in the server's WAL summaries";

/// Kind, mode, time, size and SHA-256 of everything below a directory, also behind links, by its escaped path.
type Tree = BTreeMap<String, String>;

fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    walk(root, root, &mut found);
    found
}

fn walk(root: &Path, directory: &Path, found: &mut Tree) {
    for entry in fs::read_dir(directory).expect("directory") {
        let place = entry.expect("entry").path();
        let path = place.strip_prefix(root).expect("below").as_os_str();
        let path = DataPath::new(path.as_bytes()).expect("a path").to_string();
        let metadata = fs::symlink_metadata(&place).expect("there");
        let mode = metadata.permissions().mode() & 0o7777;
        let facts = if metadata.is_symlink() {
            "link - - - -".to_owned()
        } else if metadata.is_dir() {
            format!("dir {mode:04o} - - -")
        } else {
            let content = fs::read(&place).expect("readable");
            // A restore makes these by itself.
            let made = ["backup_manifest", "recovery.signal"].contains(&path.as_str());
            let time = if made { "-".to_owned() } else { metadata.mtime().to_string() };
            format!("file {mode:04o} {time} {} {}", content.len(), sha256(&content))
        };
        found.insert(path, facts);
        if !metadata.is_file() {
            walk(root, &place, found);
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A copy of a golden repository that the servers' user can read.
struct Golden {
    dir: TestDir,
    name: &'static str,
}

impl Golden {
    fn new(name: &'static str) -> Self {
        let golden = Self { dir: TestDir::new(), name };
        copy(&Path::new(FIXTURES).join(name), &golden.repository());
        give_to_server_user(&golden.repository());
        write_file(&golden.pass_file(), &format!("{GOLDEN_PASS}\n"));
        golden
    }

    fn repository(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    fn pass_file(&self) -> PathBuf {
        self.dir.path().join("pass")
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Outcome {
        let (repository, pass) = (self.repository(), self.pass_file());
        let (repository, pass) = (repository.display().to_string(), pass.display().to_string());
        let first = [command, "--repo", &repository, "--pass-file", &pass, "--stanza", "demo"];
        run(&mut second_restorer(&[&first[..], arguments].concat()))
    }

    /// Restores a backup without recovery settings into a directory of this name.
    fn restore(&self, label: &str, name: &str, options: &[&str]) -> (Outcome, PathBuf) {
        let (data, outside) =
            (self.dir.path().join(name), self.dir.path().join(format!("{name}-ts")));
        let data_text = data.display().to_string();
        let space = format!("16401={}", outside.display());
        let mut arguments = vec!["--set", label, "--data", &data_text];
        if self.name == "repository-v1-codecs" {
            arguments.extend(["--tablespace", &space]);
        }
        arguments.extend(options);
        (self.run("restore", &arguments), data)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("writable");
    for entry in fs::read_dir(from).expect("directory") {
        let path = entry.expect("entry").path();
        let target = to.join(path.file_name().expect("name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("writable");
        }
    }
}

/// The lines of `fixtures/expected.txt` for one repository: backup or `wal`, facts, path.
fn expected(repository: &str) -> BTreeSet<(String, String, String)> {
    let text = fs::read_to_string(Path::new(FIXTURES).join("expected.txt")).expect("the list");
    let lines = text.lines().map(|line| line.splitn(8, ' ').collect::<Vec<_>>());
    let lines = lines.filter(|fields| fields[0] == repository);
    let entry =
        |fields: Vec<&str>| (fields[1].to_owned(), fields[2..7].join(" "), fields[7].to_owned());
    lines.map(entry).collect()
}

fn golden_repository_comes_back(name: &'static str) {
    let golden = Golden::new(name);
    let listed = expected(name);
    let sets: BTreeSet<&str> = listed.iter().map(|(set, ..)| set.as_str()).collect();
    let mut found = BTreeSet::new();
    for label in sets.into_iter().filter(|set| *set != "wal") {
        let (outcome, data) = golden.restore(label, label, &["--target", "none"]);
        outcome.ok();
        found.extend(tree(&data).into_iter().map(|(path, facts)| (label.to_owned(), facts, path)));
    }
    for (_, _, name) in listed.iter().filter(|(set, ..)| set == "wal") {
        let destination = golden.dir.path().join("RECOVERYXLOG");
        let place = destination.display().to_string();
        golden.run("get", &["--archive-id", "15-1", name, &place]).ok();
        let content = fs::read(destination).expect("delivered");
        let facts = format!("file - - {} {}", content.len(), sha256(&content));
        found.insert(("wal".to_owned(), facts, name.clone()));
    }
    assert!(listed.len() > 10, "{listed:?}");
    assert_eq!(found, listed);
    let (absent, place) = ("0000000100000000000000FF", golden.dir.path().join("absent"));
    golden.run("get", &["--archive-id", "15-1", absent, &place.display().to_string()]).code(1);
    assert!(!place.exists());
}

#[test]
fn the_first_golden_repository_comes_back() {
    golden_repository_comes_back("repository-v1");
}

#[test]
fn the_encrypted_golden_repository_comes_back() {
    golden_repository_comes_back("repository-v1-encrypted");
}

#[test]
fn the_golden_repository_of_every_compression_comes_back() {
    golden_repository_comes_back("repository-v1-codecs");
}

#[test]
fn the_test_vectors_hold() {
    let dir = TestDir::new();
    let page = dir.path().join("page.md");
    let text =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/repository-format.md"));
    write_file(&page, &text.expect("the page"));
    run(&mut second_restorer(&["vectors", &page.display().to_string()])).ok();
}

/// WAL of two timelines is needed; and no damage of any object passes.
#[test]
fn a_repository_with_any_object_damaged_or_gone_is_refused() {
    let golden = Golden::new("repository-v1-codecs");
    let last = "20261122-080000F_20261122-110000I";
    let (outcome, data) = golden.restore(last, "whole", &["--target", "immediate"]);
    outcome.ok();
    let settings = fs::read_to_string(data.join("postgresql.auto.conf")).expect("written");
    assert!(settings.contains("recovery_target_timeline = '2'"), "{settings}");
    let mut objects: Vec<PathBuf> =
        files_below(&golden.repository().join("backup/demo").join(last));
    objects.extend(files_below(&golden.repository().join("archive")).into_iter().filter(|path| {
        let name = path.file_name().expect("name").to_string_lossy().into_owned();
        ["000000010000000000000003-", "000000020000000000000004-", "00000002.history-"]
            .iter()
            .any(|needed| name.starts_with(needed))
    }));
    assert!(objects.len() > 7, "{objects:?}");
    for (number, object) in objects.iter().enumerate() {
        let whole = fs::read(object).expect("there");
        // A segment's content is looked at when the server asks for it.
        if !object.starts_with(golden.repository().join("archive")) {
            let mut damaged = whole.clone();
            damaged[whole.len() / 2] ^= 1;
            fs::write(object, damaged).expect("writable");
            let damaged = format!("damaged{number}");
            golden.restore(last, &damaged, &["--target", "immediate"]).0.failed();
        }
        fs::remove_file(object).expect("writable");
        golden.restore(last, &format!("gone{number}"), &["--target", "immediate"]).0.failed();
        fs::write(object, whole).expect("writable");
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("directory") {
        let path = entry.expect("entry").path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

fn churn(site: &Site, round: u32) {
    site.primary.sql(&format!("update here set m = m || '{round}' where g % 97 = {round}"));
    site.primary.sql(&format!("update there set m = m || '{round}' where g % 89 = {round}"));
    site.primary
        .sql(&format!("create table new{round} as select g from generate_series(1, 999) g"));
    site.primary.sql(&format!("delete from shrinking where g > {}", 20_000 / round));
    site.primary.sql("vacuum shrinking");
}

/// A full, a diff of it and an incr of that, with a tablespace; the backup options of each.
fn chain(site: &Site, options: [&str; 3]) {
    let space = site.dir.make("space");
    site.primary.sql(&format!("create tablespace outside location '{}'", space.display()));
    for (table, at) in [("here", ""), ("there", "tablespace outside"), ("shrinking", "")] {
        let rows = "select g, md5(g::text) m from generate_series(1, 20000) g";
        site.primary.sql(&format!("create table {table} {at} as {rows}"));
    }
    for (round, (kind, option)) in ["full", "diff", "incr"].into_iter().zip(options).enumerate() {
        churn(site, round as u32 + 1);
        site.run(&[&format!("--type={kind}"), option, "backup"]).ok();
    }
    site.primary
        .sql("insert into here select g, 'after the last backup' from generate_series(1, 500) g");
    site.primary.archive_wal();
}

/// Restores the newest backup by the second restorer and by the program, with the tablespace moved.
fn restore_by_both(site: &Site, version: Version, pass: &[&str]) {
    let oid = site.primary.value("select oid from pg_tablespace where spcname = 'outside'");
    let map = |name: &str| format!("{oid}={}", site.dir.make(name).display());
    let ours = site.restore("ours", &[&format!("--tablespace-map={}", map("ours-ts"))]);
    let theirs = site.dir.make("theirs");
    let (repository, data) =
        (site.repository().display().to_string(), theirs.display().to_string());
    let space = map("theirs-ts");
    let mut arguments = vec!["restore", "--repo", &repository, "--stanza", "db", "--data", &data];
    arguments.extend(["--tablespace", &space]);
    arguments.extend(pass);
    run(&mut second_restorer(&arguments)).ok();

    let (mut by_program, mut by_second) = (tree(ours.path()), tree(&theirs));
    // Each has its own recovery settings.
    for tree in [&mut by_program, &mut by_second] {
        assert!(tree.remove("postgresql.auto.conf").is_some());
        assert!(tree.contains_key("recovery.signal") && tree.contains_key("backup_label"));
        assert!(!tree.contains_key("tablespace_map"), "it leads to the living tablespace");
    }
    assert_eq!(by_second, by_program);

    let restored = Restored::new(version, &theirs).verified().start_primary();
    assert_eq!(restored.fingerprint(), site.primary.fingerprint());
}

tests_with! {
    [pg15_local: new(15) Local]

    fn a_chain_of_every_compression_starts(version) {
        let site = Site::new(version);
        chain(&site, ["--compress-type=none", "--compress-type=lz4", "--compress-type=gz"]);
        restore_by_both(&site, version, &[]);
    }
}

tests_with! {
    [pg17_fixed_stream: fixed(17) Stream, pg18_fixed_stream: fixed(18) Stream]

    fn an_encrypted_chain_by_wal_summaries_starts(version) {
        let site = Site::builder(version)
            .setting("summarize_wal", "on")
            .option("repo1-cipher-type", "aes-256-gcm")
            .option("repo1-cipher-pass", PASS)
            .build();
        let pass = site.dir.path().join("pass");
        write_file(&pass, &format!("{PASS}\r\n"));
        chain(&site, ["--compress-type=zst"; 3]);
        site.run(&[&format!("--set={}", site.last_label()), "info"]).ok().says(TOLD);
        let pass = pass.display().to_string();
        // The restore point that archive_wal made last.
        restore_by_both(&site, version, &["--pass-file", &pass, "--target", "name=switch"]);
    }
}
