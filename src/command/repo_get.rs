//! `repo-get`: shows one object of a repository, as it is stored or in its plain form.

use std::io::{self, Write};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    Error, Result,
    context::{self, Repo},
    repo_path,
};
use crate::{
    config::Config,
    repo::{
        self,
        archive::{RawSink, WalArchive},
        foreign,
        layout::ARCHIVE_ROOT,
        metadata::object_name,
        object_header::{HEADER_LEN, ObjectHeader, ObjectKind},
        plain::PlainReader,
    },
    storage::{ObjectPath, Storage},
    types::{ArchiveFile, ArchiveId, ErrorCode, StanzaName},
};

/// The exit code of `--ignore-missing` where there is no such object.
const MISSING: u8 = 1;
/// Stored bytes that are made plain in one go.
const PART: usize = 1 << 10;
/// Chunks of raw WAL on their way to the output.
const QUEUE: usize = 4;

/// Writes the object that the command line names to the output.
pub(super) async fn run(config: &Config, out: &mut dyn Write) -> Result<u8> {
    let (repo, _) = context::repo(config)?;
    let path = repo_path::parse(&repo, context::argument(config, 0, "the path of an object")?)?;
    context::no_more_arguments(config, 1)?;
    match get(&repo, &path, config.repo_access.raw, out).await {
        Err(Error::Storage(error)) if config.repo_access.ignore_missing && error.is_not_found() => {
            Ok(MISSING)
        }
        // The reader closed the pipe, as `head` does.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        result => result.map(|()| 0),
    }
}

async fn get(repo: &Repo, path: &ObjectPath, raw: bool, out: &mut dyn Write) -> Result<()> {
    let storage = &*repo.storage;
    match raw {
        true => copy(storage, path, out).await,
        false => match kind(storage, path).await? {
            ObjectKind::Wal => wal(repo, path, out).await,
            ObjectKind::Bundle | ObjectKind::MapBundle => Err(Error::Check {
                what: format!(
                    "'{path}' is a bundle: its contents are described only by the manifest and the \
                     block maps"
                ),
                code: ErrorCode::FeatureNotSupported,
                hint: "use --raw for its stored bytes".to_owned(),
            }),
            _ => plain(storage, path, out).await,
        },
    }
}

async fn copy(storage: &dyn Storage, path: &ObjectPath, out: &mut dyn Write) -> Result<()> {
    let mut download = storage.get(path).await?;
    while let Some(chunk) = download.next().await? {
        out.write_all(&chunk)?;
    }
    Ok(out.flush()?)
}

async fn kind(storage: &dyn Storage, path: &ObjectPath) -> Result<ObjectKind> {
    let mut download = storage.get(path).await?;
    let mut start = Vec::with_capacity(HEADER_LEN);
    while start.len() < HEADER_LEN
        && let Some(chunk) = download.next().await?
    {
        start.extend_from_slice(&chunk[..chunk.len().min(HEADER_LEN)]);
    }
    match ObjectHeader::decode_any(&start, &object_name(storage, path)) {
        Ok(header) => Ok(header.kind),
        Err(error @ repo::Error::Format { .. }) => Err(not_ours(storage, path, error).await),
        Err(error) => Err(error.into()),
    }
}

/// What an object is that does not begin as ours do: it may be another program's.
async fn not_ours(storage: &dyn Storage, path: &ObjectPath, error: repo::Error) -> Error {
    match foreign::of_object(storage, path).await {
        Ok(Some(foreign)) => foreign.into(),
        // It is none of ours whatever else it is, so a look that fails decides nothing.
        Ok(None) | Err(_) => error.into(),
    }
}

async fn plain(storage: &dyn Storage, path: &ObjectPath, out: &mut dyn Write) -> Result<()> {
    let mut reader = PlainReader::new(object_name(storage, path));
    let mut download = storage.get(path).await?;
    let mut plain = Vec::new();
    while let Some(chunk) = download.next().await? {
        // Little stored may be much plain: each part is written before the next one is decompressed.
        for part in chunk.chunks(PART) {
            reader.push(part, &mut plain)?;
            out.write_all(&plain)?;
            plain.clear();
            tokio::task::yield_now().await;
        }
    }
    reader.finish()?;
    Ok(out.flush()?)
}

/// Takes raw WAL to the task that owns the output.
struct Hand(mpsc::Sender<Bytes>);

impl RawSink for Hand {
    type Error = repo::Error;

    fn accept(&mut self, raw: &[u8]) -> std::result::Result<(), repo::Error> {
        // The other end goes away only when the output failed, which it reports itself.
        let _ = self.0.blocking_send(Bytes::copy_from_slice(raw));
        Ok(())
    }
}

async fn wal(repo: &Repo, path: &ObjectPath, out: &mut dyn Write) -> Result<()> {
    let (stanza, archive_id, file) = wal_file(path)?;
    let archive = WalArchive::new(repo.storage.clone(), &stanza, archive_id)?;
    let stored = archive.find(file).await?.filter(|stored| stored.path == *path);
    let stored = stored.ok_or_else(|| Error::Check {
        what: format!("'{path}' is not the path of '{file}'"),
        code: ErrorCode::FileInvalid,
        hint: "use --raw for its stored bytes".to_owned(),
    })?;
    let (sender, mut chunks) = mpsc::channel::<Bytes>(QUEUE);
    let write = async {
        let mut written = Ok(());
        while let Some(chunk) = chunks.recv().await {
            written = out.write_all(&chunk);
            if written.is_err() {
                break;
            }
        }
        drop(chunks);
        written.and_then(|()| out.flush())
    };
    // The sink comes back at the end; dropped at once, it ends the queue.
    let read = async { archive.read(&stored, Hand(sender)).await.map(drop) };
    let (written, read) = tokio::join!(write, read);
    written?;
    Ok(read?)
}

/// The stanza, the archive and the file that a path below `archive` names.
fn wal_file(path: &ObjectPath) -> Result<(StanzaName, ArchiveId, ArchiveFile)> {
    let elsewhere = || Error::Check {
        what: format!("'{path}' is a WAL file outside of '{ARCHIVE_ROOT}'"),
        code: ErrorCode::FileInvalid,
        hint: "use --raw for its stored bytes".to_owned(),
    };
    let mut parts = path.as_str().split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(ARCHIVE_ROOT), Some(stanza), Some(archive_id)) => {
            let file = path.file_name().split('-').next().unwrap_or_default();
            Ok((stanza.parse()?, archive_id.parse()?, file.parse()?))
        }
        _ => Err(elsewhere()),
    }
}

#[cfg(test)]
mod tests;
