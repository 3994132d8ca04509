//! The house rules that a compiler does not hold: which layer may know which, how long a file may be,
//! where text may be printed, and that what the documents promise to list is listed.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use pgstrata::types::ErrorCode;
use regex::Regex;

#[path = "structure/circles.rs"]
mod circles;

/// What each module of the library may name.
const MAY_USE: [(&str, &[&str]); 17] = [
    ("types", &[]),
    ("host", &["types"]),
    ("work", &["types"]),
    ("storage", &["host", "types"]),
    ("codec", &["storage", "types"]),
    ("postgres", &["host", "types"]),
    ("repo", &["codec", "host", "storage", "types", "work"]),
    ("backup", &["codec", "host", "postgres", "repo", "storage", "types", "work"]),
    ("expire", &["repo", "storage", "types", "work"]),
    ("restore", &["codec", "host", "postgres", "repo", "storage", "types", "work"]),
    ("wal", &["codec", "postgres", "repo", "storage", "types"]),
    ("verify", &["codec", "postgres", "repo", "restore", "storage", "types", "wal", "work"]),
    ("sync", &["codec", "repo", "storage", "types", "wal", "work"]),
    ("config", &["types"]),
    ("ui", &["config", "host", "types"]),
    (
        "command",
        &[
            "backup", "codec", "config", "expire", "host", "postgres", "repo", "restore",
            "storage", "sync", "types", "ui", "verify", "wal", "work",
        ],
    ),
    ("cli", &["command", "config", "types", "ui"]),
];

const LINES_MAX: usize = 700;

/// Words outside of the field's vocabulary, and what to write instead. `docs/style.md` has the same table. The number is the
/// occurrences that `src/` may still have: lower it with each one that is removed, and never raise it.
const BANNED: [(&str, &str, usize); 34] = [
    ("anew", "again", 1),
    ("anybody", "the user, the role or the process that is meant", 6),
    ("authorities", "CA certificates", 6),
    ("beside", "next to, with", 71),
    ("cut short", "interrupted, truncated", 7),
    ("everybody", "all users", 5),
    ("for good", "permanently", 1),
    ("get along", "support", 0),
    ("go on", "continue", 6),
    ("goes on", "continues", 10),
    ("hands out", "returns, issues", 0),
    ("held against", "compared with", 1),
    ("in nobody's way", "does not block", 0),
    ("just so", "in the same way", 0),
    ("key service", "KMS", 1),
    ("left-over", "interrupted backup", 2),
    ("mend", "fix, repair", 18),
    ("neighbour", "the next block, process or repository", 2),
    ("nobody", "no user, no process", 12),
    ("none of its", "no (`no byte of it`)", 6),
    ("of our own", "own, separate", 1),
    ("of which", "which, whose, or a new sentence", 34),
    ("piece", "range, chunk", 201),
    ("shall", "must, does", 1),
    ("so many", "the number: n, as many as", 1),
    ("so made", "then", 0),
    ("somebody", "a user, another process", 12),
    ("spoken to", "connected to", 2),
    ("stranger", "another user, another program", 18),
    ("stretch", "range, chunk", 179),
    ("token service", "STS", 2),
    ("told", "reported, given, recorded", 86),
    ("whoever", "the user, the command, the role", 4),
    ("whom", "who, or name the actor", 7),
];

struct SourceFile {
    path: PathBuf,
    text: String,
}

impl SourceFile {
    /// The code before an inline test module, comments and string contents blanked out.
    fn production_code(&self) -> String {
        let tests = Regex::new(r"#\[cfg\(test\)\]\s*mod \w+ \{").expect("pattern");
        let end = tests.find(&self.text).map_or(self.text.len(), |found| found.start());
        let code = blank_comments_and_strings(&self.text[..end]);
        let single_line = Regex::new(r"#\[cfg\(test\)\]\s*\n[^\n]*").expect("pattern");
        single_line.replace_all(&code, "\n").into_owned()
    }

    /// The directory that holds the modules declared in this file.
    fn module_directory(&self) -> PathBuf {
        let stem = self.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        match stem {
            "mod" | "lib" | "main" => self.path.with_file_name(""),
            _ => self.path.with_extension(""),
        }
    }

    fn shown(&self) -> String {
        self.path.strip_prefix(root()).unwrap_or(&self.path).display().to_string()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(below: &str) -> Vec<SourceFile> {
    let mut files = Vec::new();
    collect(&root().join(below), &mut files);
    assert!(!files.is_empty(), "no Rust files below {below}");
    files
}

fn collect(directory: &Path, files: &mut Vec<SourceFile>) {
    for entry in fs::read_dir(directory).expect("source directory") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("UTF-8 source");
            files.push(SourceFile { path, text });
        }
    }
}

/// The sources of the library and the program, without the modules that are compiled for tests only
/// and without the conformance suite of the storage backends, which says what is wrong by panicking.
fn production_files() -> Vec<SourceFile> {
    let files = rust_files("src");
    let mut test_modules: Vec<PathBuf> = files.iter().flat_map(test_modules_of).collect();
    test_modules.push(root().join("src/storage/conformance"));
    let is_test = |path: &Path| {
        test_modules
            .iter()
            .any(|module| path.starts_with(module) || path == module.with_extension("rs"))
    };
    files.into_iter().filter(|file| !is_test(&file.path)).collect()
}

/// The modules that a file declares for tests only, as paths without an ending.
fn test_modules_of(file: &SourceFile) -> Vec<PathBuf> {
    let declared = Regex::new(
        r#"#\[cfg\(test\)\]\s*(?:#\[path = "(\w+)\.rs"\]\s*)?(?:pub(?:\([^)]*\))? +)?mod (\w+);"#,
    )
    .expect("pattern");
    let place = |found: regex::Captures<'_>| match found.get(1) {
        Some(path) => file.path.with_file_name(path.as_str()),
        None => file.module_directory().join(&found[2]),
    };
    declared.captures_iter(&file.text).map(place).collect()
}

/// Replaces comments and the insides of string literals by spaces; line numbers stay.
fn blank_comments_and_strings(text: &str) -> String {
    let pattern = Regex::new(
        r##"(?s)//[^\n]*|/\*.*?\*/|b?r#"(?:.*?)"#|b?r"(?:[^"]*)"|b?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^\\'])'"##,
    )
    .expect("pattern");
    let blank = |found: &regex::Captures<'_>| -> String {
        found[0].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
    };
    pattern.replace_all(text, blank).into_owned()
}

fn lines_matching(code: &str, pattern: &Regex) -> Vec<usize> {
    code.lines()
        .enumerate()
        .filter(|(_, line)| pattern.is_match(line))
        .map(|(number, _)| number + 1)
        .collect()
}

/// The module a file below `src` belongs to, `None` for `lib.rs` and `main.rs`.
fn module_of(file: &SourceFile) -> Option<String> {
    let relative = file.path.strip_prefix(root().join("src")).ok()?;
    let first = relative.components().next()?.as_os_str().to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (name != "lib" && name != "main").then(|| name.to_owned())
}

/// Every module of this crate that the code names: `crate::a::…`, `crate::{a::…, b::…}`.
fn modules_named(code: &str) -> BTreeSet<String> {
    let direct = Regex::new(r"\bcrate::(\w+(?:::\w+)?)").expect("pattern");
    let mut named: BTreeSet<String> =
        direct.captures_iter(code).map(|found| found[1].to_owned()).collect();
    let group = Regex::new(r"\bcrate::\{").expect("pattern");
    for found in group.find_iter(code) {
        named.extend(heads_of_group(&code[found.end()..]));
    }
    named
}

/// The first words of the items of a `{…}` group whose opening brace was read already.
fn heads_of_group(rest: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut head, mut taking) = (0, String::new(), true);
    for c in rest.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(std::mem::take(&mut head));
                taking = true;
            }
            _ if depth > 0 || c.is_whitespace() => {}
            _ if taking && (c.is_alphanumeric() || c == '_' || c == ':') => head.push(c),
            _ => taking = false,
        }
    }
    heads.push(head);
    let first_two = |path: String| path.split("::").take(2).collect::<Vec<_>>().join("::");
    heads.into_iter().map(first_two).filter(|head| !head.is_empty()).collect()
}

#[test]
fn arrows_only_point_down() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    let mut wrong = Vec::new();
    for file in production_files() {
        let Some(module) = module_of(&file) else { continue };
        let Some(below) = allowed.get(module.as_str()) else {
            wrong.push(format!("{}: module {module} has no place in the house", file.shown()));
            continue;
        };
        for named in modules_named(&file.production_code()) {
            let target = named.split("::").next().unwrap_or_default();
            let known = allowed.contains_key(target);
            if known && target != module && !below.contains(&target) {
                wrong.push(format!("{}: {module} must not know {named}", file.shown()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn engines_never_read_the_configuration() {
    let engines = [
        "backup", "codec", "expire", "postgres", "repo", "restore", "storage", "sync", "verify",
        "wal",
    ];
    for file in production_files() {
        let Some(module) = module_of(&file) else { continue };
        if engines.contains(&module.as_str()) {
            let named = modules_named(&file.production_code());
            let config = named.iter().find(|name| name.starts_with("config"));
            assert!(config.is_none(), "{} reads {config:?}", file.shown());
        }
    }
}

/// Where threads and tasks may be started, and why.
const MAY_SPAWN: [(&str, &str); 3] = [
    ("work/", "it is there for that"),
    (
        "storage/",
        "it is not above work: blocking file operations, parts under way, clean-up after a dropped upload",
    ),
    (
        "postgres/sql/session.rs",
        "the driver of a connection ends with its client, and not with a handle",
    ),
];

#[test]
fn only_work_starts_threads_and_tasks() {
    let pattern = Regex::new(
        r"\bthread::(?:spawn|scope|Builder)\b|\bspawn_blocking\b|\bspawn_local\b|\btokio::spawn\b|\btask::spawn\b|\bJoinSet\b|\bblock_in_place\b",
    )
    .expect("pattern");
    for file in production_files() {
        let shown = file.shown();
        if MAY_SPAWN.iter().any(|(place, _)| shown.starts_with(&format!("src/{place}"))) {
            continue;
        }
        let lines = lines_matching(&file.production_code(), &pattern);
        assert!(lines.is_empty(), "{shown}: lines {lines:?} start threads or tasks: use work");
    }
}

#[test]
fn files_are_short() {
    let long: Vec<String> = ["src", "tests"]
        .iter()
        .flat_map(|below| rust_files(below))
        .map(|file| (file.shown(), file.text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(name, lines)| format!("{name}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "over {LINES_MAX} lines: {}", long.join(", "));
}

#[test]
fn every_module_says_why_it_exists() {
    for file in production_files().iter().chain(&rust_files("tests")) {
        let first = file.text.lines().next().unwrap_or_default();
        let said = first.strip_prefix("//!").map(str::trim).unwrap_or_default();
        assert!(
            said.len() >= 10,
            "{} does not open with a //! that says why it exists",
            file.shown()
        );
    }
}

// `.expect("…")` is `.expect(   )` once strings are blanked; a method of ours may have that name.
#[test]
fn nothing_panics_on_purpose_outside_tests() {
    let pattern = Regex::new(
        r"\.unwrap\(\)|\.expect\(\s*\)|\.unwrap_err\(|\bpanic!|\bunreachable!|\btodo!|\bunimplemented!",
    )
    .expect("pattern");
    for file in production_files() {
        let lines = lines_matching(&file.production_code(), &pattern);
        assert!(lines.is_empty(), "{}: lines {lines:?} can panic", file.shown());
    }
}

#[test]
fn only_main_and_ui_print() {
    let pattern = Regex::new(r"\be?print(?:ln)?!|\bio::std(?:out|err)\(|\bdbg!").expect("pattern");
    for file in production_files() {
        let module = module_of(&file);
        let may_print = matches!(module.as_deref(), None | Some("ui"));
        let lines = lines_matching(&file.production_code(), &pattern);
        assert!(may_print || lines.is_empty(), "{}: lines {lines:?} print", file.shown());
    }
}

#[test]
fn unsafe_code_stands_in_one_place_at_most() {
    let pattern = Regex::new(r"\bunsafe\b").expect("pattern");
    let files: Vec<String> = production_files()
        .iter()
        .filter(|file| !lines_matching(&file.production_code(), &pattern).is_empty())
        .map(SourceFile::shown)
        .collect();
    assert!(files.len() <= 1, "unsafe code in {}", files.join(", "));
}

/// The variants of `ErrorCode` with their numbers, as the source has them.
fn error_codes() -> Vec<(String, u8)> {
    let source = fs::read_to_string(root().join("src/types/failure.rs")).expect("source");
    let start = source.find("pub enum ErrorCode").expect("the enum");
    let body = &source[start..start + source[start..].find('}').expect("its end")];
    let pattern = Regex::new(r"(\w+) = (\d+),").expect("pattern");
    pattern
        .captures_iter(body)
        .map(|found| (found[1].to_owned(), found[2].parse().expect("a code")))
        .collect()
}

/// `ArchiveTimeout` as the contract writes it: `archive-timeout`.
fn dashed(variant: &str) -> String {
    let mut name = String::new();
    for c in variant.chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

#[test]
fn every_error_code_is_in_the_catalogue() {
    let path = root().join("docs/errors.md");
    let catalogue = fs::read_to_string(&path).expect("docs/errors.md exists");
    let codes = error_codes();
    assert!(codes.contains(&("ArchiveTimeout".to_owned(), ErrorCode::ArchiveTimeout.exit_code())));
    for (variant, number) in codes {
        let row = Regex::new(&format!(r"(?m)^\| *`?{number}`? *\| *`?{}`? *\|", dashed(&variant)))
            .expect("pattern");
        assert!(
            row.is_match(&catalogue),
            "docs/errors.md has no row | {number} | {} |",
            dashed(&variant)
        );
    }
}

#[test]
fn catalogue_has_no_codes_that_do_not_exist() {
    let catalogue =
        fs::read_to_string(root().join("docs/errors.md")).expect("docs/errors.md exists");
    let known: BTreeSet<u8> = error_codes().into_iter().map(|(_, number)| number).collect();
    let rows = Regex::new(r"(?m)^\| *`?(\d+)`? *\|").expect("pattern");
    for row in rows.captures_iter(&catalogue) {
        let number: u8 = row[1].parse().expect("a code");
        assert!(known.contains(&number), "docs/errors.md lists {number}, which no error has");
    }
}

/// All keys of a JSON value, those of values inside it too.
fn keys_of(value: &serde_json::Value, keys: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                keys.insert(key.clone());
                keys_of(value, keys);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| keys_of(item, keys)),
        _ => {}
    }
}

#[test]
fn every_key_of_a_manifest_is_in_the_format_specification() {
    let repository = root().join("fixtures/repository-v1");
    let text = fs::read_to_string(root().join("docs/repository-format.md")).expect("the page");
    for object in ["stanza/demo/00000001", "backup/demo/20261121-092452F/manifest"] {
        let bytes = fs::read(repository.join(object)).expect("the golden repository");
        // Header, body, and the digest of both.
        let body = &bytes[16..bytes.len() - 32];
        let mut keys = BTreeSet::new();
        keys_of(&serde_json::from_slice(body).expect("JSON"), &mut keys);
        assert!(!keys.is_empty());
        for key in &keys {
            let named = text.contains(&format!("`{key}`")) || text.contains(&format!("\"{key}\""));
            assert!(named, "docs/repository-format.md does not name '{key}' of {object}");
        }
    }
}

/// What `Cargo.toml` assigns to `key`, as written.
fn in_manifest<'a>(manifest: &'a str, key: &str) -> &'a str {
    let start = manifest.find(&format!("\n{key} = ")).unwrap_or_else(|| panic!("no {key}"));
    manifest[start..].split_once(" = ").expect("a value").1
}

#[test]
fn stores_are_features_and_bring_their_crates() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    assert!(in_manifest(&manifest, "default").starts_with(r#"["s3", "azure", "gcs", "sftp"]"#));
    let of_stores = [
        "aws-credential-types",
        "aws-sdk-s3",
        "aws-smithy-runtime-api",
        "aws-smithy-types",
        "http",
        "http-body",
        "http-body-util",
        "md-5",
        "object_store",
        "reqwest",
        "russh",
        "russh-sftp",
        "rustls",
    ];
    let optional = Regex::new(r"(?m)^([\w-]+) = .*optional = true \}$").expect("pattern");
    let found: Vec<&str> =
        optional.captures_iter(&manifest).map(|found| found.extract::<1>().1[0]).collect();
    assert_eq!(found, of_stores);
    let page = fs::read_to_string(root().join("docs/building.md")).expect("docs/building.md");
    for feature in ["s3", "azure", "gcs", "sftp"] {
        assert!(page.contains(&format!("| `{feature}` |")), "docs/building.md: {feature}");
    }
}

/// The public fields of the structs in `text`.
fn public_fields(text: &str) -> BTreeSet<String> {
    let field = Regex::new(r"(?m)^    pub ([a-z][a-z0-9_]*):").expect("pattern");
    field.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn every_field_of_the_configuration_is_read() {
    let users: String = ["src/command", "src/ui", "src/cli"]
        .iter()
        .flat_map(|directory| rust_files(directory))
        .chain(rust_files("src").into_iter().filter(|file| file.path.ends_with("src/main.rs")))
        .map(|file| file.production_code())
        .collect();
    for file in rust_files("src/config/table") {
        for field in public_fields(&file.production_code()) {
            let spec = ["title", "rows"].contains(&field.as_str());
            let read =
                Regex::new(&format!(r"\.\s*{field}\b|\b{field}(?:: |,| \}})")).expect("pattern");
            assert!(
                spec || read.is_match(&users),
                "{}: no command reads the field '{field}'",
                file.shown()
            );
        }
    }
}

/// A command that is added must be dispatched, and a word that is added must be read.
#[test]
fn commands_and_words_are_matched_without_a_fallback() {
    let dispatch = fs::read_to_string(root().join("src/command/mod.rs")).expect("UTF-8");
    assert!(!dispatch.contains("_ =>"), "src/command/mod.rs has a fallback for commands");
    let word = Regex::new(r#"Some\("[a-z0-9-]+"\)[^\n]*=>"#).expect("pattern");
    for file in rust_files("src/config/table") {
        let latest = file.text.replace("Some(\"latest\") =>", "");
        assert!(!word.is_match(&latest), "{} reads words without their enum", file.shown());
    }
}

#[test]
fn documents_are_where_readers_look() {
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "docs/glossary.md",
        "docs/style.md",
        "docs/errors.md",
        "docs/repository-format.md",
        "docs/decisions",
        "deny.toml",
        ".ci/run",
    ] {
        assert!(root().join(name).exists(), "{name} is missing");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#\s]+)(?:#[^)]*)?\)").expect("pattern");
    for document in documents() {
        let text = fs::read_to_string(&document).expect("UTF-8");
        for found in link.captures_iter(&text) {
            let target = &found[1];
            if !target.contains("://") && !target.starts_with("mailto:") {
                let path = document.parent().expect("a directory").join(target);
                assert!(path.exists(), "{} links to {target}", document.display());
            }
        }
    }
}

/// The words of `phrase` in any case, with an ending of the last one, also across a line break in a comment.
fn phrase_pattern(phrase: &str) -> Regex {
    let words: Vec<String> = phrase.split(' ').map(regex::escape).collect();
    Regex::new(&format!(r"(?i)\b{}(?:s|es|ed)?\b", words.join(r"\s+(?://[/!]?\s*)?")))
        .expect("pattern")
}

/// The prose of a document: without code, which quotes the program, and without the tables of options, whose text is in
/// `src/`. Line numbers stay.
fn prose(document: &str) -> String {
    let quoted = Regex::new(
        r"(?ms)^\s*```.*?^\s*```|`[^`\n]*`|<!-- begin \w+ -->.*?<!-- end \w+ -->|^\| instead of \|.*?\n\n",
    )
    .expect("pattern");
    let blank = |found: &regex::Captures<'_>| -> String {
        found[0].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
    };
    quoted.replace_all(document, blank).into_owned()
}

/// The Markdown files that users and contributors read.
fn documents() -> Vec<PathBuf> {
    let mut documents: Vec<PathBuf> = ["docs", "docs/decisions"]
        .iter()
        .flat_map(|directory| fs::read_dir(root().join(directory)).expect("a directory"))
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    let elsewhere = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "benches/README.md",
        "fixtures/README.md",
        "fuzz/README.md",
    ];
    documents.extend(elsewhere.map(|name| root().join(name)));
    documents
}

/// A file's name as it is shown, and its text.
type Named = (String, String);

/// `file:line: 'word': write …` for every occurrence of a banned word.
fn banned_in(files: &[Named], (phrase, instead, _): (&str, &str, usize)) -> Vec<String> {
    let pattern = phrase_pattern(phrase);
    let mut found = Vec::new();
    for (name, text) in files {
        for at in pattern.find_iter(text).map(|found| found.start()) {
            let line = text[..at].matches('\n').count() + 1;
            found.push(format!("{name}:{line}: '{phrase}': write {instead}"));
        }
    }
    found
}

#[test]
fn documents_use_the_words_of_the_field() {
    let named = |path: PathBuf| -> Named {
        let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        (name, prose(&fs::read_to_string(&path).expect("UTF-8")))
    };
    let files: Vec<Named> = documents().into_iter().map(named).collect();
    let wrong: Vec<String> = BANNED.iter().flat_map(|&row| banned_in(&files, row)).collect();
    assert!(wrong.is_empty(), "see docs/style.md\n{}", wrong.join("\n"));
}

#[test]
fn pages_open_with_an_example() {
    let example = Regex::new(r"(?m)^\s*```|\bExample|\bexample").expect("pattern");
    for path in documents().iter().filter(|path| path.parent() == Some(&root().join("docs"))) {
        let text = fs::read_to_string(path).expect("UTF-8");
        let opening: Vec<&str> = text.lines().take(20).collect();
        assert!(
            example.is_match(&opening.join("\n")),
            "{} has no example in its first 20 lines",
            path.display()
        );
    }
}

#[test]
fn banned_words_in_the_source_only_get_fewer() {
    let files = rust_files("src");
    let files: Vec<Named> = files.into_iter().map(|file| (file.shown(), file.text)).collect();
    for row in BANNED {
        let (phrase, _, left) = row;
        let found = banned_in(&files, row);
        assert!(
            found.len() <= left,
            "src/ may have '{phrase}' {left} times and has it {} times, see docs/style.md\n{}",
            found.len(),
            found.join("\n")
        );
    }
}

#[test]
fn the_style_guide_lists_every_banned_word() {
    let guide = fs::read_to_string(root().join("docs/style.md")).expect("docs/style.md");
    for (phrase, instead, _) in BANNED {
        let row = format!("| {phrase} | {instead} |");
        assert!(guide.contains(&row), "docs/style.md has no row {row}");
    }
}

mod of_this_test {
    //! The checks above are only worth what their reading of Rust is worth.
    use super::*;

    #[test]
    fn groups_and_paths_are_read() {
        let code = "use crate::{types::{Lsn, TimeLine}, repo, wal::push::Push};\nfn f() { crate::ui::x() }";
        let named: Vec<String> = modules_named(code).into_iter().collect();
        assert_eq!(named, ["repo", "types::", "ui::x", "wal::push"].map(str::to_owned));
    }

    #[test]
    fn banned_words_are_found_across_lines_and_not_in_code() {
        let row = ("so many", "the number", 0);
        let found = |text: &str| banned_in(&[("a".to_owned(), text.to_owned())], row);
        let source = "fn f() {}\n/// Keeps so\n/// many of them. So Many.";
        let named = ["a:2: 'so many': write the number", "a:3: 'so many': write the number"];
        assert_eq!(found(source), named);
        let document = "```\nso many\n```\n`so many` and so many";
        assert_eq!(found(&prose(document)), ["a:4: 'so many': write the number"]);
    }

    #[test]
    fn words_in_comments_and_strings_do_not_count() {
        let code = blank_comments_and_strings("a(\"x.unwrap()\"); // panic!\nb('\"'); c.unwrap();");
        let pattern = Regex::new(r"unwrap|panic").expect("pattern");
        assert_eq!(lines_matching(&code, &pattern), [2]);
    }
}
