//! A site that is worked on with other repositories than its own, as on a host that knows only the copy.

use std::{fs, path::PathBuf, process::Command};

use super::{
    background::Background,
    host::{as_server_user, program},
    outcome::{Outcome, run, start},
    restored::Restored,
    site::{STANZA, Site, write_file},
};

/// The options of a repository, each without the `repo1-` in front of its name.
pub(crate) type RepoOptions = Vec<(String, String)>;

/// The options without the number of the repository that they are of.
pub(crate) fn unnumbered(options: &[(&'static str, String)]) -> RepoOptions {
    let name = |name: &str| name.strip_prefix("repo1-").unwrap_or(name).to_owned();
    options.iter().map(|(option, value)| (name(option), value.clone())).collect()
}

/// The lines of a configuration file that make it the repository of that number.
pub(crate) fn numbered(key: u16, options: &RepoOptions) -> String {
    options.iter().map(|(name, value)| format!("repo{key}-{name}={value}\n")).collect()
}

/// The program with a configuration of its own.
pub(crate) struct Elsewhere<'a> {
    site: &'a Site,
    config: PathBuf,
}

impl Site {
    /// Adds lines that only one command sees.
    pub(crate) fn configure_for(&self, command: &str, lines: &str) {
        let text = fs::read_to_string(self.config_file()).expect("written by build");
        let stanza = format!("[{STANZA}]");
        let section = format!("[global:{command}]\n{lines}\n{stanza}");
        write_file(&self.config_file(), &text.replace(&stanza, &section));
    }

    /// The program with these repositories in the place of the site's.
    pub(crate) fn elsewhere(&self, name: &str, lines: &str) -> Elsewhere<'_> {
        let text = fs::read_to_string(self.config_file()).expect("written by build");
        let is_repository = |line: &&str| {
            let number = line.strip_prefix("repo").and_then(|rest| rest.split_once('-'));
            number.is_some_and(|(number, _)| number.parse::<u16>().is_ok())
        };
        let is_command = |line: &&str| line.starts_with("[global:");
        let own = text.lines().filter(|line| !is_repository(line) && !is_command(line));
        let own: String = own.map(|line| format!("{line}\n")).collect();
        let config = self.dir.path().join(format!("{name}.conf"));
        write_file(&config, &own.replace("[global]\n", &format!("[global]\n{lines}\n")));
        Elsewhere { site: self, config }
    }
}

impl Elsewhere<'_> {
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = as_server_user(program());
        command.arg(format!("--config={}", self.config.display()));
        command.arg(format!("--stanza={STANZA}")).args(arguments);
        command
    }

    /// Runs the program to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        run(&mut self.command(arguments))
    }

    /// Starts the program.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Background {
        Background::new(start(&mut self.command(arguments)))
    }

    /// Restores into a fresh directory, which has to succeed. Nothing is started.
    #[track_caller]
    pub(crate) fn restore(&self, name: &str, options: &[&str]) -> Restored {
        let data_dir = self.site.dir.make(name);
        let pg_path = format!("--pg1-path={}", data_dir.display());
        self.run(&[&["restore", &pg_path], options].concat()).ok();
        Restored::new(self.site.version, &data_dir)
    }
}
