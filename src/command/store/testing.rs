//! Configurations of repositories for the tests of this module.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::config::{self, CommandSpec, Config, ConfigFiles, Program, RepoConfig, Request, load};

struct NoFiles;

impl ConfigFiles for NoFiles {
    fn read(&self, _path: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn list(&self, _path: &Path) -> io::Result<Vec<PathBuf>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn is_world_readable(&self, _path: &Path) -> bool {
        false
    }
}

/// The first repository of a configuration: names without `repo1-`, and values.
pub(super) fn repo(options: &[(&str, &str)]) -> RepoConfig {
    loaded(options).unwrap().repos.remove(&1).unwrap()
}

/// The configuration with these options of the first repository.
pub(super) fn loaded(options: &[(&str, &str)]) -> Result<Config, config::Error> {
    let variable = |(name, value): &(&str, &str)| {
        let name = name.to_uppercase().replace('-', "_");
        (format!("PGSTRATA_REPO1_{name}"), (*value).to_owned())
    };
    load(Request {
        program: Program::from_argv0("pgstrata".as_ref()),
        command: CommandSpec::find("info").unwrap(),
        arguments: Vec::new(),
        options: Vec::new(),
        environment: &options.iter().map(variable).collect::<Vec<_>>(),
        files: &NoFiles,
    })
}
