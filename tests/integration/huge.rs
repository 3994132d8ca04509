//! A backup of very many files: a signal is heard while its lists are decoded and sorted, and leaves nothing half done.

use std::{fs, path::Path};

use pgstrata::{
    postgres::{BackupManifest, ManifestBuilder},
    repo::{
        file_list::{EntryKind, FileEntry, FileList, FileListWriter},
        layout::BackupPaths,
        manifest::Manifest,
        pg_manifest,
    },
    storage::{PosixStorage, Storage},
    types::{DataPath, StanzaName},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    sftp::block_on,
    support::{Background, Site, exit, on_one_version, wait_until},
};

/// So many files that the program, not optimised as in tests, needs many seconds for them.
const FILES: u64 = 300_000;
/// Time of the processor between the signal and the end, in milliseconds. How long that takes is up to the host's load.
const CPU_MS_MAX: u64 = 3000;

/// Gives a backup many more files, all empty.
async fn grow(repository: &Path, label: &str) {
    let storage = PosixStorage::new(repository);
    let stanza: StanzaName = "db".parse().expect("a name");
    let label = label.parse().expect("a label");
    let mut manifest = Manifest::read(&storage, &stanza, &label).await.expect("a backup");
    let list = FileList::read(&storage, &manifest).await.expect("its files");
    let raw = pg_manifest::read(&storage, &manifest).await.expect("its backup_manifest");
    let files = BackupManifest::parse(&raw).expect("what PostgreSQL wrote");
    let paths = BackupPaths::new(&stanza, &label).expect("paths");
    let lists = [paths.manifest(), paths.file_list(), paths.backup_manifest()];
    storage.delete(&lists.map(|path| path.expect("a path"))).await.expect("deleted");
    let (version, system_id) = (manifest.cluster.version, manifest.cluster.system_id);
    let mut builder = ManifestBuilder::new(version, system_id);
    for file in &files.files {
        builder.file(&file.path, file.size, 0, file.crc32c);
    }
    let mut writer = FileListWriter::create(&storage, &paths).await.expect("begun");
    for entry in &list.files {
        writer.file(entry).await.expect("written");
    }
    let like = list.files.iter().find(|entry| entry.path.as_bytes() == b"PG_VERSION");
    let like = like.expect("every cluster has one");
    for number in 0..FILES {
        let path = DataPath::new(format!("base/1/{}", 1_000_000 + number).as_bytes());
        let kind = EntryKind::File { size: 0, map: None, base: None };
        let entry = FileEntry { path: path.expect("a path"), kind, ..like.clone() };
        writer.file(&entry).await.expect("written");
        builder.file(&entry.path, 0, 0, Some(0));
    }
    for bundle in &list.bundles {
        writer.bundle(bundle).await.expect("written");
    }
    manifest.file_list = writer.finish().await.expect("durable");
    let raw = builder.finish(&files.wal_ranges).into();
    manifest.backup_manifest = pg_manifest::write(&storage, &paths, &raw).await.expect("durable");
    manifest.totals.files += FILES;
    manifest.publish(&storage).await.expect("published");
}

/// How long a process has had a processor, in milliseconds, of all its threads.
fn cpu_ms(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok());
    // A tick is a hundredth of a second on every Linux there is.
    10 * (ticks(11).unwrap_or_default() + ticks(12).unwrap_or_default())
}

/// Waits for the end; says how long it had a processor.
fn cpu_ms_to_the_end(running: &mut Background) -> u64 {
    let (id, mut used) = (running.id(), 0);
    wait_until("it ends", 170, || {
        // One that has ended is there until it is asked for.
        used = used.max(cpu_ms(id));
        !running.running()
    });
    used
}

/// Runs a command several times, and ends each run by a signal at another moment of `total_ms`.
#[track_caller]
fn is_ended_at_any_time(site: &Site, arguments: &[&str], total_ms: u64) {
    for percent in [5, 30, 55, 80] {
        let mut running = site.spawn(arguments);
        let id = running.id();
        let at = total_ms * percent / 100;
        wait_until("it is at work", 170, || cpu_ms(id) >= at || !running.running());
        assert!(running.running(), "at {percent} %: {}", running.finish());
        let before = cpu_ms(id);
        let pid = Pid::from_raw(id as i32).expect("a process");
        kill_process(pid, Signal::TERM).expect("our own child");
        let used = cpu_ms_to_the_end(&mut running).saturating_sub(before);
        running.finish().code(exit::TERM);
        assert!(used < CPU_MS_MAX, "{arguments:?} went on for {used} ms at {percent} %");
    }
}

on_one_version! {
    fn a_signal_ends_what_decodes_a_huge_backup(version) {
        let site = Site::new(version);
        let label = site.full_backup(&[]);
        block_on(grow(&site.repository(), &label));
        let target = site.dir.path().join("restored");
        let into = format!("--pg1-path={}", target.display());
        let total = |arguments: &[&str]| {
            let mut running = site.spawn(arguments);
            let used = cpu_ms_to_the_end(&mut running);
            running.finish().ok();
            used
        };
        let planned = total(&[&into, "--dry-run", "restore"]);
        is_ended_at_any_time(&site, &[&into, "restore"], planned);
        assert!(!target.join("global").exists(), "nothing is restored");
        is_ended_at_any_time(&site, &["verify"], total(&["verify"]));
        // The prior backup's lists are read before anything is stored, which takes as long again.
        for source in ["--backup-source=stream", "--backup-source=local"] {
            is_ended_at_any_time(&site, &["--type=diff", source, "backup"], planned / 2);
        }
        assert_eq!(site.labels(), [label]);
    }
}
