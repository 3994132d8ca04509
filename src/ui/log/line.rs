//! One log line, as text or as JSON.

use crate::{config::LogLevel, ui::escape};

/// What a line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// The text; it may have several lines.
    pub(super) text: String,
    /// The code of an error.
    pub(super) code: Option<u64>,
    /// What to do about it, a sentence a line.
    pub(super) hint: Option<String>,
    /// The number of the worker, 0 for the program itself.
    pub(super) process: u64,
}

/// The words of the levels, as wide as they are.
pub(super) const fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Off => "OFF",
        LogLevel::Error => "ERROR",
        LogLevel::Warn => "WARN",
        LogLevel::Info => "INFO",
        LogLevel::Detail => "DETAIL",
        LogLevel::Debug => "DEBUG",
        LogLevel::Trace => "TRACE",
    }
}

/// The line as text: `2026-11-21 09:24:52.123 P00   INFO: text`, without the time where there is
/// none. Further lines and hints stand under the text.
pub(super) fn text(stamp: Option<&str>, level: LogLevel, message: &Message, color: bool) -> String {
    let (on, off) = colors(level, color);
    let stamp = stamp.map(|stamp| format!("{stamp} ")).unwrap_or_default();
    let head = format!("P{:02} {:>6}: ", message.process, word(level));
    let margin = " ".repeat(stamp.len() + head.len());
    let code = message.code.map(|code| format!("[{code:03}]: ")).unwrap_or_default();
    let mut line = format!("{stamp}{on}{head}{off}{code}");
    let message_text = escape::text(message.text.trim_end());
    line += &message_text.replace('\n', &format!("\n{margin}"));
    for hint in message.hint.iter().flat_map(|hint| hint.lines()) {
        line += &format!("\n{margin}HINT: {}", escape::name(hint));
    }
    line.push('\n');
    line
}

const fn colors(level: LogLevel, color: bool) -> (&'static str, &'static str) {
    match level {
        _ if !color => ("", ""),
        LogLevel::Error => ("\x1b[31m", "\x1b[0m"),
        LogLevel::Warn => ("\x1b[33m", "\x1b[0m"),
        LogLevel::Debug | LogLevel::Trace => ("\x1b[2m", "\x1b[0m"),
        _ => ("", ""),
    }
}

/// The line as one JSON object.
pub(super) fn json(time: &str, level: LogLevel, message: &Message, origin: &Origin) -> String {
    let mut object = serde_json::Map::new();
    let mut put = |key: &str, value: Option<serde_json::Value>| {
        if let Some(value) = value {
            object.insert(key.to_owned(), value);
        }
    };
    put("time", Some(time.into()));
    put("level", Some(word(level).to_lowercase().into()));
    put("command", Some(origin.command.into()));
    put("stanza", origin.stanza.clone().map(Into::into));
    put("process", Some(message.process.into()));
    put("code", message.code.map(Into::into));
    put("message", Some(message.text.trim_end().into()));
    put("hint", message.hint.clone().map(Into::into));
    let line = serde_json::Value::Object(object).to_string();
    escape::text(&line).into_owned() + "\n"
}

/// What all lines of a run have in common.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) command: &'static str,
    pub(super) stanza: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Option<&str> = Some("2026-11-21 09:24:52.123");

    fn message(text: &str) -> Message {
        Message { text: text.into(), ..Message::default() }
    }

    #[test]
    fn levels_are_aligned() {
        let line = |level| text(STAMP, level, &message("text"), false);
        assert_eq!(line(LogLevel::Info), "2026-11-21 09:24:52.123 P00   INFO: text\n");
        assert_eq!(line(LogLevel::Warn), "2026-11-21 09:24:52.123 P00   WARN: text\n");
        assert_eq!(line(LogLevel::Detail), "2026-11-21 09:24:52.123 P00 DETAIL: text\n");
        assert_eq!(
            text(None, LogLevel::Info, &message("a\nb"), false),
            "P00   INFO: a\n            b\n"
        );
    }

    #[test]
    fn errors_have_code_and_hints_under_the_text() {
        let error = Message {
            text: "unable to open missing file".into(),
            code: Some(55),
            hint: Some("is it there?\nlook again.".into()),
            process: 0,
        };
        insta::assert_snapshot!(text(STAMP, LogLevel::Error, &error, false), @r"
        2026-11-21 09:24:52.123 P00  ERROR: [055]: unable to open missing file
                                            HINT: is it there?
                                            HINT: look again.
        ");
    }

    #[test]
    fn colors_change_nothing_else() {
        let plain = text(STAMP, LogLevel::Warn, &message("a\nb"), false);
        let colored = text(STAMP, LogLevel::Warn, &message("a\nb"), true);
        assert_eq!(colored.replace("\x1b[33m", "").replace("\x1b[0m", ""), plain);
        assert_ne!(colored, plain);
    }

    #[test]
    fn control_characters_of_others_reach_no_line() {
        let sent = Message {
            text: "database 'x\x1b[2J\r\u{9b}A\u{202e}' is\n2026-11-21 P00  ERROR: forged".into(),
            hint: Some("drop '\x1b]0;title\x07'".into()),
            ..Message::default()
        };
        insta::assert_snapshot!(text(STAMP, LogLevel::Warn, &sent, false), @r"
        2026-11-21 09:24:52.123 P00   WARN: database 'x\u001b[2J\u000d\u009bA\u202e' is
                                            2026-11-21 P00  ERROR: forged
                                            HINT: drop '\u001b]0;title\u0007'
        ");
        let origin = Origin { command: "backup", stanza: None };
        let line = json("now", LogLevel::Warn, &sent, &origin);
        assert!(!line.trim_end().contains(char::is_control), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["message"], sent.text);
    }

    #[test]
    fn json_is_one_line() {
        let origin = Origin { command: "backup", stanza: Some("db".into()) };
        let line =
            json("2026-11-21T09:24:52.123+00:00", LogLevel::Info, &message("a\n\"b\""), &origin);
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["message"], "a\n\"b\"");
        assert_eq!(value["level"], "info");
        assert_eq!(value.get("code"), None);
    }
}
