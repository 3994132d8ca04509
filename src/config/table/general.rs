//! Options that most commands share.

use crate::config::{
    commands::Commands,
    spec::{Kind::*, OptionSpec, Section::*, row},
};

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
const SETS: Commands = Commands::ANNOTATE
    .or(Commands::EXPIRE)
    .or(Commands::INFO)
    .or(Commands::KEEP)
    .or(Commands::MANIFEST)
    .or(Commands::REPO_SYNC)
    .or(Commands::RESTORE)
    .or(Commands::VERIFY);
const STANZAS: Commands = Commands::WORK
    .without(Commands::REPO_PUT)
    .without(Commands::REPO_RM)
    .without(Commands::SERVER)
    .without(Commands::SERVER_PING);
const LOCKS: Commands = STANZAS
    .without(Commands::MANIFEST)
    .without(Commands::REPO_GET)
    .without(Commands::REPO_KEY)
    .without(Commands::REPO_LS)
    .without(Commands::VERIFY);
const OUTPUTS: Commands = Commands::BACKUP
    .or(Commands::CHECK)
    .or(Commands::INFO)
    .or(Commands::MANIFEST)
    .or(Commands::REPO_KEY)
    .or(Commands::REPO_LS)
    .or(Commands::REPO_SYNC)
    .or(Commands::RESTORE)
    .or(Commands::VERIFY)
    .or(Commands::VERSION);

pub(super) static ROWS: &[OptionSpec] = &[
    row("allow-root", Global, Boolean, Commands::WORK, "Run as the user root")
        .default("y")
        .detail(
            "What root makes in a repository, and among locks and logs, belongs to the owner of the directory \
             it is made in, so that the usual user can go on. n refuses to run as root.",
        )
        .example("n"),
    row(
        "buffer-size",
        Global,
        Size(16 << 10, 16 << 20),
        Commands::WORK,
        "Size of the buffers of file operations",
    )
    .default("1MiB")
    .accepted("buffers are sized by what they hold"),
    row("config", CommandLine, String, Commands::ALL, "The configuration file")
        .default_path("/etc/pgstrata/pgstrata.conf", "/etc/pgbackrest/pgbackrest.conf")
        .detail(
            "A file named here must exist, and the files of conf.d are then read only where \
                 config-include-path is given too. --no-config reads no configuration file.",
        )
        .example("/etc/db/backup.conf"),
    row(
        "config-include-path",
        CommandLine,
        Path,
        Commands::ALL,
        "Directory of further configuration files, *.conf",
    )
    .default_path("/etc/pgstrata/conf.d", "/etc/pgbackrest/conf.d")
    .detail(
        "The files are read in the order of their names, as if they were appended to the \
                 configuration file. A directory named here must exist.",
    ),
    row(
        "config-path",
        CommandLine,
        Path,
        Commands::ALL,
        "Directory of the configuration file and of conf.d",
    )
    .default_path("/etc/pgstrata", "/etc/pgbackrest"),
    row(
        "db-timeout",
        Global,
        Time(100, 7 * DAY_MS),
        Commands::CONNECT,
        "Longest time to wait for an answer of the server",
    )
    .default("30m"),
    row(
        "delta",
        Global,
        Boolean,
        Commands::BACKUP.or(Commands::RESTORE),
        "Restore only what differs from the backup",
    )
    .default("n")
    .detail(
        "restore compares each block of the files that are there with the digests in the \
                 backup and writes what differs; files that are not in the backup are removed. \
                 A diff or incr that reads the data directory (backup-source) then reads and compares \
                 all files, not only those whose size or time has changed.",
    )
    .example("y"),
    row(
        "dry-run",
        CommandLine,
        Boolean,
        Commands::BACKUP
            .or(Commands::EXPIRE)
            .or(Commands::REPO_KEY)
            .or(Commands::REPO_SYNC)
            .or(Commands::RESTORE)
            .or(Commands::STANZA_DELETE),
        "Say what would be done, and do nothing",
    )
    .default("n"),
    row(
        "force",
        CommandLine,
        Boolean,
        Commands::BACKUP
            .or(Commands::REPO_KEY)
            .or(Commands::RESTORE)
            .or(Commands::STANZA_CREATE)
            .or(Commands::STANZA_DELETE)
            .or(Commands::STOP),
        "Go on where the command would stop to be safe",
    )
    .default("n")
    .detail(
        "restore: overwrite what is in the data directory; with --delta, tell by size and time \
                 whether a file is as it must be, and compare only those that were written to since \
                 the second in which the backup began. stanza-delete: do not check \
                 that the cluster is down. stop: also end what is running. repo-key: remove the \
                 recipient whose pass phrase is in use. stanza-create: no effect, and a warning that says so.",
    ),
    row("help", CommandLine, Boolean, Commands::ALL, "Show help on the command").default("n"),
    row(
        "io-timeout",
        Global,
        Time(100, 60 * MINUTE_MS),
        Commands::WORK,
        "Longest time to wait for input or output",
    )
    .default("1m")
    .detail(
        "How long nothing may move in a request to a store behind a network, no answer and no byte of a body, before \
             it is tried again. db-timeout is what limits the wait for a server.",
    )
    .example("30s"),
    row("lock-path", Global, Path, LOCKS, "Directory of the lock and stop files")
        .detail(
            "All commands of a stanza on this host must use the same directory. It must belong to the user \
             that runs them, or to root, and not every user may write to it. Without this option it is \
             /run/pgstrata where that is there and can be written to, else /tmp/pgstrata-<user id>, which \
             only its user can use. A stop file in /run/pgstrata counts for every user, so that root \
             can stop the commands of all. The same holds under the name pgbackrest: then a stop file \
             in /tmp/pgbackrest counts too.",
        )
        .example("/run/pgstrata"),
    row("neutral-umask", Global, Boolean, Commands::WORK, "Use a umask of 0000")
        .default("y")
        .accepted("files are created with mode 0640 and directories with 0750"),
    row(
        "online",
        CommandLine,
        Boolean,
        Commands::BACKUP.or(Commands::STANZA_CREATE).or(Commands::STANZA_UPGRADE),
        "Connect to the server",
    )
    .default("y")
    .refused("the server must be running: all is read over a connection to it"),
    row("output", CommandLine, Word(&["text", "json"]), OUTPUTS, "Form of the result")
        .default("text")
        .command_defaults(&[(Commands::VERIFY, "none")])
        .command_words(&[(Commands::VERIFY, &["none", "text", "json"])])
        .detail(
            "The JSON of info is the one that monitoring tools of this field read. Without a report \
                 (none), verify says in the log what is wrong.",
        )
        .example("json"),
    row("priority", Global, Integer(-20, 19), Commands::WORK, "Nice value of the process")
        .accepted("start the program under nice instead"),
    row(
        "process-max",
        Global,
        Integer(1, 999),
        Commands::WORK,
        "How many worker threads compress, decompress and digest",
    )
    .detail(
        "As many as there are processors, at most 4, where it is not set. The network and the disks \
         are served besides these. Set 1 where a backup must leave the processors to the server, and \
         more on a host of its own.",
    )
    .example("4"),
    row(
        "repo",
        CommandLine,
        Integer(1, 256),
        Commands::REPO.without(Commands::REPO_SYNC),
        "The repository to work on, by its number",
    )
    .detail(
        "Without it, commands that write use all repositories or the first, and commands \
                 that read search them in order.",
    )
    .example("1"),
    row("set", CommandLine, String, SETS, "The backup to work on, by its label")
        .command_defaults(&[(Commands::MANIFEST, "latest"), (Commands::RESTORE, "latest")])
        .detail(
            "restore without it takes the newest backup, or the newest that ended before the \
                 target.",
        )
        .example("20261121-092452F"),
    row("spool-path", Global, Path, Commands::ARCHIVE, "Directory of data in transit")
        .default_path("/var/spool/pgstrata", "/var/spool/pgbackrest")
        .accepted("nothing is spooled: each segment goes straight to its place"),
    row("stanza", CommandLine, String, STANZAS, "The stanza")
        .detail(
            "A stanza is the name under which one cluster is backed up: it is a section of \
                 the configuration and a directory of the repository.",
        )
        .example("db"),
    row("version", CommandLine, Boolean, Commands::ALL, "Print the version").default("n"),
];
