//! Repositories in S3 and in stores that speak its protocol (`repoN-type=s3`).

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;
const URI_STYLES: &[&str] = &["host", "path"];
const KEY_TYPES: &[&str] = &["shared", "auto", "web-id", "pod-id", "process"];
const LOCK_MODES: &[&str] = &["governance", "compliance"];
const DAYS: crate::config::spec::Kind = Integer(1, 36_500);

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-s3-bucket", Global, String, REPO, "Bucket of the repository")
        .detail("It must exist. The repository is below repoN-path in it.")
        .example("pg-backups"),
    row("repoN-s3-endpoint", Global, String, REPO, "Host of the S3 service")
        .detail(
            "With http:// in front it is spoken to without TLS. A port may follow; \
                 repoN-storage-port goes before it.",
        )
        .example("s3.eu-central-1.amazonaws.com"),
    row("repoN-s3-key", Global, String, REPO, "Access key").secret(),
    row("repoN-s3-key-secret", Global, String, REPO, "Secret key").secret(),
    row("repoN-s3-key-type", Global, Word(KEY_TYPES), REPO, "Where the keys come from")
        .default("shared")
        .detail(
            "shared: they are configured. auto: from the metadata service of the virtual machine \
                 or the container. web-id: from the token service, for the token in \
                 AWS_WEB_IDENTITY_TOKEN_FILE and the role in AWS_ROLE_ARN. pod-id: from the service \
                 in AWS_CONTAINER_CREDENTIALS_FULL_URI. process: a program prints them.",
        )
        .example("auto"),
    row("repoN-s3-kms-key-id", Global, String, REPO, "Key of the key service to encrypt with")
        .detail("The store encrypts each new object with it (aws:kms).")
        .example("alias/backups"),
    row("repoN-s3-object-lock-days", Global, DAYS, REPO, "Days for which new objects are locked")
        .detail("Needs repoN-s3-object-lock-mode, and a bucket that was made with object lock.")
        .example("35"),
    row("repoN-s3-object-lock-mode", Global, Word(LOCK_MODES), REPO, "Whom the lock binds")
        .detail(
            "governance: all but those with the right to bypass it. compliance: everybody, the \
                 owner of the account included.",
        )
        .example("compliance"),
    row("repoN-s3-process-cmd", Global, List, REPO, "Program that prints keys")
        .detail(
            "And its arguments, one a line; there is no shell in between. It prints JSON with \
                 AccessKeyId, SecretAccessKey and, for keys that end, SessionToken and Expiration.",
        )
        .example("/usr/local/bin/backup-keys"),
    row("repoN-s3-region", Global, String, REPO, "Region of the bucket").example("eu-central-1"),
    row("repoN-s3-requester-pays", Global, Boolean, REPO, "Whoever asks pays for the requests")
        .default("n"),
    row("repoN-s3-role", Global, String, REPO, "Role of the virtual machine")
        .detail("For the key type auto. Without it the metadata service is asked.")
        .example("backup"),
    row("repoN-s3-service", Global, String, REPO, "Service that requests are signed for")
        .default("s3")
        .detail("Other than s3 for gateways such as s3-outposts only.")
        .example("s3-outposts"),
    row("repoN-s3-sse", Global, Word(&["none", "aes256"]), REPO, "Encryption by the store")
        .default("none")
        .detail("aes256: with keys of the store. none: as the bucket is set up to.")
        .example("aes256"),
    row("repoN-s3-sse-customer-key", Global, String, REPO, "Key to encrypt with, not kept there")
        .secret()
        .detail("32 bytes in base64. It goes with every request; the store does not keep it."),
    row("repoN-s3-storage-class", Global, String, REPO, "Storage class of new objects")
        .detail("Not one of an archive that has to be thawed first: the repository is read.")
        .example("STANDARD_IA"),
    row("repoN-s3-sts-host", Global, String, REPO, "Host of the token service")
        .default("sts.amazonaws.com")
        .example("sts.eu-central-1.amazonaws.com"),
    row("repoN-s3-token", Global, String, REPO, "Token of a session")
        .secret()
        .detail("Of keys that end. They cannot be replaced: a backup that takes longer fails."),
    row("repoN-s3-uri-style", Global, Word(URI_STYLES), REPO, "Where the bucket is in an address")
        .default("host")
        .detail("host: in front of the host name. path: in the path, for most other servers.")
        .example("path"),
];
