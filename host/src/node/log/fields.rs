//! The text of an event on standard error: its message and its fields. What they say may come
//! from apps and other nodes, so it is made fit for a terminal here, and only here.

use std::fmt;

use anstyle::Style;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use crate::terminal;

/// The style of the names of fields.
const NAME: Style = Style::new().dimmed();

/// Formats events as `MESSAGE name=value`.
pub(super) struct SafeFields;

impl<'w> FormatFields<'w> for SafeFields {
    fn format_fields<R: RecordFields>(&self, to: Writer<'w>, fields: R) -> fmt::Result {
        let mut text = EventText {
            to,
            begun: false,
            result: Ok(()),
        };
        fields.record(&mut text);
        text.result
    }
}

struct EventText<'w> {
    to: Writer<'w>,
    begun: bool,
    result: fmt::Result,
}

impl EventText<'_> {
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        if std::mem::replace(&mut self.begun, true) {
            self.to.write_char(' ')?;
        }
        match field.name() {
            "message" => {}
            name if self.to.has_ansi_escapes() => write!(self.to, "{NAME}{name}={NAME:#}")?,
            name => write!(self.to, "{name}=")?,
        }
        terminal::write_lines(&mut self.to, value)
    }

    fn take(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.result.is_ok() {
            self.result = self.write(field, value);
        }
    }
}

impl Visit for EventText<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.take(field, format_args!("{value}")),
            _ => self.take(field, format_args!("{value:?}")),
        }
    }
}
