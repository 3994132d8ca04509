//! The files that say which host has which key, in OpenSSH's format (`sshd(8)`, SSH_KNOWN_HOSTS FILE FORMAT).
//!
//! Plain, hashed and wildcard names, `[host]:port` and `@revoked` are understood; `@cert-authority` is passed over,
//! because certificates of hosts are not asked for.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use openssl::{hash::MessageDigest, memcmp, pkey::PKey, sign::Signer};

use super::fingerprint::decode_base64;
use crate::host::read_small_file;

/// The port that is left out of names.
const DEFAULT_PORT: u16 = 22;
/// The largest file that is read, in bytes: some 100,000 hosts.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What the files say of one host.
#[derive(Debug, Default)]
pub(super) struct KnownHosts {
    entries: Vec<Entry>,
}

/// A line that speaks of the host.
#[derive(Debug)]
struct Entry {
    file: PathBuf,
    line: usize,
    /// Such as `ssh-ed25519`.
    key_type: String,
    key: Vec<u8>,
    meaning: Meaning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// The key is one of the host's.
    Trusted,
    /// The key is that of the host at the usual port, which counts where nothing is said of the port in question.
    TrustedAtDefaultPort,
    /// The key must not be used by anyone.
    Revoked,
}

/// What is to be thought of a key that a host shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the host's.
    Known,
    /// Nothing is known of the host.
    Unknown,
    /// The host has other keys; the first line that says so.
    Changed(PathBuf, usize),
    /// It is marked as revoked on this line.
    Revoked(PathBuf, usize),
}

impl KnownHosts {
    /// Reads the files; those that do not exist say nothing, one that cannot be read is an error.
    pub(super) fn load(
        files: &[PathBuf],
        host: &str,
        port: u16,
    ) -> Result<Self, (PathBuf, io::Error)> {
        let mut known = Self::default();
        for file in files {
            match read_small_file(file, FILE_BYTES_MAX) {
                Ok(bytes) => known.read(file, &String::from_utf8_lossy(&bytes), host, port),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err((file.clone(), error)),
            }
        }
        Ok(known)
    }

    fn read(&mut self, file: &Path, text: &str, host: &str, port: u16) {
        for (index, line) in text.lines().enumerate() {
            let Some((meaning, key_type, key)) = read_line(line, host, port) else { continue };
            let (file, line) = (file.to_owned(), index + 1);
            self.entries.push(Entry { file, line, key_type: key_type.to_owned(), key, meaning });
        }
    }

    /// Judges a key.
    pub(super) fn judge(&self, key: &[u8]) -> Verdict {
        let of = |meaning: Meaning| self.entries.iter().filter(move |e| e.meaning == meaning);
        let same = |entry: &&Entry| entry.key == key;
        if let Some(entry) = of(Meaning::Revoked).find(same) {
            return Verdict::Revoked(entry.file.clone(), entry.line);
        }
        if of(Meaning::Trusted).any(|e| e.key == key) {
            return Verdict::Known;
        }
        if let Some(entry) = of(Meaning::Trusted).next() {
            return Verdict::Changed(entry.file.clone(), entry.line);
        }
        match of(Meaning::TrustedAtDefaultPort).any(|e| e.key == key) {
            true => Verdict::Known,
            false => Verdict::Unknown,
        }
    }

    /// The types of the keys that would be trusted: the host is asked for one of these first.
    pub(super) fn key_types(&self) -> impl Iterator<Item = &str> {
        let trusted = self.entries.iter().filter(|entry| entry.meaning != Meaning::Revoked);
        trusted.map(|entry| entry.key_type.as_str())
    }
}

/// The name of a host as the files write it.
pub(super) fn name_of(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    match port {
        DEFAULT_PORT => host,
        _ => format!("[{host}]:{port}"),
    }
}

/// What a line says of the host, if anything.
fn read_line<'a>(line: &'a str, host: &str, port: u16) -> Option<(Meaning, &'a str, Vec<u8>)> {
    let mut words = line.split_ascii_whitespace();
    let mut names = words.next().filter(|word| !word.starts_with('#'))?;
    let mut revoked = false;
    if names.starts_with('@') {
        revoked = names == "@revoked";
        names = words.next().filter(|_| revoked)?;
    }
    let (key_type, key) = (words.next()?, decode_base64(words.next()?)?);
    let exact = names_host(names, &name_of(host, port));
    let plain = || names_host(names, &name_of(host, DEFAULT_PORT));
    let meaning = match (revoked, exact) {
        (true, _) if exact || plain() => Meaning::Revoked,
        (false, true) => Meaning::Trusted,
        (false, false) if plain() => Meaning::TrustedAtDefaultPort,
        _ => return None,
    };
    Some((meaning, key_type, key))
}

/// Whether a list of names and patterns speaks of a host; one that excludes it counts more than all others.
fn names_host(names: &str, host: &str) -> bool {
    let mut found = false;
    for name in names.split(',') {
        if let Some(hashed) = name.strip_prefix("|1|") {
            found |= is_hash_of(hashed, host);
        } else if let Some(excluded) = name.strip_prefix('!') {
            if matches(excluded.to_lowercase().as_bytes(), host.as_bytes()) {
                return false;
            }
        } else {
            found |= matches(name.to_lowercase().as_bytes(), host.as_bytes());
        }
    }
    found
}

/// `salt|hash`: the hash is HMAC-SHA1 of the name, keyed with the salt.
fn is_hash_of(hashed: &str, host: &str) -> bool {
    let made = || {
        let (salt, expected) = hashed.split_once('|')?;
        let (salt, expected) = (decode_base64(salt)?, decode_base64(expected)?);
        let key = PKey::hmac(&salt).ok()?;
        let mut signer = Signer::new(MessageDigest::sha1(), &key).ok()?;
        let found = signer.sign_oneshot_to_vec(host.as_bytes()).ok()?;
        Some(found.len() == expected.len() && memcmp::eq(&found, &expected))
    };
    made().unwrap_or(false)
}

/// Whether `*` (anything) and `?` (one character) make `text` out of `pattern`.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stands, and the text that it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((star_p, star_t)) = star else { return false };
                star = Some((star_p, star_t + 1));
                (p, t) = (star_p + 1, star_t + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Adds a key of a host to a file, durably; makes the file and its directory where they are missing.
pub(super) fn append(file: &Path, host: &str, port: u16, key: &str) -> io::Result<()> {
    let directory =
        file.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let ends_well = ends_with_line_feed(file).unwrap_or(true);
    let mut opened = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    let newline = if ends_well { "" } else { "\n" };
    // One write: lines of several programs do not mix.
    opened.write_all(format!("{newline}{} {key}\n", name_of(host, port)).as_bytes())?;
    opened.sync_all()?;
    fs::File::open(directory)?.sync_all()
}

/// Whether a new line can begin at the end of the file.
fn ends_with_line_feed(file: &Path) -> io::Result<bool> {
    let mut file = fs::File::open(file)?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests;
