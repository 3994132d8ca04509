use std::sync::Mutex;

use tracing::{debug, error, info, trace, warn};

use super::*;

/// What the events of `work` leave at a level.
fn written(level: LogLevel, format: LogFormat, work: impl FnOnce()) -> String {
    let text = Arc::new(Mutex::new(String::new()));
    let layer = LogLayer {
        sinks: vec![Sink::memory(level, text.clone())],
        format,
        origin: Origin { command: "backup", stanza: None },
        zone: TimeZone::UTC.into(),
    };
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
    let text = text.lock().unwrap();
    text.clone()
}

fn one_of_each() {
    error!(code = 55_u64, hint = "look", "an error");
    warn!("a warning");
    info!(process = 2_u64, "information");
    debug!(target: DETAIL, "a detail");
    debug!(target: "pgstrata::module", bytes = 3, "a debug line");
    trace!(target: "pgstrata::module", "a trace line");
}

#[test]
fn every_level_has_its_form() {
    insta::assert_snapshot!(written(LogLevel::Trace, LogFormat::Text, one_of_each), @r"
    P00  ERROR: [055]: an error
                HINT: look
    P00   WARN: a warning
    P02   INFO: information
    P00 DETAIL: a detail
    P00  DEBUG:     pgstrata::module: a debug line bytes=3
    P00  TRACE:         pgstrata::module: a trace line
    ");
}

#[test]
fn a_level_lets_through_what_is_above_it() {
    let lines = |level| written(level, LogFormat::Text, one_of_each).matches("P0").count();
    assert_eq!(lines(LogLevel::Error), 1);
    assert_eq!(lines(LogLevel::Warn), 2);
    assert_eq!(lines(LogLevel::Info), 3);
    assert_eq!(lines(LogLevel::Detail), 4);
    assert_eq!(lines(LogLevel::Debug), 5);
}

#[test]
fn json_lines_can_be_read() {
    let text = written(LogLevel::Detail, LogFormat::Json, one_of_each);
    let values: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(values.len(), 4);
    assert_eq!(values[0]["code"], 55);
    assert_eq!(values[0]["hint"], "look");
    assert_eq!(values[3]["level"], "detail");
    assert!(values[0]["time"].as_str().unwrap().ends_with("+00:00"));
}

/// At this level the client of S3 says every header, and the key of an encrypted object is one.
#[test]
fn libraries_are_not_heard() {
    let text = written(LogLevel::Trace, LogFormat::Text, || {
        trace!(target: "aws_sigv4::http_request::sign", "a secret");
        warn!(target: "pgstratagem", "of another");
    });
    assert_eq!(text, "");
}
