//! Repositories in S3 and in stores that speak its protocol (`repoN-type=s3`).

use crate::{
    config::{
        commands::Commands,
        error::Error,
        settings::Settings,
        spec::{Kind::*, OptionSpec, Section::*, row},
    },
    types::{ObjectLock, ObjectLockMode, Secret, UriStyle, words::words},
};

const REPO: Commands = Commands::REPO;
const DAYS: crate::config::spec::Kind = Integer(1, 36_500);

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-s3-bucket", Global, Text, REPO, "S3 bucket")
        .detail("It must exist. The repository is below repoN-path in it.")
        .example("pg-backups"),
    row("repoN-s3-endpoint", Global, Text, REPO, "S3 endpoint")
        .detail(
            "May be preceded by http:// for a server without TLS and followed by a port. repoN-storage-port \
             overrides the port.",
        )
        .example("s3.eu-central-1.amazonaws.com"),
    row("repoN-s3-key", Global, Text, REPO, "S3 access key ID").secret(),
    row("repoN-s3-key-secret", Global, Text, REPO, "S3 secret access key").secret(),
    row("repoN-s3-key-type", Global, Word(S3KeyType::WORDS), REPO, "Credential type")
        .default("shared")
        .detail(
            "shared: the access key is configured. auto: credentials of the role of the virtual machine or \
             container, from its metadata service. web-id: credentials from STS, for the token in \
             AWS_WEB_IDENTITY_TOKEN_FILE and the role in AWS_ROLE_ARN. pod-id: credentials from the service \
             in AWS_CONTAINER_CREDENTIALS_FULL_URI. process: credentials that a program prints.",
        )
        .example("auto"),
    row("repoN-s3-kms-key-id", Global, Text, REPO, "KMS key ID for SSE-KMS")
        .detail("New objects are encrypted by S3 with this key (aws:kms).")
        .example("alias/backups"),
    row("repoN-s3-object-lock-days", Global, DAYS, REPO, "Object lock retention (days)")
        .detail("Requires repoN-s3-object-lock-mode and a bucket with object lock enabled.")
        .example("35"),
    row(
        "repoN-s3-object-lock-mode",
        Global,
        Word(ObjectLockMode::WORDS),
        REPO,
        "Object lock mode: governance or compliance",
    )
    .detail(
        "In governance mode, users with the right to bypass it can delete locked objects. In compliance mode \
         no user can, not even the account's root user.",
    )
    .example("compliance"),
    row("repoN-s3-process-cmd", Global, List, REPO, "Program that prints credentials")
        .detail(
            "The program and its arguments, one per line; no shell is used. It prints JSON with AccessKeyId, \
             SecretAccessKey and, for temporary credentials, SessionToken and Expiration.",
        )
        .example("/usr/local/bin/backup-keys"),
    row("repoN-s3-region", Global, Text, REPO, "S3 region").example("eu-central-1"),
    row(
        "repoN-s3-requester-pays",
        Global,
        Boolean,
        REPO,
        "Requester pays for requests and transfer",
    )
    .default("n"),
    row("repoN-s3-role", Global, Text, REPO, "IAM role of the virtual machine")
        .detail("For repoN-s3-key-type=auto. Default: the role that the metadata service names.")
        .example("backup"),
    row("repoN-s3-service", Global, Text, REPO, "Service that requests are signed for")
        .default("s3")
        .detail("Needed for gateways such as s3-outposts.")
        .example("s3-outposts"),
    row("repoN-s3-sse", Global, Word(ServerEncryption::WORDS), REPO, "Server-side encryption (SSE-S3)")
        .default("none")
        .detail("aes256 encrypts with keys of S3. none leaves it to the settings of the bucket.")
        .example("aes256"),
    row("repoN-s3-sse-customer-key", Global, Text, REPO, "Customer-provided key (SSE-C)")
        .secret()
        .detail("32 bytes in base64. It is sent with every request, and S3 does not store it."),
    row("repoN-s3-storage-class", Global, Text, REPO, "Storage class of new objects")
        .detail(
            "Archive classes that have to be restored before reading are not usable, because the repository \
             is read.",
        )
        .example("STANDARD_IA"),
    row("repoN-s3-sts-host", Global, Text, REPO, "STS endpoint")
        .default("sts.amazonaws.com")
        .detail("For repoN-s3-key-type=web-id.")
        .example("sts.eu-central-1.amazonaws.com"),
    row("repoN-s3-token", Global, Text, REPO, "Session token")
        .secret()
        .detail(
            "For temporary credentials. They are not renewed: a command that outlives them fails.",
        ),
    row("repoN-s3-uri-style", Global, Word(UriStyle::WORDS), REPO, "URI style: host or path")
        .default("host")
        .detail(
            "host puts the bucket in front of the host name, path in the path, as most other servers need \
             it.",
        )
        .example("path"),
];

/// `repoN-s3-…`.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct S3Config {
    pub bucket: String,
    pub endpoint: String,
    pub region: String,
    pub key_type: S3KeyType,
    pub key: Option<Secret>,
    pub key_secret: Option<Secret>,
    pub token: Option<Secret>,
    pub role: Option<String>,
    pub sts_host: String,
    /// The command and its arguments.
    pub process_cmd: Vec<String>,
    pub service: String,
    pub uri_style: UriStyle,
    pub kms_key_id: Option<String>,
    pub sse_customer_key: Option<Secret>,
    pub sse: ServerEncryption,
    pub storage_class: Option<String>,
    pub object_lock: Option<ObjectLock>,
    pub requester_pays: bool,
}

words! {
    /// `repoN-s3-key-type`.
    pub enum S3KeyType ("S3 key type") {
        Shared = "shared",
        Auto = "auto",
        WebId = "web-id",
        PodId = "pod-id",
        Process = "process",
    }
}

words! {
    /// `repoN-s3-sse`.
    pub enum ServerEncryption ("server-side encryption") {
        None = "none",
        Aes256 = "aes256",
    }
}

pub(super) fn read(s: &Settings, key: u16) -> Result<S3Config, Error> {
    let text = |name| s.text(name, key);
    let needed_text = |name| s.needed(name, key, s.text(name, key)?);
    let key_type = s.word_of("repoN-s3-key-type", key)?;
    let config = S3Config {
        bucket: needed_text("repoN-s3-bucket")?,
        endpoint: needed_text("repoN-s3-endpoint")?,
        region: needed_text("repoN-s3-region")?,
        key_type,
        key: s.secret("repoN-s3-key", key)?,
        key_secret: s.secret("repoN-s3-key-secret", key)?,
        token: s.secret("repoN-s3-token", key)?,
        role: text("repoN-s3-role")?,
        sts_host: needed_text("repoN-s3-sts-host")?,
        process_cmd: s.list_of("repoN-s3-process-cmd", key)?,
        service: needed_text("repoN-s3-service")?,
        uri_style: s.word_of("repoN-s3-uri-style", key)?,
        kms_key_id: text("repoN-s3-kms-key-id")?,
        sse_customer_key: s.secret("repoN-s3-sse-customer-key", key)?,
        sse: s.word_of("repoN-s3-sse", key)?,
        storage_class: text("repoN-s3-storage-class")?,
        object_lock: object_lock(s, key)?,
        requester_pays: s.boolean_of("repoN-s3-requester-pays", key)?,
    };
    if key_type == S3KeyType::Shared {
        s.needed("repoN-s3-key", key, config.key.as_ref())?;
        s.needed("repoN-s3-key-secret", key, config.key_secret.as_ref())?;
    }
    if key_type == S3KeyType::Process && config.process_cmd.is_empty() {
        s.needed("repoN-s3-process-cmd", key, None::<()>)?;
    }
    check_encryption(&config, key)?;
    Ok(config)
}

/// A lock has both a mode and a retention period.
fn object_lock(s: &Settings, key: u16) -> Result<Option<ObjectLock>, Error> {
    let (mode_option, days_option) = ("repoN-s3-object-lock-mode", "repoN-s3-object-lock-days");
    let mode: Option<ObjectLockMode> = s.optional_word_of(mode_option, key)?;
    let days: Option<u32> = s.integer(days_option, key)?;
    if mode.is_none() && days.is_none() {
        return Ok(None);
    }
    let mode = s.needed(mode_option, key, mode)?;
    Ok(Some(ObjectLock { mode, days: s.needed(days_option, key, days)? }))
}

/// S3 encrypts an object in one way.
fn check_encryption(config: &S3Config, key: u16) -> Result<(), Error> {
    let ways = [
        ("sse", config.sse == ServerEncryption::Aes256),
        ("kms-key-id", config.kms_key_id.is_some()),
        ("sse-customer-key", config.sse_customer_key.is_some()),
    ];
    let mut chosen = ways.into_iter().filter(|(_, chosen)| *chosen);
    match (chosen.next(), chosen.next()) {
        (Some((first, _)), Some((second, _))) => Err(Error::OptionConflict {
            option: format!("repo{key}-s3-{first}"),
            other: format!("repo{key}-s3-{second}"),
            hint: "use only one kind of server-side encryption.",
        }),
        _ => Ok(()),
    }
}
