//! What a finished program left behind: exit code, output, time taken; and the assertions on it.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Longer than anything a test runs; reached only by a program that hangs.
const DEADLINE: Duration = Duration::from_secs(180);

/// A finished run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The command line, for messages.
    pub(crate) command: String,
    /// The exit code; minus the signal's number where a signal ended the program.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) elapsed: Duration,
}

impl Outcome {
    /// Panics unless the exit code is 0.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.code(0)
    }

    /// Panics unless the exit code is `expected`.
    #[track_caller]
    pub(crate) fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, expected, "{self}");
        self
    }

    /// Panics unless the exit code is one of `expected`.
    #[track_caller]
    pub(crate) fn code_in(self, expected: &[i32]) -> Self {
        assert!(expected.contains(&self.code), "expected one of {expected:?}: {self}");
        self
    }

    /// Panics if the program succeeded.
    #[track_caller]
    pub(crate) fn failed(self) -> Self {
        assert_ne!(self.code, 0, "should have failed: {self}");
        self
    }

    /// Panics unless standard output or standard error holds `text`.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.has(text), "does not say '{text}': {self}");
        self
    }

    /// Panics if standard output or standard error holds `text`.
    #[track_caller]
    pub(crate) fn never_says(self, text: &str) -> Self {
        assert!(!self.has(text), "says '{text}': {self}");
        self
    }

    /// Panics unless the program was done within the limit.
    #[track_caller]
    pub(crate) fn within_ms(self, limit_ms: u128) -> Self {
        assert!(self.elapsed.as_millis() <= limit_ms, "took {:?}: {self}", self.elapsed);
        self
    }

    /// Whether standard output or standard error holds `text`.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.stdout.contains(text) || self.stderr.contains(text)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "exit code {} after {:?}: {}", self.code, self.elapsed, self.command)?;
        writeln!(f, "--- stdout\n{}", self.stdout)?;
        writeln!(f, "--- stderr\n{}", self.stderr)
    }
}

/// A started program whose output is being collected.
pub(crate) struct Collected {
    child: Child,
    command: String,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
    started: Instant,
}

/// Starts a command and collects its output.
pub(crate) fn start(command: &mut Command) -> Collected {
    let shown = format!("{command:?}");
    let started = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {shown}: {error}"));
    let stdout = collect(child.stdout.take().expect("piped"));
    let stderr = collect(child.stderr.take().expect("piped"));
    Collected { child, command: shown, stdout, stderr, started }
}

fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Collected {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the program still runs.
    pub(crate) fn running(&mut self) -> bool {
        self.child.try_wait().expect("child can be waited for").is_none()
    }

    /// Waits for the end; a program that hangs is killed and the test fails.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Outcome {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("child can be waited for") {
                break status;
            }
            if self.started.elapsed() > DEADLINE {
                let _ = self.child.kill();
                panic!("still running after {DEADLINE:?}: {}", self.command);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let elapsed = self.started.elapsed();
        let signal = std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0);
        Outcome {
            command: self.command,
            code: status.code().unwrap_or(-signal),
            stdout: self.stdout.join().unwrap_or_default(),
            stderr: self.stderr.join().unwrap_or_default(),
            elapsed,
        }
    }
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Outcome {
    start(command).finish()
}

/// Runs a command that has to succeed and returns its standard output.
#[track_caller]
pub(crate) fn must_succeed(command: &mut Command) -> String {
    run(command).ok().stdout
}
