//! Holds both forms against samples recorded from the program whose interface this is.

use std::collections::BTreeMap;

use super::*;
use crate::types::{DataPath, HistoryId, Oid, SystemId};

fn stanza(name: &str, code: StatusCode) -> StanzaInfo {
    StanzaInfo {
        archive: vec![],
        backup: vec![],
        cipher: "none".to_owned(),
        db: vec![],
        name: name.to_owned(),
        repo: vec![repo(1, code)],
        status: StanzaStatus { code, lock: Locks::default(), message: code.message() },
    }
}

fn repo(key: u16, code: StatusCode) -> RepoInfo {
    let status = RepoStatus { code, message: code.message().to_owned() };
    RepoInfo { cipher: "none".to_owned(), key, status }
}

fn db(repo_key: u16, id: u32, version: &str, system_id: u64) -> DbInfo {
    let (id, version) = (HistoryId(id), version.parse().unwrap());
    DbInfo { id, repo_key, system_id: SystemId(system_id), version }
}

fn archive(repo_key: u16, id: &str, min: &str, max: &str) -> ArchiveInfo {
    let id: crate::types::ArchiveId = id.parse().unwrap();
    ArchiveInfo {
        branch: vec![],
        database: DatabaseRef { id: id.history_id, repo_key },
        gap: vec![],
        id,
        max: max.parse().ok(),
        min: min.parse().ok(),
    }
}

/// The segment that holds `lsn`.
fn segment(lsn: u64) -> crate::types::WalSegment {
    format!("0000000100000000{:08X}", lsn >> 24).parse().unwrap()
}

fn backup(
    label: &str,
    reference: &[&str],
    time: (i64, i64),
    lsn: (u64, u64),
    sizes: [u64; 4],
) -> BackupInfo {
    let labels: Vec<_> = reference.iter().map(|label| label.parse().unwrap()).collect();
    let label: crate::types::BackupLabel = label.parse().unwrap();
    let kind = label.kind();
    let [size, delta, repo_size, repo_delta] = sizes;
    BackupInfo {
        annotation: BTreeMap::new(),
        archive: Span { start: segment(lsn.0), stop: segment(lsn.1) },
        backrest: ProgramInfo { format: 5, version: "2.59.1".to_owned() },
        database: DatabaseRef { id: HistoryId(1), repo_key: 1 },
        database_ref: None,
        error: false,
        error_list: None,
        info: Sizes {
            delta,
            repository: RepositorySizes { delta: repo_delta, size: repo_size },
            size,
        },
        label,
        keep: None,
        link: None,
        lsn: Span { start: crate::types::Lsn(lsn.0), stop: crate::types::Lsn(lsn.1) },
        note: Vec::new(),
        prior: labels.last().cloned(),
        recovery: None,
        reference: (!labels.is_empty()).then_some(labels),
        source: None,
        tablespace: None,
        timestamp: Span { start: time.0, stop: time.1 },
        kind,
    }
}

const FULL: &str = "20261121-092452F";
const DIFF: &str = "20261121-092452F_20261121-092455D";
const INCR: &str = "20261121-092452F_20261121-092456I";

/// A stanza with a full, a diff of it and an incr of that.
fn demo() -> StanzaInfo {
    let at = |second: i64| 1_795_253_000 + second;
    let mut info = stanza("demo", StatusCode::Ok);
    info.db = vec![db(1, 1, "15", 7_710_553_271_766_834_125)];
    info.archive = vec![archive(1, "15-1", "000000010000000000000001", "000000010000000000000009")];
    info.backup = vec![
        backup(
            FULL,
            &[],
            (at(92), at(94)),
            (0x400_0028, 0x400_0100),
            [36_878_174, 36_878_174, 8_018_885, 8_018_885],
        ),
        backup(
            DIFF,
            &[FULL],
            (at(95), at(96)),
            (0x600_0028, 0x600_0100),
            [40_318_814, 17_760_514, 9_314_345, 6_519_701],
        ),
        backup(
            INCR,
            &[FULL, DIFF],
            (at(96), at(97)),
            (0x800_0028, 0x800_0100),
            [42_137_438, 3_252_482, 9_467_597, 309_327],
        ),
    ];
    info.backup[0].annotation =
        [("reason", "first"), ("source", "demo")].map(|(k, v)| (k.into(), v.into())).into();
    info
}

fn set_of(mut info: StanzaInfo, index: usize) -> StanzaInfo {
    info.backup = vec![info.backup.swap_remove(index)];
    info.backup[0].database_ref =
        Some(vec![DatabaseInfo { name: "postgres".to_owned(), oid: Oid(5) }]);
    info.backup[0].link = Some(None);
    info.backup[0].tablespace = Some(None);
    info
}

fn text(info: StanzaInfo, detail: Detail) -> String {
    to_text(&[info], detail, &TimeZone::UTC)
}

fn json(info: StanzaInfo, detail: Detail) -> String {
    to_json(&[info], detail).unwrap()
}

#[test]
fn full_diff_and_incr_look_as_recorded() {
    assert_eq!(text(demo(), Detail::Full), include_str!("samples/info.txt"));
    assert_eq!(json(demo(), Detail::Full), include_str!("samples/info.json"));
}

#[test]
fn one_set_looks_as_recorded() {
    let set = || set_of(demo(), 2);
    assert_eq!(text(set(), Detail::Set), include_str!("samples/info-set.txt"));
    assert_eq!(json(set(), Detail::Set), include_str!("samples/info-set.json"));
}

#[test]
fn a_stanza_without_backups_looks_as_recorded() {
    let mut info = stanza("demo", StatusCode::NoBackup);
    info.db = vec![db(1, 1, "15", 1)];
    info.archive = vec![archive(1, "15-1", "", "")];
    assert_eq!(text(info, Detail::Full), include_str!("samples/info-empty.txt"));
}

#[test]
fn a_mark_is_shown_and_nothing_else_changes() {
    let mut marked = demo();
    marked.backup[0].keep = Some(KeepInfo { until: None });
    marked.backup[1].keep = Some(KeepInfo { until: Some(1_801_440_000) });
    let without = |text: String, words: &[&str]| {
        words.iter().fold(text, |text, word| {
            assert!(text.contains(word), "{word} in {text}");
            text.replacen(word, "", 1)
        })
    };
    let lines =
        ["            keep: until removed\n", "            keep: until 2027-02-01 00:00:00+00\n"];
    let shown = text(marked.clone(), Detail::Full);
    assert_eq!(without(shown, &lines), text(demo(), Detail::Full));
    let keys = ["\"keep\":{\"until\":null},", "\"keep\":{\"until\":1801440000},"];
    assert_eq!(without(json(marked, Detail::Full), &keys), json(demo(), Detail::Full));
}

#[test]
fn a_missing_stanza_looks_as_recorded() {
    let info = || stanza("missing", StatusCode::MissingStanzaPath);
    assert_eq!(json(info(), Detail::Full), include_str!("samples/info-missing-stanza.json"));
    let expected = "stanza: missing\n    status: error (missing stanza path)\n";
    assert_eq!(text(info(), Detail::Full), expected);
}

#[test]
fn page_errors_and_tablespaces_look_as_recorded() {
    let mut info = stanza("rich", StatusCode::Ok);
    info.db = vec![db(1, 1, "15", 7_710_553_271_766_834_125)];
    info.archive = vec![archive(1, "15-1", "000000010000000000000021", "000000010000000000000028")];
    info.backup = vec![backup(
        "20261121-093300F",
        &[],
        (1_795_253_580, 1_795_253_591),
        (0x2700_0028, 0x2800_0050),
        [315_430_921, 315_430_921, 23_018_643, 23_018_643],
    )];
    let mut info = set_of(info, 0);
    let set = &mut info.backup[0];
    set.error = true;
    set.error_list = Some(vec![DataPath::new(b"base/5/16405").unwrap()]);
    set.tablespace = Some(Some(vec![TablespaceInfo {
        destination: "/srv/tablespace/ts1".to_owned(),
        name: Some("ts1".to_owned()),
        oid: Oid(16401),
    }]));
    let sample = include_str!("samples/info-set-page-error-tablespace.json");
    assert_eq!(json(info.clone(), Detail::Set), sample);
    insta::assert_snapshot!(text(info.clone(), Detail::Set));
    assert!(text(info, Detail::Full).contains("            error(s) detected during backup\n"));
}

/// Two repositories with different ciphers while a backup into the first runs.
fn running() -> StanzaInfo {
    let mut info = stanza("rich", StatusCode::NoBackup);
    info.cipher = MIXED.to_owned();
    info.repo.push(repo(2, StatusCode::NoBackup));
    info.repo[1].cipher = "aes-256-cbc".to_owned();
    info.db = [1, 2].map(|key| db(key, 1, "15", 7_710_553_271_766_834_125)).to_vec();
    info.archive = [1, 2]
        .map(|key| archive(key, "15-1", "000000010000000000000010", "000000010000000000000020"))
        .to_vec();
    info.status.lock.backup = BackupLock {
        held: true,
        repo: vec![RepoLock { key: 1, size: 315_430_628, size_cplt: 0 }],
        size: Some(315_430_628),
        size_cplt: Some(0),
    };
    info
}

#[test]
fn a_running_backup_looks_as_recorded() {
    let sample = include_str!("samples/info-during-backup-two-repos.json");
    assert_eq!(json(running(), Detail::Full), sample);
    insta::assert_snapshot!(text(running(), Detail::Full));
}

#[test]
fn progress_shows_the_status_only() {
    let mut info = running();
    info.status.lock.backup.repo.push(RepoLock { key: 2, size: 100, size_cplt: 50 });
    info.status.lock.restore.held = true;
    insta::assert_snapshot!(text(info, Detail::Progress));
    insta::assert_snapshot!(json(running(), Detail::Progress));
}

#[test]
fn repositories_that_differ_are_shown_each() {
    let mut info = demo();
    info.status.code = StatusCode::Mixed;
    info.repo.push(repo(2, StatusCode::MissingStanzaPath));
    info.repo.push(repo(3, StatusCode::Other));
    info.repo[2].status.message = "[FormatError] 'x' is not valid: y\nand more".to_owned();
    insta::assert_snapshot!(text(info, Detail::Full));
    let mut alone = stanza("demo", StatusCode::Other);
    alone.repo[0].status.message = "[FormatError] 'x' is not valid: y\nand more".to_owned();
    insta::assert_snapshot!(text(alone, Detail::Full));
}

#[test]
fn gaps_and_recovery_windows_stand_behind_what_is_known() {
    let mut info = demo();
    let name = |number: u8| format!("0000000100000000000000{number:02X}").parse().unwrap();
    let gap = |start, stop| GapInfo {
        count: u64::from(stop - start) + 1,
        start: name(start),
        stop: name(stop),
    };
    let window = |stop: u8| RecoveryInfo {
        history: None,
        gap: None,
        lsn: crate::types::Lsn((u64::from(stop) + 1) << 24),
        missing: vec![],
        stop: name(stop),
        time: Some(1_795_253_200),
    };
    info.archive[0].gap = vec![gap(5, 5), gap(7, 8)];
    info.backup[0].recovery = Some(RecoveryInfo { gap: Some(gap(5, 5)), ..window(4) });
    info.backup[1].recovery = Some(RecoveryInfo { missing: vec![gap(6, 6)], ..window(9) });
    info.backup[2].recovery = Some(RecoveryInfo { time: None, ..window(9) });
    insta::assert_snapshot!(text(info.clone(), Detail::Full));
    insta::assert_snapshot!(json(info, Detail::Full));
}

#[test]
fn many_gaps_are_not_all_shown() {
    let mut info = demo();
    let segment = segment(0x100_0000);
    info.archive[0].gap = vec![GapInfo { count: 1, start: segment, stop: segment }; 25];
    let text = text(info, Detail::Full);
    assert_eq!(text.matches("wal archive gap: 0000").count(), 10);
    assert!(text.contains("wal archive gap: 15 more"), "{text}");
}

#[test]
fn an_upgraded_stanza_shows_its_prior_cluster_first() {
    let mut info = demo();
    info.db.push(db(1, 2, "16", 7));
    info.archive.push(archive(1, "16-2", "000000010000000000000003", "000000010000000000000004"));
    let both = to_text(&[info, stanza("z", StatusCode::NoBackup)], Detail::Full, &TimeZone::UTC);
    insta::assert_snapshot!(both);
}

#[test]
fn no_stanza_at_all() {
    let expected = "No stanzas exist in the repository.\n";
    assert_eq!(to_text(&[], Detail::Full, &TimeZone::UTC), expected);
    assert_eq!(to_json(&[], Detail::Full).unwrap(), "[]");
}
