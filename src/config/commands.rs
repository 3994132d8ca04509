//! The command table: every command, its arguments and its help.
//!
//! It also has the commands of pgBackRest that this program does not have: existing configuration files have sections
//! for them, which are not typing errors.

/// Every command word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum CommandName {
    Annotate,
    ArchiveGet,
    ArchivePush,
    Backup,
    Check,
    Completion,
    Expire,
    Help,
    Info,
    Keep,
    Man,
    RepoGet,
    RepoKey,
    RepoLs,
    RepoSync,
    Restore,
    StanzaCreate,
    StanzaDelete,
    StanzaUpgrade,
    Start,
    Stop,
    Verify,
    Version,
}

/// A set of commands, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commands(u32);

#[allow(missing_docs)]
impl Commands {
    pub const ANNOTATE: Self = Self(1);
    pub const ARCHIVE_GET: Self = Self(1 << 1);
    pub const ARCHIVE_PUSH: Self = Self(1 << 2);
    pub const BACKUP: Self = Self(1 << 3);
    pub const CHECK: Self = Self(1 << 4);
    pub const COMPLETION: Self = Self(1 << 5);
    pub const EXPIRE: Self = Self(1 << 6);
    pub const HELP: Self = Self(1 << 7);
    pub const INFO: Self = Self(1 << 8);
    pub const MAN: Self = Self(1 << 9);
    pub const MANIFEST: Self = Self(1 << 10);
    pub const REPO_GET: Self = Self(1 << 11);
    pub const REPO_LS: Self = Self(1 << 12);
    pub const REPO_PUT: Self = Self(1 << 13);
    pub const REPO_RM: Self = Self(1 << 14);
    pub const RESTORE: Self = Self(1 << 15);
    pub const SERVER: Self = Self(1 << 16);
    pub const SERVER_PING: Self = Self(1 << 17);
    pub const STANZA_CREATE: Self = Self(1 << 18);
    pub const STANZA_DELETE: Self = Self(1 << 19);
    pub const STANZA_UPGRADE: Self = Self(1 << 20);
    pub const START: Self = Self(1 << 21);
    pub const STOP: Self = Self(1 << 22);
    pub const VERIFY: Self = Self(1 << 23);
    pub const VERSION: Self = Self(1 << 24);
    pub const KEEP: Self = Self(1 << 25);
    pub const REPO_KEY: Self = Self(1 << 26);
    pub const REPO_SYNC: Self = Self(1 << 27);

    /// Every command.
    pub const ALL: Self = Self((1 << 28) - 1);
    /// Without those that print a text about the program.
    pub const WORK: Self = Self::ALL
        .without(Self::COMPLETION)
        .without(Self::HELP)
        .without(Self::MAN)
        .without(Self::VERSION);
    pub const STANZA: Self = Self::STANZA_CREATE.or(Self::STANZA_DELETE).or(Self::STANZA_UPGRADE);
    pub const ARCHIVE: Self = Self::ARCHIVE_GET.or(Self::ARCHIVE_PUSH);
    /// Those that connect to a server.
    pub const CONNECT: Self = Self::BACKUP.or(Self::CHECK).or(Self::STANZA);
    /// Those that may look at a data directory.
    pub const PG: Self = Self::CONNECT.or(Self::ARCHIVE).or(Self::MANIFEST).or(Self::RESTORE);
    /// Those that look at a repository.
    pub const REPO: Self = Self::WORK
        .without(Self::SERVER)
        .without(Self::SERVER_PING)
        .without(Self::START)
        .without(Self::STOP);

    /// The commands of both sets.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The commands of this set that are not in the other.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether any command is in both sets.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is no command in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The words of the commands of the set that this program has.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let answered =
            COMMANDS.iter().filter(move |spec| spec.action.is_ok() && spec.set.meets(self));
        answered.map(|spec| spec.word)
    }
}

/// Whether a command takes a stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StanzaUse {
    /// It works on one stanza.
    Required,
    /// It works on one stanza, or on all.
    Optional,
    /// It has nothing to do with stanzas.
    Unused,
}

/// One command.
#[derive(Debug)]
pub struct CommandSpec {
    /// The word on the command line.
    pub word: &'static str,
    /// Its bit.
    pub set: Commands,
    /// What it runs, or why it is not supported.
    pub action: Result<CommandName, &'static str>,
    /// One line for the list of commands.
    pub summary: &'static str,
    /// The text of its help; paragraphs separated by `\n`.
    pub text: &'static str,
    /// The arguments: name, and whether it is required.
    pub arguments: &'static [(&'static str, bool)],
    /// Whether it takes a stanza.
    pub stanza: StanzaUse,
    /// Whether it has a log file. Commands that run for every WAL segment or only show something have none.
    pub log_file: bool,
    /// Whether its begin and end are logged at level info.
    pub announced: bool,
    /// Whole command lines, without the program's name.
    pub examples: &'static [&'static str],
}

impl CommandSpec {
    /// The command of that word.
    pub fn find(word: &str) -> Option<&'static CommandSpec> {
        COMMANDS.iter().find(|spec| spec.word == word)
    }
}

impl CommandName {
    /// The row of this command.
    pub fn spec(self) -> &'static CommandSpec {
        // Every variant has a row (a test holds it); the fallback keeps this free of panics.
        COMMANDS.iter().find(|spec| spec.action == Ok(self)).unwrap_or(&COMMANDS[0])
    }

    /// The word on the command line.
    pub fn word(self) -> &'static str {
        self.spec().word
    }
}

impl std::fmt::Display for CommandName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

const fn command(
    word: &'static str,
    set: Commands,
    action: CommandName,
    summary: &'static str,
    text: &'static str,
) -> CommandSpec {
    CommandSpec {
        word,
        set,
        action: Ok(action),
        summary,
        text,
        arguments: &[],
        stanza: StanzaUse::Unused,
        log_file: false,
        announced: false,
        examples: &[],
    }
}

const fn foreign(word: &'static str, set: Commands, reason: &'static str) -> CommandSpec {
    CommandSpec {
        word,
        set,
        action: Err(reason),
        summary: "",
        text: "",
        arguments: &[],
        stanza: StanzaUse::Unused,
        log_file: false,
        announced: false,
        examples: &[],
    }
}

impl CommandSpec {
    const fn stanza(mut self, stanza: StanzaUse) -> Self {
        self.stanza = stanza;
        self
    }

    const fn arguments(mut self, arguments: &'static [(&'static str, bool)]) -> Self {
        self.arguments = arguments;
        self
    }

    const fn examples(mut self, examples: &'static [&'static str]) -> Self {
        self.examples = examples;
        self
    }

    const fn logged(mut self) -> Self {
        self.log_file = true;
        self
    }

    const fn announced(mut self) -> Self {
        self.announced = true;
        self
    }
}

const LATER: &str = "it is planned for a later release";
const NO_WRITES: &str = "only pgstrata's own commands change a repository";
const NO_SERVER: &str = "pgstrata needs no server; it uses the PostgreSQL and SFTP protocols";

/// The table, in the order of the words.
pub static COMMANDS: &[CommandSpec] = &[
    command(
        "annotate",
        Commands::ANNOTATE,
        CommandName::Annotate,
        "Add or change annotations of a backup",
        "Annotations are key=value notes that info shows. An empty value removes the key.",
    )
    .stanza(StanzaUse::Required)
    .logged()
    .announced()
    .examples(&[
        "--stanza=db --set=20261121-092452F --annotation=reason='before upgrade' annotate",
    ]),
    command(
        "archive-get",
        Commands::ARCHIVE_GET,
        CommandName::ArchiveGet,
        "Get a WAL segment from the archive",
        "Called by PostgreSQL as restore_command. Exits 0 when the file was delivered and verified, \
         and 1 only when the file is not in the archive.\nPostgreSQL treats every other exit code up \
         to 125 as the end of the archive and would promote an incomplete cluster. Any other failure \
         therefore exits in a way that makes PostgreSQL stop; a standby retries.",
    )
    .stanza(StanzaUse::Required)
    .arguments(&[("WAL segment", true), ("destination path", true)])
    .announced()
    .examples(&["--stanza=db archive-get %f \"%p\""]),
    command(
        "archive-push",
        Commands::ARCHIVE_PUSH,
        CommandName::ArchivePush,
        "Push a WAL segment to the archive",
        "Called by PostgreSQL as archive_command. Succeeds only when the segment is durable in every \
         configured repository. A segment that is already there with the same content is skipped; \
         with different content it is error 45.",
    )
    .stanza(StanzaUse::Required)
    .arguments(&[("path of the WAL segment", true)])
    .announced()
    .examples(&["--stanza=db archive-push %p"]),
    command(
        "backup",
        Commands::BACKUP,
        CommandName::Backup,
        "Back up a database cluster",
        "Reads the cluster from its data directory, or over a replication connection from any host \
         that can connect with a role that has the REPLICATION attribute (backup-source). The backup \
         exists once its manifest is written, after all WAL that it needs is in the archive.\nWithout \
         --type an incr backup is made, or a full backup if there is no prior backup.",
    )
    .stanza(StanzaUse::Required)
    .logged()
    .announced()
    .examples(&[
        "--stanza=db --type=full backup",
        "--stanza=db --type=full --start-fast --process-max=4 --log-level-console=info backup",
        "--stanza=db backup --dry-run",
    ]),
    command(
        "check",
        Commands::CHECK,
        CommandName::Check,
        "Check that WAL archiving works",
        "Creates a restore point, switches to the next WAL segment, and waits until the segment is in \
         the repository. If it does not arrive, reports why.",
    )
    .stanza(StanzaUse::Required)
    .announced()
    .examples(&["--stanza=db --log-level-console=info check"]),
    command(
        "completion",
        Commands::COMPLETION,
        CommandName::Completion,
        "Print a shell completion script",
        "For bash, zsh or fish.",
    )
    .arguments(&[("shell", true)])
    .examples(&["completion bash > /etc/bash_completion.d/pgstrata"]),
    command(
        "expire",
        Commands::EXPIRE,
        CommandName::Expire,
        "Expire backups and WAL that exceed retention",
        "Removes backups that the retention options do not keep, WAL that no backup needs, and files \
         that interrupted backups left. Runs after each backup (expire-auto). A running backup and \
         the backups it depends on are kept, and so are backups marked with keep.\nWith --set or \
         --oldest only that backup and the backups that depend on it are expired, whatever the \
         retention options say.\nWithout --repo, all repositories are expired.",
    )
    .stanza(StanzaUse::Required)
    .logged()
    .announced()
    .examples(&[
        "--stanza=db expire",
        "--stanza=db expire --dry-run",
        "--stanza=db --set=20261121-092452F expire",
    ]),
    command(
        "help",
        Commands::HELP,
        CommandName::Help,
        "Get help",
        "Without arguments: the list of commands. With a command: what it does and its options. With \
         a command and an option: a description of the option.",
    )
    .arguments(&[("command", false), ("option", false)])
    .examples(&["help", "help backup", "help backup start-fast"]),
    command(
        "info",
        Commands::INFO,
        CommandName::Info,
        "Show backups and the WAL archive",
        "Shows one stanza or all stanzas, as text or JSON. A stanza that does not exist is shown with \
         that status, and the exit code is 0.",
    )
    .stanza(StanzaUse::Optional)
    .examples(&[
        "info",
        "--stanza=db --output=json info",
        "--stanza=db --set=20261121-092452F info",
    ]),
    command(
        "keep",
        Commands::KEEP,
        CommandName::Keep,
        "Keep a backup regardless of retention",
        "expire does not remove a marked backup, the backups it depends on, or the WAL from its start \
         to its stop. A marked backup does not count for retention-full. Marking it again changes how \
         long it is kept; --remove removes the mark.\nWithout --repo, the backup is marked in every \
         repository that has it.",
    )
    .stanza(StanzaUse::Required)
    .logged()
    .announced()
    .examples(&[
        "--stanza=db --set=20261121-092452F keep",
        "--stanza=db --set=20261121-092452F --until=2027-01-31 keep",
        "--stanza=db --set=20261121-092452F --remove keep",
    ]),
    command(
        "man",
        Commands::MAN,
        CommandName::Man,
        "Print the manual page",
        "In roff format.",
    )
    .examples(&["man > /usr/local/share/man/man1/pgstrata.1"]),
    foreign("manifest", Commands::MANIFEST, LATER),
    command(
        "repo-get",
        Commands::REPO_GET,
        CommandName::RepoGet,
        "Get a file from a repository",
        "Prints the content of one file in the repository, decrypted and decompressed.",
    )
    .stanza(StanzaUse::Optional)
    .arguments(&[("path of the file in the repository", true)])
    .examples(&["repo-get archive/db/15-1/00000001.history"]),
    command(
        "repo-key",
        Commands::REPO_KEY,
        CommandName::RepoKey,
        "Show and change the pass phrases of an encrypted repository",
        "A repository is encrypted with a random key, which is stored encrypted with the pass phrase \
         of each recipient, so that a pass phrase can be changed without rewriting data.\nstatus \
         (default): list the recipients, and which of them the configured pass phrase \
         unlocks.\nchange: replace the configured pass phrase.\nadd: add a recipient with another \
         pass phrase.\nremove: remove the recipient given with --recipient. The last recipient cannot \
         be removed.\nThe new pass phrase is repoN-cipher-pass-new, in the environment or a \
         configuration file, or is read from --cipher-pass-new-file.",
    )
    .stanza(StanzaUse::Optional)
    .arguments(&[("status, change, add or remove", false)])
    .logged()
    .announced()
    .examples(&[
        "repo-key",
        "--repo=1 --cipher-pass-new-file=/etc/pgstrata/pass.new repo-key change",
        "--cipher-pass-new-file=/etc/pgstrata/pass.dr --comment='recovery site' repo-key add",
        "--recipient=5d1f0c2ab34e6f78 repo-key remove",
    ]),
    command(
        "repo-ls",
        Commands::REPO_LS,
        CommandName::RepoLs,
        "List files in a repository",
        "Lists the files and directories in a path of the repository, by default the root.",
    )
    .stanza(StanzaUse::Optional)
    .arguments(&[("path in the repository", false)])
    .examples(&["repo-ls", "--recurse --output=json repo-ls archive/db"]),
    foreign("repo-put", Commands::REPO_PUT, NO_WRITES),
    foreign("repo-rm", Commands::REPO_RM, NO_WRITES),
    command(
        "repo-sync",
        Commands::REPO_SYNC,
        CommandName::RepoSync,
        "Copy backups and WAL from one repository to another",
        "Copies what the target does not have: the history of the stanza, WAL, then each backup with \
         its manifest last. All data is verified before it is stored; what is damaged in the source \
         is reported and not copied. If interrupted, run it again to continue.\nBackups that the \
         retention options of the target would expire are not copied, and nothing is removed from the \
         target. Keep marks and annotations are copied.\nWithout --stanza, all stanzas of the source \
         are copied.",
    )
    .stanza(StanzaUse::Optional)
    .logged()
    .announced()
    .examples(&[
        "--stanza=db --from=1 --to=2 repo-sync",
        "--from=1 --to=2 repo-sync --dry-run",
        "--stanza=db --from=1 --to=2 --set=20261121-092452F --output=json repo-sync",
    ]),
    command(
        "restore",
        Commands::RESTORE,
        CommandName::Restore,
        "Restore a database cluster",
        "Restores a backup to the data directory pg1-path and sets up recovery, so that PostgreSQL \
         recovers to the target when it is started. Without a target it recovers to the end of the \
         archived WAL.\n--target-time, --target-lsn, --target-name, --target-xid and \
         --target-immediate are short for --type with --target. Without --set, the newest backup that \
         ended before the target time or LSN is used.",
    )
    .stanza(StanzaUse::Required)
    .logged()
    .announced()
    .examples(&[
        "--stanza=db restore",
        "--stanza=db restore --delta --target-time='2026-11-21 14:03:00+00'",
        "--stanza=db restore --type=name --target=before_migration --target-action=promote",
        "--stanza=db restore --dry-run",
    ]),
    foreign("server", Commands::SERVER, NO_SERVER),
    foreign("server-ping", Commands::SERVER_PING, NO_SERVER),
    command(
        "stanza-create",
        Commands::STANZA_CREATE,
        CommandName::StanzaCreate,
        "Create a stanza in the repositories",
        "Stores the system identifier and version of the cluster. Running it again for the same \
         cluster changes nothing; another cluster is refused.",
    )
    .stanza(StanzaUse::Required)
    .logged()
    .announced()
    .examples(&["--stanza=db stanza-create"]),
    command(
        "stanza-delete",
        Commands::STANZA_DELETE,
        CommandName::StanzaDelete,
        "Delete a stanza with all its backups and WAL",
        "Deletes the stanza from one repository. The stanza must be stopped first with the stop \
         command, and PostgreSQL must be shut down unless --force is given.",
    )
    .stanza(StanzaUse::Required)
    .logged()
    .announced()
    .examples(&["--stanza=db stop", "--stanza=db stanza-delete"]),
    command(
        "stanza-upgrade",
        Commands::STANZA_UPGRADE,
        CommandName::StanzaUpgrade,
        "Upgrade a stanza after a PostgreSQL upgrade",
        "Run it after pg_upgrade. Backups and WAL of the old version are kept and can be restored.",
    )
    .stanza(StanzaUse::Required)
    .logged()
    .announced()
    .examples(&["--stanza=db stanza-upgrade"]),
    command(
        "start",
        Commands::START,
        CommandName::Start,
        "Allow commands to run again",
        "Undoes a previous stop, for one stanza or for all.",
    )
    .stanza(StanzaUse::Optional)
    .announced()
    .examples(&["--stanza=db start"]),
    command(
        "stop",
        Commands::STOP,
        CommandName::Stop,
        "Block commands that write",
        "Commands that write fail with error 62 until start is run. With --force, running commands \
         are also terminated.",
    )
    .stanza(StanzaUse::Optional)
    .announced()
    .examples(&["--stanza=db stop", "--stanza=db --force stop"]),
    command(
        "verify",
        Commands::VERIFY,
        CommandName::Verify,
        "Verify the contents of a repository",
        "Reads all data of the stanza, or of the backup given with --set, and verifies it: checksums, \
         every block, references between backups, every WAL file, and that no WAL is missing. Errors \
         are listed with the backups that they affect.\nExits 0 only if there are no errors: 26 if \
         data is damaged, else 55 if something is missing, 29 if files contradict each other, 42 if a \
         file could not be read, 28 if there are only files that belong to nothing.",
    )
    .stanza(StanzaUse::Required)
    .logged()
    .announced()
    .examples(&[
        "--stanza=db verify",
        "--stanza=db --output=text --process-max=4 verify",
        "--stanza=db --set=20261121-092452F --output=json verify",
    ]),
    command(
        "version",
        Commands::VERSION,
        CommandName::Version,
        "Print the version",
        "Prints the name and version of the program.",
    )
    .examples(&["version", "version --output=json"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_and_bits_are_distinct() {
        let mut seen = 0;
        for spec in COMMANDS {
            assert_eq!(seen & spec.set.0, 0, "{}", spec.word);
            assert_eq!(spec.set.0.count_ones(), 1, "{}", spec.word);
            seen |= spec.set.0;
        }
        assert_eq!(Commands(seen), Commands::ALL);
        // 'stanza-…' stands before 'start' as in every list of these commands.
        let mut words: Vec<_> = COMMANDS.iter().map(|spec| spec.word).collect();
        words.dedup();
        assert_eq!(words.len(), 28);
    }

    #[test]
    fn every_command_is_explained_and_finds_its_row() {
        for spec in COMMANDS {
            let Ok(name) = spec.action else { continue };
            assert_eq!(name.word(), spec.word);
            assert!(!spec.summary.is_empty() && !spec.text.is_empty(), "{}", spec.word);
            assert!(!spec.examples.is_empty(), "{}", spec.word);
            for example in spec.examples {
                assert!(example.contains(spec.word) || spec.word == "stanza-delete", "{example}");
            }
        }
    }
}
