//! The commands, a file each, reading as tables of contents: lock, plan, do, publish, report. They
//! alone read the [`Config`]; what they call takes small option structs.

mod annotate;
mod archive_get;
mod archive_push;
mod backup;
mod branches;
mod caller;
mod check;
mod cluster;
mod context;
mod error;
mod exit;
mod expire;
mod failures;
mod in_all;
mod info;
mod keep;
mod own_place;
mod repo_get;
mod repo_key;
mod repo_ls;
mod repo_path;
mod repo_sync;
mod restore;
mod signal;
mod source;
mod stanza_create;
mod stanza_delete;
mod stanza_upgrade;
mod start;
mod stop;
mod store;
mod tablespaces;
#[cfg(test)]
mod testing;
mod verify;

use std::io::Write;

pub use error::Error;
pub use exit::Exit;

use crate::{
    config::{CommandName, Commands, Config},
    ui::Ui,
};

/// The result of a command.
pub type Result<T> = std::result::Result<T, Error>;

/// Runs the command of `config`. What it shows goes to `out`; the exit code of success comes back,
/// which is 0 for all commands but archive-get and repo-get of a file that is not there. `exit` decides on that of a
/// failure.
pub async fn run(config: &Config, ui: &Ui, exit: &mut Exit, out: &mut dyn Write) -> Result<u8> {
    context::refuse_root(config)?;
    // What runs for every file of WAL must not fill the server's log.
    if !config.command.spec().set.meets(Commands::ARCHIVE) {
        store::cipher::tell_what_is_used(config);
    }
    match config.command {
        CommandName::ArchiveGet => archive_get::run(config, exit).await,
        CommandName::ArchivePush => archive_push::run(config, exit).await,
        CommandName::Backup => backup::run(config, ui, out).await,
        CommandName::Expire => expire::run(config, out).await,
        CommandName::Keep => keep::run(config).await,
        CommandName::Info => info::run(config, out).await,
        CommandName::Check => check::run(config, out).await,
        CommandName::Annotate => annotate::run(config, out).await,
        CommandName::RepoGet => repo_get::run(config, out).await,
        CommandName::RepoKey => repo_key::run(config, out).await,
        CommandName::RepoLs => repo_ls::run(config, out).await,
        CommandName::RepoSync => repo_sync::run(config, ui, out).await,
        CommandName::StanzaCreate => stanza_create::run(config, out).await,
        CommandName::StanzaDelete => stanza_delete::run(config, out).await,
        CommandName::StanzaUpgrade => stanza_upgrade::run(config, out).await,
        CommandName::Start => start::run(config, out).await,
        CommandName::Stop => stop::run(config, out).await,
        CommandName::Verify => verify::run(config, ui, out).await,
        CommandName::Restore => restore::run(config, ui, out).await,
        CommandName::Completion | CommandName::Help | CommandName::Man | CommandName::Version => {
            Err(Error::NotACommand)
        }
    }
}
