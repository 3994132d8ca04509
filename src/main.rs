//! The `pgstrata` program: parse, run, print the error, exit code. Nothing else lives here.

use std::{env, ffi::OsString, io, process::ExitCode, time::Duration};

use pgstrata::{
    cli::{self, Invocation},
    command,
    config::{CommandName, Config, SystemFiles},
    ui::{self, Ui},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

/// How long work that was given up may still hold the program, such as a write to a slow disk.
const SHUTDOWN_MAX: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    forbid_core_dumps();
    let mut args = env::args_os();
    let argv0 = args.next().unwrap_or_else(|| OsString::from("pgstrata"));
    let args: Vec<OsString> = args.collect();
    match cli::parse(&argv0, &args, env::vars_os(), &SystemFiles) {
        Ok(Invocation::Print(text)) => match ui::print(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => ui::report_early(&command::Error::from(error)).into(),
        },
        Ok(Invocation::Run(config)) => run(&config).into(),
        Err(error) => {
            let code = ui::report_early(&error);
            let in_recovery = args.iter().any(|arg| arg == CommandName::ArchiveGet.word());
            command::exit_code_before_config(code, in_recovery).into()
        }
    }
}

fn run(config: &Config) -> u8 {
    let ui = Ui::start(config);
    let result = match runtime() {
        Ok(runtime) => {
            let result = runtime.block_on(command::run(config, &ui, &mut *ui::output(config)));
            runtime.shutdown_timeout(SHUTDOWN_MAX);
            result
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(code) => {
            ui.end(Ok(()));
            code
        }
        Err(error) => {
            let code = ui.end(Err(&error));
            command::failure_exit_code(config, code)
        }
    }
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
    Builder::new_current_thread().enable_all().build()
}
