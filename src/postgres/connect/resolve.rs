//! Resolves connection settings in libpq's order: explicit value, environment variable, file in the home directory,
//! built-in default.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    ChannelBindingMode, ConnectOptions, Endpoint, Password, SslMode, SslOptions,
    environment::Environment, pass_file,
};
use crate::postgres::{Error, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const QUERY_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// A spread checkpoint can take as long as `checkpoint_timeout`, at most a day. While a backup streams, the server is
/// silent only if it waits for its disk.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Configured settings. `None` is replaced from the environment or by a default.
#[derive(Clone, Debug, Default)]
pub struct ConnectSettings {
    /// Host name or address, or a socket directory if it starts with `/`.
    pub host: Option<String>,
    /// Directory of the unix socket; overrides `host`.
    pub socket_directory: Option<PathBuf>,
    pub port: Option<u16>,
    pub user: Option<String>,
    /// Database of SQL sessions.
    pub database: Option<String>,
    pub password: Option<Password>,
    pub pass_file: Option<PathBuf>,
    /// `sslmode`, as text.
    pub ssl_mode: Option<String>,
    /// `sslrootcert`.
    pub ssl_root_cert: Option<PathBuf>,
    /// `sslcert`.
    pub ssl_cert: Option<PathBuf>,
    /// `sslkey`.
    pub ssl_key: Option<PathBuf>,
    /// Timeout to connect.
    pub connect_timeout: Option<Duration>,
    /// Timeout of a query.
    pub query_timeout: Option<Duration>,
    /// Timeout without data while a stream is read.
    pub idle_timeout: Option<Duration>,
    pub application_name: Option<String>,
}

impl ConnectOptions {
    /// Resolves settings with `env`, which returns an environment variable.
    pub fn resolve(
        settings: &ConnectSettings,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self> {
        let environment = Environment { lookup: env };
        environment.refuse_others()?;
        let endpoint = endpoint(settings, &environment)?;
        let user = user(settings, &environment)?;
        let database = settings
            .database
            .clone()
            .or_else(|| environment.text("PGDATABASE"))
            .unwrap_or_else(|| "postgres".to_owned());
        let mut options = Self {
            endpoint,
            user,
            database,
            password: None,
            replication_password: None,
            ssl: ssl(settings, &environment)?,
            channel_binding: match environment.text("PGCHANNELBINDING") {
                Some(text) => text.parse()?,
                None => ChannelBindingMode::default(),
            },
            connect_timeout: connect_timeout(settings, &environment),
            query_timeout: settings.query_timeout.unwrap_or(QUERY_TIMEOUT),
            idle_timeout: settings.idle_timeout.unwrap_or(IDLE_TIMEOUT),
            application_name: settings
                .application_name
                .clone()
                .or_else(|| environment.text("PGAPPNAME"))
                .unwrap_or_else(|| "pgstrata".to_owned()),
            server_options: environment.text("PGOPTIONS"),
        };
        options.find_passwords(settings, &environment);
        Ok(options)
    }

    /// Resolves settings with the environment of this process.
    pub fn from_process_environment(settings: &ConnectSettings) -> Result<Self> {
        Self::resolve(settings, &|name| std::env::var_os(name))
    }

    fn find_passwords(&mut self, settings: &ConnectSettings, environment: &Environment<'_>) {
        let direct = settings
            .password
            .clone()
            .or_else(|| environment.raw("PGPASSWORD").map(|text| Password::new(text.into_vec())));
        if direct.is_some() {
            self.password = direct.clone();
            self.replication_password = direct;
            return;
        }
        let Some(path) = settings
            .pass_file
            .clone()
            .or_else(|| environment.path("PGPASSFILE"))
            .or_else(|| environment.home(".pgpass"))
        else {
            return;
        };
        let Some(content) = pass_file::read(&path) else { return };
        let host = self.endpoint.pass_file_host();
        let find = |database: &str| {
            let key = pass_file::Key {
                host: &host,
                port: self.endpoint.port(),
                database,
                user: &self.user,
            };
            pass_file::find(&content, &key)
        };
        self.password = find(&self.database);
        self.replication_password = find("replication").or_else(|| self.password.clone());
    }
}

fn endpoint(settings: &ConnectSettings, environment: &Environment<'_>) -> Result<Endpoint> {
    let port = match (settings.port, environment.text("PGPORT")) {
        (Some(port), _) => port,
        (None, Some(text)) => {
            one("PGPORT", &text)?;
            let invalid = || format!("PGPORT '{}' is not a port", text.escape_debug());
            text.parse().map_err(|_| Error::Options(invalid()))?
        }
        (None, None) => 5432,
    };
    if let Some(directory) = &settings.socket_directory {
        return Ok(Endpoint::Socket { directory: Some(directory.clone()), port });
    }
    let host = settings.host.clone().or_else(|| environment.text("PGHOST"));
    if let Some(host) = &host {
        one("the host", host)?;
    }
    Ok(match host {
        Some(host) if host.starts_with('/') => {
            Endpoint::Socket { directory: Some(PathBuf::from(host)), port }
        }
        Some(host) => Endpoint::Tcp { host, port },
        None => Endpoint::Socket { directory: None, port },
    })
}

/// Rejects a list of hosts, which libpq accepts: a backup must be taken from a known server.
fn one(what: &str, text: &str) -> Result<()> {
    if text.contains(',') {
        Err(Error::Options(format!(
            "{what} '{}' names several servers: use separate pgN options for each",
            text.escape_debug()
        )))
    } else {
        Ok(())
    }
}

fn user(settings: &ConnectSettings, environment: &Environment<'_>) -> Result<String> {
    settings.user.clone().or_else(|| environment.text("PGUSER")).map(Ok).unwrap_or_else(|| {
        let uid = rustix::process::geteuid().as_raw();
        let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
        user_of(&passwd, uid).ok_or_else(|| {
            Error::Options(format!("no user was given, and user id {uid} has no name on this host"))
        })
    })
}

/// The name of a user id in text of the form of /etc/passwd.
fn user_of(passwd: &[u8], uid: u32) -> Option<String> {
    let uid = uid.to_string();
    passwd.split(|&b| b == b'\n').find_map(|line| {
        let mut fields = line.split(|&b| b == b':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.as_bytes()).then(|| String::from_utf8_lossy(name).into_owned())
    })
}

fn connect_timeout(settings: &ConnectSettings, environment: &Environment<'_>) -> Duration {
    let from_environment = environment
        .text("PGCONNECT_TIMEOUT")
        .and_then(|text| text.parse().ok())
        .filter(|&seconds: &u64| seconds > 0)
        .map(Duration::from_secs);
    settings.connect_timeout.or(from_environment).unwrap_or(CONNECT_TIMEOUT)
}

fn ssl(settings: &ConnectSettings, environment: &Environment<'_>) -> Result<SslOptions> {
    let root_cert = settings
        .ssl_root_cert
        .clone()
        .or_else(|| environment.path("PGSSLROOTCERT"))
        .or_else(|| environment.home(".postgresql/root.crt"));
    let system_roots = root_cert.as_deref() == Some(Path::new("system"));
    let mode = settings.ssl_mode.clone().or_else(|| environment.text("PGSSLMODE"));
    let mode = match mode {
        Some(text) => text.parse()?,
        // The deprecated form of PGSSLMODE=require.
        None if environment.text("PGREQUIRESSL").is_some_and(|text| text.starts_with('1')) => {
            SslMode::Require
        }
        None if system_roots => SslMode::VerifyFull,
        None => SslMode::default(),
    };
    if system_roots && mode != SslMode::VerifyFull {
        return Err(Error::Options(
            "sslrootcert 'system' is only safe with sslmode verify-full".to_owned(),
        ));
    }
    let cert = settings
        .ssl_cert
        .clone()
        .or_else(|| environment.path("PGSSLCERT"))
        .or_else(|| environment.existing_home(".postgresql/postgresql.crt"));
    let key = settings
        .ssl_key
        .clone()
        .or_else(|| environment.path("PGSSLKEY"))
        .or_else(|| environment.home(".postgresql/postgresql.key"));
    let crl =
        environment.path("PGSSLCRL").or_else(|| environment.existing_home(".postgresql/root.crl"));
    Ok(SslOptions { mode, root_cert, crl, key: cert.as_ref().and(key), cert })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn resolve(settings: &ConnectSettings, env: &[(&str, &str)]) -> Result<ConnectOptions> {
        let env: HashMap<_, _> =
            env.iter().map(|(k, v)| ((*k).to_owned(), OsString::from(*v))).collect();
        ConnectOptions::resolve(settings, &|name| env.get(name).cloned())
    }

    fn settings() -> ConnectSettings {
        ConnectSettings { user: Some("backup".into()), ..Default::default() }
    }

    #[test]
    fn without_anything_it_is_the_default_socket() {
        let options = resolve(&settings(), &[]).unwrap();
        assert_eq!(options.endpoint, Endpoint::Socket { directory: None, port: 5432 });
        assert_eq!(options.database, "postgres");
        assert_eq!(options.ssl.mode, SslMode::Prefer);
        assert_eq!(options.application_name, "pgstrata");
    }

    #[test]
    fn what_is_configured_wins_over_the_environment() {
        let env = [
            ("PGHOST", "elsewhere"),
            ("PGPORT", "6000"),
            ("PGSSLMODE", "disable"),
            ("PGPASSWORD", "env"),
        ];
        let options = resolve(&settings(), &env).unwrap();
        assert_eq!(options.endpoint, Endpoint::Tcp { host: "elsewhere".into(), port: 6000 });
        assert_eq!(options.ssl.mode, SslMode::Disable);
        assert_eq!(options.password.as_ref().unwrap().reveal(), b"env");
        let configured = ConnectSettings {
            host: Some("db".into()),
            port: Some(5433),
            ssl_mode: Some("verify-full".into()),
            password: Some(Password::new("mine")),
            ..settings()
        };
        let options = resolve(&configured, &env).unwrap();
        assert_eq!(options.endpoint, Endpoint::Tcp { host: "db".into(), port: 5433 });
        assert_eq!(options.ssl.mode, SslMode::VerifyFull);
        assert_eq!(options.replication_password.unwrap().reveal(), b"mine");
    }

    #[test]
    fn the_environment_is_read_whole() {
        let env = [
            ("PGDATABASE", "app"),
            ("PGPORT", "6000"),
            ("PGAPPNAME", "nightly"),
            ("PGOPTIONS", "-c work_mem=8MB"),
            ("PGREQUIRESSL", "1"),
        ];
        let options = resolve(&settings(), &env).unwrap();
        assert_eq!((&*options.database, options.endpoint.port()), ("app", 6000));
        assert_eq!(options.application_name, "nightly");
        assert_eq!(options.server_options.as_deref(), Some("-c work_mem=8MB"));
        assert_eq!(options.ssl.mode, SslMode::Require);
    }

    #[test]
    fn a_host_that_is_a_path_is_a_socket_directory() {
        let options = resolve(&settings(), &[("PGHOST", "/run/pg")]).unwrap();
        assert_eq!(options.endpoint.socket_path().unwrap(), Path::new("/run/pg/.s.PGSQL.5432"));
    }

    #[test]
    fn no_secret_in_debug() {
        let options = resolve(&settings(), &[("PGPASSWORD", "s3cret")]).unwrap();
        assert!(!format!("{options:?}").contains("s3cret"));
    }

    #[test]
    fn wrong_words_are_refused() {
        assert!(resolve(&settings(), &[("PGSSLMODE", "on")]).is_err());
        assert!(resolve(&settings(), &[("PGCHANNELBINDING", "on")]).is_err());
        assert!(resolve(&settings(), &[("PGPORT", "x")]).is_err());
        let several = resolve(&settings(), &[("PGHOST", "a,b")]).unwrap_err().to_string();
        assert!(several.contains("'a,b' names several servers"), "{several}");
        assert!(resolve(&settings(), &[("PGPORT", "5432,5433")]).is_err());
        assert!(resolve(&settings(), &[("PGSERVICE", "mine")]).is_err());
        assert!(
            resolve(&settings(), &[("PGSSLROOTCERT", "system"), ("PGSSLMODE", "require")]).is_err()
        );
    }

    #[test]
    fn system_roots_mean_verify_full() {
        let options = resolve(&settings(), &[("PGSSLROOTCERT", "system")]).unwrap();
        assert_eq!(options.ssl.mode, SslMode::VerifyFull);
    }

    #[test]
    fn the_user_comes_from_passwd() {
        let passwd = b"root:x:0:0::/root:/bin/sh\npostgres:x:101:104::/var/lib:/bin/sh\n";
        assert_eq!(user_of(passwd, 101).as_deref(), Some("postgres"));
        assert_eq!(user_of(passwd, 7), None);
    }

    #[test]
    fn a_pass_file_tells_replication_from_a_database() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pass");
        std::fs::write(&path, "db:5432:replication:backup:r\ndb:*:*:backup:d\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let configured = ConnectSettings {
            host: Some("db".into()),
            pass_file: Some(path.clone()),
            ..settings()
        };
        let options = resolve(&configured, &[]).unwrap();
        assert_eq!(options.password.unwrap().reveal(), b"d");
        assert_eq!(options.replication_password.unwrap().reveal(), b"r");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(resolve(&configured, &[]).unwrap().password, None);
    }
}
