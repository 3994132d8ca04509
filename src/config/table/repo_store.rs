//! What all repositories that are reached over a network have in common.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-storage-ca-file", Global, String, REPO, "Certificate authority of the store"),
    row("repoN-storage-ca-path", Global, Path, REPO, "Certificate authorities of the store")
        .detail("A directory of files; those that hold no certificate are passed over."),
    row("repoN-storage-host", Global, String, REPO, "Host of the store")
        .detail(
            "Connect to it in place of the endpoint, whose scheme and port do not count then: it \
                 may have http:// in front and a port behind. The certificate must be that of this \
                 host. Requests to S3 and Google keep the name of the endpoint; to Azure they name \
                 this host.",
        )
        .example("store.example.com:9000"),
    row(
        "repoN-storage-max-rate",
        Global,
        Size(1 << 10, 1 << 50),
        REPO,
        "Most bytes a second to and from the store",
    )
    .detail("Of one process, both directions together. Without it: as fast as it goes.")
    .example("50MiB"),
    row("repoN-storage-port", Global, Integer(1, 65535), REPO, "Port of the store")
        .default("443")
        .detail("Goes before the port of endpoint and host. Without any: 443, or 80 with http://."),
    row(
        "repoN-storage-requests-max",
        Global,
        Integer(1, 1000),
        REPO,
        "Most requests under way at a time",
    )
    .default("32")
    .example("64"),
    row(
        "repoN-storage-retry-time",
        Global,
        Time(0, 24 * 3_600_000),
        REPO,
        "How long a failing request is tried again",
    )
    .default("2m")
    .detail(
        "From its first attempt on, with waits that double from 0.1 s to 15 s, or as long as the \
             store asks for. An attempt ends when nothing has moved for io-timeout.",
    )
    .example("10m"),
    row("repoN-storage-tag", Global, Hash, REPO, "Tag of stored objects")
        .detail("On Google it is metadata.")
        .example("team=db"),
    row(
        "repoN-storage-upload-chunk-size",
        Global,
        Size(64 << 10, 1 << 40),
        REPO,
        "Size of the parts of an upload",
    )
    .detail(
        "An object up to this size is sent in one request. Unless set, objects up to 40 MiB are, and parts \
             have 16 MiB.",
    ),
    row("repoN-storage-verify-tls", Global, Boolean, REPO, "Verify the store's certificate")
        .default("y"),
];
