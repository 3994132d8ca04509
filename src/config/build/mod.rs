//! From checked values to the typed [`Config`], with the rules that tie options to each other.

mod backup;
mod carried;
mod expire;
mod pg;
mod recovery_options;
mod repo;
mod restore;
mod rules;
mod store;
mod sync;
mod target;

use std::path::PathBuf;

use super::{error::Error, flavor::Program, settings::Settings, typed::*};
use crate::types::BackupType;

/// The most that `process-max` is by itself.
const PROCESSES_DEFAULT_MAX: usize = 4;

/// What the last step needs.
pub(super) struct Parts {
    pub(super) name: CommandName,
    pub(super) program: Program,
    pub(super) arguments: Vec<String>,
    pub(super) settings: Settings,
    pub(super) warnings: Vec<String>,
    pub(super) config_files: Vec<PathBuf>,
}

/// Checks the rules and makes the configuration.
pub(super) fn config(parts: Parts) -> Result<Config, Error> {
    let Parts { name, program, arguments, settings, mut warnings, config_files } = parts;
    let s = &settings;
    let stanza = stanza(s)?;
    rules::check_arguments(s, &arguments)?;
    rules::check_refused(s)?;
    rules::check_stanza(s)?;
    warnings.extend(rules::effect_warnings(s)?);
    let repos = repo::repos(s, &mut warnings)?;
    rules::check_repo_choice(s, &repos)?;
    let pgs = pg::pgs(s)?;
    let sync = sync::sync(s, &repos)?;
    rules::check_clusters(s, &pgs)?;
    Ok(Config {
        command: name,
        stanza,
        repo: s.integer("repo", 0)?.map(|key| key as u16),
        repos,
        pgs,
        process_max: s.integer("process-max", 0)?.map_or_else(default_process_max, |n| n as usize),
        allow_root: s.boolean("allow-root")?,
        lock_path: s.path("lock-path", 0)?,
        db_timeout: s.time("db-timeout")?,
        dry_run: s.boolean("dry-run")?,
        force: s.boolean("force")?,
        delta: s.boolean("delta")?,
        set: set(s)?,
        output: output(s)?,
        log: log(s)?,
        archive: archive(s)?,
        backup: backup::backup(s, &mut warnings)?,
        restore: restore::restore(s, &mut warnings)?,
        expire: expire::expire(s)?,
        keep: expire::keep(s)?,
        info: info(s)?,
        repo_access: repo_access(s)?,
        repo_key: RepoKeyConfig {
            pass_new_file: s.path("cipher-pass-new-file", 0)?,
            comment: s.text("comment", 0)?,
            recipient: s.text("recipient", 0)?,
        },
        verify: VerifyConfig {
            prints: s.word("output")? != "none",
            verbose: s.boolean("verbose")?,
        },
        sync,
        annotations: rules::annotations(s)?,
        carried_options: carried::carried(s),
        shown_options: carried::shown(s),
        arguments,
        program,
        warnings,
        config_files,
    })
}

/// As many as there are processors, within reason: a backup often runs beside the server.
fn default_process_max() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get().min(PROCESSES_DEFAULT_MAX))
}

fn stanza(s: &Settings) -> Result<Option<crate::types::StanzaName>, Error> {
    let Some(text) = s.text("stanza", 0)? else { return Ok(None) };
    let invalid = |error: crate::types::Invalid| {
        s.invalid("stanza", 0, "is not valid", Some(format!("{}.", error.reason)))
    };
    text.parse().map(Some).map_err(invalid)
}

fn set(s: &Settings) -> Result<Option<crate::types::BackupLabel>, Error> {
    let Some(text) = s.text("set", 0)?.filter(|text| text != "latest") else { return Ok(None) };
    let invalid = |error: crate::types::Invalid| {
        s.invalid("set", 0, "is not valid", Some(format!("{}.", error.reason)))
    };
    text.parse().map(Some).map_err(invalid)
}

fn output(s: &Settings) -> Result<OutputFormat, Error> {
    Ok(if s.word("output")? == "json" { OutputFormat::Json } else { OutputFormat::Text })
}

fn log(s: &Settings) -> Result<LogConfig, Error> {
    let json = s.word("log-format")? == "json";
    Ok(LogConfig {
        console: level(&s.word("log-level-console")?),
        file: level(&s.word("log-level-file")?),
        stderr: level(&s.word("log-level-stderr")?),
        path: s.required_path("log-path", 0)?,
        timestamp: s.boolean("log-timestamp")?,
        format: if json { LogFormat::Json } else { LogFormat::Text },
    })
}

fn level(word: &str) -> LogLevel {
    match word {
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "info" => LogLevel::Info,
        "detail" => LogLevel::Detail,
        "debug" => LogLevel::Debug,
        "trace" => LogLevel::Trace,
        _ => LogLevel::Off,
    }
}

fn archive(s: &Settings) -> Result<ArchiveConfig, Error> {
    Ok(ArchiveConfig {
        check: s.boolean("archive-check")?,
        timeout: s.time("archive-timeout")?,
        header_check: s.boolean("archive-header-check")?,
        mode_check: s.boolean("archive-mode-check")?,
        stall_timeout: s.time("archive-stall-timeout")?,
        stop_standby: s.boolean("archive-get-stop-standby")?,
    })
}

fn info(s: &Settings) -> Result<InfoConfig, Error> {
    let kind = if s.command.set == super::commands::Commands::INFO {
        backup_type(&s.word("type")?)
    } else {
        None
    };
    Ok(InfoConfig { kind, progress_only: s.word("detail-level")? == "progress" })
}

fn backup_type(word: &str) -> Option<BackupType> {
    match word {
        "full" => Some(BackupType::Full),
        "diff" => Some(BackupType::Diff),
        "incr" => Some(BackupType::Incr),
        _ => None,
    }
}

fn repo_access(s: &Settings) -> Result<RepoAccessConfig, Error> {
    let sort = match s.word("sort")?.as_str() {
        "none" => SortOrder::None,
        "desc" => SortOrder::Desc,
        _ => SortOrder::Asc,
    };
    Ok(RepoAccessConfig {
        recurse: s.boolean("recurse")?,
        filter: s.text("filter", 0)?,
        sort,
        ignore_missing: s.boolean("ignore-missing")?,
        raw: s.boolean("raw")?,
    })
}
