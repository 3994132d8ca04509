//! The `pgstrata` program: parse, run, print the error, exit code. Nothing else lives here.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
