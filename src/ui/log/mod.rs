//! The log: events of `tracing` written as lines to the places that the configuration names.
//!
//! The layer is our own because the field's line format has a level between info and debug
//! (`detail`: an event at DEBUG with the target [`DETAIL`]), codes and hints; and because it opens
//! nothing until there is a line: the program runs once for every WAL segment.

mod line;
mod sink;
mod zone;

use std::{
    fmt::Debug,
    sync::{Arc, OnceLock},
};

use jiff::{Timestamp, Zoned, tz::TimeZone};
use line::{Message, Origin};
use sink::Sink;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry::LookupSpan,
};

use super::terminal::Terminal;
use crate::config::{Config, LogFormat, LogLevel};

/// The target of events at the level `detail`: `debug!(target: DETAIL, "…")`.
pub const DETAIL: &str = "detail";

/// Writes events as log lines.
struct LogLayer {
    sinks: Vec<Sink>,
    format: LogFormat,
    origin: Origin,
    zone: OnceLock<TimeZone>,
}

/// Sends the events of this process to the places of the configuration, from now to its end.
pub(super) fn install(config: &Config, terminal: &Arc<Terminal>) {
    let layer = LogLayer {
        sinks: sinks(config, terminal),
        format: config.log.format,
        origin: Origin {
            command: config.command.word(),
            stanza: config.stanza.as_ref().map(ToString::to_string),
        },
        zone: OnceLock::new(),
    };
    // It fails only where a log is installed already, and then that one stays.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer));
}

fn sinks(config: &Config, terminal: &Arc<Terminal>) -> Vec<Sink> {
    let log = &config.log;
    let text = log.format == LogFormat::Text;
    let (mut console, mut stderr) = (log.console, log.stderr);
    if config.prints_result() {
        stderr = stderr.max(console);
        console = LogLevel::Off;
    }
    let mut sinks = vec![
        Sink::stdout(console, text && terminal.colors_out(), log.timestamp, terminal),
        Sink::stderr(stderr, text && terminal.colors_err(), log.timestamp, terminal),
    ];
    if config.command.spec().log_file {
        let stanza = config.stanza.as_ref().map_or("all", |stanza| stanza.as_str());
        let name = format!("{stanza}-{}.log", config.command.word());
        sinks.push(Sink::file(log.file, log.path.join(name)));
    }
    sinks.retain(|sink| sink.level != LogLevel::Off);
    sinks
}

impl LogLayer {
    fn level_max(&self) -> LogLevel {
        self.sinks.iter().map(|sink| sink.level).max().unwrap_or(LogLevel::Off)
    }

    fn write(&self, level: LogLevel, message: &Message) {
        let now = Timestamp::now().to_zoned(self.zone.get_or_init(zone::local).clone());
        let mut problems = Vec::new();
        for sink in self.sinks.iter().filter(|sink| sink.level >= level) {
            problems.extend(sink.write(&self.line(&now, level, message, sink)));
        }
        for text in problems {
            let message = Message { text, ..Message::default() };
            for sink in self.sinks.iter().filter(|sink| sink.level >= LogLevel::Warn) {
                sink.write(&self.line(&now, LogLevel::Warn, &message, sink));
            }
        }
    }

    fn line(&self, now: &Zoned, level: LogLevel, message: &Message, sink: &Sink) -> String {
        if self.format == LogFormat::Json {
            let time = now.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string();
            return line::json(&time, level, message, &self.origin);
        }
        let stamp = sink.timestamp.then(|| now.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string());
        line::text(stamp.as_deref(), level, message, sink.color)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_ours(metadata.target()) && level_of(metadata) <= self.level_max()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.level_max() {
            LogLevel::Off => LevelFilter::OFF,
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Detail | LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        })
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = level_of(event.metadata());
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.write(level, &fields.message(level, event.metadata().target()));
    }
}

/// Libraries say what they please, at `trace` also whole requests with their keys and bodies.
fn is_ours(target: &str) -> bool {
    let of_program = target.strip_prefix(env!("CARGO_PKG_NAME"));
    target == DETAIL || of_program.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn level_of(metadata: &Metadata<'_>) -> LogLevel {
    match *metadata.level() {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG if metadata.target() == DETAIL => LogLevel::Detail,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

/// The fields of an event: `message`, `code`, `hint` and `process` have a place in the line, others
/// are put behind the text.
#[derive(Default)]
struct Fields {
    message: Message,
    others: String,
}

impl Fields {
    fn message(mut self, level: LogLevel, target: &str) -> Message {
        self.message.text += &self.others;
        if level >= LogLevel::Debug {
            let indent = if level == LogLevel::Trace { 8 } else { 4 };
            self.message.text = format!("{:indent$}{target}: {}", "", self.message.text);
        }
        self.message
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "code" => self.message.code = Some(value),
            "process" => self.message.process = value,
            _ => self.record_debug(field, &value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.text = value.to_owned(),
            "hint" => self.message.hint = Some(value.to_owned()),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message.text = format!("{value:?}"),
            name => self.others += &format!(" {name}={value:?}"),
        }
    }
}

/// A line for standard error before there is a configuration, and so a log.
pub(super) fn early_line(code: u8, text: String, hint: Option<String>) -> String {
    let message = Message { text, code: Some(code.into()), hint, process: 0 };
    line::text(None, LogLevel::Error, &message, false)
}

#[cfg(test)]
mod tests;
