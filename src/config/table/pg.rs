//! Where the clusters are, and how to connect to them.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const PG: Commands = Commands::PG;
const CONNECT: Commands = Commands::CONNECT;
const NO_AGENT: &str = "pgN-host is reached with PostgreSQL's own protocol, no program runs on it";

pub(super) static ROWS: &[OptionSpec] = &[
    row("pgN-database", Stanza, String, CONNECT, "The database to connect to")
        .detail("Where it is not set, PGDATABASE counts before the default.")
        .default("postgres"),
    row("pgN-host", Stanza, String, PG, "Host name or address of the server")
        .detail(
            "The server is reached over TCP at pgN-port; nothing has to be installed on that \
                 host. Without it, the unix socket is used.",
        )
        .example("db1.example.com"),
    row("pgN-host-ca-file", Global, String, PG, "Certificate authority of the agent")
        .accepted(NO_AGENT),
    row("pgN-host-ca-path", Global, String, PG, "Certificate authorities of the agent")
        .accepted(NO_AGENT),
    row("pgN-host-cert-file", Global, String, PG, "Certificate for the agent").accepted(NO_AGENT),
    row("pgN-host-cmd", Stanza, String, PG, "Path of the agent").accepted(NO_AGENT),
    row("pgN-host-config", Stanza, Path, PG, "Configuration of the agent").accepted(NO_AGENT),
    row("pgN-host-config-include-path", Stanza, Path, PG, "Further configuration of the agent")
        .accepted(NO_AGENT),
    row("pgN-host-config-path", Stanza, Path, PG, "Configuration directory of the agent")
        .accepted(NO_AGENT),
    row("pgN-host-key-file", Global, String, PG, "Key for the agent").accepted(NO_AGENT),
    row("pgN-host-port", Stanza, Integer(0, 65535), PG, "Port of the agent")
        .accepted("pgN-port is the port of the server, no agent runs beside it"),
    row("pgN-host-type", Global, Word(&["ssh", "tls"]), PG, "Protocol of the agent")
        .accepted(NO_AGENT),
    row("pgN-host-user", Stanza, String, PG, "User of the agent").accepted(NO_AGENT),
    row("pgN-passfile", Stanza, Path, CONNECT, "The pass file")
        .detail("Default: PGPASSFILE, or ~/.pgpass, as for every client of PostgreSQL.")
        .example("/etc/pgstrata/pgpass"),
    row("pgN-password", Stanza, String, CONNECT, "The password")
        .secret()
        .detail("A pass file (pgN-passfile) serves as well and is usual."),
    row("pgN-path", Stanza, Path, PG, "The data directory")
        .detail(
            "Needed by restore, and by archive-push and archive-get where PostgreSQL gives \
                 them a relative path. A backup needs it only to find the cluster on this host.",
        )
        .example("/var/lib/postgresql/15/main"),
    row("pgN-port", Stanza, Integer(0, 65535), CONNECT, "Port of the server")
        .detail("Where it is not set, PGPORT counts before the default.")
        .default("5432"),
    row("pgN-socket-path", Stanza, String, CONNECT, "Directory of the unix socket")
        .example("/var/run/postgresql"),
    row("pgN-sslcert", Stanza, Path, CONNECT, "Client certificate")
        .example("/etc/pgstrata/client.crt"),
    row("pgN-sslkey", Stanza, Path, CONNECT, "Key of the client certificate")
        .example("/etc/pgstrata/client.key"),
    row(
        "pgN-sslmode",
        Stanza,
        Word(&["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]),
        CONNECT,
        "Whether to use TLS, and what to verify",
    )
    .detail("The meaning of each word is that of libpq. Default: PGSSLMODE, or prefer.")
    .example("verify-full"),
    row(
        "pgN-sslrootcert",
        Stanza,
        String,
        CONNECT,
        "Certificates that the server's is verified with",
    )
    .detail(
        "A file in PEM, or 'system' for the CA certificates of the operating system, which goes with \
         pgN-sslmode=verify-full. Default: PGSSLROOTCERT, or ~/.postgresql/root.crt.",
    )
    .example("/etc/pgstrata/root.crt"),
    row("pgN-user", Stanza, String, CONNECT, "The role to connect as")
        .detail(
            "It needs the attribute REPLICATION, or EXECUTE on the functions that start and stop a \
                 backup, and should be a member of pg_read_all_settings. Default: PGUSER, or the \
                 name of the operating system's user.",
        )
        .example("backup"),
];
