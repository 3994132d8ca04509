use std::{collections::BTreeSet, path::Path, time::Duration};

use super::*;
use crate::{
    postgres::{
        ArchiverFacts, ControlCheckpoint, Placement, Required, SummaryFacts, TablespaceInfo,
    },
    repo::{
        manifest::Manifest,
        stanza::{ClusterId, StanzaEntry},
        started::Started,
    },
    storage::{
        EntryKind as StoredKind, ErrorKind,
        fault::{Fault, FaultyStorage, Operation, Rule},
    },
    types::{BackupType, ErrorCode, Failure, HistoryId, WalSegment},
};

/// A cluster that answers from memory.
struct FakeCluster {
    source: SyntheticSource,
    details: ClusterDetails,
    /// What the server still has of what the copy lacks.
    still_required: BTreeSet<Required>,
}

impl FakeCluster {
    fn new() -> Self {
        let files = [("base/5/1259".to_owned(), vec![7; 30_000])];
        let details = ClusterDetails {
            databases: Vec::new(),
            tablespaces: Vec::new(),
            version_directory: "PG_15_202209061".to_owned(),
            several_sources: false,
            data_directory: None,
        };
        let source = SyntheticSource::new(&files, 8192);
        Self { source, details, still_required: BTreeSet::new() }
    }
}

#[async_trait(?Send)]
impl ConnectedCluster for FakeCluster {
    fn source(&self) -> &dyn BackupSource {
        &self.source
    }

    fn source_mut(&mut self) -> &mut dyn BackupSource {
        &mut self.source
    }

    fn details(&self) -> &ClusterDetails {
        &self.details
    }

    async fn summaries(&self, _timeline: TimeLine) -> Result<SummaryFacts> {
        Ok(SummaryFacts { enabled: false, earliest: None, up_since_us: 0 })
    }

    async fn tablespaces(&self) -> Result<Vec<TablespaceInfo>> {
        Ok(Vec::new())
    }

    async fn placement(&self) -> Result<Placement> {
        Ok(Placement::default())
    }

    async fn still_required(&self, missing: BTreeSet<Required>) -> Result<BTreeSet<Required>> {
        Ok(missing.intersection(&self.still_required).cloned().collect())
    }

    async fn reread(&self, _: &DataPath, _: u64, _: u32) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    async fn archiver_setting(&self, _name: &str) -> Result<Option<String>> {
        Ok(None)
    }

    async fn archiver(&self) -> Result<Option<ArchiverFacts>> {
        Ok(None)
    }

    async fn restartpoint(&self) -> Result<ControlCheckpoint> {
        Err(Error::TablespacesChanged)
    }

    async fn renew_sessions(&mut self) -> Result<()> {
        Ok(())
    }

    async fn follow_promotion(&mut self, _from: TimeLine, _to: TimeLine) {}

    async fn explain(&mut self, error: Error) -> Error {
        error
    }

    async fn end_segment(&self, _segment: WalSegment) {}
}

fn target(storage: Arc<dyn Storage>) -> BackupTarget {
    let cluster = ClusterId { system_id: SystemId(1), version: PgVersion::new(15).unwrap() };
    let (id, created) = (HistoryId(1), 0);
    let entry = StanzaEntry { id, cluster, control_version: None, created, nonce: None };
    BackupTarget { storage, stanza: "demo".parse().unwrap(), entry }
}

fn posix(root: &Path) -> Arc<dyn Storage> {
    Arc::new(PosixStorage::new(root))
}

fn options(kind: BackupType, archive_timeout: Option<Duration>) -> BackupOptions {
    BackupOptions {
        kind,
        start_fast: true,
        max_rate_kb: None,
        delta: false,
        check_pages: None,
        threads: 1,
        compression: Compression {
            kind: CompressType::Zst,
            level: CompressType::Zst.default_level(),
        },
        bundle_size: 1 << 20,
        archive_timeout,
        annotations: Default::default(),
    }
}

async fn begin(storage: &Arc<dyn Storage>, options: BackupOptions) -> (FakeCluster, BackupJob) {
    let (cluster, target) = (FakeCluster::new(), target(Arc::clone(storage)));
    let plan = plan(&target, &cluster, options.kind, None).await.unwrap();
    let job = BackupJob::begin(target, options, plan).await.unwrap();
    (cluster, job)
}

async fn ready(storage: &Arc<dyn Storage>, kind: BackupType) -> (BackupJob, Manifest) {
    let (mut cluster, mut job) = begin(storage, options(kind, None)).await;
    let taken = crate::backup::take(&mut job, &mut cluster, &NoProgress).await.unwrap();
    let manifest = prepare(&job, &cluster, taken).await.unwrap();
    (job, manifest)
}

async fn is_published(storage: &Arc<dyn Storage>, job: &BackupJob) -> bool {
    Manifest::read(&**storage, &job.target.stanza, job.label()).await.is_ok()
}

#[tokio::test]
async fn a_backup_on_a_prior_one_refers_to_what_has_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let storage = posix(dir.path());
    let (job, full) = ready(&storage, BackupType::Incr).await;
    assert_eq!(job.plan.full_reason.as_deref(), Some("no prior backup exists"));
    publish(&job, &full).await.unwrap();
    let (job, incr) = ready(&storage, BackupType::Incr).await;
    publish(&job, &incr).await.unwrap();
    assert_eq!(job.plan.references, std::slice::from_ref(&full.label));
    assert_eq!((job.label().kind(), incr.prior), (BackupType::Incr, Some(full.label)));
    assert_eq!((incr.totals.size, incr.totals.size_delta), (30_000, 0));
    assert_eq!(incr.block.digest_key, full.block.digest_key);
}

#[tokio::test]
async fn backups_that_begin_in_one_second_have_labels_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let storage = posix(dir.path());
    let target = target(Arc::clone(&storage));
    let cluster = FakeCluster::new();
    let planned = || plan(&target, &cluster, BackupType::Full, None);
    let (first, second) = (planned().await.unwrap(), planned().await.unwrap());
    let second = BackupPlan { label: first.label.clone(), ..second };
    let begun = |plan| BackupJob::begin(target.clone(), options(BackupType::Full, None), plan);
    let (first, second) = (begun(first).await.unwrap(), begun(second).await.unwrap());
    assert!(first.label() < second.label(), "{} {}", first.label(), second.label());
}

#[tokio::test]
async fn a_backup_whose_notice_was_removed_takes_its_manifest_back() {
    let dir = tempfile::tempdir().unwrap();
    let storage = posix(dir.path());
    let (job, manifest) = ready(&storage, BackupType::Full).await;
    let paths = BackupPaths::new(&job.target.stanza, job.label()).unwrap();
    storage.delete(&[paths.started().unwrap()]).await.unwrap();
    // Another host has the label now.
    Started::now(Vec::new(), None).write(&*storage, &paths).await.unwrap();
    let error = publish(&job, &manifest).await.unwrap_err();
    assert!(matches!(error, Error::LabelLost { .. }), "{error}");
    assert!(!is_published(&storage, &job).await);
    discard(&job).await;
    let left = Started::read_opt(&*storage, &paths).await.unwrap();
    assert!(left.is_some(), "the notice of the other backup stays");
}

#[tokio::test]
async fn a_published_backup_that_cannot_be_looked_at_stays() {
    let dir = tempfile::tempdir().unwrap();
    let storage = posix(dir.path());
    let faulty = Arc::new(FaultyStorage::new(Arc::clone(&storage)));
    let (job, manifest) = ready(&(faulty.clone() as Arc<dyn Storage>), BackupType::Full).await;
    faulty.add(Rule::always(Operation::List, Fault::Fail(ErrorKind::Transient)));
    let error = publish(&job, &manifest).await.unwrap_err();
    assert!(matches!(error, Error::Unconfirmed { .. }), "{error}");
    assert!(is_published(&storage, &job).await);
}

#[tokio::test]
async fn a_copy_that_lacks_what_the_server_has_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let storage = posix(dir.path());
    let (mut cluster, mut job) = begin(&storage, options(BackupType::Full, None)).await;
    cluster.still_required = Placement::default().required("PG_15_202209061").unwrap();
    let error = crate::backup::take(&mut job, &mut cluster, &NoProgress).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::FileMissing);
    assert!(error.to_string().contains("PG_VERSION"), "{error}");
    discard(&job).await;
    let entries = storage.list(job.paths.directory(), true).await.unwrap_or_default();
    let objects = entries.iter().filter(|entry| matches!(entry.kind, StoredKind::Object { .. }));
    assert_eq!(objects.count(), 0, "nothing of it is left");
}

#[tokio::test]
async fn wal_that_does_not_come_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let storage = posix(dir.path());
    let options = options(BackupType::Full, Some(Duration::ZERO));
    let (mut cluster, mut job) = begin(&storage, options).await;
    let error = crate::backup::take(&mut job, &mut cluster, &NoProgress).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ArchiveTimeout);
    assert!(error.to_string().contains("000000010000000000000000"), "{error}");
}
