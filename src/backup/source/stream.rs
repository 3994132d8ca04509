//! The source that needs no more than a connection with the REPLICATION attribute: BASE_BACKUP, its
//! archives taken apart into files as they arrive.

use std::collections::{HashSet, VecDeque};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tracing::{debug, warn};

use super::{
    BackupSource, BackupStart, BackupStop, ClusterFacts, FileHeader, FileKind, SourceEvent,
    SourceOptions, Tablespace,
};
use crate::{
    backup::Error,
    postgres::{
        BackupEvent, BackupOptions, BackupStarted, BaseBackup, CancelToken, ConnectOptions,
        ReplicationClient, Result as PgResult, TarEntry, TarEntryKind, TarEvent, TarReader,
    },
    types::{DataPath, Oid, PgVersion, WalSegmentSize},
};

/// A manifest of ten million files stays below this.
const MANIFEST_BYTES_MAX: usize = 2 << 30;

/// A backup over the replication protocol.
pub struct StreamSource {
    facts: ClusterFacts,
    cancel: CancelToken,
    verify_checksums: bool,
    state: State,
    /// Events that are ready.
    ready: VecDeque<SourceEvent>,
    /// Tablespaces whose link has not been sent yet.
    links: Vec<Tablespace>,
    /// Directories sent so far: a directory that two archives hold is sent once.
    directories: HashSet<DataPath>,
    manifest: BytesMut,
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
    /// Whether the member being read is passed on.
    passing: bool,
}

impl StreamSource {
    /// Connects and asks what the cluster is.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, Error> {
        let mut client = ReplicationClient::connect(options).await?;
        let facts = read_facts(&mut client).await?;
        Ok(Self {
            facts,
            cancel: client.cancel_token(),
            verify_checksums: false,
            state: State::Idle(client),
            ready: VecDeque::new(),
            links: Vec::new(),
            directories: HashSet::new(),
            manifest: BytesMut::new(),
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
            return Err(broken("an event was asked for while no backup runs"));
        };
        if let Some(event) = running.next_member_event()? {
            self.member_event(event)?;
            return Ok(());
        }
        let event = running.backup.next().await?;
        self.backup_event(event).await
    }

    fn running(&mut self) -> Result<&mut Running, Error> {
        match &mut self.state {
            State::Running(running) => Ok(running),
            _ => Err(broken("no backup runs")),
        }
    }

    async fn backup_event(&mut self, event: BackupEvent) -> Result<(), Error> {
        match event {
            BackupEvent::Archive(oid) => {
                self.running()?.begin_archive(oid)?;
                if let Some(at) = self.links.iter().position(|link| Some(link.oid) == oid) {
                    let link = self.links.swap_remove(at);
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
                let backup_manifest = std::mem::take(&mut self.manifest).freeze();
                self.ready.push_back(SourceEvent::Stop(BackupStop {
                    lsn,
                    timeline,
                    backup_manifest,
                    checksum_complaints: complaints,
                }));
                let state = std::mem::replace(&mut self.state, State::Done);
                if let State::Running(running) = state {
                    running.backup.into_client().close().await;
                }
            }
        }
        Ok(())
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
        let header = FileHeader { path, kind, mode, modified: 0, uid: 0, gid: 0 };
        self.ready.extend([SourceEvent::Begin(header), SourceEvent::End]);
        Ok(())
    }

    fn member_event(&mut self, event: TarEvent) -> Result<(), Error> {
        match event {
            TarEvent::Begin(entry) => {
                let header = self.running()?.header(entry)?;
                let header = header.filter(|header| self.is_new(header));
                self.running()?.passing = header.is_some();
                self.ready.extend(header.map(SourceEvent::Begin));
            }
            TarEvent::Bytes(bytes) => self.ready.push_back(SourceEvent::Bytes(bytes)),
            TarEvent::End if self.running()?.passing => self.ready.push_back(SourceEvent::End),
            TarEvent::End => {}
        }
        Ok(())
    }

    /// Whether the entry is to be passed on: everything but a directory that was sent before.
    fn is_new(&mut self, header: &FileHeader) -> bool {
        header.kind != FileKind::Directory || self.directories.insert(header.path.clone())
    }
}

#[async_trait]
impl BackupSource for StreamSource {
    fn facts(&self) -> &ClusterFacts {
        &self.facts
    }

    async fn start(&mut self, options: &SourceOptions) -> Result<BackupStart, Error> {
        let State::Idle(client) = std::mem::replace(&mut self.state, State::Done) else {
            return Err(broken("a backup was started twice"));
        };
        let options = BackupOptions {
            label: options.label.clone(),
            checkpoint_fast: options.start_fast,
            max_rate_kb: options.max_rate_kb,
            verify_checksums: self.verify_checksums,
        };
        let backup = BaseBackup::start(client, self.facts.version, &options).await?;
        let start = backup_start(backup.started());
        self.links = start.tablespaces.clone();
        self.state = State::Running(Box::new(Running { backup, tar: None, passing: false }));
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
            warn!("unable to cancel the server's backup: {error}");
        }
        self.state = State::Done;
        debug!("the server's backup is cancelled");
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
        }))
    }
}

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
    }
}

async fn read_facts(client: &mut ReplicationClient) -> PgResult<ClusterFacts> {
    let version_num = client.version_num().await?;
    let unsupported = |_| crate::postgres::Error::Version((version_num / 10_000).to_string());
    let version = PgVersion::new((version_num / 10_000) as u16).map_err(unsupported)?;
    let identity = client.identify_system().await?;
    let segment_size = client.show("wal_segment_size").await?;
    Ok(ClusterFacts {
        system_id: identity.system_id,
        version,
        version_num,
        wal_segment_size: WalSegmentSize::new(size(&segment_size)?)?,
        page_size: size(&client.show("block_size").await?)?,
        page_checksums: client.show("data_checksums").await? == "on",
        data_directory_mode: mode(&client.show("data_directory_mode").await?)?,
        in_recovery: client.in_recovery(version).await?,
    })
}

/// Permission bits as SHOW writes them: four octal digits.
fn mode(text: &str) -> PgResult<u32> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| crate::postgres::Error::Protocol(format!("'{text}' is not a mode")))
}

/// A size as SHOW writes it: a number and, perhaps, B, kB, MB or GB.
fn size(text: &str) -> PgResult<u32> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => Some(1_u32),
        "kB" => Some(1 << 10),
        "MB" => Some(1 << 20),
        "GB" => Some(1 << 30),
        _ => None,
    };
    let value = digits.parse::<u32>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
    value.ok_or_else(|| crate::postgres::Error::Protocol(format!("'{text}' is not a size")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_show_writes_them() {
        assert_eq!(size("16MB").unwrap(), 16 << 20);
        assert_eq!(size("1GB").unwrap(), 1 << 30);
        assert_eq!(size("8192").unwrap(), 8192);
        for text in ["", "MB", "16 MB", "16TB", "9GB", "é"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
