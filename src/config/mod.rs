//! The configuration: one option table, read from argv, environment and INI files into one typed
//! [`Config`].

mod carried;
mod commands;
mod error;
mod files;
mod flavor;
mod ini;
mod layers;
mod load;
mod quantity;
mod rules;
mod settings;
mod spec;
pub mod table;
mod value;

pub use commands::{COMMANDS, CommandName, CommandSpec, Commands, StanzaUse};
pub use error::Error;
pub use files::{ConfigFiles, SystemFiles};
pub use flavor::{Flavor, Program};
pub use layers::{Action, Given, is_option_variable};
pub use load::{Request, load};
pub use spec::{
    CommandHelp, DefaultValue, Group, Kind, OptionRef, OptionSpec, Section, Support, numbered,
};
pub use table::{
    ArchiveConfig, ArchiveMode, AzureConfig, AzureKeyType, BackupConfig, BackupStandby,
    CipherConfig, CipherType, Config, DetailLevel, ExpireConfig, GcsConfig, GcsKeyType, InfoConfig,
    KeepConfig, LogConfig, LogFormat, LogLevel, OutputFormat, PassSource, PgConfig, RemoteConfig,
    RepoAccessConfig, RepoConfig, RepoKeyConfig, RepoKind, RestoreConfig, S3Config, S3KeyType,
    ServerEncryption, SftpConfig, SortOrder, SourceChoice, SyncConfig, VerifyConfig, VerifyReport,
};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
