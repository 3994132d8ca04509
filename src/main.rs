//! The `pgstrata` program: parse, run, print the error, exit code. Nothing else lives here.

use std::{
    env,
    ffi::{OsStr, OsString},
    io, iter,
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::{Duration, Instant},
};

use pgstrata::{
    cli::{self, Invocation},
    command,
    config::{Config, SystemFiles},
    types::{ErrorCode, Failure},
    ui::{self, Ui},
    work,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

/// How long work that was given up may still hold the program, such as a write to a slow disk.
const SHUTDOWN_MAX: Duration = Duration::from_millis(500);
/// Pairs of file descriptors that the event loop needs.
const SOCKET_PAIRS: usize = 3;
/// The exit code after a panic, which has been reported where it happened.
const PANICKED: u8 = ErrorCode::Assert.exit_code();

fn main() -> ExitCode {
    ui::report_panics();
    forbid_core_dumps();
    let mut args = env::args_os();
    let argv0 = args.next().unwrap_or_else(|| OsString::from("pgstrata"));
    let args: Vec<OsString> = args.collect();
    let exit = command::Exit::of(&args);
    match exit.is_waited_for() {
        true => watched(&exit.clone(), move || parse_and_run_to_code(&argv0, &args, exit)),
        false => parse_and_run_to_code(&argv0, &args, exit),
    }
    .into()
}

/// Runs the command on another thread. A thread that calls into a file system that hangs runs no signal handler until the
/// call returns. The kernel delivers a signal of the process to the main thread first, which only waits here.
fn watched(exit: &command::Exit, run: impl FnOnce() -> u8 + Send + 'static) -> u8 {
    let give_up = || {
        let error = exit.overdue()?;
        let code = error.code().exit_code();
        report_in_time(error);
        Some(exit.code(Err(code)))
    };
    work::watched(run, give_up)
        .unwrap_or_else(|error| exit.code(Err(ui::report_early(&command::Error::from(error)))))
}

/// Reports an error, and does not wait for a log file on a file system that hangs too.
fn report_in_time(error: command::Error) {
    let began = Instant::now();
    let too_late = || (began.elapsed() >= SHUTDOWN_MAX).then_some(());
    // Without a thread there is no report, and the exit code is still right.
    let report = move || {
        ui::report(&error);
    };
    let _ = work::watched(report, too_late);
}

fn parse_and_run_to_code(argv0: &OsStr, args: &[OsString], mut exit: command::Exit) -> u8 {
    let ended = caught(|| parse_and_run(argv0, args, &mut exit));
    exit.code(ended)
}

fn parse_and_run(argv0: &OsStr, args: &[OsString], exit: &mut command::Exit) -> Result<u8, u8> {
    exit.guard().map_err(|error| ui::report_early(&error))?;
    match cli::parse(argv0, args, env::vars_os(), &SystemFiles) {
        Ok(Invocation::Print(text)) => match ui::print(&text) {
            Ok(()) => exit.printed(),
            Err(error) => Err(ui::report_early(&command::Error::from(error))),
        },
        Ok(Invocation::Run(config)) => run(&config, exit),
        Err(error) => Err(ui::report_early(&error)),
    }
}

fn run(config: &Config, exit: &mut command::Exit) -> Result<u8, u8> {
    let ui = Ui::start(config);
    let result = match runtime() {
        Ok(runtime) => {
            let result = caught(|| {
                Ok(runtime.block_on(command::run(config, &ui, exit, &mut *ui::output(config))))
            });
            // A runtime that is dropped waits for its threads without a bound.
            runtime.shutdown_timeout(SHUTDOWN_MAX);
            result?
        }
        Err(source) => Err(command::Error::Start { what: "there is no event loop", source }),
    };
    match result {
        Ok(code) => {
            ui.end(Ok(()));
            Ok(code)
        }
        Err(error) => Err(ui.end(Err(&error))),
    }
}

/// Runs `work`; a panic is a failure like any other.
fn caught<T>(work: impl FnOnce() -> Result<T, u8>) -> Result<T, u8> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(PANICKED))
}

/// Keeps keys and passwords in the memory of this process off the disks. The limit is 1 byte and not 0, because a core
/// dump that is piped to a program is made in spite of 0 (core(5)).
fn forbid_core_dumps() {
    let maximum = getrlimit(Resource::Core).maximum;
    let limit = Some(maximum.map_or(1, |maximum| maximum.min(1)));
    // A process may always lower its limits.
    let _ = setrlimit(Resource::Core, Rlimit { current: limit, maximum: limit });
}

/// One thread for all that waits: a second one would only be woken for each read of the server's
/// stream. What computes has worker threads of its own, what blocks on a disk those of the runtime.
fn runtime() -> io::Result<Runtime> {
    let room = iter::repeat_with(UnixStream::pair).take(SOCKET_PAIRS);
    // tokio panics if it cannot open the files for its signal handling, so they are opened and closed first.
    room.collect::<io::Result<Vec<_>>>()?;
    Builder::new_current_thread().enable_all().build()
}
