//! What most commands need from the configuration: the stanza, the repositories, the cluster.

use std::{path::Path, sync::Arc, time::Duration};

use super::{Error, Result, store};
use crate::{
    codec::encrypt::{DataKeyId, Kdf},
    config::{Config, PgConfig, RepoConfig},
    host::{LockPath, User},
    postgres::{ConnectOptions, ConnectSettings, Password},
    repo::{self, encrypted::EncryptedStorage, layout, metadata, recipient, stanza::ClusterId},
    storage::{FileWatch, PosixStorage, Storage},
    types::{ErrorCode, StanzaName},
    wal::ClusterIdentity,
};

/// An opened repository.
#[derive(Clone, Debug)]
pub(super) struct Repo {
    /// Its number.
    pub key: u16,
    /// Where its objects are, in plain form.
    pub storage: Arc<dyn Storage>,
    /// What encrypts them, where it is encrypted.
    pub encrypted: Option<EncryptedStorage>,
}

impl Repo {
    /// The word for its encryption.
    pub(super) fn cipher(&self) -> &'static str {
        if self.encrypted.is_some() { "aes-256-gcm" } else { "none" }
    }

    /// Checks that the pass phrase is right, or that none is needed. For commands that may not read any object: all
    /// others get the error from their first read.
    pub(super) async fn unlock(&self) -> std::result::Result<(), repo::Error> {
        match &self.encrypted {
            Some(encrypted) => Ok(encrypted.keyring().unlock().await?),
            None if recipient::list(&*self.storage).await?.is_empty() => Ok(()),
            None => {
                let object = metadata::object_name(&*self.storage, &layout::key_directory()?);
                Err(repo::Error::Encrypted { object })
            }
        }
    }

    /// Makes the key of an encrypted repository that holds nothing yet; any other is opened.
    pub(super) async fn make_key(&self, comment: &str) -> Result<()> {
        let Some(encrypted) = &self.encrypted else { return Ok(self.unlock().await?) };
        if encrypted.keyring().create(comment, Kdf::DEFAULT).await? {
            tracing::info!(
                "encryption key created for repo{}; only the pass phrase can unlock it",
                self.key
            );
        }
        Ok(())
    }

    /// Opens the repository and says which data key its objects are encrypted with; `None` where they are not.
    pub(super) async fn data_key(&self) -> std::result::Result<Option<DataKeyId>, repo::Error> {
        match &self.encrypted {
            Some(encrypted) => Ok(Some(encrypted.keyring().data_key().await?.id())),
            None => self.unlock().await.map(|()| None),
        }
    }
}

/// Refuses root where the configuration does.
pub(super) fn refuse_root(config: &Config) -> Result<()> {
    match config.allow_root || !User::current().is_root() {
        true => Ok(()),
        false => Err(Error::Check {
            what: "the command was run as root, which allow-root=n refuses".to_owned(),
            code: ErrorCode::OptionInvalid,
            hint: "run it as the user that the repository belongs to".to_owned(),
        }),
    }
}

/// Where the locks and stop files are.
pub(super) fn lock_path(config: &Config) -> LockPath {
    match &config.lock_path {
        Some(path) => LockPath::at(path),
        None => LockPath::of_host(Path::new(config.program.flavor.former_lock_path())),
    }
}

/// The stanza, which the configuration layer has made sure is there for commands that need it.
pub(super) fn stanza(config: &Config) -> Result<&StanzaName> {
    config
        .stanza
        .as_ref()
        .ok_or_else(|| Error::OptionRequired { command: "this", option: "stanza".to_owned() })
}

/// The repositories to work on: the one that `--repo` names, else all.
pub(super) fn repos(config: &Config) -> Result<Vec<Repo>> {
    repos_with(config, |path| PosixStorage::new(path))
}

/// The same repositories for a command that PostgreSQL waits for: a single one is worked on by the thread that waits
/// for it anyway, several at once. The watch has the time limit of file operations.
pub(super) fn repos_at_once(config: &Config, watch: &FileWatch) -> Result<Vec<Repo>> {
    match chosen(config).count() {
        1 => repos_with(config, |path| PosixStorage::new(path).on_this_thread(watch)),
        _ => repos_with(config, |path| PosixStorage::new(path).giving_up_after(watch.wait_max())),
    }
}

/// Opens the repositories. Of several, one that cannot be opened is one that cannot be read.
fn repos_with(config: &Config, posix: impl Fn(&Path) -> PosixStorage) -> Result<Vec<Repo>> {
    let several = chosen(config).nth(1).is_some();
    let open = |config: &RepoConfig| match open_on(config, &posix) {
        Err(error) if several => {
            let storage = store::unopened(config, &error);
            let encrypted = store::cipher::open(config, storage.clone()).ok().flatten();
            Ok(Repo { key: config.key, storage, encrypted })
        }
        opened => opened,
    };
    chosen(config).map(open).collect()
}

fn chosen(config: &Config) -> impl Iterator<Item = &RepoConfig> {
    config.repos.values().filter(|repo| config.repo.is_none_or(|key| repo.key == key))
}

/// The one repository to work on: the one that `--repo` names, else the first.
pub(super) fn repo(config: &Config) -> Result<(Repo, &RepoConfig)> {
    let missing = || Error::OptionRequired { command: "this", option: "repo1-path".to_owned() };
    let configured = match config.repo {
        Some(key) => config.repos.get(&key),
        None => config.repos.values().next(),
    };
    let configured = configured.ok_or_else(missing)?;
    Ok((open(configured)?, configured))
}

/// The repository of that number.
pub(super) fn repo_numbered(config: &Config, key: u16) -> Result<Repo> {
    let missing = || Error::OptionRequired { command: "this", option: format!("repo{key}-path") };
    open(config.repos.get(&key).ok_or_else(missing)?)
}

/// The first configured cluster.
pub(super) fn pg(config: &Config) -> Result<&PgConfig> {
    config
        .pgs
        .values()
        .next()
        .ok_or_else(|| Error::OptionRequired { command: "this", option: "pg1-path".to_owned() })
}

fn open(config: &RepoConfig) -> Result<Repo> {
    open_on(config, |path| PosixStorage::new(path))
}

fn open_on(config: &RepoConfig, posix: impl FnOnce(&Path) -> PosixStorage) -> Result<Repo> {
    let storage = store::open(config, posix)?;
    let encrypted = store::cipher::open(config, storage.clone())?;
    let storage = match &encrypted {
        Some(encrypted) => Arc::new(encrypted.clone()),
        None => storage,
    };
    Ok(Repo { key: config.key, storage, encrypted })
}

/// How to connect to the cluster.
pub(super) fn connect_options(config: &Config, pg: &PgConfig) -> Result<ConnectOptions> {
    let settings = ConnectSettings {
        host: pg.host.clone(),
        socket_directory: pg.socket_path.clone(),
        port: pg.port,
        user: pg.user.clone(),
        database: pg.database.clone(),
        password: pg.password.as_ref().map(|secret| Password::new(secret.reveal().as_bytes())),
        pass_file: pg.pass_file.clone(),
        ssl_mode: pg.ssl_mode.clone(),
        ssl_root_cert: pg.ssl_root_cert.clone(),
        ssl_cert: pg.ssl_cert.clone(),
        ssl_key: pg.ssl_key.clone(),
        query_timeout: Some(config.db_timeout),
        idle_timeout: Some(config.db_timeout),
        ..ConnectSettings::default()
    };
    Ok(ConnectOptions::from_process_environment(&settings)?)
}

/// The configuration of a command that PostgreSQL repeats by itself: a store in which nothing moves for `stall` is
/// given up.
pub(super) fn giving_up_early(config: &Config, stall: Duration) -> Config {
    let mut config = config.clone();
    for repo in config.repos.values_mut() {
        repo.remote.timeout = repo.remote.timeout.min(stall);
        repo.remote.retry_time = repo.remote.retry_time.min(stall);
    }
    config
}

/// The cluster that WAL files must come from.
pub(super) fn wal_identity(cluster: ClusterId) -> ClusterIdentity {
    ClusterIdentity { system_id: cluster.system_id, version: cluster.version }
}

/// The word after the command at `index`, which must be there.
pub(super) fn argument<'a>(config: &'a Config, index: usize, what: &str) -> Result<&'a str> {
    config.arguments.get(index).map(String::as_str).ok_or_else(|| Error::Parameter {
        what: format!("{what} is required after the command"),
        code: ErrorCode::ParamRequired,
    })
}

/// Refuses words after the command from `count` on.
pub(super) fn no_more_arguments(config: &Config, count: usize) -> Result<()> {
    match config.arguments.get(count) {
        None => Ok(()),
        Some(word) => Err(Error::Parameter {
            what: format!("parameter '{}' is one too many", word.escape_debug()),
            code: ErrorCode::ParamInvalid,
        }),
    }
}
