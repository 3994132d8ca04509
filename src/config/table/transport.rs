//! Options of the connections between pgBackRest's own processes, which this program does not have. They are read and
//! checked so that an existing configuration works.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const WORK: Commands = Commands::WORK;
const SERVER: Commands = Commands::SERVER;
const PING: Commands = Commands::SERVER.or(Commands::SERVER_PING);
const NO_PROCESS: &str = "there are no subprocesses";
const NO_SERVER: &str = "there is no TLS server; pgstrata uses the PostgreSQL and SFTP protocols";
const SYSTEM: &str = "connections use the keep-alive settings of the operating system";
const CIPHERS: &str = "connections use the ciphers of the system's OpenSSL configuration";

pub(super) static ROWS: &[OptionSpec] = &[
    row("cmd", Global, Text, WORK, "Command of the program").accepted(NO_PROCESS),
    row("cmd-ssh", Global, Text, WORK, "SSH client command")
        .default("ssh")
        .accepted("no SSH client is run"),
    row("protocol-timeout", Global, Time(100, 7 * 86_400_000), WORK, "Protocol timeout")
        .default("31m")
        .accepted(NO_PROCESS),
    row("sck-keep-alive", Global, Boolean, WORK, "Use TCP keep-alive")
        .default("y")
        .accepted(SYSTEM),
    row("tcp-keep-alive-count", Global, Integer(1, 32), WORK, "Keep-alive count").accepted(SYSTEM),
    row("tcp-keep-alive-idle", Global, Integer(1, 3600), WORK, "Keep-alive idle time (s)")
        .accepted(SYSTEM),
    row("tcp-keep-alive-interval", Global, Integer(1, 900), WORK, "Keep-alive interval (s)")
        .accepted(SYSTEM),
    row("tls-cipher-12", Global, Text, WORK, "TLS 1.2 ciphers").accepted(CIPHERS),
    row("tls-cipher-13", Global, Text, WORK, "TLS 1.3 ciphers").accepted(CIPHERS),
    row("tls-server-address", Global, Text, PING, "TLS server address")
        .default("localhost")
        .accepted(NO_SERVER),
    row("tls-server-auth", Global, Hash, SERVER, "TLS server authorized clients")
        .accepted(NO_SERVER),
    row("tls-server-ca-file", Global, Path, SERVER, "TLS server CA certificate file")
        .accepted(NO_SERVER),
    row("tls-server-cert-file", Global, Path, SERVER, "TLS server certificate file")
        .accepted(NO_SERVER),
    row("tls-server-key-file", Global, Path, SERVER, "TLS server key file").accepted(NO_SERVER),
    row("tls-server-port", Global, Integer(1, 65535), PING, "TLS server port")
        .default("8432")
        .accepted(NO_SERVER),
];
