//! Users of this host, and the owner of files created by root.

use std::{
    fmt,
    io::{self, Read},
    os::fd::AsFd,
};

use rustix::{fs, process};

/// The password file, read up to this size.
const PASSWD: &str = "/etc/passwd";
const PASSWD_MAX: u64 = 1 << 20;

/// A user, displayed by name if /etc/passwd has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User(u32);

impl User {
    pub const ROOT: Self = Self(0);

    /// The effective user of this process.
    pub fn current() -> Self {
        Self(process::geteuid().as_raw())
    }

    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    pub const fn id(self) -> u32 {
        self.0
    }

    pub fn is_root(self) -> bool {
        self == Self::ROOT
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match name_of(self.0) {
            Some(name) => write!(f, "{name}"),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Needed for messages only, so the file is not read before.
fn name_of(id: u32) -> Option<String> {
    let mut text = String::new();
    std::fs::File::open(PASSWD).ok()?.take(PASSWD_MAX).read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

/// If root created the file, changes its owner to that of the directory, so that a command run as root does not lock
/// out the usual user. Does nothing for other users.
pub fn give_to_owner_of(directory: impl AsFd, made: impl AsFd) -> io::Result<()> {
    if !User::current().is_root() {
        return Ok(());
    }
    let owner = fs::fstat(directory)?;
    if owner.st_uid == 0 && owner.st_gid == 0 {
        return Ok(());
    }
    let (uid, gid) = (fs::Uid::from_raw(owner.st_uid), fs::Gid::from_raw(owner.st_gid));
    Ok(fs::fchown(made, Some(uid), Some(gid))?)
}
