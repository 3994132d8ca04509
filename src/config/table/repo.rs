//! Where the repositories are, and what is kept in them.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const REPO: Commands = Commands::REPO;
const BACKUP: Commands = Commands::BACKUP;
const EXPIRES: Commands = Commands::BACKUP.or(Commands::EXPIRE);
/// verify does not take for lost what expire removed, and repo-sync does not copy what it would remove.
const RETENTION: Commands = EXPIRES.or(Commands::VERIFY).or(Commands::REPO_SYNC);
const CALENDAR: &str = "In local time; the current day, week (from Monday), month or year counts. A \
     backup stays if any of the retention rules keeps it. Where only these rules are set, WAL is kept \
     from the oldest backup of the finest one on.";
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
    row("repoN-cipher-pass", Global, String, REPO, "Pass phrase of the encryption").secret().detail(
        "It opens the key that the data is encrypted with. Without it nothing can be restored, and there is \
             no other way in: keep it where it survives the loss of this host.",
    ),
    row("repoN-cipher-pass-file", Global, Path, REPO, "File that holds the pass phrase")
        .detail("In place of repoN-cipher-pass. A line feed at its end does not count.")
        .example("/etc/pgstrata/repo1.pass"),
    row("repoN-cipher-pass-new", Global, String, Commands::REPO_KEY, "New pass phrase for repo-key")
        .secret()
        .detail("For change and add; cipher-pass-new-file names a file in its place."),
    row(
        "repoN-cipher-type",
        Global,
        Word(&["none", "aes-256-cbc", "aes-256-gcm"]),
        REPO,
        "Encryption of the repository",
    )
    .default("none")
    .detail(
        "A repository is encrypted from its first stanza on, or never. aes-256-cbc is taken for \
             aes-256-gcm, which also proves what is read.",
    )
    .example("aes-256-gcm"),
    row("repoN-hardlink", Global, Boolean, BACKUP, "Hard links between backups")
        .default("n")
        .accepted("backups refer to blocks of earlier ones by their place in the repository"),
    row("repoN-path", Global, Path, REPO, "Root of the repository")
        .default_path("/var/lib/pgstrata", "/var/lib/pgbackrest")
        .example("/backup/db"),
    row("repoN-retention-archive", Global, COUNT, RETENTION, "Backups to keep WAL for")
        .detail(
            "From the oldest of so many backups of retention-archive-type on, all WAL is kept, so \
                 that they can be rolled forward; an older backup that stays keeps the WAL from its \
                 start to its stop. Without it the number is that of retention-full, or of \
                 retention-diff where the type is diff.",
        )
        .example("2"),
    row(
        "repoN-retention-archive-type",
        Global,
        Word(&["full", "diff", "incr"]),
        RETENTION,
        "Type of the backups to keep WAL for",
    )
    .default("full")
    .detail("A full counts as a diff too, and both count as an incr.")
    .example("diff"),
    row("repoN-retention-daily", Global, COUNT, RETENTION, "Days to keep the last full of each")
        .detail(CALENDAR)
        .example("7"),
    row("repoN-retention-diff", Global, COUNT, RETENTION, "Differential backups to keep")
        .detail(
            "Fulls are counted as differentials. The incrementals of an expired differential go \
                 with it. Without it a differential stays as long as its full.",
        )
        .example("3"),
    row("repoN-retention-full", Global, COUNT, RETENTION, "Full backups to keep, or days")
        .detail(
            "With retention-full-type=time a number of days: the newest full that is at least so \
                 old stays, with all newer ones, so that every moment of those days can be restored. \
                 What builds on a full is expired with it.",
        )
        .example("2"),
    row(
        "repoN-retention-full-type",
        Global,
        Word(&["count", "time"]),
        RETENTION,
        "Whether full backups are counted, or kept for days",
    )
    .default("count")
    .example("time"),
    row(
        "repoN-retention-history",
        Global,
        Integer(0, 9_999_999),
        RETENTION,
        "Days to keep the history of backups",
    )
    .accepted("no manifest of an expired backup is kept"),
    row("repoN-retention-monthly", Global, COUNT, RETENTION, "Months to keep the last full of each")
        .detail(CALENDAR)
        .example("12"),
    row("repoN-retention-weekly", Global, COUNT, RETENTION, "Weeks to keep the last full of each")
        .detail(CALENDAR)
        .example("4"),
    row("repoN-retention-yearly", Global, COUNT, RETENTION, "Years to keep the last full of each")
        .detail(CALENDAR)
        .example("5"),
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
    .detail(
        "posix: a directory. s3, azure, gcs: the bucket of an object store, where repoN-path is the \
             prefix of all names. sftp: a directory of another host.",
    )
    .example("s3"),
];
