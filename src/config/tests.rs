use super::{testing::MemoryFiles, *};
use crate::types::{
    BackupType, CompressType, Compression, ErrorCode, Failure, Lsn, RecoveryTarget, TargetAction,
    TargetTimeline, TimeLine,
};

const CONF: &str = "/etc/pgstrata/pgstrata.conf";
const PLAIN: &str = "[global]\nrepo1-path=/backup\n[db]\npg1-path=/pg\n";

/// Options as `name=value`, `no-name` or `reset-name`.
fn given(options: &[&str]) -> Vec<Given> {
    let mut found: Vec<Given> = Vec::new();
    for option in options {
        let (name, value) = option.split_once('=').unwrap_or((option, "y"));
        let (option, action) = match table::find(name) {
            Some(option) => (option, Action::Set(vec![value.to_owned()])),
            None if name.starts_with("no-") => (table::find(&name[3..]).unwrap(), Action::Negate),
            None => (table::find(&name["reset-".len()..]).unwrap(), Action::Reset),
        };
        let same = found.iter_mut().find(|given| given.option.name() == option.name());
        match (same.map(|given| &mut given.action), action) {
            (Some(Action::Set(texts)), Action::Set(more)) => texts.extend(more),
            (_, action) => found.push(Given { option, action }),
        }
    }
    found
}

struct Run<'a> {
    argv0: &'a str,
    command: &'a str,
    arguments: &'a [&'a str],
    options: &'a [&'a str],
    environment: &'a [(&'a str, &'a str)],
    files: MemoryFiles,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self {
            argv0: "pgstrata",
            command: "backup",
            arguments: &[],
            options: &["stanza=db"],
            environment: &[],
            files: MemoryFiles::default().with(CONF, PLAIN),
        }
    }
}

impl Run<'_> {
    fn load(self) -> Result<Config, Error> {
        let environment: Vec<_> =
            self.environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        load(Request {
            program: Program::from_argv0(self.argv0.as_ref()),
            command: CommandSpec::find(self.command).unwrap(),
            arguments: self.arguments.iter().map(|word| (*word).to_owned()).collect(),
            options: given(self.options),
            environment: &environment,
            files: &self.files,
        })
    }

    fn config(self) -> Config {
        self.load().unwrap()
    }

    /// Code, text and hint of the error.
    fn error(self) -> (u8, String) {
        let error = self.load().unwrap_err();
        let hint = error.hint().map(|hint| format!("\nHINT: {hint}")).unwrap_or_default();
        (error.code().exit_code(), format!("{error}{hint}"))
    }
}

fn with_file(text: &str) -> Run<'static> {
    Run { files: MemoryFiles::default().with(CONF, text), ..Run::default() }
}

fn restore<'a>(options: &'a [&'a str]) -> Run<'a> {
    Run { command: "restore", options, ..Run::default() }
}

#[test]
fn defaults() {
    let config = with_file("[db]\npg1-path=/pg\n").config();
    assert_eq!(config.command, CommandName::Backup);
    assert_eq!(config.repos.keys().copied().collect::<Vec<_>>(), [1]);
    assert_eq!(config.repos[&1].path.to_str(), Some("/var/lib/pgstrata"));
    assert_eq!(config.repos[&1].bundle_size, 32 << 20);
    assert_eq!(config.backup.kind, BackupType::Incr);
    assert_eq!(config.backup.compression, BackupConfig::DEFAULT_COMPRESSION);
    assert_eq!(config.backup.checksum_page, None);
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
    assert_eq!(config.process_max, processors.min(4));
    assert_eq!(config.pgs[&1].port, None);
    assert_eq!(config.log.console, LogLevel::Warn);
    assert_eq!(config.log.stderr, LogLevel::Off);
    assert!(config.archive.check && config.log.timestamp && !config.dry_run);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn the_name_pgbackrest_brings_its_own_places() {
    let files = MemoryFiles::default().with("/etc/pgbackrest/pgbackrest.conf", PLAIN);
    let environment = [("PGSTRATA_PROCESS_MAX", "3"), ("PGBACKREST_PROCESS_MAX", "4")];
    let argv0 = "/usr/bin/pgbackrest";
    let config = Run { argv0, environment: &environment, files, ..Run::default() }.config();
    assert_eq!(config.process_max, 4);
    assert_eq!(config.lock_path, None);
    assert_eq!(config.log.path.to_str(), Some("/var/log/pgbackrest"));
    assert_eq!(config.program.flavor, Flavor::Pgbackrest);
    assert_eq!(config.program.invoked, argv0);

    let files = MemoryFiles::default().with("/etc/pgbackrest.conf", PLAIN);
    assert!(Run { argv0, files, ..Run::default() }.load().is_ok(), "the former place");
}

#[test]
fn the_more_specific_section_wins() {
    let layer = |sections: &[&str]| {
        let text: String = sections
            .iter()
            .enumerate()
            .map(|(at, section)| format!("[{section}]\nprocess-max={}\n", at + 2))
            .collect();
        with_file(&format!("{text}[db]\npg1-path=/pg\n")).config().process_max
    };
    assert_eq!(layer(&["global"]), 2);
    assert_eq!(layer(&["global:backup", "global"]), 2);
    assert_eq!(layer(&["db", "global:backup", "global"]), 2);
    assert_eq!(layer(&["db:backup", "db", "global:backup", "global"]), 2);
    assert_eq!(layer(&["db:restore", "global:restore", "other", "global"]), 5);
}

#[test]
fn command_line_over_environment_over_file() {
    let file = "[global]\nprocess-max=6\n[db]\npg1-path=/pg\n";
    let environment = [("PGSTRATA_PROCESS_MAX", "7")];
    let run = |options, environment| Run { options, environment, ..with_file(file) }.config();
    assert_eq!(run(&["stanza=db"], &[]).process_max, 6);
    assert_eq!(run(&["stanza=db"], &environment).process_max, 7);
    assert_eq!(run(&["stanza=db", "process-max=8"], &environment).process_max, 8);
    let reset = run(&["stanza=db", "reset-process-max"], &environment).process_max;
    assert!(reset <= 4, "{reset}: the default depends on the machine");
}

#[test]
fn environment_joins_lists_and_names_the_stanza() {
    let environment =
        [("PGSTRATA_STANZA", "db"), ("PGSTRATA_DB_INCLUDE", "a:b"), ("PGSTRATA_PG1_PATH", "/x")];
    let config = Run { environment: &environment, ..restore(&[]) }.config();
    assert_eq!(config.restore.db_include, ["a", "b"]);
    assert_eq!(config.pgs[&1].path.as_deref(), Some("/x".as_ref()));
}

#[test]
fn files_are_found_and_read_in_order() {
    let files = || {
        MemoryFiles::default()
            .with(CONF, PLAIN)
            .with("/etc/pgstrata/conf.d/20.conf", "[db]\npg2-path=/pg2\n")
            .with("/etc/pgstrata/conf.d/10.conf", "[db:backup]\nprocess-max=2\n")
            .with("/etc/pgstrata/conf.d/10.conf.bak", "[db]\npg3-path=/pg3\n")
            .with("/own/pgstrata.conf", "[db]\npg1-path=/own\n")
    };
    let run = |options| Run { options, files: files(), ..Run::default() };
    let config = run(&["stanza=db"]).config();
    let names: Vec<_> = config.config_files.iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(names, [CONF, "/etc/pgstrata/conf.d/10.conf", "/etc/pgstrata/conf.d/20.conf"]);
    assert_eq!((config.pgs.len(), config.process_max), (2, 2));

    let config = run(&["stanza=db", "config=/own/pgstrata.conf"]).config();
    assert_eq!(config.config_files.len(), 1, "a named file stands alone");
    let config = run(&["stanza=db", "config-path=/own/"]).config();
    assert_eq!(config.pgs[&1].path.as_deref(), Some("/own".as_ref()));
    let config = run(&["stanza=db", "no-config", "pg1-path=/a"]).config();
    assert!(config.config_files.is_empty());
    let (code, text) = run(&["stanza=db", "config=/none.conf"]).error();
    assert_eq!((code, text.as_str()), (55, "unable to open missing file '/none.conf' for read"));
    assert_eq!(run(&["stanza=db", "config-include-path=/none"]).error().0, 73);
}

#[test]
fn bad_files_are_named() {
    assert_eq!(
        with_file("[db]\npg1-path=/pg\nnonsense\n").error(),
        (29, format!("configuration file '{CONF}', line 3: the line has no ="))
    );
    let files = MemoryFiles::default().with_bytes(CONF, b"[db]\n\xff");
    let (code, text) = Run { files, ..Run::default() }.error();
    let expected = format!("configuration file '{CONF}', line 2: it is not valid UTF-8");
    assert_eq!((code, text), (29, expected));
}

#[test]
fn a_repeated_key_names_its_places() {
    let (code, text) = with_file("[db]\npg1-path=/a\n\npg1-path=/b\n").error();
    assert_eq!(code, 31);
    assert_eq!(
        text,
        format!("option 'pg1-path' cannot be set multiple times ({CONF}:2, {CONF}:4)")
    );
    let lists = "[db]\npg1-path=/a\ndb-include=a\ndb-include=b\n";
    let config = Run { command: "restore", ..with_file(lists) }.config();
    assert_eq!(config.restore.db_include, ["a", "b"]);
}

#[test]
fn odd_lines_are_warnings() {
    let text = "[global]\npg1-path=/x\nstanza=x\nrepo1-pth=/x\nno-delta=y\nwhatisthis=1\n\
                [db]\npg1-path=/pg\n[db:backup]\nlink-all=y\n[db:bakup]\nprocess-max=3\n";
    insta::assert_snapshot!(with_file(text).config().warnings.join("\n"), @r"
    configuration file contains section 'db:bakup' of an unknown command (/etc/pgstrata/pgstrata.conf:12)
    configuration file contains option 'link-all' invalid for section 'db:backup' (/etc/pgstrata/pgstrata.conf:10)
    configuration file contains stanza-only option 'pg1-path' in global section 'global' (/etc/pgstrata/pgstrata.conf:2)
    configuration file contains command-line only option 'stanza' (/etc/pgstrata/pgstrata.conf:3)
    configuration file contains invalid option 'repo1-pth' (/etc/pgstrata/pgstrata.conf:4); did you mean 'repo1-path'?
    configuration file contains negate option 'no-delta' (/etc/pgstrata/pgstrata.conf:5)
    configuration file contains invalid option 'whatisthis' (/etc/pgstrata/pgstrata.conf:6)
    ");
    let environment = [("PGSTRATA_STANZ", "db"), ("PGBACKREST_X", "1")];
    let config = Run { environment: &environment, ..Run::default() }.config();
    assert_eq!(
        config.warnings,
        ["environment contains invalid option 'stanz'; did you mean 'stanza'?"]
    );
}

#[test]
fn switches_in_the_environment_stop_no_command() {
    let environment =
        [("PGBACKREST_VERSION", "2.55.1"), ("PGBACKREST_HELP", "x"), ("PGBACKREST_STANZA", "main")];
    let options = &["no-config", "pg1-path=/a"];
    let run = Run { environment: &environment, argv0: "pgbackrest", options, ..Run::default() };
    let config = run.config();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.stanza.map(|stanza| stanza.to_string()).as_deref(), Some("main"));
}

#[test]
fn ignored_options_are_reported_unless_they_are_at_their_default() {
    let text = "[global]\narchive-async=n\nrepo1-bundle=y\nrepo1-block=y\nresume=y\n\
                [global:archive-push]\narchive-async=y\narchive-push-queue-max=1GB\n\
                [db]\npg1-path=/pg\npg1-host-cmd=/bin/x\n";
    insta::assert_snapshot!(with_file(text).config().warnings.join("\n"), @r"
    option 'pg1-host-cmd' is ignored: pgN-host is reached with the PostgreSQL protocol, and no pgstrata runs on it
    option 'resume' is ignored: an interrupted backup leaves nothing to resume, and the next one is independent
    ");
    let push = Run { command: "archive-push", arguments: &["/wal"], ..with_file(text) };
    assert_eq!(
        push.config().warnings,
        ["options are ignored: 'archive-async', 'archive-push-queue-max', 'pg1-host-cmd'"]
    );
}

#[test]
fn secrets_stay_secret() {
    let text = "[global]\nrepo1-cipher-pass=hunter2\n[db]\npg1-path=/pg\npg1-password=hunter3\n";
    let files = MemoryFiles::default().with(CONF, text).world_readable(CONF);
    let config = Run { files, ..Run::default() }.config();
    assert_eq!(config.pgs[&1].password.as_ref().unwrap().reveal(), "hunter3");
    assert!(!format!("{config:?}").contains("hunter"));
    assert!(config.shown_options.contains(&"--pg1-password=<redacted>".to_owned()));
    insta::assert_snapshot!(config.warnings.join("\n"), @r"
    configuration file '/etc/pgstrata/pgstrata.conf' contains a secret and can be read by every user of this host
    option 'repo1-cipher-pass' is ignored: option 'repo1-cipher-type' is not set, and repo1 is not encrypted
    ");

    let (code, text) =
        Run { options: &["stanza=db", "pg1-password=hunter2"], ..Run::default() }.error();
    assert_eq!(code, 31);
    insta::assert_snapshot!(text, @r"
    option 'pg1-password' is not allowed on the command-line
    HINT: it would be visible in the process list.
    set it in a configuration file or in the environment variable PGSTRATA_PG1_PASSWORD.
    ");
    let (code, text) = with_file("[db]\npg1-path=/p\npg1-password=\n").error();
    assert_eq!(code, 32);
    assert!(text.starts_with("the value is not valid for 'pg1-password' option"), "{text}");
}

#[test]
fn values_are_checked_and_their_place_is_named() {
    let (code, text) = with_file("[global]\nprocess-max=0\n[db]\npg1-path=/pg\n").error();
    assert_eq!(code, 32);
    let place = format!("({CONF}:2)");
    let range = "HINT: the range is 1 to 999.";
    assert_eq!(text, format!("'0' is out of range for 'process-max' option {place}\n{range}"));
    let run = |options| Run { options, ..Run::default() }.error();
    assert_eq!(run(&["stanza=db", "type=fulll"]).0, 32);
    assert_eq!(run(&["stanza=db", "type=full", "type=diff"]).0, 31);
    assert_eq!(run(&["stanza=db", "link-all"]).0, 31);
    assert_eq!(run(&["stanza=a/b"]).0, 32);
    let environment = [("PGSTRATA_DELTA", "yes")];
    let (code, text) = Run { environment: &environment, ..Run::default() }.error();
    assert_eq!(code, 32);
    assert!(text.contains("(environment variable PGSTRATA_DELTA)"), "{text}");
}

#[test]
fn what_a_command_needs() {
    let run = |command, arguments, options| Run { command, arguments, options, ..Run::default() };
    assert_eq!(run("backup", &[], &[]).error().0, 37);
    assert_eq!(
        run("restore", &[], &["stanza=other"]).error(),
        (37, "restore command requires option: pg1-path\nHINT: does this stanza exist?".into())
    );
    assert_eq!(run("backup", &[], &["stanza=other"]).error().0, 37);
    assert!(run("backup", &[], &["stanza=other", "pg1-host=h"]).load().is_ok());
    assert_eq!(run("archive-push", &[], &["stanza=db"]).error().0, 43);
    assert_eq!(run("archive-push", &["a", "b"], &["stanza=db"]).error().0, 96);
    assert_eq!(run("backup", &["x"], &["stanza=db"]).error().0, 96);
    assert_eq!(run("archive-get", &["a"], &["stanza=db"]).error().0, 43);
    assert!(run("archive-get", &["a", "b"], &["stanza=db"]).load().is_ok());
    assert!(run("archive-get", &["a", "b"], &["stanza=other"]).load().is_ok());
    assert!(run("archive-push", &["/a"], &["stanza=other"]).load().is_ok());
    assert!(run("info", &[], &[]).load().is_ok());
    assert_eq!(run("info", &[], &["set=20261121-092452F"]).error().0, 31);
    assert_eq!(run("annotate", &[], &["stanza=db", "set=20261121-092452F"]).error().0, 37);
    assert_eq!(run("manifest", &[], &["stanza=db"]).error().0, 67);
}

#[test]
fn repositories() {
    let text = "[global]\nrepo1-path=/a\nrepo2-path=/b\n[db]\npg1-path=/pg\n";
    let run = |command, options| Run { command, options, ..with_file(text) };
    assert_eq!(run("backup", &["stanza=db"]).config().repos.len(), 2);
    assert_eq!(run("backup", &["stanza=db", "repo=2"]).config().repo, Some(2));
    assert_eq!(run("backup", &["stanza=db", "repo=3"]).error().0, 32);
    assert_eq!(run("repo-ls", &[]).error().0, 37);
    assert_eq!(run("stanza-delete", &["stanza=db"]).error().0, 37);
    let refused = |line: &str| with_file(&format!("[db]\npg1-path=/pg\n{line}\n")).error();
    assert_eq!(refused("repo1-type=s3").0, 37);
    assert_eq!(refused("repo1-type=cifs").0, 67);
    assert_eq!(refused("repo1-cipher-type=aes-256-cbc").0, 37);
    assert_eq!(refused("repo1-host=backup").0, 67);
    assert_eq!(refused("repo1-type=nfs").0, 32);
    assert_eq!(refused("repo1-path=/a\nrepo2-path=/a/").0, 32);
    assert_eq!(refused("repo1-path=/a/./b\nrepo2-path=/a//b").0, 32);
    assert!(with_file("[db]\npg1-path=/pg\nrepo1-type=posix\n").load().is_ok());
}

#[test]
fn an_option_that_is_not_supported_is_named_as_it_was_given() {
    let (code, text) = Run { options: &["stanza=db", "no-online"], ..Run::default() }.error();
    assert_eq!(
        (code, text.as_str()),
        (67, "--no-online is not supported: PostgreSQL must be running")
    );
    let (_, text) = with_file("[db]\npg1-path=/pg\nrepo1-host=backup\n").error();
    assert!(
        text.starts_with("option 'repo1-host' is not supported: pgstrata runs no agent"),
        "{text}"
    );
}

/// Two repositories in one place would be seen as two copies.
#[test]
fn each_repository_has_a_place_of_its_own() {
    let of = |kind: &str, both: &[&str], second: &[&str]| {
        let mut text = "[db]\npg1-path=/pg\n".to_owned();
        for key in [1, 2] {
            text += &format!("repo{key}-type={kind}\nrepo{key}-path=/a/b\n");
            both.iter().for_each(|line| text += &format!("repo{key}-{line}\n"));
        }
        second.iter().for_each(|line| text += &format!("repo2-{line}\n"));
        with_file(&text).load().map(drop).map_err(|error| error.code().exit_code())
    };
    let s3 = ["s3-bucket=b", "s3-endpoint=e", "s3-region=r", "s3-key=k", "s3-key-secret=s"];
    assert_eq!(of("s3", &s3, &[]), Err(32));
    for other in ["storage-port=9", "storage-host=h", "cipher-type=none"] {
        let same = other.starts_with("cipher");
        assert_eq!(of("s3", &s3, &[other]).is_err(), same, "{other}");
    }
    let azure = ["azure-account=a", "azure-container=c", "azure-key=aaaa"];
    assert_eq!(of("azure", &azure, &[]), Err(32));
    let gcs = ["gcs-bucket=b", "gcs-key-type=token", "gcs-key=t"];
    assert_eq!(of("gcs", &gcs, &[]), Err(32));
    let sftp = ["sftp-host=h", "sftp-host-user=u", "sftp-private-key-file=/k"];
    assert_eq!(of("sftp", &sftp, &[]), Err(32));
    assert_eq!(of("sftp", &sftp, &["sftp-host-port=2222"]), Ok(()));
}

#[test]
fn compression() {
    let of = |options: &[&str]| {
        let options: Vec<_> = ["stanza=db"].iter().chain(options).copied().collect();
        Run { options: &options, ..Run::default() }.load().map(|config| config.backup.compression)
    };
    let expect = |kind, level| Compression { kind, level };
    assert_eq!(of(&["compress-type=gz"]).unwrap(), expect(CompressType::Gz, 6));
    assert_eq!(of(&["compress-type=gz", "compress-level=9"]).unwrap(), expect(CompressType::Gz, 9));
    assert_eq!(of(&["compress-level=-7"]).unwrap(), expect(CompressType::Zst, -7));
    assert_eq!(of(&["no-compress"]).unwrap().kind, CompressType::None);
    assert_eq!(of(&["no-compress", "compress-type=lz4"]).unwrap().kind, CompressType::Lz4);
    assert_eq!(
        of(&["compress-type=bz2", "compress-level=9"]).unwrap(),
        expect(CompressType::Zst, 3)
    );
    let error = of(&["compress-type=gz", "compress-level=10"]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::OptionInvalidValue);
    let config = Run { options: &["stanza=db", "compress-type=bz2"], ..Run::default() }.config();
    assert_eq!(config.warnings.len(), 1);
}

#[test]
fn restore_targets() {
    let target = |options: &[&str]| {
        let options: Vec<_> = ["stanza=db"].iter().chain(options).copied().collect();
        restore(&options).load().map(|config| config.restore.target)
    };
    let time = RecoveryTarget::Time("2026-11-21 14:03:00+00".into());
    assert_eq!(target(&[]).unwrap(), RecoveryTarget::Latest);
    assert_eq!(target(&["type=time", "target=2026-11-21 14:03:00+00"]).unwrap(), time);
    assert_eq!(target(&["target-time=2026-11-21 14:03:00+00"]).unwrap(), time);
    assert_eq!(target(&["target-lsn=1/A"]).unwrap(), RecoveryTarget::Lsn(Lsn((1 << 32) + 10)));
    assert_eq!(target(&["target-name=x"]).unwrap(), RecoveryTarget::Name("x".into()));
    assert_eq!(target(&["target-xid=42"]).unwrap(), RecoveryTarget::Xid("42".into()));
    assert_eq!(target(&["target-immediate"]).unwrap(), RecoveryTarget::Immediate);
    assert_eq!(target(&["target-immediate=n", "type=standby"]).unwrap(), RecoveryTarget::Standby);
    let code = |options| target(options).unwrap_err().code().exit_code();
    assert_eq!(code(&["target-time=x", "target-lsn=0/1"]), 31);
    assert_eq!(code(&["target-time=x", "type=time"]), 31);
    assert_eq!(code(&["target-time=x", "target=x"]), 31);
    assert_eq!(code(&["type=time"]), 37);
    assert_eq!(code(&["target=x"]), 31);
    assert_eq!(code(&["type=lsn", "target=x"]), 32);
    assert_eq!(code(&["target-xid=-1"]), 32);
    assert_eq!(code(&["target-exclusive"]), 31);
    assert_eq!(code(&["target-action=promote"]), 31);
    assert_eq!(code(&["type=none", "target-timeline=2"]), 31);
    assert_eq!(code(&["target-timeline=0"]), 32);
}

#[test]
fn restore_maps_and_settings() {
    let config = restore(&[
        "stanza=db",
        "set=latest",
        "tablespace-map=ts=/ts",
        "link-map=pg_wal=/wal",
        "recovery-option=primary-conninfo=host=a user=b",
        "recovery-option=a_b=",
        "archive-mode=off",
        "target-time=x",
        "target-action=promote",
        "target-timeline=0x10",
    ])
    .config();
    let restore_config = &config.restore;
    assert_eq!(config.set, None);
    assert_eq!(restore_config.tablespace_map["ts"].to_str(), Some("/ts"));
    assert_eq!(restore_config.link_map["pg_wal"].to_str(), Some("/wal"));
    let expected =
        [("primary_conninfo".into(), "host=a user=b".into()), ("a_b".into(), String::new())];
    assert_eq!(restore_config.recovery_options, expected);
    assert!(restore_config.archive_mode == ArchiveMode::Off);
    assert_eq!(restore_config.target_action, TargetAction::Promote);
    assert_eq!(restore_config.target_timeline, TargetTimeline::Number(TimeLine(16)));
    assert_eq!(restore(&["stanza=db", "tablespace-map=ts=rel"]).error().0, 32);
    assert_eq!(restore(&["stanza=db", "recovery-option=a b=1"]).error().0, 32);
    assert_eq!(restore(&["stanza=db", "set=x"]).error().0, 32);
}

/// Target, exclusive, timeline, archive_mode off, further settings and warnings of a restore with these recovery options
/// in the file.
fn with_recovery_options(
    lines: &str,
    options: &[&str],
) -> Result<(RestoreConfig, Vec<String>), Error> {
    let lines = lines.split(' ').map(|line| format!("recovery-option={line}\n"));
    let text = format!("[db]\npg1-path=/pg\n{}", lines.collect::<String>());
    let options: Vec<_> = ["stanza=db"].iter().chain(options).copied().collect();
    let run = Run { command: "restore", options: &options, ..with_file(&text) };
    run.load().map(|config| (config.restore, config.warnings))
}

#[test]
fn recovery_options_that_are_options_count_as_such() {
    let file = "recovery_target_time=x Recovery-Target-Action=promote recovery_target_inclusive=off \
                recovery_target_timeline=0x10 archive_mode=false restore_command=cp";
    let (restore, warnings) = with_recovery_options(file, &[]).unwrap();
    assert_eq!(restore.target, RecoveryTarget::Time("x".into()));
    assert_eq!(restore.target_action, TargetAction::Promote);
    assert_eq!(restore.target_timeline, TargetTimeline::Number(TimeLine(16)));
    assert!(restore.target_exclusive && restore.archive_mode == ArchiveMode::Off);
    assert_eq!(restore.recovery_options, [("restore_command".into(), "cp".into())]);
    assert_eq!(warnings, Vec::<String>::new());

    let (restore, warnings) = with_recovery_options(
        "recovery_target=immediate recovery_target_action=promote recovery_target_timeline=3 archive_mode=always",
        &["target-xid=5", "target-action=pause", "target-timeline=latest", "archive-mode=off"],
    )
    .unwrap();
    assert_eq!(restore.target, RecoveryTarget::Xid("5".into()));
    assert_eq!(restore.target_action, TargetAction::Pause);
    assert_eq!(restore.target_timeline, TargetTimeline::Latest);
    assert!(restore.archive_mode == ArchiveMode::Off && restore.recovery_options.is_empty());
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert_eq!(
        warnings[0],
        "recovery-option recovery_target=immediate is ignored: option 'target-xid' is set"
    );

    let (restore, warnings) =
        with_recovery_options("recovery_target_timeline=latest", &["type=immediate"]).unwrap();
    assert_eq!((restore.target_timeline, warnings.len()), (TargetTimeline::Default, 1));
    let (restore, warnings) =
        with_recovery_options("recovery_target_time=x", &["type=default"]).unwrap();
    assert_eq!((restore.target, warnings.len()), (RecoveryTarget::Latest, 1));
    let (restore, warnings) = with_recovery_options("a=1", &["type=preserve"]).unwrap();
    assert_eq!((restore.target, warnings.len()), (RecoveryTarget::Preserve, 1));
    let (restore, _) = with_recovery_options("archive_mode=on", &[]).unwrap();
    assert_eq!(restore.recovery_options, [("archive_mode".into(), "on".into())]);
}

#[test]
fn two_targets_are_refused() {
    let code = |file, options: &[&str]| {
        with_recovery_options(file, options).unwrap_err().code().exit_code()
    };
    assert_eq!(code("recovery_target_time=x recovery_target_xid=5", &[]), 31);
    assert_eq!(code("a=1", &["target-xid=5", "recovery-option=recovery_target_name=x"]), 31);
    assert_eq!(code("a=1", &["archive-mode=off", "recovery-option=archive_mode=on"]), 31);
    assert_eq!(code("a=1", &["type=none", "recovery-option=b=1"]), 31);
    assert_eq!(code("recovery_target=now", &[]), 32);
    assert_eq!(code("recovery_target_xid=x", &[]), 32);
    assert_eq!(code("recovery_target_action=stop", &[]), 32);
    assert_eq!(code("recovery_target_inclusive=perhaps", &[]), 32);
    assert_eq!(code("a=1 A=2", &[]), 32);
}

#[test]
fn what_a_later_call_must_repeat() {
    let files = MemoryFiles::default().with("/own.conf", PLAIN);
    let environment = [("PGSTRATA_LOCK_PATH", "/lock"), ("PGSTRATA_REPO1_CIPHER_PASS", "hunter2")];
    let options = [
        "stanza=db",
        "config=/own.conf",
        "repo1-path=/r",
        "pg1-path=/new",
        "delta",
        "repo=1",
        "process-max=4",
        "log-level-console=info",
        "reset-archive-timeout",
        "target-time=2026-11-21 14:03:00+00",
    ];
    let config = Run { options: &options, environment: &environment, files, ..restore(&[]) };
    let error = Run { options: &options, ..restore(&[]) }.error();
    assert_eq!(error.0, 31, "archive-timeout is not an option of restore");
    let options: Vec<_> = options.into_iter().filter(|o| !o.starts_with("reset")).collect();
    let config = Run { options: &options, ..config }.config();
    assert_eq!(
        config.carried_options,
        ["--config=/own.conf", "--lock-path=/lock", "--pg1-path=/new", "--repo1-path=/r"]
    );
}

#[test]
fn every_command_has_a_configuration() {
    for spec in COMMANDS.iter().filter(|spec| spec.action.is_ok()) {
        let arguments: Vec<_> = spec.arguments.iter().map(|_| "/x").collect();
        let mut options = Vec::new();
        if spec.stanza != StanzaUse::Unused {
            options.push("stanza=db");
        }
        match spec.word {
            "annotate" => options.extend(["set=20261121-092452F", "annotation=a=b"]),
            "keep" => options.push("set=20261121-092452F"),
            "repo-sync" => options.extend(["from=1", "to=2", "repo1-path=/a", "repo2-path=/b"]),
            _ => {}
        }
        let run =
            Run { command: spec.word, arguments: &arguments, options: &options, ..Run::default() };
        assert_eq!(run.load().map(|config| config.command.word()).unwrap(), spec.word);
    }
}

#[test]
fn an_existing_configuration_of_the_field_works_unchanged() {
    let text = "\
[global]
repo1-path=/var/lib/pgbackrest
repo1-retention-full=2
repo1-bundle=y
repo1-block=y
process-max=2
log-level-console=info
start-fast=y
delta=y
compress-type=zst
tls-server-address=*
tls-server-auth=client=db
spool-path=/var/spool/pgbackrest
archive-async=y

[global:archive-push]
compress-level=3

[global:expire]
log-level-console=debug

[db]
pg1-path=/var/lib/postgresql/15/main
pg1-host-user=postgres
pg1-host-type=tls
pg1-port=5433
";
    let files = MemoryFiles::default().with("/etc/pgbackrest/pgbackrest.conf", text);
    let config = Run { argv0: "pgbackrest", files, ..Run::default() }.config();
    assert_eq!(config.pgs[&1].port, Some(5433));
    assert!(config.backup.start_fast && config.delta);
    assert_eq!(config.repos[&1].retention.full, Some(2));
    assert_eq!(config.warnings.len(), 2, "{:#?}", config.warnings);
}
