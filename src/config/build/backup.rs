//! Backup, and the compression it shares with archive-push.

use super::backup_type;
use crate::{
    config::{
        commands::Commands,
        error::Error,
        settings::Settings,
        typed::{BackupConfig, BackupStandby, SourceChoice},
    },
    types::{BackupType, CompressType, Compression},
};

pub(super) fn backup(s: &Settings, warnings: &mut Vec<String>) -> Result<BackupConfig, Error> {
    let kind = if s.command.set == Commands::BACKUP { backup_type(&s.word("type")?) } else { None };
    Ok(BackupConfig {
        kind: kind.unwrap_or(BackupType::Incr),
        start_fast: s.boolean("start-fast")?,
        checksum_page: s.optional_boolean("checksum-page")?,
        compression: compression(s, warnings)?,
        max_rate_kb: s.integer("max-rate", 0)?.map(|rate| rate as u32),
        expire_auto: s.boolean("expire-auto")?,
        source: match s.word("backup-source")?.as_str() {
            "local" => SourceChoice::Local,
            "stream" => SourceChoice::Stream,
            _ => SourceChoice::Auto,
        },
        standby: match s.word("backup-standby")?.as_str() {
            "y" => BackupStandby::Yes,
            "prefer" => BackupStandby::Prefer,
            _ => BackupStandby::No,
        },
    })
}

fn compression(s: &Settings, warnings: &mut Vec<String>) -> Result<Compression, Error> {
    let word = s.word("compress-type")?;
    let kind = match word.as_str() {
        _ if !s.is_set("compress-type", 0) && !s.boolean("compress")? => CompressType::None,
        "none" => CompressType::None,
        "gz" => CompressType::Gz,
        "lz4" => CompressType::Lz4,
        _ => CompressType::Zst,
    };
    if word == "bz2" {
        warnings.push(
            "option 'compress-type' is bz2, which is not written here: zst is used at its default \
             level"
                .into(),
        );
        return Ok(Compression { kind, level: kind.default_level() });
    }
    Ok(Compression { kind, level: level(s, kind)? })
}

fn level(s: &Settings, kind: CompressType) -> Result<i32, Error> {
    let Some(level) = s.integer("compress-level", 0)? else { return Ok(kind.default_level()) };
    let range = match kind {
        CompressType::Zst => -7..=22,
        CompressType::Gz => -1..=9,
        // One level only, and levels that others take are no reason to fail.
        CompressType::None | CompressType::Lz4 => return Ok(kind.default_level()),
    };
    if range.contains(&level) {
        // -1 is gzip's own word for its default.
        return Ok(if kind == CompressType::Gz && level < 0 { 6 } else { level as i32 });
    }
    let hint = format!("the range of {kind:?} is {} to {}.", range.start(), range.end());
    Err(s.invalid("compress-level", 0, "is out of range", Some(hint.to_lowercase())))
}
