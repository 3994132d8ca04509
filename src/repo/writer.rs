//! Identifies the process that wrote a notice, so that it can be proven to have ended.
//!
//! A process id has no meaning outside its PID namespace or after a reboot, and containers may share a host name. So a
//! writer counts as gone only if host name, boot id and PID namespace are those of this process, and its process id is
//! free or belongs to a process with another start time.

use std::{fs, os::unix::fs::MetadataExt};

use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Writer {
    /// Host name.
    pub host: String,
    /// Process id.
    pub process: u32,
    /// `/proc/sys/kernel/random/boot_id`: changes with every boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot_id: Option<String>,
    /// Inode of the PID namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pid_namespace: Option<u64>,
    /// Clock ticks from boot to the start of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process_start: Option<u64>,
}

impl Writer {
    /// This process.
    pub fn current() -> Self {
        let process = std::process::id();
        Self {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            process,
            boot_id: boot_id(),
            pid_namespace: pid_namespace(),
            process_start: own_start(process),
        }
    }

    /// Whether the process is proven to have ended; `false` if it runs or nothing can be proven from this host.
    pub fn is_gone(&self) -> bool {
        self.is_gone_for(&Self::current())
    }

    fn is_gone_for(&self, here: &Self) -> bool {
        let same_kernel = self.boot_id.is_some() && self.boot_id == here.boot_id;
        let same_namespace =
            self.pid_namespace.is_some() && self.pid_namespace == here.pid_namespace;
        // A process without a start time of its own does not see its own namespace in /proc.
        let sees_processes = here.process_start.is_some();
        if self.host != here.host || !same_kernel || !same_namespace || !sees_processes {
            return false;
        }
        let Some(pid) = i32::try_from(self.process).ok().and_then(Pid::from_raw) else {
            return false;
        };
        match test_kill_process(pid) {
            Err(Errno::SRCH) => true,
            Err(_) | Ok(()) => match (self.process_start, start_of(&self.process.to_string())) {
                (Some(then), Some((_, now))) => then != now,
                _ => false,
            },
        }
    }
}

#[cfg(test)]
impl Writer {
    /// A process of which nothing but host name and number is known, as older versions wrote.
    pub(crate) fn named(host: &str, process: u32) -> Self {
        let host = host.to_owned();
        Self { host, process, boot_id: None, pid_namespace: None, process_start: None }
    }

    /// A process of this host that has ended.
    pub(crate) fn ended() -> Self {
        // The greatest process number there is, which no process has.
        Self { process: i32::MAX as u32, ..Self::current() }
    }
}

fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let text = text.trim();
    (text.len() == 36).then(|| text.to_owned())
}

fn pid_namespace() -> Option<u64> {
    fs::metadata("/proc/self/ns/pid").ok().map(|found| found.ino())
}

/// The start time of this process; `None` if /proc is that of another PID namespace.
fn own_start(process: u32) -> Option<u64> {
    start_of("self").filter(|(number, _)| *number == process).map(|(_, start)| start)
}

/// Process id and start time (`proc_pid_stat(5)`, fields 1 and 22). The command name in field 2 may contain spaces and
/// parentheses, so fields are counted from the last parenthesis.
fn start_of(process: &str) -> Option<(u32, u64)> {
    let stat = fs::read(format!("/proc/{process}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let number = stat.split_once(' ')?.0.parse().ok()?;
    let start = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    Some((number, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_runs_is_not_gone_and_one_that_ended_is() {
        let here = Writer::current();
        assert!(here.boot_id.is_some() && here.pid_namespace.is_some(), "{here:?}");
        assert!(here.process_start.is_some(), "{here:?}");
        assert!(!here.is_gone());
        assert!(Writer::ended().is_gone());
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let start = start_of(&child.id().to_string()).unwrap().1;
        let running =
            Writer { process: child.id(), process_start: Some(start), ..Writer::current() };
        assert!(!running.is_gone());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(running.is_gone());
    }

    #[test]
    fn a_process_number_that_another_process_has_by_now_is_no_sign_of_life() {
        let here = Writer::current();
        let earlier = Writer { process_start: here.process_start.map(|start| start - 1), ..here };
        assert!(earlier.is_gone());
    }

    #[test]
    fn the_end_of_a_process_elsewhere_is_never_believed() {
        let ended = Writer::ended();
        let other = [
            Writer { host: "elsewhere".to_owned(), ..ended.clone() },
            // The kernel was started again, or it is another machine of this name.
            Writer { boot_id: Some("0".repeat(36)), ..ended.clone() },
            // Another container of this machine.
            Writer { pid_namespace: ended.pid_namespace.map(|inode| inode + 1), ..ended.clone() },
            // An older version wrote the notice.
            Writer::named(&ended.host, ended.process),
        ];
        for writer in other {
            assert!(!writer.is_gone(), "{writer:?}");
        }
        let blind = Writer { process_start: None, ..Writer::current() };
        assert!(!ended.is_gone_for(&blind));
    }
}
