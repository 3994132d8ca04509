//! From the command word and the given options to the configuration of the run.

use super::{
    commands::CommandSpec,
    error::Error,
    files::{ConfigFiles, Loaded, Location},
    flavor::{Flavor, Program},
    layers::{Given, Layers, Raw},
    settings::Settings,
    table::{self, Config},
};

/// All that a configuration is made from.
pub struct Request<'a> {
    /// How the program was started.
    pub program: Program,
    /// What to do.
    pub command: &'static CommandSpec,
    /// The words after the command.
    pub arguments: Vec<String>,
    /// The options of the command line.
    pub options: Vec<Given>,
    /// The environment.
    pub environment: &'a [(String, String)],
    /// Where the configuration files are read.
    pub files: &'a dyn ConfigFiles,
}

/// Reads, merges and checks the configuration of one run.
pub fn load(request: Request<'_>) -> Result<Config, Error> {
    let command = request.command;
    let name = command
        .action
        .map_err(|reason| Error::CommandUnsupported { word: command.word, reason })?;
    let flavor = request.program.flavor;
    let mut layers = Layers::new(command);
    layers.add_command_line(request.options, flavor)?;
    layers.add_environment(request.environment, flavor);
    let loaded = load_files(&layers, flavor, request.files)?;
    let stanza = text(&layers, "stanza");
    layers.add_files(&loaded.entries, stanza.as_deref(), request.files)?;
    let (settings, warnings) = Settings::check(layers, flavor)?;
    table::read(table::Parts {
        name,
        program: request.program,
        arguments: request.arguments,
        settings,
        warnings,
        config_files: loaded.paths,
    })
}

fn load_files(layers: &Layers, flavor: Flavor, files: &dyn ConfigFiles) -> Result<Loaded, Error> {
    let config = layers.raws.get(&("config", 0));
    let negated = config.is_some_and(is_negated);
    let path = |name| text(layers, name).map(|text| text.trim_end_matches('/').into());
    let location = Location {
        no_config: negated,
        config: text(layers, "config").filter(|_| !negated),
        config_path: path("config-path"),
        include_path: path("config-include-path"),
    };
    let directory = table::row_named("config-path")
        .and_then(|row| row.default_for(layers.command.set, flavor))
        .unwrap_or_default();
    location.load(flavor, directory, files)
}

/// `--no-config` is kept as the text `n`; a file of that name is written `./n`.
fn is_negated(raw: &Raw) -> bool {
    raw.texts.as_ref().is_some_and(|texts| texts.first().is_some_and(|text| text == "n"))
}

fn text(layers: &Layers, name: &'static str) -> Option<String> {
    layers.raws.get(&(name, 0))?.texts.as_ref()?.first().cloned()
}
