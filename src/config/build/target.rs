//! The recovery target from its text, wherever the text stands.

use crate::{
    config::typed::{RestoreTarget, TargetTimeline},
    types::TimeLine,
};

/// The options that name kind and target in one.
pub(super) const SHORTHANDS: [&str; 5] =
    ["target-immediate", "target-lsn", "target-name", "target-time", "target-xid"];

/// The target of a kind from its text, or what is wrong with it.
pub(super) fn pointed(kind: &str, text: &str) -> Result<RestoreTarget, &'static str> {
    match kind {
        "lsn" => text
            .parse()
            .map(RestoreTarget::Lsn)
            .map_err(|_| "a WAL position looks like 0/1A2B3C4D."),
        "xid" if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(RestoreTarget::Xid(text.to_owned()))
        }
        "xid" => Err("a transaction id is a number."),
        "name" if text.len() > 63 => Err("a restore point has at most 63 bytes."),
        "name" => Ok(RestoreTarget::Name(text.to_owned())),
        _ => Ok(RestoreTarget::Time(text.to_owned())),
    }
}

/// The timeline of a text: latest, current, or a number, which may be hexadecimal.
pub(super) fn timeline_from(text: &str) -> Option<TargetTimeline> {
    let number = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    match (text, number) {
        ("latest", _) => Some(TargetTimeline::Latest),
        ("current", _) => Some(TargetTimeline::Current),
        (_, Some(number)) if number > 0 => Some(TargetTimeline::Number(TimeLine(number))),
        _ => None,
    }
}
