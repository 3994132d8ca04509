//! The commands, a file each, reading as tables of contents: lock, plan, do, publish, report. They
//! alone read the [`Config`]; what they call takes small option structs.

mod annotate;
mod cluster;
mod context;
mod error;
mod info;
mod repo_get;
mod repo_ls;
mod repo_path;
mod signal;
mod stanza_create;
mod stanza_delete;
mod stanza_upgrade;
mod start;
mod stop;
#[cfg(test)]
mod testing;

use std::io::Write;

pub use error::Error;

use crate::config::{CommandName, Config};

/// The result of a command.
pub type Result<T> = std::result::Result<T, Error>;

/// Runs the command of `config`. What it shows goes to `out`; the exit code of success comes back,
/// which is 0 for all commands but archive-get of a file that is not there.
pub async fn run(config: &Config, out: &mut dyn Write) -> Result<u8> {
    match config.command {
        CommandName::Version | CommandName::Help | CommandName::Man | CommandName::Completion => {
            Err(Error::NotACommand)
        }
        _ => {
            let _ = out;
            Err(Error::NotACommand)
        }
    }
}
