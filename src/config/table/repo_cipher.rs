//! The encryption of repositories.

use std::path::PathBuf;

use crate::{
    config::{
        commands::Commands,
        error::Error,
        settings::Settings,
        spec::{Kind::*, OptionSpec, Section::*, row},
    },
    types::{Secret, words::words},
};

const REPO: Commands = Commands::REPO;

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-cipher-pass", Global, Text, REPO, "Pass phrase of the repository").secret().detail(
        "It unlocks the encryption key of the repository. Without it nothing can be restored, and there is no \
         other way in: keep a copy where it survives the loss of this host.",
    ),
    row("repoN-cipher-pass-file", Global, Path, REPO, "File that contains the pass phrase")
        .detail("Instead of repoN-cipher-pass. A newline at the end of the file is ignored.")
        .example("/etc/pgstrata/repo1.pass"),
    row("repoN-cipher-pass-new", Global, Text, Commands::REPO_KEY, "New pass phrase for repo-key")
        .secret()
        .detail("For change and add. cipher-pass-new-file names a file instead."),
    row("repoN-cipher-type", Global, Word(CipherType::WORDS), REPO, "Encryption of the repository")
        .default("none")
        .detail(
            "A repository is encrypted from its first stanza on, or never. For aes-256-cbc, aes-256-gcm is \
             used, which also authenticates the data.",
        )
        .example("aes-256-gcm"),
];

words! {
    /// `repoN-cipher-type`.
    pub enum CipherType ("cipher type") {
        None = "none",
        Aes256Cbc = "aes-256-cbc",
        Aes256Gcm = "aes-256-gcm",
    }
}

/// `repoN-cipher-…`: the encryption of a repository.
#[derive(Clone, Debug)]
pub enum CipherConfig {
    /// Not encrypted.
    None,
    /// AES-256-GCM with a key that the pass phrase unlocks.
    Aes256Gcm {
        /// `repoN-cipher-pass` or `repoN-cipher-pass-file`.
        pass: PassSource,
        /// `repoN-cipher-pass-new`.
        pass_new: Option<Secret>,
        /// The cipher that is configured: AES-256-CBC is replaced by AES-256-GCM.
        configured: CipherType,
    },
}

/// Where a pass phrase comes from.
#[derive(Clone, Debug)]
pub enum PassSource {
    /// It is the value of an option.
    Given(Secret),
    /// It is in a file, which is read when it is needed.
    File(PathBuf),
}

pub(super) fn read(
    s: &Settings,
    key: u16,
    warnings: &mut Vec<String>,
) -> Result<CipherConfig, Error> {
    let configured = s.word_of("repoN-cipher-type", key)?;
    let pass = pass(s, key)?;
    match (configured, pass) {
        (CipherType::None, None) => Ok(CipherConfig::None),
        (CipherType::None, Some((option, _))) => {
            warnings.push(format!(
                "option 'repo{key}-{option}' is ignored: option 'repo{key}-cipher-type' is not set, and \
                 repo{key} is not encrypted"
            ));
            Ok(CipherConfig::None)
        }
        (CipherType::Aes256Cbc | CipherType::Aes256Gcm, None) => Err(Error::OptionRequired {
            command: s.command.word,
            option: format!("repo{key}-cipher-pass"),
            hint: Some(format!(
                "or set repo{key}-cipher-pass-file to a file that contains the pass phrase."
            )),
        }),
        (CipherType::Aes256Cbc | CipherType::Aes256Gcm, Some((_, pass))) => {
            let pass_new = s.secret("repoN-cipher-pass-new", key)?;
            Ok(CipherConfig::Aes256Gcm { pass, pass_new, configured })
        }
    }
}

/// The pass phrase, with the option that gives it.
fn pass(s: &Settings, key: u16) -> Result<Option<(&'static str, PassSource)>, Error> {
    match (s.secret("repoN-cipher-pass", key)?, s.path("repoN-cipher-pass-file", key)?) {
        (Some(_), Some(_)) => Err(Error::OptionConflict {
            option: format!("repo{key}-cipher-pass-file"),
            other: format!("repo{key}-cipher-pass"),
            hint: "use only one of them.",
        }),
        (Some(pass), None) => Ok(Some(("cipher-pass", PassSource::Given(pass)))),
        (None, Some(path)) => Ok(Some(("cipher-pass-file", PassSource::File(path)))),
        (None, None) => Ok(None),
    }
}
