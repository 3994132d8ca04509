//! Where the repositories are.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    repo_azure::{self, AzureConfig},
    repo_cipher::{self, CipherConfig},
    repo_gcs::{self, GcsConfig},
    repo_retention,
    repo_s3::{self, S3Config},
    repo_sftp::{self, SftpConfig},
    repo_store::{self, RemoteConfig},
};
use crate::{
    config::{
        commands::Commands,
        error::Error,
        settings::Settings,
        spec::{Group, Kind::*, OptionSpec, Section::*, row},
    },
    types::{RetentionSettings, words::words},
};

const REPO: Commands = Commands::REPO;
const BACKUP: Commands = Commands::BACKUP;
const EXPIRES: Commands = Commands::BACKUP.or(Commands::EXPIRE);
const KIB: u64 = 1024;
const MIB: u64 = KIB * KIB;
const PIB: u64 = MIB * MIB * KIB;

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-block", Global, Boolean, BACKUP, "Enable block incremental backup")
        .default("y")
        .accepted("files are always stored as blocks"),
    row("repoN-bundle", Global, Boolean, BACKUP, "Bundle files in the repository")
        .default("y")
        .accepted("files are always bundled"),
    row("repoN-bundle-limit", Global, Size(8 * KIB, PIB), BACKUP, "Limit for file bundles")
        .default("2MiB")
        .accepted("files of every size are bundled"),
    row("repoN-bundle-size", Global, Size(MIB, PIB), BACKUP, "Target size of file bundles")
        .default("32MiB")
        .detail("The size as stored, after compression.")
        .example("64MiB"),
    row("repoN-hardlink", Global, Boolean, BACKUP, "Hard link files between backups")
        .default("n")
        .accepted("backups refer to the blocks of prior backups without links"),
    row("repoN-path", Global, Path, REPO, "Path of the repository")
        .default_path("/var/lib/pgstrata", "/var/lib/pgbackrest")
        .detail("In a bucket it is the prefix of all object names.")
        .example("/backup/db"),
    row("repoN-symlink", Global, Boolean, EXPIRES, "Create convenience symlinks")
        .default("y")
        .accepted("the repository has no links"),
    row("repoN-type", Global, Word(RepoType::WORDS), REPO, "Type of storage of the repository")
        .default("posix")
        .detail(
            "posix: a directory of this host or of a mounted file system. s3, azure, gcs: a bucket of an object \
             store. sftp: a directory of an SFTP server. cifs is not supported; use posix.",
        )
        .example("s3"),
];

words! {
    /// `repoN-type`.
    enum RepoType ("type of repository") {
        Azure = "azure",
        Cifs = "cifs",
        Gcs = "gcs",
        Posix = "posix",
        S3 = "s3",
        Sftp = "sftp",
    }
}

/// One `repoN-…`.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct RepoConfig {
    /// N.
    pub key: u16,
    pub path: PathBuf,
    pub kind: RepoKind,
    /// How a remote repository is reached.
    pub remote: RemoteConfig,
    pub cipher: CipherConfig,
    /// Stored bytes after which a new bundle is begun.
    pub bundle_size: u64,
    pub retention: RetentionSettings,
}

/// `repoN-type` with its options.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum RepoKind {
    Posix,
    S3(Box<S3Config>),
    Azure(Box<AzureConfig>),
    Gcs(Box<GcsConfig>),
    Sftp(Box<SftpConfig>),
}

/// The configured repositories; `repo1` with its defaults where none is.
pub(super) fn read(
    s: &Settings,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<u16, RepoConfig>, Error> {
    let mut keys = s.keys(Group::Repo);
    if keys.is_empty() {
        keys.push(1);
    }
    let mut repos = BTreeMap::new();
    for key in keys {
        let cipher = repo_cipher::read(s, key, warnings)?;
        let kind = kind(s, key)?;
        let remote = repo_store::read(s, key)?;
        let path = s.required_path("repoN-path", key)?;
        let bundle_size = s.size("repoN-bundle-size", key)?;
        let retention = repo_retention::read(s, key)?;
        repos.insert(key, RepoConfig { key, path, kind, remote, cipher, bundle_size, retention });
    }
    check_places(&repos)?;
    Ok(repos)
}

fn kind(s: &Settings, key: u16) -> Result<RepoKind, Error> {
    match s.word_of("repoN-type", key)? {
        RepoType::Posix => Ok(RepoKind::Posix),
        RepoType::S3 => Ok(RepoKind::S3(Box::new(repo_s3::read(s, key)?))),
        RepoType::Azure => Ok(RepoKind::Azure(Box::new(repo_azure::read(s, key)?))),
        RepoType::Gcs => Ok(RepoKind::Gcs(Box::new(repo_gcs::read(s, key)?))),
        RepoType::Sftp => Ok(RepoKind::Sftp(Box::new(repo_sftp::read(s, key)?))),
        RepoType::Cifs => Err(Error::OptionUnsupported {
            option: format!("option 'repo{key}-type=cifs'"),
            reason: "mount the share and use repo-type=posix".into(),
        }),
    }
}

/// Two repositories in one place would be one, seen as two copies.
fn check_places(repos: &BTreeMap<u16, RepoConfig>) -> Result<(), Error> {
    let mut seen = BTreeMap::new();
    for (key, repo) in repos {
        if let Some(other) = seen.insert(place(repo), key) {
            return Err(Error::OptionValue {
                option: format!("repo{key}-path"),
                value: format!("'{}'", repo.path.display()),
                problem: format!("is also the path of repo{other} and is not valid"),
                place: String::new(),
                hint: Some("each repository needs a path of its own.".into()),
            });
        }
    }
    Ok(())
}

/// What tells the places of repositories apart.
fn place(repo: &RepoConfig) -> Vec<String> {
    let path = || repo.path.components().as_path().display().to_string();
    let prefix = || repo.path.to_string_lossy().trim_matches('/').to_owned();
    let RemoteConfig { host, port, .. } = &repo.remote;
    let server = |endpoint: &str| format!("{endpoint} {host:?} {port:?}");
    match &repo.kind {
        RepoKind::Posix => vec!["posix".to_owned(), path()],
        RepoKind::S3(s3) => {
            vec!["s3".to_owned(), server(&s3.endpoint), s3.bucket.clone(), prefix()]
        }
        RepoKind::Azure(azure) => vec![
            "azure".to_owned(),
            server(azure.endpoint.reveal()),
            azure.account.reveal().to_owned(),
            azure.container.clone(),
            prefix(),
        ],
        RepoKind::Gcs(gcs) => {
            vec!["gcs".to_owned(), server(&gcs.endpoint), gcs.bucket.clone(), prefix()]
        }
        RepoKind::Sftp(sftp) => {
            vec!["sftp".to_owned(), format!("{}:{}", sftp.host, sftp.port), path()]
        }
    }
}
