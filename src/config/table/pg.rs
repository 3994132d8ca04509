//! Where the clusters are, and how to connect to them.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    config::{
        commands::Commands,
        error::Error,
        settings::Settings,
        spec::{Group, Kind::*, OptionSpec, Section::*, row},
    },
    types::Secret,
};

const PG: Commands = Commands::PG;
const CONNECT: Commands = Commands::CONNECT;
const NO_AGENT: &str =
    "pgN-host is reached with the PostgreSQL protocol, and no pgstrata runs on it";

pub(super) static ROWS: &[OptionSpec] = &[
    row("pgN-database", Stanza, Text, CONNECT, "Database to connect to")
        .detail("If it is not set, PGDATABASE applies before the default.")
        .default("postgres")
        .example("backupdb"),
    row("pgN-host", Stanza, Text, PG, "Host name or address of the PostgreSQL server")
        .detail(
            "The server is reached over TCP at pgN-port; nothing has to be installed on that host. \
             Default: connect over a unix socket.",
        )
        .example("db1.example.com"),
    row("pgN-host-ca-file", Global, Text, PG, "CA file of the remote pgBackRest")
        .accepted(NO_AGENT),
    row("pgN-host-ca-path", Global, Text, PG, "CA path of the remote pgBackRest")
        .accepted(NO_AGENT),
    row("pgN-host-cert-file", Global, Text, PG, "Certificate for the remote pgBackRest")
        .accepted(NO_AGENT),
    row("pgN-host-cmd", Stanza, Text, PG, "Command of the remote pgBackRest").accepted(NO_AGENT),
    row("pgN-host-config", Stanza, Path, PG, "Configuration file of the remote pgBackRest")
        .accepted(NO_AGENT),
    row("pgN-host-config-include-path", Stanza, Path, PG, "Include path of the remote pgBackRest")
        .accepted(NO_AGENT),
    row("pgN-host-config-path", Stanza, Path, PG, "Configuration path of the remote pgBackRest")
        .accepted(NO_AGENT),
    row("pgN-host-key-file", Global, Text, PG, "Key for the remote pgBackRest")
        .accepted(NO_AGENT),
    row("pgN-host-port", Stanza, Integer(0, 65535), PG, "Port of the remote pgBackRest")
        .accepted("no pgstrata runs on pgN-host; the port of the PostgreSQL server is pgN-port"),
    row("pgN-host-type", Global, Word(&["ssh", "tls"]), PG, "Protocol of the remote pgBackRest")
        .accepted(NO_AGENT),
    row("pgN-host-user", Stanza, Text, PG, "User of the remote pgBackRest").accepted(NO_AGENT),
    row("pgN-passfile", Stanza, Path, CONNECT, "Password file")
        .detail("Default: PGPASSFILE or ~/.pgpass, as for every PostgreSQL client.")
        .example("/etc/pgstrata/pgpass"),
    row("pgN-password", Stanza, Text, CONNECT, "Password of the role")
        .secret()
        .detail("A password file (pgN-passfile) is preferred."),
    row("pgN-path", Stanza, Path, PG, "Data directory")
        .detail(
            "Required by restore, and by archive-push and archive-get if PostgreSQL passes a relative path. \
             A backup reads the files there if it runs on the server's host (backup-source).",
        )
        .example("/var/lib/postgresql/15/main"),
    row("pgN-port", Stanza, Integer(0, 65535), CONNECT, "Port of the PostgreSQL server")
        .detail("If it is not set, PGPORT applies before the default.")
        .default("5432")
        .example("5433"),
    row("pgN-socket-path", Stanza, Text, CONNECT, "Directory of the unix socket")
        .example("/var/run/postgresql"),
    row("pgN-sslcert", Stanza, Path, CONNECT, "Client certificate file")
        .example("/etc/pgstrata/client.crt"),
    row("pgN-sslkey", Stanza, Path, CONNECT, "Key file of the client certificate")
        .example("/etc/pgstrata/client.key"),
    row(
        "pgN-sslmode",
        Stanza,
        Word(&["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]),
        CONNECT,
        "TLS mode of the connection",
    )
    .detail("The modes are those of libpq. Default: PGSSLMODE or prefer.")
    .example("verify-full"),
    row("pgN-sslrootcert", Stanza, Text, CONNECT, "CA certificate file of the server")
        .detail(
            "A file in PEM format, or system for the CA certificates of the operating system, which requires \
             pgN-sslmode=verify-full. Default: PGSSLROOTCERT or ~/.postgresql/root.crt.",
        )
        .example("/etc/pgstrata/root.crt"),
    row("pgN-user", Stanza, Text, CONNECT, "Role to connect as")
        .detail(
            "It needs the REPLICATION attribute, or EXECUTE on the functions that start and stop a backup, \
             and should be a member of pg_read_all_settings. Default: PGUSER or the name of the operating \
             system user.",
        )
        .example("backup"),
];

/// One `pgN-…`: where the cluster is, and how to connect to it.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct PgConfig {
    /// N.
    pub key: u16,
    /// The data directory, as far as this host sees it.
    pub path: Option<PathBuf>,
    /// `None` for the unix socket.
    pub host: Option<String>,
    /// TCP port, or the number in the socket's name; `None` for PGPORT or 5432.
    pub port: Option<u16>,
    pub socket_path: Option<PathBuf>,
    /// `None` for the name of the operating system's user.
    pub user: Option<String>,
    /// `None` for PGDATABASE or `postgres`.
    pub database: Option<String>,
    pub password: Option<Secret>,
    /// `None` for libpq's default.
    pub pass_file: Option<PathBuf>,
    /// `None` for PGSSLMODE or `prefer`.
    pub ssl_mode: Option<String>,
    pub ssl_root_cert: Option<PathBuf>,
    pub ssl_cert: Option<PathBuf>,
    pub ssl_key: Option<PathBuf>,
}

/// The configured clusters; none where no option of the group is set.
pub(super) fn read(s: &Settings) -> Result<BTreeMap<u16, PgConfig>, Error> {
    s.keys(Group::Pg).into_iter().map(|key| Ok((key, pg(s, key)?))).collect()
}

fn pg(s: &Settings, key: u16) -> Result<PgConfig, Error> {
    let database = if s.is_set("pgN-database", key) { s.text("pgN-database", key)? } else { None };
    Ok(PgConfig {
        key,
        path: s.path("pgN-path", key)?,
        host: s.text("pgN-host", key)?,
        // The environment comes before a default.
        port: s.set_integer("pgN-port", key)?,
        socket_path: s.text("pgN-socket-path", key)?.map(PathBuf::from),
        user: s.text("pgN-user", key)?,
        database,
        password: s.secret("pgN-password", key)?,
        pass_file: s.path("pgN-passfile", key)?,
        ssl_mode: s.text("pgN-sslmode", key)?,
        ssl_root_cert: s.text("pgN-sslrootcert", key)?.map(PathBuf::from),
        ssl_cert: s.path("pgN-sslcert", key)?,
        ssl_key: s.path("pgN-sslkey", key)?,
    })
}
