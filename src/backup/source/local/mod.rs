//! The source that reads the files of a data directory on this host: between the start and the stop of a
//! backup over SQL, in parallel, and without those that have not changed since the prior backup.
//!
//! What a file is read for is decided in [`plan`]; relation files are left to the workers to read
//! ([`file`]), all others are read here when they begin, as the server does.

mod belongs;
mod catalogs;
mod file;
mod pace;
mod plan;
mod sameness;
mod stop_timeline;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, fs::File, io, path::Path, sync::Arc};

use async_trait::async_trait;
use tracing::{debug, info, warn};

use self::{
    catalogs::Catalogs,
    file::{LocalFile, fill},
    pace::Pace,
    plan::{FileRange, KnownChanges, Planner, Reading, times_before},
};
use super::{
    BackupSource, BackupStart, BackupStop, ChangeHint, ClusterFacts, Deferred, FileBytes,
    FileHeader, FileKind, SourceEvent, SourceHints, SourceKind, SourceOptions, Tablespace,
};
use crate::{
    backup::Error,
    postgres::{
        self, BackupLabelFile, BackupSession, ConnectOptions, ControlFile, DataDirectory, Scan,
        ScannedEntry, ScannedKind, SqlBackupStart, SqlBackupStop, version_directory,
    },
    types::{DataPath, Lsn, Oid, TimeLine, TimelineHistory, escape_path},
    work,
};

pub use belongs::Unfit;

/// Bytes that are read, or deferred, at a time.
const CHUNK: u64 = 1 << 20;
/// Maximum number of links that are named in the log.
const LINKS_NAMED_MAX: usize = 20;

/// A backup that reads the files of a data directory.
pub struct LocalSource {
    directory: Arc<DataDirectory>,
    session: BackupSession,
    facts: ClusterFacts,
    timeline: TimeLine,
    /// The directory in a tablespace's location that belongs to this server.
    version_directory: String,
    phase: Phase,
    /// Events that are ready.
    ready: VecDeque<SourceEvent>,
    pace: Option<Pace>,
    /// Links that could not be followed.
    left_out: Vec<DataPath>,
}

enum Phase {
    Idle,
    /// The entries that are still to come, and what is read of them.
    Files(Box<Files>),
    /// A file that is no relation is being read.
    Within {
        files: Box<Files>,
        open: OpenFile,
    },
    /// All files are read; the control file comes last.
    Control(SqlBackupStart, Catalogs),
    /// The server is to end the backup.
    Stop(SqlBackupStart),
    Done,
}

struct Files {
    started: SqlBackupStart,
    catalogs: Catalogs,
    entries: std::vec::IntoIter<ScannedEntry>,
    planner: Planner,
}

/// A file of which bytes are still to be read.
struct OpenFile {
    file: Arc<File>,
    path: DataPath,
    offset: u64,
    size: u64,
}

impl LocalSource {
    /// Connects to the server and opens its data directory at `path`, or says why that cannot be used:
    /// because it is not the server's, or may not be read, or because the role may not run a backup.
    pub async fn open(
        options: &ConnectOptions,
        path: &Path,
    ) -> Result<std::result::Result<Self, Unfit>, Error> {
        let session = BackupSession::connect(options).await?;
        let (directory, control) = match belongs::examine(&session, path).await? {
            Ok(found) => found,
            Err(unfit) => {
                session.close().await;
                return Ok(Err(unfit));
            }
        };
        let server = session.sql().server_facts().await?;
        let facts = ClusterFacts {
            system_id: control.system_id,
            version: control.version,
            version_num: server.version_num,
            wal_segment_size: control.wal_segment_size,
            page_size: control.page_size,
            page_checksums: control.page_checksums(),
            data_directory_mode: directory.mode(),
            in_recovery: server.in_recovery,
        };
        Ok(Ok(Self {
            directory,
            session,
            version_directory: version_directory(control.version, control.catalog_version),
            facts,
            timeline: control.timeline,
            phase: Phase::Idle,
            ready: VecDeque::new(),
            pace: None,
            left_out: Vec::new(),
        }))
    }

    /// The directory, to look at files of it again.
    pub fn directory(&self) -> Arc<DataDirectory> {
        Arc::clone(&self.directory)
    }

    /// What is read of each file, where there is a prior backup.
    async fn planner(
        &self,
        started: &SqlBackupStart,
        scan: &Scan,
        hints: Option<&SourceHints>,
    ) -> Result<Planner, Error> {
        let page_size = self.facts.page_size;
        let Some(hints) = hints else { return Ok(Planner::full(page_size)) };
        let known = match &hints.hint {
            ChangeHint::Summaries { .. } => Some(self.summaries(started, hints).await?),
            ChangeHint::Times { since_us } => {
                let now = jiff::Timestamp::now().as_second();
                match times_before(&scan.entries, hints, *since_us, now) {
                    Ok(before) => Some(KnownChanges::Times { before }),
                    Err(reason) => {
                        warn!("all files are read and compared: {reason}");
                        None
                    }
                }
            }
        };
        Ok(match known {
            Some(known) => Planner::new(page_size, Arc::clone(&hints.files), known),
            None => Planner::full(page_size),
        })
    }

    async fn summaries(
        &self,
        started: &SqlBackupStart,
        hints: &SourceHints,
    ) -> Result<KnownChanges, Error> {
        let sql = self.session.sql();
        let (timeline, from, to) = (started.timeline, hints.wal.start.lsn, started.lsn);
        // A standby without a new restartpoint: the server's own incremental backups refuse it too.
        if to < hints.wal.stop.lsn {
            let stop = hints.wal.stop.lsn;
            let reason = format!("the prior backup ends at {stop}, this one begins at {to}");
            return Err(postgres::Error::Summaries { reason }.into());
        }
        let changed = async {
            sql.wait_for_summaries(timeline, to).await?;
            sql.changed_blocks(timeline, from, to).await
        };
        match changed.await {
            Ok(changed) => Ok(KnownChanges::Summaries(changed)),
            // A role that may not read them can still have blocks compared.
            Err(postgres::Error::PermissionDenied { source, .. }) => {
                Err(postgres::Error::Summaries { reason: source.to_string() }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Scans the directory; with the time of its control file, which the checkpoint of the start has just
    /// written: whatever is written from now on has that time, or a later one.
    async fn scan(&self, started: Lsn) -> Result<(Scan, i64), Error> {
        let directory = Arc::clone(&self.directory);
        let (version, control) = (self.facts.version, data_path(ControlFile::PATH)?);
        blocking(move || {
            let ControlFile { catalog_version, redo, .. } =
                ControlFile::parse(&directory.control_file()?)?;
            if redo < started {
                return Err(Error::OtherDirectory { path: directory.path().to_owned(), started });
            }
            let written = directory.stat(&control)?.map_or(0, |entry| entry.modified);
            let scan = directory.scan(version, catalog_version)?;
            Ok((scan, written))
        })
        .await
    }

    /// What the server's catalogs say now, when the backup has begun and the scan has not.
    async fn catalogs(&self) -> Result<Catalogs, Error> {
        let version_directory = self.version_directory.clone();
        Catalogs::read(&self.session, &self.directory, version_directory).await
    }

    async fn advance(&mut self) -> Result<(), Error> {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Idle | Phase::Done => {
                return Err(broken("an event was requested while no backup runs"));
            }
            Phase::Files(files) => self.next_entry(files).await?,
            Phase::Within { files, open } => self.read_on(files, open).await?,
            Phase::Control(started, catalogs) => {
                catalogs.check_end(&self.session, &self.directory).await?;
                self.control_file().await?;
                Phase::Stop(started)
            }
            Phase::Stop(started) => {
                let stopped = self.session.stop(self.facts.version).await?;
                self.end(&started, stopped).await?;
                Phase::Done
            }
        };
        Ok(())
    }

    async fn next_entry(&mut self, mut files: Box<Files>) -> Result<Phase, Error> {
        if !self.session.is_connected() {
            let source = io::Error::from(io::ErrorKind::ConnectionReset);
            let doing = "files were read: the server has given the backup up with it";
            return Err(postgres::Error::Broken { doing, source }.into());
        }
        let Some(entry) = files.entries.next() else {
            self.ready.push_back(SourceEvent::Settle);
            return Ok(Phase::Control(files.started, files.catalogs));
        };
        let size = match &entry.kind {
            ScannedKind::File { size } => *size,
            ScannedKind::Directory => {
                self.send(header(&entry, FileKind::Directory), Vec::new());
                return Ok(Phase::Files(files));
            }
            ScannedKind::Link { target } => {
                let target = target.clone();
                self.send(header(&entry, FileKind::Link { target }), Vec::new());
                return Ok(Phase::Files(files));
            }
        };
        let reading = files.planner.reading(&entry.path, size, entry.modified);
        if reading == Reading::Nothing {
            let kind = FileKind::File { size, unchanged: size };
            self.send(header(&entry, kind), vec![SourceEvent::Unchanged(size)]);
        } else if plan::is_deferrable(&entry.path) {
            self.send_relation(&files.catalogs, &entry, reading)?;
        } else if let Some((header, open)) = self.open_file(&entry).await? {
            self.ready.push_back(SourceEvent::Begin(header));
            return Ok(Phase::Within { files, open });
        } else {
            files.catalogs.vanished().note(&entry.path);
            debug!("'{}' is gone", entry.path);
        }
        Ok(Phase::Files(files))
    }

    fn send(&mut self, header: FileHeader, events: Vec<SourceEvent>) {
        self.ready.push_back(SourceEvent::Begin(header));
        self.ready.extend(events);
        self.ready.push_back(SourceEvent::End);
    }

    /// Leaves a relation to be read. It can have grown since the scan, and WAL has what it grew by. One
    /// that is gone does not come.
    fn send_relation(
        &mut self,
        catalogs: &Catalogs,
        entry: &ScannedEntry,
        reading: Reading,
    ) -> Result<(), Error> {
        let vanished = catalogs.vanished();
        let Some(now) = self.directory.stat(&entry.path)? else {
            vanished.note(&entry.path);
            return Ok(());
        };
        let entry = ScannedEntry { modified: now.modified, ..entry.clone() };
        let ScannedKind::File { size } = entry.kind else { return Ok(()) };
        let file = LocalFile::new(Arc::clone(&self.directory), entry.path.clone(), size, vanished);
        let file: Arc<dyn FileBytes> = Arc::new(file);
        let ranges = reading.ranges(size, self.facts.page_size);
        let (mut events, mut unchanged) = (Vec::new(), 0);
        for range in ranges {
            match range {
                FileRange::Unchanged(len) => {
                    unchanged += len;
                    events.push(SourceEvent::Unchanged(len));
                }
                FileRange::Read(len) => {
                    let chunks = (0..len).step_by(CHUNK as usize).map(|at| CHUNK.min(len - at));
                    events.extend(chunks.map(|len| {
                        SourceEvent::Deferred(Deferred { file: Arc::clone(&file), len })
                    }));
                }
            }
        }
        self.send(header(&entry, FileKind::File { size, unchanged }), events);
        Ok(())
    }

    /// Opens a file that is no relation, as long as it is now; `None` where it is gone.
    async fn open_file(
        &self,
        entry: &ScannedEntry,
    ) -> Result<Option<(FileHeader, OpenFile)>, Error> {
        let (directory, path) = (Arc::clone(&self.directory), entry.path.clone());
        let opened = blocking(move || {
            let Some(file) = directory.open_file(&path)? else { return Ok(None) };
            let failed = |source| directory.read_error(&path, source);
            let metadata = file.metadata().map_err(failed)?;
            Ok(Some((file, metadata)))
        });
        let Some((file, metadata)) = opened.await? else { return Ok(None) };
        use std::os::unix::fs::MetadataExt;
        let size = metadata.len();
        let entry = ScannedEntry { modified: metadata.mtime(), ..entry.clone() };
        let header = header(&entry, FileKind::File { size, unchanged: 0 });
        let open = OpenFile { file: Arc::new(file), path: entry.path, offset: 0, size };
        Ok(Some((header, open)))
    }

    /// Reads the next bytes of a file, up to the size it had when it began.
    async fn read_on(&mut self, files: Box<Files>, mut open: OpenFile) -> Result<Phase, Error> {
        let len = CHUNK.min(open.size - open.offset);
        if len == 0 {
            self.ready.push_back(SourceEvent::End);
            return Ok(Phase::Files(files));
        }
        let (directory, path) = (Arc::clone(&self.directory), open.path.clone());
        let (file, offset) = (Arc::clone(&open.file), open.offset);
        let bytes = blocking(move || {
            let mut bytes = vec![0; len as usize];
            let filled = fill(Some(&file), offset, &mut bytes);
            filled.map_err(|source| directory.read_error(&path, source))?;
            Ok(bytes)
        });
        self.ready.push_back(SourceEvent::Bytes(bytes.await?.into()));
        open.offset += len;
        Ok(Phase::Within { files, open })
    }

    /// The control file, which recovery begins with: read when everything else has been.
    async fn control_file(&mut self) -> Result<(), Error> {
        let (directory, path) = (Arc::clone(&self.directory), data_path(ControlFile::PATH)?);
        let read = blocking(move || {
            let bytes = directory.control_file()?;
            Ok((bytes, directory.stat(&path)?))
        });
        let (bytes, entry) = read.await?;
        let entry = entry.ok_or_else(|| broken("the control file is gone"))?;
        let kind = FileKind::File { size: bytes.len() as u64, unchanged: 0 };
        self.send(header(&entry, kind), vec![SourceEvent::Bytes(bytes.into())]);
        Ok(())
    }

    /// The files that come with the end of a backup, and the end.
    async fn end(&mut self, started: &SqlBackupStart, stopped: SqlBackupStop) -> Result<(), Error> {
        let label = BackupLabelFile::parse(&stopped.backup_label)?;
        if (label.start, label.timeline) != (started.lsn, started.timeline) {
            return Err(broken("the backup that the server ended is not the one that it began"));
        }
        self.made_file("backup_label", stopped.backup_label)?;
        if !stopped.tablespace_map.is_empty() {
            self.made_file("tablespace_map", stopped.tablespace_map)?;
        }
        let history = self.stop_history(started.timeline, stopped.lsn).await?;
        self.ready.push_back(SourceEvent::Stop(BackupStop {
            lsn: stopped.lsn,
            history,
            backup_manifest: None,
            checksum_complaints: Vec::new(),
            left_out: std::mem::take(&mut self.left_out),
        }));
        Ok(())
    }

    async fn stop_history(&self, started: TimeLine, lsn: Lsn) -> Result<TimelineHistory, Error> {
        if !self.facts.in_recovery {
            return Ok(TimelineHistory::without_ancestors(started));
        }
        let directory = Arc::clone(&self.directory);
        blocking(move || stop_timeline::history(&directory, started, lsn)).await
    }

    /// A file that is not in the directory: it gets the owner of the directory.
    fn made_file(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let owner = self.directory.owner()?;
        let header = FileHeader {
            path: data_path(name)?,
            kind: FileKind::File { size: bytes.len() as u64, unchanged: 0 },
            mode: self.facts.data_directory_mode & 0o640 | 0o600,
            modified: jiff::Timestamp::now().as_second(),
            uid: owner.0,
            gid: owner.1,
            link: None,
        };
        self.send(header, vec![SourceEvent::Bytes(bytes.into())]);
        Ok(())
    }
}

#[async_trait]
impl BackupSource for LocalSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Local
    }

    fn makes_manifest(&self) -> bool {
        false
    }

    fn facts(&self) -> &ClusterFacts {
        &self.facts
    }

    fn timeline(&self) -> TimeLine {
        self.timeline
    }

    async fn start(&mut self, options: &SourceOptions) -> Result<BackupStart, Error> {
        let Phase::Idle = std::mem::replace(&mut self.phase, Phase::Done) else {
            return Err(broken("a backup was started twice"));
        };
        let version = self.facts.version;
        let started = self.session.start(version, &options.label, options.start_fast).await?;
        let copy_start_us = jiff::Timestamp::now().as_microsecond();
        let catalogs = self.catalogs().await?;
        let (scan, control_written) = self.scan(started.lsn).await?;
        catalogs.check_scan(&self.session, &scan).await?;
        report(&scan);
        self.left_out.clone_from(&scan.left_out);
        let planner = self.planner(&started, &scan, options.hints.as_ref()).await?;
        let start = BackupStart {
            lsn: started.lsn,
            timeline: started.timeline,
            tablespaces: tablespaces(&scan.entries)?,
            size_estimate: Some(scan.entries.iter().map(size).sum()),
            copy_start_us: Some(copy_start_us.min(control_written.saturating_mul(1_000_000))),
        };
        self.pace = options.max_rate_kb.map(Pace::new);
        let entries = scan.entries.into_iter();
        self.phase = Phase::Files(Box::new(Files { started, catalogs, entries, planner }));
        Ok(start)
    }

    async fn next(&mut self) -> Result<SourceEvent, Error> {
        loop {
            let Some(event) = self.ready.pop_front() else {
                self.advance().await?;
                continue;
            };
            if let Some(pace) = &mut self.pace {
                pace.take(read_bytes(&event)).await;
            }
            return Ok(event);
        }
    }

    async fn cancel(&mut self) {
        if let Err(error) = self.session.cancel_token().cancel().await {
            warn!("unable to cancel the backup on the server: {error}");
        }
        self.phase = Phase::Done;
        debug!("server backup cancelled");
    }
}

/// The bytes that an event has read, or will have.
fn read_bytes(event: &SourceEvent) -> u64 {
    match event {
        SourceEvent::Bytes(bytes) => bytes.len() as u64,
        SourceEvent::Deferred(deferred) => deferred.len,
        _ => 0,
    }
}

fn size(entry: &ScannedEntry) -> u64 {
    match entry.kind {
        ScannedKind::File { size } => size,
        ScannedKind::Directory | ScannedKind::Link { .. } => 0,
    }
}

fn header(entry: &ScannedEntry, kind: FileKind) -> FileHeader {
    let ScannedEntry { path, mode, modified, uid, gid, link, .. } = entry.clone();
    FileHeader { path, kind, mode, modified, uid, gid, link }
}

/// Names what is left out, and what is behind links.
fn report(scan: &Scan) {
    for (path, reason) in &scan.skipped {
        warn!("'{path}' is NOT in this backup: {reason}");
    }
    for path in &scan.left_out {
        warn!(
            "link '{path}' points to what this process cannot see: its target is NOT in this backup"
        );
    }
    let links = || scan.entries.iter().filter_map(|entry| Some((entry, entry.link.as_deref()?)));
    for (entry, target) in links().take(LINKS_NAMED_MAX) {
        info!("following link '{}' to '{}'", entry.path, escape_path(target));
    }
    let more = links().count().saturating_sub(LINKS_NAMED_MAX);
    if more > 0 {
        info!("following {more} more links");
    }
}

/// The links in `pg_tblspc`.
fn tablespaces(entries: &[ScannedEntry]) -> Result<Vec<Tablespace>, Error> {
    let links = entries.iter().filter_map(|entry| match &entry.kind {
        ScannedKind::Link { target } if entry.path.is_within("pg_tblspc") => {
            Some((entry.path.file_name(), target.clone()))
        }
        _ => None,
    });
    let tablespace = |(name, location): (&[u8], Vec<u8>)| {
        let oid = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
        let oid = oid.ok_or_else(|| broken("a link in pg_tblspc is not named by an oid"))?;
        Ok(Tablespace { oid: Oid(oid), location })
    };
    links.map(tablespace).collect()
}

fn data_path(name: &str) -> Result<DataPath, Error> {
    Ok(DataPath::new(name.as_bytes())?)
}

fn broken(reason: &str) -> Error {
    Error::Source(reason.to_owned())
}

/// Runs blocking disk access on a blocking thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    work::blocking(work).await?
}
