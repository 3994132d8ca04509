//! Which backup is chosen, and what is refused because of the archive before anything is touched.

use std::{path::PathBuf, sync::Arc};

use super::{
    super::{
        Error, PlanOptions, Request, plan,
        plan::{PlacementOptions, RestorePlan},
    },
    memory::MemoryStorage,
    repository::{Making, cluster, store},
};
use crate::{
    repo::{
        self,
        archive::{PutOptions, RawSource, WalArchive},
        stanza::{self, ClusterId},
    },
    storage::Storage,
    types::{
        ArchiveFile, CompressType, Compression, ErrorCode, Failure, Lsn, PgVersion, RecoveryTarget,
        SystemId, TargetTime, TargetTimeline, TimeLine, WalSegment, WalSegmentSize,
    },
};

const SIZE: WalSegmentSize = WalSegmentSize::DEFAULT;
const BACKUPS: [(&str, u32, u64, i64); 3] = [
    ("20261121-010000F", 1, 2, 1000),
    ("20261122-010000F", 1, 5, 2000),
    ("20261123-010000F", 2, 9, 3000),
];

/// Three backups; timeline 2 forked in segment 7; WAL from segment 2 to 12.
struct Archive {
    memory: MemoryStorage,
    storage: Arc<dyn Storage>,
}

fn lsn(segment: u64, offset: u64) -> Lsn {
    Lsn(segment * SIZE.bytes() + offset)
}

fn segment(timeline: u32, number: u64) -> WalSegment {
    WalSegment::from_number(number, TimeLine(timeline), SIZE)
}

impl Archive {
    async fn new() -> Self {
        let memory = MemoryStorage::default();
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        let archive = Self { memory, storage };
        let cluster_id = ClusterId { system_id: SystemId(7), version: PgVersion::new(15).unwrap() };
        let stanza = "demo".parse().unwrap();
        stanza::create(&*archive.storage, &stanza, cluster_id, None).await.unwrap();
        for (label, timeline, number, stopped_at) in BACKUPS {
            let making = Making {
                label: label.to_owned(),
                timeline: TimeLine(timeline),
                start: lsn(number, 0x28),
                stop: lsn(number, 0x100),
                stopped_at,
                ..Making::default()
            };
            store(&archive.storage, &cluster(Vec::new()), &making).await;
        }
        for number in 2..=7 {
            archive.put(ArchiveFile::Segment(segment(1, number)), b"wal").await;
        }
        for number in 7..=12 {
            archive.put(ArchiveFile::Segment(segment(2, number)), b"wal").await;
        }
        let history = format!("1\t{}\tno recovery target specified\n", lsn(7, 0x5000));
        archive.put(ArchiveFile::History(TimeLine(2)), history.as_bytes()).await;
        archive
    }

    fn wal(&self) -> WalArchive {
        let id = "15-1".parse().unwrap();
        WalArchive::new(Arc::clone(&self.storage), &"demo".parse().unwrap(), id).unwrap()
    }

    async fn put(&self, file: ArchiveFile, content: &[u8]) {
        let options = PutOptions {
            compression: Compression { kind: CompressType::Zst, level: 1 },
            workers: 1,
            raw_size: content.len() as u64,
        };
        self.wal().put(file, Content { bytes: content.to_vec(), at: 0 }, options).await.unwrap();
    }

    /// The label that is chosen, or the error.
    async fn chosen(&self, request: &Request) -> String {
        match request.choose(&self.storage).await {
            Ok(Some(manifest)) => manifest.label.to_string(),
            Ok(None) => request.none_found().to_string(),
            Err(error) => error.to_string(),
        }
    }

    async fn plan(
        &self,
        set: &str,
        target: RecoveryTarget,
        timeline: TargetTimeline,
    ) -> Result<RestorePlan, Error> {
        let request =
            Request { set: Some(set.parse().unwrap()), ..request(RecoveryTarget::Latest) };
        let manifest = request.choose(&self.storage).await?.unwrap();
        let options = PlanOptions {
            keep_links: false,
            databases: crate::restore::plan::DatabaseChoice::default(),
            data: PathBuf::from("/nowhere/data"),
            target,
            timeline,
            placement: PlacementOptions::default(),
        };
        plan(&self.storage, manifest, &options).await
    }

    fn lose(&self, name: &str) {
        let paths = self.memory.paths();
        let path = paths.iter().find(|path| path.file_name().starts_with(name)).unwrap();
        self.memory.remove(path);
    }
}

struct Content {
    bytes: Vec<u8>,
    at: usize,
}

impl RawSource for Content {
    type Error = repo::Error;

    fn fill(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<(), repo::Error> {
        let end = self.bytes.len().min(self.at + limit);
        buffer.clear();
        buffer.extend_from_slice(&self.bytes[self.at..end]);
        self.at = end;
        Ok(())
    }

    fn rewind(&mut self) -> Result<(), repo::Error> {
        self.at = 0;
        Ok(())
    }

    fn changed(&self) -> repo::Error {
        unreachable!("it does not change")
    }
}

fn request(target: RecoveryTarget) -> Request {
    let stanza = "demo".parse().unwrap();
    Request { stanza, set: None, target, timeline: TargetTimeline::Default }
}

fn time(seconds: i64) -> RecoveryTarget {
    RecoveryTarget::Time(TargetTime(jiff::Timestamp::from_second(seconds).unwrap()))
}

#[tokio::test]
async fn the_newest_backup_before_the_target_is_chosen() {
    let archive = Archive::new().await;
    let [first, second, third] = BACKUPS.map(|backup| backup.0);
    let stop = |number| RecoveryTarget::Lsn(lsn(number, 0x100));
    for (target, expected) in [
        (RecoveryTarget::Latest, third),
        (RecoveryTarget::Name("x".to_owned()), third),
        (time(3001), third),
        (time(3000), second),
        (time(1001), first),
        (
            time(1000),
            "unable to find backup set with stop time less than '1970-01-01 00:16:40.000000+00'",
        ),
        (stop(20), third),
        (stop(9), third),
        (RecoveryTarget::Lsn(lsn(9, 0xFF)), second),
        (stop(1), "unable to find backup set with lsn less than or equal to '0/1000100'"),
    ] {
        assert_eq!(archive.chosen(&request(target.clone())).await, expected, "{target:?}");
    }
    let request = request(time(1000));
    assert_eq!(request.none_found().code(), ErrorCode::BackupSetInvalid);
}

#[tokio::test]
async fn a_named_backup_is_taken_unless_it_stopped_behind_the_target() {
    let archive = Archive::new().await;
    let named =
        |label: &str, target| Request { set: Some(label.parse().unwrap()), ..request(target) };
    for target in [time(3001), time(1001), RecoveryTarget::Lsn(lsn(9, 0)), RecoveryTarget::Latest] {
        assert_eq!(archive.chosen(&named(BACKUPS[0].0, target)).await, BACKUPS[0].0);
    }
    let refused = async |target| {
        let error = named(BACKUPS[1].0, target).choose(&archive.storage).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::BackupSetInvalid);
        error.to_string()
    };
    insta::assert_snapshot!(refused(time(2000)).await, @"backup set 20261122-010000F stopped at 1970-01-01 00:33:20.000000+00, not before the target time 1970-01-01 00:33:20.000000+00: recovery cannot stop earlier");
    insta::assert_snapshot!(refused(RecoveryTarget::Lsn(lsn(5, 0xFF))).await, @"backup set \
                                                                                20261122-010000F \
                                                                                stopped at \
                                                                                0/5000100, after \
                                                                                the target \
                                                                                0/50000FF: \
                                                                                recovery cannot \
                                                                                stop earlier");
    let unknown = named("20200101-000000F", RecoveryTarget::Latest);
    assert_eq!(archive.chosen(&unknown).await, "backup set 20200101-000000F is not valid");
}

#[tokio::test]
async fn a_backup_on_the_way_to_the_timeline_is_chosen() {
    let archive = Archive::new().await;
    let mut request = request(RecoveryTarget::Latest);
    request.timeline = TargetTimeline::Number(TimeLine(1));
    assert_eq!(archive.chosen(&request).await, BACKUPS[1].0);
    request.timeline = TargetTimeline::Number(TimeLine(2));
    assert_eq!(archive.chosen(&request).await, BACKUPS[2].0);
}

#[tokio::test]
async fn an_unreadable_manifest_is_passed_over_or_named() {
    let archive = Archive::new().await;
    let manifests: Vec<_> = archive
        .memory
        .paths()
        .into_iter()
        .filter(|path| path.as_str().ends_with("F/manifest"))
        .collect();
    archive.memory.damage(&manifests[2], |bytes| bytes[40] ^= 1);
    assert_eq!(archive.chosen(&request(RecoveryTarget::Latest)).await, BACKUPS[1].0);
    archive.memory.damage(&manifests[1], |bytes| bytes[40] ^= 1);
    archive.memory.damage(&manifests[0], |bytes| bytes[40] ^= 1);
    let error = archive.chosen(&request(RecoveryTarget::Latest)).await;
    assert!(error.contains(manifests[2].as_str()), "{error}");
}

/// A manifest without the objects that it names is no backup.
#[tokio::test]
async fn a_backup_that_lacks_objects_is_passed_over_or_named() {
    let archive = Archive::new().await;
    let newest = BACKUPS[2].0;
    let list = format!("{newest}/files");
    let lists = archive.memory.paths().into_iter().filter(|path| path.as_str().ends_with(&list));
    lists.for_each(|path| archive.memory.remove(&path));
    assert_eq!(archive.chosen(&request(RecoveryTarget::Latest)).await, BACKUPS[1].0);
    let named = Request { set: Some(newest.parse().unwrap()), ..request(RecoveryTarget::Latest) };
    let error = archive.chosen(&named).await;
    assert!(error.contains("incomplete: files missing"), "{error}");
}

#[tokio::test]
async fn a_backup_of_the_cluster_before_an_upgrade_must_be_asked_for() {
    let archive = Archive::new().await;
    let cluster_id = ClusterId { system_id: SystemId(8), version: PgVersion::new(16).unwrap() };
    let stanza = "demo".parse().unwrap();
    stanza::upgrade(&*archive.storage, &stanza, cluster_id, None).await.unwrap();
    let error = archive.chosen(&request(RecoveryTarget::Latest)).await;
    assert!(error.contains("prior version"), "{error}");
    assert_eq!(archive.chosen(&request(time(5000))).await, BACKUPS[2].0);
}

#[tokio::test]
async fn a_plan_without_trouble_has_no_warnings() {
    let archive = Archive::new().await;
    for (label, ..) in BACKUPS {
        let plan = archive.plan(label, RecoveryTarget::Latest, TargetTimeline::Default).await;
        let plan = plan.unwrap();
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
        assert_eq!(plan.timeline.history.timeline, TimeLine(2));
    }
}

#[tokio::test]
async fn wal_that_the_backup_needs_must_be_there() {
    let archive = Archive::new().await;
    archive.lose("000000010000000000000005");
    for target in [RecoveryTarget::Latest, RecoveryTarget::Immediate, RecoveryTarget::Preserve] {
        let error = archive.plan(BACKUPS[1].0, target, TargetTimeline::Default).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::FileMissing);
        assert!(error.to_string().contains("000000010000000000000005"), "{error}");
    }
    archive.plan(BACKUPS[1].0, RecoveryTarget::None, TargetTimeline::Default).await.unwrap();
}

#[tokio::test]
async fn holes_are_warned_of_and_refused_before_an_lsn_target() {
    let archive = Archive::new().await;
    archive.lose("000000010000000000000006");
    archive.lose("000000020000000000000008");
    let set = BACKUPS[1].0;
    let warnings = async |target: RecoveryTarget| {
        archive.plan(set, target, TargetTimeline::Default).await.unwrap().warnings
    };
    let latest = warnings(RecoveryTarget::Latest).await;
    insta::assert_snapshot!(latest.join("\n"), @r"
    WAL is missing from the archive at 0/6000000, recovery will stop there and later changes will be lost; missing: 000000010000000000000006
    WAL is missing from the archive at 0/8000000, recovery will stop there and later changes will be lost; missing: 000000020000000000000008
    ");
    assert_eq!(warnings(time(9999)).await.len(), 2);
    assert!(warnings(RecoveryTarget::Immediate).await.is_empty());
    assert!(warnings(RecoveryTarget::Lsn(lsn(5, 0x200))).await.is_empty());
    let at = |number| RecoveryTarget::Lsn(lsn(number, 0x200));
    let error = archive.plan(set, at(7), TargetTimeline::Default).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::FileMissing);
    insta::assert_snapshot!(error, @"recovery cannot reach 0/7000200: WAL before it is not in the archive: 000000010000000000000006");
    let third = BACKUPS[2].0;
    let plan = archive.plan(third, at(20), TargetTimeline::Default).await.unwrap();
    insta::assert_snapshot!(plan.warnings.join("\n"), @"the archive ends with \
                                                        00000002000000000000000C, before the \
                                                        target 0/14000200: recovery will fail \
                                                        unless more WAL is archived first");
}

#[tokio::test]
async fn a_lost_history_is_named() {
    let archive = Archive::new().await;
    archive.lose("00000002.history");
    let plan = archive.plan(BACKUPS[0].0, RecoveryTarget::Latest, TargetTimeline::Default).await;
    assert!(plan.unwrap_err().to_string().contains("00000002.history"));
    archive.plan(BACKUPS[0].0, RecoveryTarget::Latest, TargetTimeline::Current).await.unwrap();
}

#[tokio::test]
async fn a_lost_parent_is_found_before_anything_is_touched() {
    let archive = Archive::new().await;
    let target = RecoveryTarget::Latest;
    let mut manifest = request(target.clone()).choose(&archive.storage).await.unwrap().unwrap();
    manifest.references = vec!["20200101-000000F".parse().unwrap()];
    let options = PlanOptions {
        keep_links: false,
        databases: crate::restore::plan::DatabaseChoice::default(),
        data: PathBuf::from("/nowhere/data"),
        target,
        timeline: TargetTimeline::Default,
        placement: PlacementOptions::default(),
    };
    let error = plan(&archive.storage, manifest, &options).await.unwrap_err();
    assert!(error.to_string().contains("20200101-000000F"), "{error}");
}
