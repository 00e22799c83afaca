//! Server-sent events: the text that goes down a `text/event-stream`.
//!
//! ```
//! use raxx::sse;
//!
//! let event = sse::event("nodes").id("7").data("two\nlines");
//! assert_eq!(event.to_string(), "event: nodes\nid: 7\ndata: two\ndata: lines\n\n");
//! ```

use crate::{Response, response};
use std::fmt;

/// The head of an event stream. Events follow it as data parts. Caches must not
/// store the stream: an event out of a cache is old.
///
/// ```
/// let head = raxx::sse::head();
/// assert_eq!(head.headers().get("content-type"), Some("text/event-stream"));
/// ```
pub fn head() -> Response {
    response(200)
        .header("content-type", "text/event-stream")
        .header("cache-control", "no-store")
        .streamed()
}

/// One event, or another part of the stream: a comment, or a retry time.
///
/// `into()` turns it into the bytes of a data part.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an event does nothing until it is sent"]
pub struct Event {
    text: String,
}

/// An event of a type. Clients get it with `addEventListener(kind, …)`. If the type
/// has line breaks, only its first line is kept.
pub fn event(kind: &str) -> Event {
    Event::empty().kind(kind)
}

/// An event without a type. Clients get it with `onmessage`.
///
/// ```
/// assert_eq!(raxx::sse::message("hi").to_string(), "data: hi\n\n");
/// ```
pub fn message(data: &str) -> Event {
    Event::empty().data(data)
}

/// A comment, which clients ignore. Comments now and then keep connections open
/// through proxies, and show the node when a connection is dead.
///
/// ```
/// assert_eq!(raxx::sse::comment("still here").to_string(), ": still here\n\n");
/// ```
pub fn comment(text: &str) -> Event {
    let mut event = Event::empty();
    for line in lines(text) {
        event = event.line(": ", line);
    }
    event
}

/// Tell clients how long to wait before they connect again, in milliseconds.
///
/// ```
/// assert_eq!(raxx::sse::retry(1000).to_string(), "retry: 1000\n\n");
/// ```
pub fn retry(milliseconds: u64) -> Event {
    Event::empty().retry(milliseconds)
}

impl Event {
    fn empty() -> Self {
        Self {
            text: String::new(),
        }
    }

    /// Set the type of an event that has none.
    pub fn kind(self, kind: &str) -> Self {
        self.line("event: ", kind)
    }

    /// The id. A client sends it as `last-event-id` when it connects again. If it
    /// has line breaks, only its first line is kept.
    pub fn id(self, id: &str) -> Self {
        self.line("id: ", id)
    }

    /// The data. Each line of it becomes a `data:` line; clients join them.
    pub fn data(mut self, data: &str) -> Self {
        for line in lines(data) {
            self = self.line("data: ", line);
        }
        self
    }

    /// How long clients wait before they connect again, in milliseconds.
    pub fn retry(mut self, milliseconds: u64) -> Self {
        self.text.push_str("retry: ");
        crate::json::push_number(&mut self.text, milliseconds);
        self.text.push('\n');
        self
    }

    /// Add one line. A line break in a value would begin another field.
    fn line(mut self, field: &str, value: &str) -> Self {
        self.text.push_str(field);
        self.text.push_str(lines(value).next().unwrap_or_default());
        self.text.push('\n');
        self
    }
}

/// Lines end with CR LF, CR or LF, as the standard of event streams says.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        match text.find(['\r', '\n']) {
            None => rest = None,
            Some(at) => {
                let after = &text[at..];
                rest = after.strip_prefix("\r\n").or_else(|| after.get(1..));
                return Some(&text[..at]);
            }
        }
        Some(text)
    })
}

/// The text of the event, with the empty line that ends it.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str("\n")
    }
}

impl From<Event> for Vec<u8> {
    fn from(mut event: Event) -> Self {
        event.text.push('\n');
        event.text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_break_splits_data() {
        assert_eq!(
            message("a\nb\r\nc\rd\n").to_string(),
            "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"
        );
        assert_eq!(message("").to_string(), "data: \n\n");
    }

    #[test]
    fn a_type_or_id_cannot_bring_fields_of_its_own() {
        assert_eq!(
            event("a\ndata: x")
                .id("1\r\nretry: 0")
                .data("d")
                .to_string(),
            "event: a\nid: 1\ndata: d\n\n"
        );
    }

    #[test]
    fn a_comment_of_two_lines_stays_a_comment() {
        assert_eq!(comment("a\ndata: b").to_string(), ": a\n: data: b\n\n");
    }

    #[test]
    fn the_bytes_are_the_text() {
        let event = event("e").retry(5).data("x");
        let text = event.to_string();
        assert_eq!(Vec::<u8>::from(event), text.into_bytes());
    }
}
