//! Repositories behind an agent on another host, which this program does not have.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;
const NO_AGENT: &str = "no agent runs on another host";

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-host", Global, String, REPO, "Host of the repository").refused(
        "there is no agent on another host; without it the repository would be looked for on \
             this host. Mount the file system here, or run the program on the repository's host",
    ),
    row("repoN-host-ca-file", Global, String, REPO, "Certificate authority of the agent")
        .accepted(NO_AGENT),
    row("repoN-host-ca-path", Global, String, REPO, "Certificate authorities of the agent")
        .accepted(NO_AGENT),
    row("repoN-host-cert-file", Global, String, REPO, "Certificate for the agent")
        .accepted(NO_AGENT),
    row("repoN-host-cmd", Global, String, REPO, "Path of the agent").accepted(NO_AGENT),
    row("repoN-host-config", Global, String, REPO, "Configuration of the agent").accepted(NO_AGENT),
    row("repoN-host-config-include-path", Global, Path, REPO, "Further configuration of the agent")
        .accepted(NO_AGENT),
    row("repoN-host-config-path", Global, Path, REPO, "Configuration directory of the agent")
        .accepted(NO_AGENT),
    row("repoN-host-key-file", Global, String, REPO, "Key for the agent").accepted(NO_AGENT),
    row("repoN-host-port", Global, Integer(0, 65535), REPO, "Port of the agent").accepted(NO_AGENT),
    row("repoN-host-type", Global, Word(&["ssh", "tls"]), REPO, "Protocol of the agent")
        .accepted(NO_AGENT),
    row("repoN-host-user", Global, String, REPO, "User of the agent").accepted(NO_AGENT),
];
