//! A file system that hangs, like NFS whose server is down: FUSE without a server process. Calls into it wait in the
//! kernel, where no signal handler runs.

use std::{
    fs::{self, File, OpenOptions},
    path::Path,
    process::{Command, Stdio},
};

/// Mounts it in a namespace of the command.
const SCRIPT: &str = r#"
mount -i -t fuse -o fd=0,rootmode=40000,user_id=0,group_id=0,allow_other none "$1" || exit 99
shift
exec setpriv --reuid=postgres --regid=postgres --init-groups "$@" </dev/null
"#;

/// Runs commands for which a directory hangs. Only root can mount; needs `/dev/fuse`.
pub(crate) struct HungDirectory {
    /// The calls wait while it is open.
    device: File,
}

impl HungDirectory {
    pub(crate) fn new() -> Self {
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        Self { device: device.expect("the kernel has FUSE") }
    }

    /// The command, for which `directory` hangs.
    pub(crate) fn before(&self, directory: &Path, command: &Command) -> Command {
        let mut hung = Command::new("unshare");
        hung.args(["--mount", "sh", "-c", SCRIPT, "sh"]).arg(directory);
        hung.arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            hung.current_dir(directory);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => hung.env(name, value),
                None => hung.env_remove(name),
            };
        }
        hung.stdin(Stdio::from(self.device.try_clone().expect("a descriptor")));
        hung
    }
}

/// Whether a thread of the process is in uninterruptible sleep.
pub(crate) fn waits_in_the_kernel(process: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return false };
    threads.flatten().any(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|state| state.starts_with('D'))
            && fs::read_to_string(thread.path().join("comm"))
                .is_ok_and(|name| name.starts_with("pgstrata"))
    })
}
