//! The configuration: one option table, read from argv, environment and INI files into one typed
//! [`Config`].

mod build;
mod commands;
mod error;
mod files;
mod flavor;
mod ini;
mod layers;
mod load;
mod quantity;
mod settings;
mod spec;
mod store;
pub mod table;
mod typed;
mod value;

pub use commands::{COMMANDS, CommandSpec, Commands, StanzaUse};
pub use error::Error;
pub use files::{ConfigFiles, SystemFiles};
pub use flavor::{Flavor, Program};
pub use layers::{Action, Given, is_option_variable};
pub use load::{Request, load};
pub use spec::{DefaultValue, Group, Kind, OptionRef, OptionSpec, Section, Support, numbered};
pub use store::*;
pub use typed::*;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
