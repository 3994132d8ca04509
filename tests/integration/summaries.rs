//! Incremental backups that the server takes by its WAL summaries (17 on), at the source: what comes,
//! put on top of the prior backup, is what a whole backup has.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use bytes::Bytes;
use pgstrata::{
    backup::{
        self,
        source::{
            BackupSource, BackupStop, ChangeHint, FileKind, PriorFile, PriorFiles, SourceEvent,
            SourceHints, SourceOptions, StreamSource,
        },
    },
    postgres::{
        BackupLabelFile, BackupManifest, ControlFile, PlainFile, is_checked_file,
        is_incremental_manifest, plain_manifest,
    },
    repo::manifest::{Span, WalPosition},
    types::DataPath,
};

use crate::{
    stream_source::{options_for, run},
    support::{
        Cluster, Site, SiteBuilder, Version, for_each_fixed_version, give_to_server_user,
        pg_verifybackup,
    },
};

/// A whole backup in memory, however it was taken.
pub(crate) struct Copy {
    files: BTreeMap<DataPath, Vec<u8>>,
    directories: Vec<DataPath>,
    stop: BackupStop,
    /// Bytes that came over the connection, and those that did not.
    received: u64,
    unchanged: u64,
}

#[derive(Debug)]
struct Sizes(BTreeMap<DataPath, u64>);

impl PriorFiles for Sizes {
    fn file(&self, path: &DataPath) -> Option<PriorFile> {
        self.0.get(path).map(|size| PriorFile { size: *size, modified: 0 })
    }
}

impl Copy {
    pub(crate) fn facts(&self) -> SourceHints {
        let sizes = self.files.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64));
        let range = self.parsed_manifest().wal_ranges[0];
        let at = |lsn| WalPosition { lsn, timeline: range.timeline };
        SourceHints {
            files: Arc::new(Sizes(sizes.collect())),
            wal: Span { start: at(range.start), stop: at(range.end) },
            hint: ChangeHint::Summaries { backup_manifest: self.manifest().clone() },
        }
    }

    /// The facts with another manifest.
    fn facts_with(&self, manifest: &[u8]) -> SourceHints {
        let backup_manifest = Bytes::copy_from_slice(manifest);
        SourceHints { hint: ChangeHint::Summaries { backup_manifest }, ..self.facts() }
    }

    fn manifest(&self) -> &Bytes {
        self.stop.backup_manifest.as_ref().expect("the server's manifest")
    }

    fn file(&self, path: &str) -> &[u8] {
        &self.files[&DataPath::new(path.as_bytes()).expect("path")]
    }

    fn parsed_manifest(&self) -> BackupManifest {
        BackupManifest::parse(self.manifest()).expect("manifest")
    }

    /// Every relation file, FSM forks aside: nobody logs what happens to them.
    fn relations(&self) -> BTreeMap<&DataPath, &Vec<u8>> {
        let is_relation =
            |path: &DataPath| is_checked_file(path).is_some() && !path.to_string().contains("_fsm");
        self.files.iter().filter(|(path, _)| is_relation(path)).collect()
    }

    pub(crate) fn assert_same_relations(&self, other: &Self) {
        let (ours, theirs) = (self.relations(), other.relations());
        assert!(ours.keys().eq(theirs.keys()), "{:?} {:?}", ours.keys(), theirs.keys());
        for (path, bytes) in ours {
            let expected = theirs[path];
            assert_eq!(bytes.len(), expected.len(), "{path}");
            let pages = bytes.chunks(8192).zip(expected.chunks(8192)).enumerate();
            let differing: Vec<usize> =
                pages.filter(|(_, (a, b))| a != b).map(|(n, _)| n).collect();
            assert_eq!(differing, Vec::<usize>::new(), "{path} differs in these pages");
        }
    }

    /// Writes the copy as a restore would, with a manifest that goes with it.
    fn write_to(&self, directory: &Path) {
        for path in &self.directories {
            fs::create_dir_all(path.under(directory)).expect("writable");
        }
        for (path, bytes) in &self.files {
            fs::create_dir_all(path.under(directory).parent().expect("parent")).expect("writable");
            fs::write(path.under(directory), bytes).expect("writable");
        }
        let held = |path: &DataPath| {
            let bytes = self.files.get(path)?;
            let crc32c = (path.as_bytes() == b"backup_label").then(|| crc32c::crc32c(bytes));
            Some(PlainFile { size: bytes.len() as u64, crc32c })
        };
        let manifest = plain_manifest(self.manifest(), &held).expect("manifest");
        fs::write(directory.join("backup_manifest"), manifest).expect("writable");
        give_to_server_user(directory);
    }
}

/// Takes a backup; with a prior one, by what changed since.
async fn try_take(
    cluster: &Cluster,
    prior: Option<(&Copy, SourceHints)>,
) -> Result<Copy, backup::Error> {
    let mut source = StreamSource::connect(&options_for(cluster)).await?;
    let (base, facts) = prior.unzip();
    let options = SourceOptions { start_fast: true, hints: facts, ..Default::default() };
    source.start(&options).await?;
    let (mut received, mut unchanged) = (0, 0);
    let mut files = BTreeMap::new();
    let mut directories = Vec::new();
    let mut current = None;
    loop {
        match source.next().await? {
            SourceEvent::Begin(header) => current = Some((header, Vec::new(), 0)),
            SourceEvent::Bytes(data) => {
                received += data.len() as u64;
                current.as_mut().expect("a begin").1.extend_from_slice(&data);
            }
            SourceEvent::Unchanged(length) => {
                let (header, bytes, kept) = current.as_mut().expect("a begin");
                let prior = &base.expect("a prior backup").files[&header.path];
                let from = bytes.len();
                assert!(length > 0 && length % 8192 == 0 && from % 8192 == 0);
                bytes.extend_from_slice(&prior[from..from + length as usize]);
                *kept += length;
                unchanged += length;
            }
            SourceEvent::End => {
                let (header, bytes, kept) = current.take().expect("a begin");
                match header.kind {
                    FileKind::File { size, unchanged } => {
                        assert_eq!(
                            (size, unchanged),
                            (bytes.len() as u64, kept),
                            "{}",
                            header.path
                        );
                        assert!(
                            !header.path.to_string().contains("INCREMENTAL"),
                            "{}",
                            header.path
                        );
                        assert!(files.insert(header.path, bytes).is_none());
                    }
                    FileKind::Directory => directories.push(header.path),
                    FileKind::Link { .. } => {}
                }
            }
            SourceEvent::Deferred(_) | SourceEvent::Settle => panic!("a server sends its bytes"),
            SourceEvent::Stop(stop) => {
                return Ok(Copy { files, directories, stop, received, unchanged });
            }
        }
    }
}

pub(crate) fn take(cluster: &Cluster, prior: Option<&Copy>) -> Copy {
    let taken = run(try_take(cluster, prior.map(|prior| (prior, prior.facts()))));
    taken.unwrap_or_else(|error| panic!("{error}\n{}", cluster.log()))
}

pub(crate) fn refusal(cluster: &Cluster, base: &Copy, facts: SourceHints) -> String {
    let error = run(try_take(cluster, Some((base, facts)))).err().expect("a refusal");
    assert!(error.is_about_incremental(), "{error:?}");
    error.to_string()
}

fn summarizing(version: Version) -> SiteBuilder {
    Site::builder(version).without_archiving().setting("summarize_wal", "on")
}

/// Tables of every fate that they can have between two backups.
fn filled(site: &Site) {
    let space = site.dir.make("space");
    site.primary.sql(&format!("create tablespace outside location '{}'", space.display()));
    for sql in [
        "create table edited as select g, repeat('x', 100) t from generate_series(1, 50000) g",
        "create index on edited (g)",
        "create table away tablespace outside as table edited",
        "create table still as table edited",
        "create table grown as table edited",
        "create table shrunk as table edited",
        "create table emptied as table edited",
        "create table rewritten as table edited",
        "create table dropped as table edited",
        "create unlogged table fleeting as table edited",
        "vacuum",
    ] {
        site.primary.sql(sql);
    }
}

fn changed(site: &Site) {
    for sql in [
        "update edited set t = 'y' where g % 5000 = 0",
        "update away set t = 'y' where g % 5000 = 0",
        "insert into grown select g, repeat('z', 100) from generate_series(1, 3000) g",
        "copy grown from program 'for i in $(seq 1 3000); do echo \"$i\tcopied\"; done'",
        "delete from shrunk where g > 10000",
        "vacuum shrunk",
        "insert into shrunk values (1, 'after')",
        "truncate emptied",
        "vacuum full rewritten",
        "drop table dropped",
        "create table fresh as table edited",
        "create database other",
        "vacuum edited",
    ] {
        site.primary.sql(sql);
    }
}

for_each_fixed_version! {
    fn incremental_on_its_prior_is_a_whole_backup(version) {
        let site = summarizing(version).build_without_stanza();
        filled(&site);
        let full = take(&site.primary, None);
        assert!(!is_incremental_manifest(&full.parsed_manifest()));
        changed(&site);
        let first = take(&site.primary, Some(&full));
        let whole = take(&site.primary, None);
        first.assert_same_relations(&whole);
        assert!(first.unchanged > first.received, "{} {}", first.unchanged, first.received);

        // A second one on top, by the manifest of the first.
        assert!(is_incremental_manifest(&first.parsed_manifest()));
        site.primary.sql("update edited set t = 'z' where g = 77");
        let second = take(&site.primary, Some(&first));
        let whole = take(&site.primary, None);
        second.assert_same_relations(&whole);
        assert!(second.received < full.received / 4, "{} {}", second.received, full.received);

        for copy in [&full, &first, &second] {
            let label = BackupLabelFile::parse(copy.file("backup_label")).expect("backup_label");
            assert_eq!(label.incremental_from, None);
            assert!(ControlFile::parse(copy.file(ControlFile::PATH)).is_ok());
        }
        for (name, copy) in [("one", &first), ("two", &second)] {
            let directory = site.dir.make(name);
            copy.write_to(&directory);
            pg_verifybackup(version, &directory);
        }
    }

    fn file_that_the_prior_lacks_is_refused(version) {
        let site = summarizing(version).build_without_stanza();
        filled(&site);
        let full = take(&site.primary, None);
        let lost = site.primary.value("select pg_relation_filepath('still')");
        let mut sizes = full.files.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64))
            .collect::<BTreeMap<_, _>>();
        sizes.remove(&DataPath::new(lost.as_bytes()).expect("path"));
        let facts = SourceHints { files: Arc::new(Sizes(sizes)), ..full.facts() };
        let said = refusal(&site.primary, &full, facts);
        assert!(said.contains(&lost), "{said}");
    }

    fn manifest_that_is_not_of_this_cluster_is_refused(version) {
        let site = summarizing(version).build_without_stanza();
        let full = take(&site.primary, None);
        let foreign = site.foreign_cluster("foreign");
        foreign.start();
        let other = take(&foreign, None);
        let said = refusal(&site.primary, &other, other.facts());
        assert!(said.contains("system identifier"), "{said}");

        let garbage = full.facts_with(b"{ garbage");
        refusal(&site.primary, &full, garbage);
        let mut damaged = full.manifest().to_vec();
        damaged[200] ^= 1;
        let damaged = full.facts_with(&damaged);
        refusal(&site.primary, &full, damaged);
        take(&site.primary, None);
    }

    fn summaries_that_are_gone_are_named(version) {
        let site = summarizing(version).build_without_stanza();
        let full = take(&site.primary, None);
        site.primary.sql("select pg_switch_wal()");
        let newest = take(&site.primary, None);
        let start = newest.parsed_manifest().wal_ranges[0].start;
        let summarized = format!(
            "select (summarized_lsn >= '{start}')::text from pg_get_wal_summarizer_state()"
        );
        site.primary.wait_for_value(&summarized, "true", 60);
        for entry in fs::read_dir(site.primary.data_dir.join("pg_wal/summaries")).expect("summaries") {
            fs::remove_file(entry.expect("entry").path()).expect("removable");
        }
        let said = refusal(&site.primary, &full, full.facts());
        assert!(said.contains("WAL summaries are required"), "{said}");
        take(&site.primary, None);
    }

    fn server_that_does_not_summarize_is_no_failure(version) {
        let site = Site::builder(version).without_archiving().build_without_stanza();
        let full = take(&site.primary, None);
        let said = refusal(&site.primary, &full, full.facts());
        assert!(said.contains("summarization"), "{said}");
        take(&site.primary, None);
    }
}
