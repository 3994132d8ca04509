//! One connection with SFTP on it: each method is one request, or the few that make one look.

use std::{
    collections::HashMap,
    fmt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::Bytes;
use russh::client::Handle;
use russh_sftp::{
    client::{RawSftpSession, error::Error as SftpError},
    extensions::{FSYNC, HARDLINK, LimitsExtension, STATVFS},
    protocol::{FileAttributes, OpenFlags},
};

use super::{
    failure::{Answer, Refusal},
    host_key::HostKeyVerifier,
};

/// Bytes of one read or write: large enough to cost little, small enough that several are under way.
const PIECE_MAX: usize = 128 << 10;
/// What every server takes.
const PIECE_EVERYWHERE: usize = 32 << 10;
/// Names in one directory: no repository comes near, and memory must not be a matter of what a server sends.
const NAMES_MAX: usize = 4_000_000;
/// Room below which a failed write is taken for one of a full disk.
const ROOM_MIN: u64 = 1 << 20;

/// Mode of an object's file.
const FILE_MODE: u32 = 0o640;
/// Mode of the directories that are made.
const DIRECTORY_MODE: u32 = 0o750;

/// A connection in use.
pub(super) struct Session {
    sftp: RawSftpSession,
    /// Dropped with the session, which ends the connection.
    connection: Handle<HostKeyVerifier>,
    offers: Offers,
    broken: AtomicBool,
    /// Objects being read or written on it.
    pub(super) streams: AtomicUsize,
}

/// What the server can do beyond the protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offers {
    hardlink: bool,
    fsync: bool,
    statvfs: bool,
    read_max: usize,
    write_max: usize,
}

impl Offers {
    pub(super) fn of(extensions: &HashMap<String, String>) -> Self {
        let offers = |name: &str| extensions.contains_key(name);
        Self {
            hardlink: offers(HARDLINK),
            fsync: offers(FSYNC),
            statvfs: offers(STATVFS),
            read_max: PIECE_EVERYWHERE,
            write_max: PIECE_EVERYWHERE,
        }
    }

    /// Takes over the sizes that the server names; zero stands for none.
    pub(super) fn limit(&mut self, limits: &LimitsExtension) {
        let piece = |len: u64| match usize::try_from(len) {
            Ok(0) => PIECE_EVERYWHERE,
            Ok(len) => len.min(PIECE_MAX),
            Err(_) => PIECE_MAX,
        };
        (self.read_max, self.write_max) = (piece(limits.max_read_len), piece(limits.max_write_len));
    }
}

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) kind: Kind,
    pub(super) size: u64,
    /// Seconds since 1970, by the server's clock.
    pub(super) modified: Option<i64>,
}

/// The kinds of thing that a name can stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Link,
    Other,
}

/// A name in a directory; what stands there is not always told.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) look: Option<Look>,
}

impl Look {
    /// `None` where the server does not tell enough.
    fn of(attributes: &FileAttributes) -> Option<Self> {
        let kind = match attributes.permissions? & 0o170_000 {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Link,
            _ => Kind::Other,
        };
        let size = match (kind, attributes.size) {
            (Kind::File, None) => return None,
            (_, size) => size.unwrap_or_default(),
        };
        Some(Self { kind, size, modified: attributes.mtime.map(i64::from) })
    }
}

impl Session {
    pub(super) fn new(
        sftp: RawSftpSession,
        connection: Handle<HostKeyVerifier>,
        offers: Offers,
    ) -> Self {
        let (broken, streams) = (AtomicBool::new(false), AtomicUsize::new(0));
        Self { sftp, connection, offers, broken, streams }
    }

    /// Whether it can still be used.
    pub(super) fn is_alive(&self) -> bool {
        !self.broken.load(Ordering::Relaxed) && !self.connection.is_closed()
    }

    /// Whether the server can make a file durable.
    pub(super) fn can_sync(&self) -> bool {
        self.offers.fsync
    }

    /// Whether the server makes links, which is creating a name without replacing one.
    pub(super) fn can_link(&self) -> bool {
        self.offers.hardlink
    }

    /// Bytes of one read.
    pub(super) fn read_max(&self) -> usize {
        self.offers.read_max
    }

    fn answer<T>(&self, answer: Result<T, SftpError>) -> Answer<T> {
        answer.map_err(|error| {
            let refusal = Refusal::from(error);
            if matches!(refusal, Refusal::Broken(_)) {
                self.broken.store(true, Ordering::Relaxed);
            }
            refusal
        })
    }

    /// Looks at a name without following a link.
    pub(super) async fn look(&self, path: &str) -> Answer<Look> {
        let attributes = self.answer(self.sftp.lstat(path).await)?.attrs;
        Look::of(&attributes).ok_or_else(silent)
    }

    /// Looks at what a name leads to.
    pub(super) async fn look_through(&self, path: &str) -> Answer<Look> {
        let attributes = self.answer(self.sftp.stat(path).await)?.attrs;
        Look::of(&attributes).ok_or_else(silent)
    }

    /// Looks at an open file.
    pub(super) async fn look_at(&self, handle: &str) -> Answer<Look> {
        let attributes = self.answer(self.sftp.fstat(handle).await)?.attrs;
        Look::of(&attributes).ok_or_else(silent)
    }

    /// Opens a file to read it.
    pub(super) async fn open(&self, path: &str) -> Answer<String> {
        self.open_as(path, OpenFlags::READ, FileAttributes::empty()).await
    }

    /// Opens a file that was begun before, to continue with it and to read it back.
    pub(super) async fn reopen(&self, path: &str) -> Answer<String> {
        self.open_as(path, OpenFlags::READ | OpenFlags::WRITE, FileAttributes::empty()).await
    }

    /// Makes a file that is not there.
    pub(super) async fn create(&self, path: &str) -> Answer<String> {
        let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUDE;
        self.open_as(path, flags, mode(FILE_MODE)).await
    }

    async fn open_as(
        &self,
        path: &str,
        flags: OpenFlags,
        attributes: FileAttributes,
    ) -> Answer<String> {
        Ok(self.answer(self.sftp.open(path, flags, attributes).await)?.handle)
    }

    pub(super) async fn close(&self, handle: &str) -> Answer<()> {
        self.answer(self.sftp.close(handle).await).map(drop)
    }

    /// Reads exactly `len` bytes; `End` if there are fewer.
    pub(super) async fn read(&self, handle: &str, offset: u64, len: usize) -> Answer<Bytes> {
        let mut bytes = self.read_some(handle, offset, len).await?;
        while bytes.len() < len {
            let at = offset + bytes.len() as u64;
            let more = self.read_some(handle, at, len - bytes.len()).await?;
            bytes.extend_from_slice(&more);
        }
        Ok(bytes.into())
    }

    async fn read_some(&self, handle: &str, offset: u64, len: usize) -> Answer<Vec<u8>> {
        let len = len.min(self.offers.read_max);
        let bytes = self.answer(self.sftp.read(handle, offset, len as u32).await)?.data;
        match bytes.len() {
            0 => Err(Refusal::End),
            found if found > len => {
                Err(Refusal::Failed("the server sent more than was requested".into()))
            }
            _ => Ok(bytes),
        }
    }

    /// Writes all of the bytes.
    pub(super) async fn write(&self, handle: &str, mut offset: u64, bytes: &[u8]) -> Answer<()> {
        for piece in bytes.chunks(self.offers.write_max) {
            self.answer(self.sftp.write(handle, offset, piece.to_vec()).await)?;
            offset += piece.len() as u64;
        }
        Ok(())
    }

    /// Makes a file durable, where the server can.
    pub(super) async fn sync(&self, handle: &str) -> Answer<()> {
        match self.offers.fsync {
            true => self.answer(self.sftp.fsync(handle).await).map(drop),
            false => Ok(()),
        }
    }

    /// Gives a file a second name that must be free.
    pub(super) async fn link(&self, old: &str, new: &str) -> Answer<()> {
        self.answer(self.sftp.hardlink(old, new).await).map(drop)
    }

    /// Gives a file another name. By the protocol it must be free; not every server looks.
    pub(super) async fn rename(&self, old: &str, new: &str) -> Answer<()> {
        self.answer(self.sftp.rename(old, new).await).map(drop)
    }

    pub(super) async fn remove(&self, path: &str) -> Answer<()> {
        self.answer(self.sftp.remove(path).await).map(drop)
    }

    pub(super) async fn make_directory(&self, path: &str) -> Answer<()> {
        self.answer(self.sftp.mkdir(path, mode(DIRECTORY_MODE)).await).map(drop)
    }

    pub(super) async fn remove_directory(&self, path: &str) -> Answer<()> {
        self.answer(self.sftp.rmdir(path).await).map(drop)
    }

    /// The names in a directory. Those that cannot be names of one component are left out: nothing that a server
    /// sends leads out of the directory.
    pub(super) async fn read_directory(&self, path: &str) -> Answer<Vec<Item>> {
        let handle = self.answer(self.sftp.opendir(path).await)?.handle;
        let listed = self.read_names(&handle).await;
        // What was listed is good whatever becomes of the handle.
        let _ = self.close(&handle).await;
        listed
    }

    async fn read_names(&self, handle: &str) -> Answer<Vec<Item>> {
        let mut items = Vec::new();
        loop {
            match self.answer(self.sftp.readdir(handle).await) {
                Ok(names) if names.files.is_empty() => return Ok(items),
                Ok(names) => items.extend(names.files.into_iter().filter_map(|file| {
                    let look = Look::of(&file.attrs);
                    is_name(&file.filename).then_some(Item { name: file.filename, look })
                })),
                Err(Refusal::End) => return Ok(items),
                Err(refusal) => return Err(refusal),
            }
            if items.len() > NAMES_MAX {
                return Err(Refusal::Failed(format!("it has more than {NAMES_MAX} entries")));
            }
        }
    }

    /// Whether the file system of `path` has no room, as far as the server tells.
    pub(super) async fn is_full(&self, path: &str) -> bool {
        if !self.offers.statvfs {
            return false;
        }
        let Ok(found) = self.answer(self.sftp.statvfs(path).await) else { return false };
        let room = found.blocks_avail.saturating_mul(found.fragment_size);
        room < ROOM_MIN || (found.inodes > 0 && found.inodes_avail == 0)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("offers", &self.offers)
            .field("broken", &self.broken)
            .finish()
    }
}

fn silent() -> Refusal {
    Refusal::Failed("the server does not return the file type".into())
}

fn mode(permissions: u32) -> FileAttributes {
    FileAttributes { permissions: Some(permissions), ..FileAttributes::empty() }
}

/// A name that is not text comes with replacement characters and is no name of ours.
fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0', char::REPLACEMENT_CHARACTER])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_single_components_are_names() {
        for name in ["a", ".hidden", "...", "with space", "日本", "back\\slash"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "/etc/passwd", "../x", "a\0b", "b\u{fffd}d"] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn what_the_server_does_not_tell_is_not_made_up() {
        let attributes = |permissions, size| FileAttributes {
            permissions,
            size,
            mtime: Some(7),
            ..FileAttributes::empty()
        };
        assert_eq!(Look::of(&attributes(None, Some(1))), None);
        assert_eq!(Look::of(&attributes(Some(0o100_640), None)), None);
        let look = Look::of(&attributes(Some(0o100_640), Some(5))).unwrap();
        assert_eq!(look, Look { kind: Kind::File, size: 5, modified: Some(7) });
        assert_eq!(Look::of(&attributes(Some(0o040_750), None)).unwrap().kind, Kind::Directory);
        assert_eq!(Look::of(&attributes(Some(0o120_777), None)).unwrap().kind, Kind::Link);
        assert_eq!(Look::of(&attributes(Some(0o140_777), None)).unwrap().kind, Kind::Other);
    }
}
