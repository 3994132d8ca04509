//! Compares what a restore writes with the room there is. A guess from above: zeros become holes, and a file system
//! may compress, so too little room is a warning and no error.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::statvfs;

use super::existing::Existing;
use crate::{
    repo::file_list::FileEntry,
    restore::plan::{RestorePlan, Root},
};

/// A file system with less room than a restore may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The first directory of the restore on it.
    pub directory: PathBuf,
    /// What the restore adds, in bytes.
    pub needed: u64,
    /// What is free, in bytes.
    pub free: u64,
}

/// What goes to one file system.
struct Share {
    device: u64,
    directory: PathBuf,
    planned: u64,
    /// What is there now, and is replaced or kept.
    present: u64,
    free: u64,
}

/// The file systems on which there may not be room for the plan. One that cannot be looked at is left to the restore.
pub fn shortages(plan: &RestorePlan, existing: Existing) -> Vec<Shortage> {
    let mut shares: Vec<Share> = Vec::new();
    for root in &plan.layout.roots {
        let Some((device, free)) = file_system(&root.directory) else { continue };
        let planned = planned(plan, root);
        let present = match existing {
            Existing::Refuse => 0,
            _ => present(&root.directory, device),
        };
        match shares.iter_mut().find(|share| share.device == device) {
            Some(share) => {
                share.planned += planned;
                share.present += present;
            }
            None => {
                let directory = root.directory.clone();
                shares.push(Share { device, directory, planned, present, free });
            }
        }
    }
    let short = |share: Share| {
        let needed = share.planned.saturating_sub(share.present);
        let Share { directory, free, .. } = share;
        (needed > free).then_some(Shortage { directory, needed, free })
    };
    shares.into_iter().filter_map(short).collect()
}

/// Device and free bytes of the file system that a directory is on, or will be.
fn file_system(directory: &Path) -> Option<(u64, u64)> {
    let existing = directory.ancestors().find(|path| path.exists())?;
    let device = fs::metadata(existing).ok()?.dev();
    let room = statvfs(existing).ok()?;
    let blocks = match rustix::process::geteuid().is_root() {
        true => room.f_bfree,
        false => room.f_bavail,
    };
    Some((device, blocks.saturating_mul(room.f_frsize)))
}

/// The bytes that the plan writes into a root.
fn planned(plan: &RestorePlan, root: &Root) -> u64 {
    let others: Vec<&Root> =
        plan.layout.roots.iter().filter(|root| root.prefix.is_some()).collect();
    let in_root = |file: &&FileEntry| {
        let below = |root: &Root| {
            let prefix = root.prefix.as_ref().map_or(&b""[..], |prefix| prefix.as_bytes());
            let rest = file.path.as_bytes().strip_prefix(prefix);
            rest.is_some_and(|rest| rest.first() == Some(&b'/'))
        };
        match root.prefix {
            Some(_) => below(root),
            None => !others.iter().any(|other| below(other)),
        }
    };
    let files = plan.entries.files.iter().chain([&plan.entries.control]);
    files.filter(in_root).map(FileEntry::size).sum()
}

/// The bytes on disk below a directory, on its own file system.
fn present(directory: &Path, device: u64) -> u64 {
    let mut bytes = 0;
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match fs::symlink_metadata(entry.path()) {
                Ok(found) if found.dev() != device => {}
                Ok(found) if found.is_dir() => waiting.push(entry.path()),
                Ok(found) => bytes += found.blocks() * 512,
                Err(_) => {}
            }
        }
    }
    bytes
}
