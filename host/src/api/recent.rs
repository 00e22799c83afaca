//! The newest lines of the log, in memory. Events come from tracing; lines go
//! to callers that read or follow them. Their number and their size are
//! bounded.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::types::{Level, LogLine};

/// How many lines are kept, and how many bytes of text in them.
pub(crate) const LINES_MAX: usize = 1000;
pub(crate) const BYTES_MAX: usize = 256 * 1024;

/// The longest text of one line or field, in bytes, and how many fields a line
/// may have. The rest is cut here, but not on standard error.
const TEXT_MAX: usize = 2048;
const FIELDS_MAX: usize = 32;

/// The newest lines of this process.
static RECENT: LazyLock<Arc<Recent>> = LazyLock::new(Arc::default);

/// The newest lines of this process.
pub fn recent() -> Arc<Recent> {
    RECENT.clone()
}

/// The newest lines of a log.
#[derive(Debug, Default)]
pub struct Recent {
    kept: Mutex<Kept>,
    /// How many lines there were since the start.
    count: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
    next: u64,
}

impl Recent {
    /// Adds a line, and gives it its number.
    pub fn add(&self, mut line: LogLine) {
        let count = {
            let mut kept = self.kept.lock();
            line.seq = kept.next;
            kept.next += 1;
            kept.bytes += size(&line);
            kept.lines.push_back(Arc::new(line));
            while kept.lines.len() > LINES_MAX || kept.bytes > BYTES_MAX {
                let Some(oldest) = kept.lines.pop_front() else {
                    break;
                };
                kept.bytes -= size(&oldest);
            }
            kept.next
        };
        self.count.send_if_modified(|before| {
            let newer = count > *before;
            *before = count.max(*before);
            newer
        });
    }

    /// Reads the lines from the first one that is kept.
    pub fn follow(self: &Arc<Self>) -> Follow {
        Follow {
            recent: self.clone(),
            count: self.count.subscribe(),
            next: 0,
        }
    }

    /// The lines with this number or a greater one.
    fn from(&self, next: u64) -> Vec<Arc<LogLine>> {
        let kept = self.kept.lock();
        let first = kept.lines.front().map_or(kept.next, |line| line.seq);
        let skip = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
        kept.lines.iter().skip(skip).cloned().collect()
    }
}

/// Reads the lines of a log in order. It does not hold up the log: a reader
/// that is too slow misses lines, and notices that by their numbers.
#[derive(Debug)]
pub struct Follow {
    recent: Arc<Recent>,
    count: watch::Receiver<u64>,
    next: u64,
}

impl Follow {
    /// The lines that were not read yet.
    pub fn there(&mut self) -> Vec<Arc<LogLine>> {
        self.count.borrow_and_update();
        let lines = self.recent.from(self.next);
        if let Some(last) = lines.last() {
            self.next = last.seq + 1;
        }
        lines
    }

    /// Waits until there may be more lines.
    pub async fn more(&mut self) {
        // `recent` has the sender, so it is not dropped.
        let _ = self.count.changed().await;
    }
}

fn size(line: &LogLine) -> usize {
    let fields = line
        .fields
        .iter()
        .map(|(name, text)| name.len() + text.len());
    line.message.len() + fields.sum::<usize>()
}

/// Writes the events of tracing into a [`Recent`].
#[derive(Debug)]
pub struct RecentLayer(Arc<Recent>);

impl RecentLayer {
    /// A layer that writes into this.
    pub fn new(recent: Arc<Recent>) -> RecentLayer {
        RecentLayer(recent)
    }
}

impl<S: Subscriber> Layer<S> for RecentLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut texts = Texts::default();
        event.record(&mut texts);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        self.0.add(LogLine {
            seq: 0,
            at_ms: u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX),
            level: level(*event.metadata().level()),
            message: texts.message,
            fields: texts.fields,
        });
    }
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

/// The text of an event.
#[derive(Default)]
struct Texts {
    message: String,
    fields: Vec<(String, String)>,
}

impl Texts {
    fn take(&mut self, field: &Field, text: String) {
        let text = cut(text);
        if field.name() == "message" {
            self.message = text;
        } else if self.fields.len() < FIELDS_MAX {
            self.fields.push((field.name().to_owned(), text));
        }
    }
}

impl Visit for Texts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str) -> LogLine {
        LogLine {
            seq: 0,
            at_ms: 1,
            level: Level::Info,
            message: message.to_owned(),
            fields: Vec::new(),
        }
    }

    #[test]
    fn the_newest_lines_are_kept_and_who_follows_sees_each_once() {
        let recent = Arc::new(Recent::default());
        let mut follow = recent.follow();
        for number in 0..LINES_MAX + 5 {
            recent.add(line(&number.to_string()));
        }
        let lines = follow.there();
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!((lines[0].seq, &*lines[0].message), (5, "5"));
        assert!(follow.there().is_empty());
        recent.add(line("next"));
        let next = follow.there();
        assert_eq!((next.len(), &*next[0].message), (1, "next"));
    }

    #[test]
    fn long_lines_make_room_by_their_size() {
        let recent = Arc::new(Recent::default());
        let long = "x".repeat(BYTES_MAX / 4);
        for _ in 0..9 {
            recent.add(line(&long));
        }
        assert_eq!(recent.follow().there().len(), 4);
    }

    #[tokio::test]
    async fn who_follows_is_woken_by_a_new_line() {
        let recent = Arc::new(Recent::default());
        let mut follow = recent.follow();
        follow.there();
        let (_, ()) = tokio::join!(follow.more(), async { recent.add(line("woken")) });
        assert_eq!(follow.there()[0].message, "woken");
    }

    #[test]
    fn an_event_becomes_a_line_with_its_fields() {
        let recent = Arc::new(Recent::default());
        let layer = RecentLayer::new(recent.clone());
        let subscriber =
            tracing_subscriber::layer::SubscriberExt::with(tracing_subscriber::registry(), layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(member = %"a@10.0.0.1", count = 3, text = "t", "gone {}", 1);
        });
        let lines = recent.follow().there();
        assert_eq!(lines[0].level, Level::Warn);
        assert_eq!(lines[0].message, "gone 1");
        let fields: Vec<_> = lines[0]
            .fields
            .iter()
            .map(|(n, t)| format!("{n}={t}"))
            .collect();
        assert_eq!(fields, ["member=a@10.0.0.1", "count=3", "text=t"]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = cut("é".repeat(TEXT_MAX));
        assert!(text.len() <= TEXT_MAX + 3 && text.ends_with("é…"));
    }
}
