//! The source that needs no more than a connection with the REPLICATION attribute: BASE_BACKUP, its
//! archives taken apart into files as they arrive.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tracing::{debug, warn};

use super::{
    BackupSource, BackupStart, BackupStop, ChangeHint, ClusterFacts, FileHeader, FileKind,
    PriorFiles, SourceEvent, SourceKind, SourceOptions, Tablespace, facts::read_facts,
    left_out::Lacks, rebuild::Rebuild,
};
use crate::{
    backup::Error,
    postgres::{
        BackupEvent, BackupStarted, BaseBackup, BaseBackupOptions, CancelToken, ConnectOptions,
        ControlFile, ReplicationClient, Result as PgResult, TarEntry, TarEntryKind, TarEvent,
        TarReader, incremental_target, plain_backup_label,
    },
    types::{DataPath, Oid, TimeLine, TimelineHistory},
};

/// A manifest of ten million files stays below this.
const MANIFEST_BYTES_MAX: usize = 2 << 30;
/// A backup_label is a few hundred bytes; its label is at most 1024.
const LABEL_BYTES_MAX: u64 = 64 << 10;
/// The size of pg_control (`PG_CONTROL_FILE_SIZE` in `src/include/catalog/pg_control.h`).
const CONTROL_FILE_BYTES: u64 = 8192;
/// From this version on, tablespaces that were made in place have an archive like all others.
const IN_PLACE_LISTED_SINCE: u16 = 16;
const BACKUP_LABEL: &[u8] = b"backup_label";

/// A backup over the replication protocol.
pub struct StreamSource {
    facts: ClusterFacts,
    timeline: TimeLine,
    cancel: CancelToken,
    verify_checksums: bool,
    state: State,
    /// Events that are ready.
    ready: VecDeque<SourceEvent>,
    /// Tablespaces whose link has not been sent yet.
    links: Vec<Tablespace>,
    /// Tablespaces whose link has been sent.
    tablespaces: Vec<Oid>,
    /// Directories sent so far: a directory that two archives hold is sent once.
    directories: HashSet<DataPath>,
    manifest: BytesMut,
    lacks: Lacks,
    /// The files of the prior backup, where the server leaves out what has not changed since.
    prior: Option<Arc<dyn PriorFiles>>,
}

enum State {
    Idle(ReplicationClient),
    Running(Box<Running>),
    Done,
}

struct Running {
    backup: BaseBackup,
    /// The archive being read, and the directory that its names are relative to.
    tar: Option<(TarReader, Option<Oid>)>,
    member: Member,
}

/// The handling of the tar member that is being read.
enum Member {
    /// It was sent before.
    Skipped,
    /// It is passed on as it is.
    Passed,
    /// An incremental file: it is passed on as the file it stands for.
    Incremental(Rebuild),
    /// The backup_label of an incremental backup: it is passed on as a plain one.
    Label(FileHeader, BytesMut),
}

impl StreamSource {
    /// Connects and asks what the cluster is.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, Error> {
        let mut client = ReplicationClient::connect(options).await?;
        let (facts, timeline) = read_facts(&mut client).await?;
        Ok(Self {
            facts,
            timeline,
            cancel: client.cancel_token(),
            verify_checksums: false,
            state: State::Idle(client),
            ready: VecDeque::new(),
            links: Vec::new(),
            tablespaces: Vec::new(),
            directories: HashSet::new(),
            manifest: BytesMut::new(),
            lacks: Lacks::default(),
            prior: None,
        })
    }

    /// Lets the server verify page checksums too. It does so on the core that sends; the pipeline
    /// behind this source does it in parallel, so this is off unless asked for.
    #[must_use]
    pub fn with_server_checksums(mut self, verify: bool) -> Self {
        self.verify_checksums = verify;
        self
    }

    async fn advance(&mut self) -> Result<(), Error> {
        let State::Running(running) = &mut self.state else {
            return Err(broken(NOT_RUNNING));
        };
        if let Some(event) = running.next_member_event()? {
            self.member_event(event)?;
            return Ok(());
        }
        let event = running.backup.next().await?;
        self.lacks.add(running.backup.take_left_out())?;
        self.backup_event(event).await
    }

    /// The server names the files that it leaves out in warnings, and nowhere else.
    async fn check_warnings_are_sent(&self, client: &mut ReplicationClient) -> Result<(), Error> {
        match client.show("client_min_messages").await?.as_str() {
            "error" | "fatal" | "panic" => Err(Error::NoWarnings),
            _ => Ok(()),
        }
    }

    fn running(&mut self) -> Result<&mut Running, Error> {
        match &mut self.state {
            State::Running(running) => Ok(running),
            _ => Err(broken(NOT_RUNNING)),
        }
    }

    async fn backup_event(&mut self, event: BackupEvent) -> Result<(), Error> {
        match event {
            BackupEvent::Archive(oid) => {
                self.running()?.begin_archive(oid)?;
                if let Some(at) = self.links.iter().position(|link| Some(link.oid) == oid) {
                    let link = self.links.swap_remove(at);
                    self.tablespaces.push(link.oid);
                    self.send_link(&link)?;
                }
            }
            BackupEvent::Data(chunk) => self.running()?.push(chunk)?,
            BackupEvent::Manifest => self.running()?.end_archive()?,
            BackupEvent::ManifestData(chunk) => {
                if self.manifest.len() + chunk.len() > MANIFEST_BYTES_MAX {
                    return Err(broken("the manifest is longer than 2 GiB"));
                }
                self.manifest.extend_from_slice(&chunk);
            }
            BackupEvent::End { lsn, timeline, complaints } => {
                let history = self.end_session(timeline).await?;
                let backup_manifest = std::mem::take(&mut self.manifest).freeze();
                self.ready.push_back(SourceEvent::Stop(BackupStop {
                    lsn,
                    history,
                    backup_manifest: Some(backup_manifest),
                    checksum_complaints: complaints,
                    left_out: std::mem::take(&mut self.lacks).into_paths(),
                }));
            }
        }
        Ok(())
    }

    /// Asks for the history of the timeline that the backup stopped on, where it is not the one that it began on, and
    /// ends the session.
    async fn end_session(&mut self, timeline: TimeLine) -> Result<TimelineHistory, Error> {
        let State::Running(running) = std::mem::replace(&mut self.state, State::Done) else {
            return Err(broken(NOT_RUNNING));
        };
        let started = running.backup.started().timeline;
        let mut client = running.backup.into_client();
        let history = match timeline == started {
            true => TimelineHistory::without_ancestors(timeline),
            false => client.timeline_history(timeline).await?,
        };
        client.close().await;
        Ok(history)
    }

    /// The link of a tablespace, which TABLESPACE_MAP leaves out of the archive. One made with
    /// `allow_in_place_tablespaces` is a directory in the data directory, and has a relative location.
    fn send_link(&mut self, tablespace: &Tablespace) -> Result<(), Error> {
        let path = link_path(tablespace.oid)?;
        let kind = match tablespace.location.first() {
            Some(b'/') => FileKind::Link { target: tablespace.location.clone() },
            _ => FileKind::Directory,
        };
        let mode = if kind == FileKind::Directory { 0o700 } else { 0o777 };
        if kind == FileKind::Directory && !self.directories.insert(path.clone()) {
            return Ok(());
        }
        let header = FileHeader { path, kind, mode, modified: 0, uid: 0, gid: 0, link: None };
        self.ready.extend([SourceEvent::Begin(header), SourceEvent::End]);
        Ok(())
    }

    fn member_event(&mut self, event: TarEvent) -> Result<(), Error> {
        match event {
            TarEvent::Begin(entry) => {
                let header = self.running()?.header(entry)?;
                let member = match header {
                    Some(header) => self.begin_member(header)?,
                    None => Member::Skipped,
                };
                self.running()?.member = member;
            }
            TarEvent::Bytes(bytes) => self.member_bytes(bytes)?,
            TarEvent::End => self.end_member()?,
        }
        Ok(())
    }

    fn begin_member(&mut self, mut header: FileHeader) -> Result<Member, Error> {
        if !self.is_new(&header) {
            return Ok(Member::Skipped);
        }
        // The server sends it with the size of the link, where it is one.
        if let FileKind::File { size, .. } = header.kind
            && header.path.as_bytes() == ControlFile::PATH.as_bytes()
            && size != CONTROL_FILE_BYTES
        {
            return Err(Error::LeftOut { path: header.path.to_string() });
        }
        if let (Some(prior), FileKind::File { size, .. }) = (&self.prior, &header.kind) {
            if header.path.as_bytes() == BACKUP_LABEL && *size <= LABEL_BYTES_MAX {
                return Ok(Member::Label(header, BytesMut::new()));
            }
            if let Some(target) = incremental_target(&header.path) {
                header.path = target;
                let page_size = self.facts.page_size;
                return Ok(Member::Incremental(Rebuild::new(header, page_size, &**prior)?));
            }
        }
        self.ready.push_back(SourceEvent::Begin(header));
        Ok(Member::Passed)
    }

    fn member_bytes(&mut self, bytes: Bytes) -> Result<(), Error> {
        let State::Running(running) = &mut self.state else { return Err(broken(NOT_RUNNING)) };
        match &mut running.member {
            Member::Skipped => {}
            Member::Passed => self.ready.push_back(SourceEvent::Bytes(bytes)),
            Member::Incremental(rebuild) => rebuild.push(bytes, &mut self.ready)?,
            Member::Label(_, label) => label.extend_from_slice(&bytes),
        }
        Ok(())
    }

    fn end_member(&mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.running()?.member, Member::Skipped) {
            Member::Skipped => {}
            Member::Passed => self.ready.push_back(SourceEvent::End),
            Member::Incremental(rebuild) => rebuild.end(&mut self.ready)?,
            Member::Label(header, label) => {
                let plain = Bytes::copy_from_slice(plain_backup_label(&label)?);
                let kind = FileKind::File { size: plain.len() as u64, unchanged: 0 };
                let header = FileHeader { kind, ..header };
                let events =
                    [SourceEvent::Begin(header), SourceEvent::Bytes(plain), SourceEvent::End];
                self.ready.extend(events);
            }
        }
        Ok(())
    }

    /// Whether the entry is to be passed on: everything but a directory or tablespace link that was sent before.
    fn is_new(&mut self, header: &FileHeader) -> bool {
        match header.kind {
            FileKind::File { .. } => true,
            FileKind::Directory => self.directories.insert(header.path.clone()),
            FileKind::Link { .. } => {
                let mut sent = self.tablespaces.iter();
                !sent.any(|tablespace| link_path(*tablespace).is_ok_and(|p| p == header.path))
            }
        }
    }
}

#[async_trait]
impl BackupSource for StreamSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Stream
    }

    fn timeline(&self) -> TimeLine {
        self.timeline
    }

    fn makes_manifest(&self) -> bool {
        true
    }

    fn facts(&self) -> &ClusterFacts {
        &self.facts
    }

    async fn start(&mut self, options: &SourceOptions) -> Result<BackupStart, Error> {
        let State::Idle(mut client) = std::mem::replace(&mut self.state, State::Done) else {
            return Err(broken("a backup was started twice"));
        };
        self.check_warnings_are_sent(&mut client).await?;
        // The server does not look at times: only what it is asked about is left out.
        let asked = options.hints.as_ref().and_then(|hints| match &hints.hint {
            ChangeHint::Summaries { backup_manifest } => Some((hints, backup_manifest.clone())),
            ChangeHint::Times { .. } => None,
        });
        self.prior = asked.as_ref().map(|(hints, _)| Arc::clone(&hints.files));
        let is_old = self.facts.version.major() < IN_PLACE_LISTED_SINCE;
        let tablespaces_inside = is_old && !options.in_place_tablespaces.is_empty();
        let options = BaseBackupOptions {
            label: options.label.clone(),
            checkpoint_fast: options.start_fast,
            max_rate_kb: options.max_rate_kb,
            verify_checksums: self.verify_checksums,
            prior_manifest: asked.map(|(_, manifest)| manifest),
            tablespaces_inside,
        };
        let mut backup = BaseBackup::start(client, self.facts.version, &options).await?;
        self.lacks.add(backup.take_left_out())?;
        let start = backup_start(backup.started());
        self.links = start.tablespaces.clone();
        self.state =
            State::Running(Box::new(Running { backup, tar: None, member: Member::Skipped }));
        Ok(start)
    }

    async fn next(&mut self) -> Result<SourceEvent, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            if let Err(error) = self.advance().await {
                self.state = State::Done;
                return Err(error);
            }
        }
    }

    /// Asks the server to stop, and then closes the connection: a server that is blocked on sending
    /// takes no request, and one that waits for a checkpoint does not notice a closed connection.
    async fn cancel(&mut self) {
        if let Err(error) = self.cancel.cancel().await {
            warn!("unable to cancel the backup on the server: {error}");
        }
        self.state = State::Done;
        debug!("server backup cancelled");
    }
}

impl Running {
    fn next_member_event(&mut self) -> PgResult<Option<TarEvent>> {
        match &mut self.tar {
            Some((tar, _)) => tar.next_event(),
            None => Ok(None),
        }
    }

    fn begin_archive(&mut self, oid: Option<Oid>) -> PgResult<()> {
        self.end_archive()?;
        self.tar = Some((TarReader::new(), oid));
        Ok(())
    }

    fn end_archive(&mut self) -> PgResult<()> {
        match self.tar.take() {
            Some((tar, _)) => tar.finish(),
            None => Ok(()),
        }
    }

    fn push(&mut self, chunk: Bytes) -> Result<(), Error> {
        match &mut self.tar {
            Some((tar, _)) => Ok(tar.push(chunk)?),
            None => Err(broken("bytes came before their archive")),
        }
    }

    /// The header of a member, its name made relative to the data directory; `None` for the root.
    fn header(&self, entry: TarEntry) -> Result<Option<FileHeader>, Error> {
        let tablespace = self.tar.as_ref().and_then(|(_, oid)| *oid);
        let path = match (tablespace, entry.path) {
            (_, None) => return Ok(None),
            (None, Some(path)) => path,
            (Some(oid), Some(path)) => {
                let link = link_path(oid)?;
                data_path(&[link.as_bytes(), b"/", path.as_bytes()].concat())?
            }
        };
        Ok(Some(FileHeader {
            path,
            kind: match entry.kind {
                TarEntryKind::File { size } => FileKind::File { size, unchanged: 0 },
                TarEntryKind::Directory => FileKind::Directory,
                TarEntryKind::Link { target } => FileKind::Link { target },
            },
            mode: entry.mode,
            modified: entry.modified,
            uid: entry.uid,
            gid: entry.gid,
            link: None,
        }))
    }
}

const NOT_RUNNING: &str = "an event was requested while no backup runs";

fn broken(reason: &str) -> Error {
    Error::Source(reason.to_owned())
}

fn data_path(bytes: &[u8]) -> Result<DataPath, Error> {
    DataPath::new(bytes).map_err(|e| Error::Source(e.to_string()))
}

fn link_path(oid: Oid) -> Result<DataPath, Error> {
    data_path(format!("pg_tblspc/{oid}").as_bytes())
}

fn backup_start(started: &BackupStarted) -> BackupStart {
    let rows = &started.tablespaces;
    let tablespaces = rows.iter().filter_map(|row| {
        let (oid, location) = row.tablespace.clone()?;
        Some(Tablespace { oid, location })
    });
    BackupStart {
        lsn: started.lsn,
        timeline: started.timeline,
        tablespaces: tablespaces.collect(),
        size_estimate: rows.iter().map(|row| row.size).sum(),
        copy_start_us: None,
    }
}
