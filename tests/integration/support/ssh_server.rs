//! An SSH server with SFTP for one test: OpenSSH's own, as an ordinary process of the servers' user on a free port, with
//! keys of its own. It serves the file system as it is, so a repository has the same path on both sides.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    bent::{Bend, bend},
    host::{as_server_user, give_to_server_user, scratch},
    outcome::{must_succeed, run},
    relay::Relay,
    remote::Setting,
    version::servers_root,
    wait::wait_until,
};

/// A server, and what a client needs to know of it.
pub(crate) struct SshServer {
    dir: PathBuf,
    pub(crate) port: u16,
    child: Option<Child>,
    kind: Kind,
}

/// What is special about a server.
#[derive(Clone, Copy)]
enum Kind {
    Usual,
    /// It does not offer these requests.
    Without(&'static str),
    /// Its file system can be bent.
    Bent,
}

impl SshServer {
    /// Makes keys and starts the server.
    pub(crate) fn start() -> Self {
        Self::start_as(Kind::Usual)
    }

    /// A server that does not offer these requests: a list as `sftp-server -P` takes it.
    pub(crate) fn without(requests: &'static str) -> Self {
        Self::start_as(Kind::Without(requests))
    }

    /// A server on a file system that misbehaves on demand.
    pub(crate) fn bent() -> Self {
        Self::start_as(Kind::Bent)
    }

    fn start_as(kind: Kind) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = scratch().join(format!("ssh{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&dir).expect("scratch is writable");
        give_to_server_user(&dir);
        let probe = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = probe.local_addr().expect("bound").port();
        drop(probe);
        let mut server = Self { dir, port, child: None, kind };
        server.make_key("host_ed25519", &["-t", "ed25519", "-N", ""]);
        server.make_key("host_rsa", &["-t", "rsa", "-b", "2048", "-N", ""]);
        server.make_key("id", &["-t", "ed25519", "-N", ""]);
        server.write("authorized_keys", &server.public("id"));
        server.write("known_hosts", &server.known_host("host_ed25519"));
        server.start_again();
        server
    }

    /// A file of the server and its clients.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A path as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file that the servers' user owns.
    pub(crate) fn write(&self, name: &str, text: &str) {
        super::write_file(&self.path(name), text);
    }

    /// Makes a pair of keys with `ssh-keygen`.
    pub(crate) fn make_key(&self, name: &str, options: &[&str]) {
        must_succeed(
            as_server_user(tool("ssh-keygen"))
                .args(["-q", "-f"])
                .arg(self.path(name))
                .args(options),
        );
    }

    /// The public key of a pair.
    pub(crate) fn public(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.pub"))).expect("made before")
    }

    /// The line of a known-hosts file for one of the host's keys.
    pub(crate) fn known_host(&self, key: &str) -> String {
        format!("[127.0.0.1]:{} {}", self.port, self.public(key))
    }

    /// Whether OpenSSH's own client is offered an extension.
    pub(crate) fn offers(&self, extension: &str) -> bool {
        let mut command = as_server_user(tool("sftp"));
        command.args(["-vv", "-b", "/dev/null", "-F", "none", "-P", &self.port.to_string(), "-i"]);
        command.arg(self.path("id"));
        let known = format!("UserKnownHostsFile={}", self.text("known_hosts"));
        command.args(["-o", &known, &format!("{}@127.0.0.1", self.user())]);
        let said = run(&mut command).ok().stderr;
        assert!(said.contains("Remote version"), "{said}");
        said.contains(&format!("\"{extension}\""))
    }

    /// Lets the file system misbehave, or no longer.
    pub(crate) fn bend(&self, how: Bend, on: bool) {
        match on {
            true => self.write(how.file(), ""),
            false => fs::remove_file(self.path(how.file())).expect("it was bent"),
        }
    }

    /// The options of a repository behind a relay to this server.
    pub(crate) fn options_through(&self, relay: &Relay) -> Vec<Setting> {
        let host = format!("[127.0.0.1]:{} {}", relay.port, self.public("host_ed25519"));
        self.write("known_hosts", &(self.known_host("host_ed25519") + &host));
        let mut options = self.options();
        options.retain(|(name, _)| *name != "repo1-sftp-host-port");
        options.push(("repo1-sftp-host-port", relay.port.to_string()));
        options
    }

    /// The fingerprint of a host key, as `ssh-keygen` prints it.
    pub(crate) fn fingerprint(&self, key: &str, hash: &str) -> String {
        let mut command = as_server_user(tool("ssh-keygen"));
        let printed = must_succeed(command.args(["-l", "-E", hash, "-f"]).arg(self.path(key)));
        printed.split(' ').nth(1).expect("size, fingerprint, comment").to_owned()
    }

    /// The name of the user that the server runs as, and lets in.
    pub(crate) fn user(&self) -> String {
        must_succeed(as_server_user(tool("id")).arg("-un")).trim().to_owned()
    }

    /// The options of a repository behind this server, in the form of the configuration file.
    pub(crate) fn options(&self) -> Vec<Setting> {
        vec![
            ("repo1-type", "sftp".into()),
            ("repo1-sftp-host", "127.0.0.1".into()),
            ("repo1-sftp-host-port", self.port.to_string()),
            ("repo1-sftp-host-user", self.user()),
            ("repo1-sftp-private-key-file", self.text("id")),
            ("repo1-sftp-known-host", self.text("known_hosts")),
        ]
    }

    /// Starts the server, with the same port and keys as before.
    pub(crate) fn start_again(&mut self) {
        let sshd = servers_root().join("openssh/usr/sbin/sshd");
        assert!(sshd.exists(), "{} is missing: run scripts/install-test-servers", sshd.display());
        self.write("sshd_config", &self.config());
        let log = fs::File::create(self.path("sshd.log")).expect("writable");
        let mut command = as_server_user(&sshd);
        command.args(["-D", "-e", "-f"]).arg(self.path("sshd_config"));
        if let Kind::Bent = self.kind {
            bend(&mut command, &self.dir);
        }
        let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("sshd starts");
        self.child = Some(child);
        wait_until("the SSH server listens", 30, || {
            let child = self.child.as_mut().expect("started");
            assert!(child.try_wait().expect("a child").is_none(), "sshd ended: {}", self.log());
            std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    fn config(&self) -> String {
        let mut text = format!(
            "ListenAddress 127.0.0.1\nPort {}\nPidFile none\nHostKey {}\nHostKey {}\nAuthorizedKeysFile {}\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             Subsystem sftp internal-sftp -l VERBOSE {}\nMaxStartups 100\nLogLevel VERBOSE\n",
            self.port,
            self.text("host_ed25519"),
            self.text("host_rsa"),
            self.text("authorized_keys"),
            if let Kind::Without(requests) = self.kind {
                format!("-P {requests}")
            } else {
                String::new()
            },
        );
        // Newer servers are several programs, each looked for where the package would have put it.
        for (option, name) in [("SshdSessionPath", "sshd-session"), ("SshdAuthPath", "sshd-auth")] {
            let program = servers_root().join("openssh/usr/lib/openssh").join(name);
            if program.exists() {
                text.push_str(&format!("{option} {}\n", program.display()));
            }
        }
        text
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("sshd.log")).unwrap_or_default()
    }

    /// Stops every process of the server where it is, or lets all go on.
    pub(crate) fn halt(&self, stopped: bool) {
        let Some(child) = &self.child else { return };
        let signal = if stopped { Signal::STOP } else { Signal::CONT };
        let all = [vec![child.id()], descendants(child.id())].concat();
        for pid in all.into_iter().filter_map(|pid| Pid::from_raw(pid as i32)) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Breaks every connection; says how many processes served them. The server goes on.
    pub(crate) fn break_connections(&self) -> usize {
        let Some(child) = &self.child else { return 0 };
        let sessions = descendants(child.id());
        for pid in sessions.iter().filter_map(|pid| Pid::from_raw(*pid as i32)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        sessions.len()
    }

    /// Stops the server and breaks every connection.
    pub(crate) fn stop(&mut self) {
        let sessions = self.child.as_ref().map(|child| descendants(child.id())).unwrap_or_default();
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for pid in sessions.iter().filter_map(|pid| Pid::from_raw(*pid as i32)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("--- end of the log of the SSH server");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// An agent that holds one key.
pub(crate) struct SshAgent {
    child: Child,
    pub(crate) socket: PathBuf,
}

impl SshAgent {
    /// Starts an agent and gives it the keys of these files.
    pub(crate) fn start(server: &SshServer, keys: &[&str]) -> Self {
        let socket = server.path("agent");
        let mut command = as_server_user(tool("ssh-agent"));
        command.args(["-D", "-a"]).arg(&socket).stdout(Stdio::null());
        let agent = Self { child: command.spawn().expect("ssh-agent starts"), socket };
        wait_until("the agent listens", 30, || agent.socket.exists());
        for key in keys {
            let mut add = as_server_user(tool("ssh-add"));
            must_succeed(add.env("SSH_AUTH_SOCK", &agent.socket).arg("-q").arg(server.path(key)));
        }
        agent
    }
}

impl Drop for SshAgent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tool(name: &str) -> PathBuf {
    let path = Path::new("/usr/bin").join(name);
    assert!(path.exists(), "{} is missing: run scripts/install-test-servers", path.display());
    path
}

/// All processes below one, deepest last.
fn descendants(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .expect("proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| Some((pid, parent_of(pid)?)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let above = found[next];
        found.extend(parents.iter().filter(|(_, parent)| *parent == above).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in parentheses and may hold anything.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}
