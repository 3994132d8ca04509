//! `stop`: forbids commands on a stanza, or on all; with `--force` ends those that run.

use std::io::Write;

use rustix::process::{Pid, Signal, kill_process};

use super::{Result, context};
use crate::{
    config::Config,
    repo::lock::{self, LockState},
};

/// Creates the stop file, and asks running commands to end where `--force` is given.
pub(super) async fn run(config: &Config, _out: &mut dyn Write) -> Result<u8> {
    let stanza = config.stanza.as_ref();
    if !lock::stop(&context::lock_path(config), stanza)? {
        let whom = stanza.map_or("all stanzas".to_owned(), |stanza| format!("stanza {stanza}"));
        tracing::warn!("stop file already exists for {whom}");
    }
    if config.force {
        let mut holders = lock::holders(&context::lock_path(config), stanza)?;
        holders.sort_by_key(|holder| holder.pid);
        holders.dedup_by_key(|holder| holder.pid);
        holders.iter().for_each(terminate);
    }
    Ok(0)
}

/// Asks the holder of a lock to end. It releases the lock by itself, in its own time.
fn terminate(holder: &LockState) {
    let pid = i32::try_from(holder.pid).ok().and_then(Pid::from_raw);
    let sent = pid.map(|pid| kill_process(pid, Signal::TERM));
    match sent {
        Some(Ok(())) => tracing::info!("sent term signal to process {}", holder.pid),
        Some(Err(error)) => {
            tracing::warn!("unable to send term signal to process {}: {error}", holder.pid);
        }
        None => tracing::warn!("a lock is held by a process whose ID is not in the lock file"),
    }
}
