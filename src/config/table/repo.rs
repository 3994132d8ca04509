//! Where the repositories are, and what is kept in them.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;
const BACKUP: Commands = Commands::BACKUP;
const EXPIRES: Commands = Commands::BACKUP.or(Commands::EXPIRE);
const KEPT: &str = "nothing is expired in this release, so all backups and WAL are kept";
const COUNT: crate::config::spec::Kind = Integer(1, 9_999_999);
const KIB: u64 = 1024;
const MIB: u64 = KIB * KIB;
const PIB: u64 = MIB * MIB * KIB;

pub(super) static ROWS: &[OptionSpec] = &[
    row("repoN-block", Global, Boolean, BACKUP, "Store files as blocks")
        .default("y")
        .accepted("files are always stored as blocks"),
    row("repoN-bundle", Global, Boolean, BACKUP, "Store many files in one object")
        .default("y")
        .accepted("files are always bundled"),
    row("repoN-bundle-limit", Global, Size(8 * KIB, PIB), BACKUP, "Largest file to bundle")
        .default("2MiB")
        .accepted("files of every size are bundled"),
    row("repoN-bundle-size", Global, Size(MIB, PIB), BACKUP, "Size at which a bundle is closed")
        .default("32MiB")
        .detail("Counted as stored.")
        .example("64MiB"),
    row("repoN-cipher-pass", Global, String, REPO, "Pass phrase of the encryption").secret(),
    row(
        "repoN-cipher-type",
        Global,
        Word(&["none", "aes-256-cbc", "aes-256-gcm"]),
        REPO,
        "Encryption of the repository",
    )
    .default("none")
    .example("aes-256-gcm"),
    row("repoN-hardlink", Global, Boolean, BACKUP, "Hard links between backups")
        .default("n")
        .accepted("backups refer to blocks of earlier ones by their place in the repository"),
    row("repoN-path", Global, Path, REPO, "Root of the repository")
        .default_path("/var/lib/pgstrata", "/var/lib/pgbackrest")
        .example("/backup/db"),
    row("repoN-retention-archive", Global, COUNT, EXPIRES, "Backups to keep WAL for")
        .accepted(KEPT),
    row(
        "repoN-retention-archive-type",
        Global,
        Word(&["full", "diff", "incr"]),
        EXPIRES,
        "Type of the backups to keep WAL for",
    )
    .default("full")
    .accepted(KEPT),
    row("repoN-retention-diff", Global, COUNT, EXPIRES, "Differential backups to keep")
        .accepted(KEPT),
    row("repoN-retention-full", Global, COUNT, EXPIRES, "Full backups to keep, or days")
        .accepted(KEPT)
        .example("2"),
    row(
        "repoN-retention-full-type",
        Global,
        Word(&["count", "time"]),
        EXPIRES,
        "Whether full backups are counted, or kept for days",
    )
    .default("count")
    .accepted(KEPT),
    row(
        "repoN-retention-history",
        Global,
        Integer(0, 9_999_999),
        EXPIRES,
        "Days to keep the history of backups",
    )
    .accepted(KEPT),
    row("repoN-symlink", Global, Boolean, EXPIRES, "Links to the newest backup")
        .default("y")
        .accepted("the repository has no links"),
    row(
        "repoN-type",
        Global,
        Word(&["azure", "cifs", "gcs", "posix", "s3", "sftp"]),
        REPO,
        "Where the repository is kept",
    )
    .default("posix")
    .detail("This release stores on file systems (posix); the others come in a later one."),
];
