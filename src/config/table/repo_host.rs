//! Options of a repository on the host of another pgBackRest, which this program cannot use.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;
const NO_AGENT: &str = "pgstrata runs no agent on remote hosts";

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-host", Global, Text, REPO, "Host of the repository").refused(
        "pgstrata runs no agent on remote hosts; mount the repository on this host, use \
         repoN-type=sftp, or run pgstrata on the host of the repository",
    ),
    row("repoN-host-ca-file", Global, Text, REPO, "CA file of the remote pgBackRest")
        .accepted(NO_AGENT),
    row("repoN-host-ca-path", Global, Text, REPO, "CA path of the remote pgBackRest")
        .accepted(NO_AGENT),
    row("repoN-host-cert-file", Global, Text, REPO, "Certificate for the remote pgBackRest")
        .accepted(NO_AGENT),
    row("repoN-host-cmd", Global, Text, REPO, "Command of the remote pgBackRest")
        .accepted(NO_AGENT),
    row("repoN-host-config", Global, Text, REPO, "Configuration file of the remote pgBackRest")
        .accepted(NO_AGENT),
    row(
        "repoN-host-config-include-path",
        Global,
        Path,
        REPO,
        "Include path of the remote pgBackRest",
    )
    .accepted(NO_AGENT),
    row(
        "repoN-host-config-path",
        Global,
        Path,
        REPO,
        "Configuration path of the remote pgBackRest",
    )
    .accepted(NO_AGENT),
    row("repoN-host-key-file", Global, Text, REPO, "Key for the remote pgBackRest")
        .accepted(NO_AGENT),
    row("repoN-host-port", Global, Integer(0, 65535), REPO, "Port of the remote pgBackRest")
        .accepted(NO_AGENT),
    row(
        "repoN-host-type",
        Global,
        Word(&["ssh", "tls"]),
        REPO,
        "Protocol of the remote pgBackRest",
    )
    .accepted(NO_AGENT),
    row("repoN-host-user", Global, Text, REPO, "User of the remote pgBackRest").accepted(NO_AGENT),
];
