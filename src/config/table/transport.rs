//! Options of the older tool's transport between its own processes, which this program does not
//! need. They are read and checked so that an existing configuration works.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const WORK: Commands = Commands::WORK;
const SERVER: Commands = Commands::SERVER;
const PING: Commands = Commands::SERVER.or(Commands::SERVER_PING);
const NO_PROCESS: &str = "no second process is started";
const NO_SERVER: &str = "there is no server of our own: servers are reached by their own protocol";
const SYSTEM: &str = "connections use the keep-alive settings of the operating system";
const CIPHERS: &str = "the ciphers of the system's OpenSSL configuration are used";

pub(super) static ROWS: &[OptionSpec] = &[
    row("cmd", Global, String, WORK, "Path of the program for its subprocesses")
        .accepted(NO_PROCESS),
    row("cmd-ssh", Global, String, WORK, "The SSH client")
        .default("ssh")
        .accepted("SSH is not used"),
    row(
        "protocol-timeout",
        Global,
        Time(100, 7 * 86_400_000),
        WORK,
        "Longest wait for a subprocess",
    )
    .default("31m")
    .accepted(NO_PROCESS),
    row("sck-keep-alive", Global, Boolean, WORK, "Keep connections alive")
        .default("y")
        .accepted(SYSTEM),
    row("tcp-keep-alive-count", Global, Integer(1, 32), WORK, "Keep-alive probes").accepted(SYSTEM),
    row("tcp-keep-alive-idle", Global, Integer(1, 3600), WORK, "Idle time before the first probe")
        .accepted(SYSTEM),
    row("tcp-keep-alive-interval", Global, Integer(1, 900), WORK, "Time between probes")
        .accepted(SYSTEM),
    row("tls-cipher-12", Global, String, WORK, "Ciphers of TLS 1.2").accepted(CIPHERS),
    row("tls-cipher-13", Global, String, WORK, "Ciphers of TLS 1.3").accepted(CIPHERS),
    row("tls-server-address", Global, String, PING, "Address of the server")
        .default("localhost")
        .accepted(NO_SERVER),
    row("tls-server-auth", Global, Hash, SERVER, "Clients of the server").accepted(NO_SERVER),
    row("tls-server-ca-file", Global, Path, SERVER, "Certificate authority of the server")
        .accepted(NO_SERVER),
    row("tls-server-cert-file", Global, Path, SERVER, "Certificate of the server")
        .accepted(NO_SERVER),
    row("tls-server-key-file", Global, Path, SERVER, "Key of the server").accepted(NO_SERVER),
    row("tls-server-port", Global, Integer(1, 65535), PING, "Port of the server")
        .default("8432")
        .accepted(NO_SERVER),
];
