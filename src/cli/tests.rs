use proptest::prelude::*;

use super::*;
use crate::{
    config::{BackupConfig, testing::MemoryFiles},
    types::{BackupType, Failure, RecoveryTarget},
};

const CONF: &str = "[global]\nrepo1-path=/backup\n[db]\npg1-path=/pg\n";

fn run(args: &[&str]) -> Result<Invocation, Error> {
    let args: Vec<_> = args.iter().map(OsString::from).collect();
    let files = MemoryFiles::default().with("/etc/pgstrata/pgstrata.conf", CONF);
    parse(OsStr::new("/usr/bin/pgstrata"), &args, [], &files)
}

fn config(args: &[&str]) -> Config {
    match run(args).unwrap() {
        Invocation::Run(config) => *config,
        Invocation::Print(text) => panic!("{text}"),
    }
}

fn text(args: &[&str]) -> String {
    match run(args).unwrap() {
        Invocation::Print(text) => text,
        Invocation::Run(config) => panic!("{config:?}"),
    }
}

fn error(args: &[&str]) -> String {
    let error = run(args).unwrap_err();
    let hint = error.hint().map(|hint| format!("\n  {}", hint.replace('\n', "\n  ")));
    format!("[{:03}] {error}{}", error.code().exit_code(), hint.unwrap_or_default())
}

#[test]
fn options_stand_before_or_after_the_command() {
    for args in [
        &["--stanza=db", "--type=full", "--log-level-stderr=info", "backup"][..],
        &["backup", "--stanza", "db", "--type", "full", "--log-level-stderr", "info"],
        &["--stanza", "db", "backup", "--type=full", "--log-level-stderr=info"],
    ] {
        let config = config(args);
        assert_eq!(config.backup.kind, BackupType::Full);
        assert_eq!(config.stanza.as_ref().map(|name| name.as_str()), Some("db"));
        assert_eq!(config.log.stderr, crate::config::LogLevel::Info);
    }
    let config = config(&["--stanza=db", "restore", "--target-time=2026-11-21 14:03:00+00"]);
    assert_eq!(config.restore.target, RecoveryTarget::Time("2026-11-21 14:03:00+00".into()));
}

#[test]
fn words_after_the_command_are_its_arguments() {
    let get =
        config(&["--stanza=db", "archive-get", "000000010000000000000001", "pg_wal/RECOVERYXLOG"]);
    assert_eq!(get.arguments, ["000000010000000000000001", "pg_wal/RECOVERYXLOG"]);
    assert_eq!(config(&["archive-push", "--stanza=db", "--", "-x"]).arguments, ["-x"]);
}

#[test]
fn booleans_have_three_forms_and_negatives_are_values() {
    let delta = |option| config(&["--stanza=db", option, "restore"]).delta;
    assert!(delta("--delta") && delta("--delta=y"));
    assert!(!delta("--delta=n") && !delta("--no-delta") && !delta("--reset-delta"));
    let level = |args: &[&str]| config(args).backup.compression;
    assert_eq!(level(&["--stanza=db", "backup", "--compress-level", "-3"]).level, -3);
    assert_eq!(level(&["--stanza=db", "backup"]), BackupConfig::DEFAULT_COMPRESSION);
    assert_eq!(config(&["--no-config", "info"]).config_files.len(), 0);
}

#[test]
fn indexed_options_take_every_number() {
    let args = ["--stanza=db", "--pg256-host=h", "--repo7-path=/r", "backup"];
    let config = config(&args);
    assert_eq!(config.pgs.keys().copied().collect::<Vec<_>>(), [1, 256]);
    assert_eq!(config.repos[&7].path.to_str(), Some("/r"));
}

#[test]
fn errors() {
    let cases: &[&[&str]] = &[
        &["--stanza=db"],
        &["bakup"],
        &["frobnicate"],
        &["repo-rm", "x"],
        &["backup", "--stanz=db"],
        &["backup", "--pg-path=/x"],
        &["backup", "--pg0-path=/x"],
        &["backup", "--zzzz"],
        &["backup", "--no-stanza"],
        &["backup", "--no-detla"],
        &["backup", "-x"],
        &["backup", "--stanza"],
        &["backup", "--stanza="],
        &["backup", "--no-delta=y", "--stanza=db"],
        &["backup", "--delta", "--no-delta", "--stanza=db"],
        &["backup", "--delta", "--delta", "--stanza=db"],
        &["backup", "--no-delta", "--no-delta", "--stanza=db"],
        &["backup", "--stanza=db", "--recurse"],
        &["backup", "--stanza=db", "--pg1-password=hunter2"],
        &["backup", "--stanza=db", "--type=ful"],
        &["backup", "--stanza=db", "--archive-timeout=2d"],
        &["backup", "extra", "--stanza=db"],
        &["archive-push", "--stanza=db"],
        &["restore"],
        &["restore", "--stanza=db", "--target-time=x", "--target-xid=1"],
        &["restore", "--stanza=db", "--type=time"],
        &["restore", "--stanza=db", "--target=x"],
        &["help", "bakup"],
        &["help", "backup", "recurse"],
        &["help", "backup", "stanz"],
        &["completion", "tcsh"],
        &["completion"],
        &["version", "--output=xml"],
        &["version", "x"],
    ];
    let shown: String =
        cases.iter().map(|args| format!("$ {}\n{}\n\n", args.join(" "), error(args))).collect();
    assert_eq!(shown.matches("hunter2").count(), 1, "only in the command line of the test");
    insta::assert_snapshot!(shown);
}

#[test]
fn arguments_that_are_not_text_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    let args = ["backup".into(), OsString::from_vec(b"--stanza=\xff".to_vec())];
    let error = parse(OsStr::new("x"), &args, [], &MemoryFiles::default()).unwrap_err();
    assert_eq!(error.to_string(), "argument 2 is not valid UTF-8");
    let environment = [("PGSTRATA_STANZA".into(), OsString::from_vec(b"\xff".to_vec()))];
    let error = parse(OsStr::new("x"), &["info".into()], environment, &MemoryFiles::default());
    assert!(error.unwrap_err().to_string().contains("PGSTRATA_STANZA"));
}

#[test]
fn help_texts() {
    insta::assert_snapshot!("help", text(&["help"]));
    assert_eq!(text(&[]), text(&["help"]));
    assert_eq!(text(&["--help"]), text(&["help"]));
    assert_eq!(text(&["-h"]), text(&["help"]));
    insta::assert_snapshot!("help_backup", text(&["help", "backup"]));
    assert_eq!(text(&["backup", "--help", "--stanza=db"]), text(&["help", "backup"]));
    assert_eq!(text(&["archive-push", "x", "-h"]), text(&["help", "archive-push"]));
    assert_eq!(text(&["help", "backup", "--help"]), text(&["help", "backup"]));
    insta::assert_snapshot!("help_archive_push", text(&["help", "archive-push"]));
    insta::assert_snapshot!("help_backup_option", text(&["help", "backup", "repo1-bundle-size"]));
    insta::assert_snapshot!("help_accepted_option", text(&["help", "backup", "archive-copy"]));
    insta::assert_snapshot!("help_secret_option", text(&["help", "backup", "pg-password"]));
}

#[test]
fn every_help_text_fits_the_terminal() {
    for spec in COMMANDS.iter().filter(|spec| spec.action.is_ok()) {
        let mut texts = vec![text(&["help", spec.word])];
        for row in crate::config::table::rows().filter(|row| row.commands.meets(spec.set)) {
            texts.push(text(&["help", spec.word, row.name]));
        }
        for line in texts.iter().flat_map(|text| text.lines()) {
            // What is to be copied is not cut.
            let is_example = line.starts_with("    ")
                && (line.contains("pgstrata ") || line.trim_start().starts_with("example:"));
            assert!(is_example || line.chars().count() <= 80, "{}: {line}", spec.word);
        }
        assert!(texts[0].contains("Examples:\n    pgstrata "), "{}", spec.word);
    }
}

#[test]
fn versions() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(text(&["version"]), format!("pgstrata {version}\n"));
    assert_eq!(text(&["--version"]), text(&["version"]));
    assert_eq!(text(&["-V"]), text(&["version"]));
    let json: serde_json::Value =
        serde_json::from_str(&text(&["version", "--output=json"])).unwrap();
    assert_eq!(json["version"], version);
}

#[test]
fn completions_and_the_manual_know_commands_and_options() {
    for words in
        [&["completion", "bash"][..], &["completion", "zsh"], &["completion", "fish"], &["man"]]
    {
        let text = text(words).replace('\\', "");
        for expected in ["stanza-create", "repo1-path", "target-time", "log-level-console"] {
            assert!(text.contains(expected), "{words:?}: {expected}");
        }
        assert!(!text.contains("pg1-password"), "{words:?}: a secret is not for the command line");
    }
}

/// Words that look like arguments, so that the interesting paths are reached.
fn argument() -> impl Strategy<Value = String> {
    let names = crate::config::table::rows().map(|row| row.name.replace('N', "1"));
    let names: Vec<_> = names.collect();
    let words: Vec<_> = COMMANDS.iter().map(|spec| spec.word.to_owned()).collect();
    prop_oneof![
        prop::sample::select(words),
        prop::sample::select(names.clone()).prop_map(|name| format!("--{name}")),
        prop::sample::select(names.clone()).prop_map(|name| format!("--no-{name}")),
        prop::sample::select(names.clone()).prop_map(|name| format!("--reset-{name}")),
        (prop::sample::select(names), ".{0,10}")
            .prop_map(|(name, value)| format!("--{name}={value}")),
        "-{0,3}[a-z0-9=-]{0,12}",
        ".{0,12}",
    ]
}

proptest! {
    #[test]
    fn any_command_line_is_read_without_panic(
        args in prop::collection::vec(argument(), 0..6),
        argv0 in ".{0,12}",
    ) {
        let args: Vec<_> = args.into_iter().map(OsString::from).collect();
        let files = MemoryFiles::default().with("/etc/pgstrata/pgstrata.conf", CONF);
        let _ = parse(OsStr::new(&argv0), &args, [], &files);
    }

    #[test]
    fn any_bytes_are_read_without_panic(
        args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..5),
        value in prop::collection::vec(any::<u8>(), 0..12),
        content in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        use std::os::unix::ffi::OsStringExt;
        let args: Vec<_> = args.into_iter().map(OsString::from_vec).collect();
        let environment = [("PGSTRATA_STANZA".into(), OsString::from_vec(value))];
        let files = MemoryFiles::default().with_bytes("/etc/pgstrata/pgstrata.conf", &content);
        let _ = parse(OsStr::new("pgstrata"), &args, environment, &files);
    }
}
