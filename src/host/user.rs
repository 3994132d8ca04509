//! Users of this host, and whose the files are that root makes.

use std::{
    fmt,
    io::{self, Read},
    os::fd::AsFd,
};

use rustix::{fs, process};

/// The file that names users; longer ones are not read to their end.
const PASSWD: &str = "/etc/passwd";
const PASSWD_MAX: u64 = 1 << 20;

/// A user, shown by name where the host knows one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User(u32);

impl User {
    /// The user root.
    pub const ROOT: Self = Self(0);

    /// The user that this process runs as.
    pub fn current() -> Self {
        Self(process::geteuid().as_raw())
    }

    /// The user of that number.
    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    /// The number of the user.
    pub const fn id(self) -> u32 {
        self.0
    }

    /// Whether it is root.
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

/// Only messages show it, so that the file is read only for them.
fn name_of(id: u32) -> Option<String> {
    let mut text = String::new();
    std::fs::File::open(PASSWD).ok()?.take(PASSWD_MAX).read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

/// Gives what root has just made to the owner of the directory it is in, so that one command as root does not lock the
/// usual user out. Made by any other user, it is left as it is.
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
