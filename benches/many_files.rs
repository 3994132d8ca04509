//! Peak memory and time of a backup with a million files, made up through the seam of the backup engine: a full, and a
//! diff in which every hundredth file has changed. `cargo bench --bench many_files -- [files]`.

#![allow(clippy::print_stdout)]

use std::{path::Path, sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use pgstrata::{
    backup::{
        self,
        pipeline::{self, PipelineOptions, PipelineTarget, prior::Prior},
        source::{
            BackupSource, BackupStart, BackupStop, ClusterFacts, FileHeader, FileKind, SourceEvent,
            SourceKind, SourceOptions,
        },
    },
    repo::{
        file_list::FileList,
        layout::BackupPaths,
        manifest::{BlockFormat, ClusterRecord, Manifest, ObjectRecord, Span, Totals, WalPosition},
    },
    storage::{PosixStorage, Storage},
    types::{
        CompressType, Compression, DataPath, HistoryId, Lsn, NoProgress, PgVersion, Sha256,
        SystemId, TimeLine, TimelineHistory, WalSegmentSize,
    },
};

const FILES: u64 = 1_000_000;
/// Where it is run as a test, to see that it works.
const FILES_IN_TEST: u64 = 1000;
const FULL: &str = "20261121-092452F";
const DIFF: &str = "20261121-092452F_20261121-093000D";
const KEY: [u8; 32] = [3; 32];

type Error = Box<dyn std::error::Error>;

/// Files of one page, one after the other.
struct ManyFiles {
    facts: ClusterFacts,
    files: u64,
    number: u64,
    round: u8,
    step: u8,
}

impl ManyFiles {
    fn page(&self) -> Bytes {
        let mut page = vec![0; 8192];
        let changed = u64::from(self.round) * u64::from(self.number.is_multiple_of(100));
        for (index, chunk) in page.chunks_mut(64).enumerate() {
            let word =
                (self.number.wrapping_mul(0x9e37_79b9) ^ index as u64).wrapping_add(changed << 40);
            chunk[..8].copy_from_slice(&word.to_le_bytes());
        }
        page.into()
    }
}

#[async_trait]
impl BackupSource for ManyFiles {
    fn kind(&self) -> SourceKind {
        SourceKind::Stream
    }

    fn makes_manifest(&self) -> bool {
        true
    }

    fn timeline(&self) -> TimeLine {
        TimeLine(1)
    }

    fn facts(&self) -> &ClusterFacts {
        &self.facts
    }

    async fn start(&mut self, _: &SourceOptions) -> Result<BackupStart, backup::Error> {
        let tablespaces = Vec::new();
        Ok(BackupStart {
            lsn: Lsn(0x100),
            timeline: TimeLine(1),
            tablespaces,
            size_estimate: None,
            copy_start_us: None,
        })
    }

    async fn next(&mut self) -> Result<SourceEvent, backup::Error> {
        if self.number == self.files {
            return Ok(SourceEvent::Stop(BackupStop {
                lsn: Lsn(0x200),
                history: TimelineHistory::without_ancestors(TimeLine(1)),
                backup_manifest: Some(Bytes::new()),
                checksum_complaints: Vec::new(),
                left_out: Vec::new(),
            }));
        }
        self.step = (self.step + 1) % 3;
        Ok(match self.step {
            1 => SourceEvent::Begin(FileHeader {
                path: DataPath::new(format!("base/16384/{}", 100_000 + self.number).as_bytes())?,
                kind: FileKind::File { size: 8192, unchanged: 0 },
                mode: 0o600,
                modified: 1_700_000_000,
                uid: 26,
                gid: 26,
                link: None,
            }),
            2 => SourceEvent::Bytes(self.page()),
            _ => {
                self.number += 1;
                SourceEvent::End
            }
        })
    }

    async fn cancel(&mut self) {}
}

fn facts() -> Result<ClusterFacts, Error> {
    Ok(ClusterFacts {
        system_id: SystemId(7),
        version: PgVersion::new(15)?,
        version_num: 150_018,
        wal_segment_size: WalSegmentSize::DEFAULT,
        page_size: 8192,
        page_checksums: false,
        data_directory_mode: 0o700,
        in_recovery: false,
    })
}

fn manifest(label: &str, file_list: ObjectRecord, totals: Totals) -> Result<Manifest, Error> {
    let facts = facts()?;
    let at = |lsn| WalPosition { lsn: Lsn(lsn), timeline: TimeLine(1) };
    Ok(Manifest {
        program_version: "bench".to_owned(),
        label: label.parse()?,
        stanza: "bench".parse()?,
        prior: None,
        references: Vec::new(),
        changes: None,
        full_reason: None,
        cluster: ClusterRecord {
            history_id: HistoryId(1),
            system_id: facts.system_id,
            version: facts.version,
            version_num: facts.version_num,
            wal_segment_size: facts.wal_segment_size,
            page_size: facts.page_size,
            page_checksums: facts.page_checksums,
            data_directory_mode: facts.data_directory_mode,
        },
        source: "stream".to_owned(),
        copy_start_us: None,
        timestamp_us: Span { start: 0, stop: 0 },
        wal: Span { start: at(0x100), stop: at(0x200) },
        compression: Compression { kind: CompressType::Zst, level: 3 },
        block: BlockFormat { size: backup::BLOCK_SIZE, digest_key: Sha256(KEY) },
        tablespaces: Vec::new(),
        databases: Vec::new(),
        totals,
        page_errors: Vec::new(),
        misaligned_files: Vec::new(),
        left_out: Vec::new(),
        annotations: Default::default(),
        archive_checked: false,
        file_list,
        backup_manifest: file_list,
    })
}

async fn take(
    storage: &Arc<dyn Storage>,
    label: &str,
    prior: Option<Prior>,
    (files, round): (u64, u8),
) -> Result<Manifest, Error> {
    let mut source = ManyFiles { facts: facts()?, files, number: 0, round, step: 0 };
    let start = source.start(&SourceOptions::default()).await?;
    let paths = BackupPaths::new(&"bench".parse()?, &label.parse()?)?;
    let target = PipelineTarget { storage: Arc::clone(storage), paths };
    let options = PipelineOptions {
        threads: 2,
        compression: Compression { kind: CompressType::Zst, level: 3 },
        bundle_size: 32 << 20,
        digest_key: KEY,
        check_pages: false,
    };
    let taken = pipeline::run(&mut source, &start, prior, target, &options, &NoProgress).await?;
    let file_list = taken.written.list.finish().await?;
    manifest(label, file_list, taken.written.totals)
}

/// The most memory that the process ever had, MiB.
fn peak_mib() -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.split_whitespace().nth(1).ok_or("no figure")?.parse::<u64>()? >> 10)
}

fn count_objects(directory: &Path) -> Result<usize, Error> {
    let mut count = 0;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        count += if path.is_dir() { count_objects(&path)? } else { 1 };
    }
    Ok(count)
}

fn report(what: &str, begin: Instant, manifest: &Manifest) -> Result<(), Error> {
    let Totals { files, size, size_delta, repo_size_delta, map_size, .. } = manifest.totals;
    println!(
        "{what}: {files} files, {} MB, {} MB of them new, {} MB stored, {} MB of it maps; {:.1} s, peak {} MiB",
        size / 1_000_000,
        size_delta / 1_000_000,
        repo_size_delta / 1_000_000,
        map_size / 1_000_000,
        begin.elapsed().as_secs_f64(),
        peak_mib()?
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut words = std::env::args().skip(1);
    let usual = if std::env::args().any(|word| word == "--bench") { FILES } else { FILES_IN_TEST };
    let files = words.find_map(|word| word.parse().ok()).unwrap_or(usual);
    let directory = tempfile::tempdir()?;
    let storage: Arc<dyn Storage> = Arc::new(PosixStorage::new(directory.path()));
    let begin = Instant::now();
    let full = take(&storage, FULL, None, (files, 0)).await?;
    report("full", begin, &full)?;
    let begin = Instant::now();
    let list = FileList::read(&*storage, &full).await?;
    let prior = Prior::new(Arc::clone(&storage), &full, list, &DIFF.parse()?)?;
    let diff = take(&storage, DIFF, Some(prior), (files, 1)).await?;
    report("diff", begin, &diff)?;
    println!("{} objects in the repository", count_objects(directory.path())?);
    Ok(())
}
