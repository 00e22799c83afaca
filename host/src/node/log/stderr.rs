//! Standard error of a node, behind a bounded queue. Lines flow in from all threads, and one
//! thread of its own writes them. If nobody reads standard error, that thread alone waits: the
//! others drop their lines, and the lines are counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::terminal;

/// How many bytes of lines may wait to be written.
const WAITING_MAX: usize = 1024 * 1024;

/// How long the end of a node waits for the lines that are left.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The queue in front of standard error.
#[derive(Debug, Default)]
pub(super) struct StderrQueue {
    waiting: Mutex<WaitingLines>,
    /// Something waits.
    filled: Condvar,
    /// Nothing waits any more.
    emptied: Condvar,
    /// How many lines were lost since the start of the process.
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct WaitingLines {
    lines: Vec<u8>,
    /// How many lines were dropped after the last one in `lines`.
    dropped: u64,
    /// The thread that writes, and whether it does at the moment.
    writer: Option<ThreadId>,
    busy: bool,
    /// Whether the thread could not be started. The node cannot start others either then, and
    /// says so at its end.
    alone: bool,
    /// What the writing thread logs itself. It goes out before `lines`.
    of_writer: Vec<u8>,
}

impl StderrQueue {
    /// A queue with a thread that writes. If the thread cannot be started, the lines wait for
    /// [`StderrQueue::end`].
    pub(super) fn start() -> Arc<StderrQueue> {
        let queue = Arc::<StderrQueue>::default();
        let writer = queue.clone();
        let started = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                writer.waiting.lock().writer = Some(thread::current().id());
                writer.write_forever(&mut Stderr);
            });
        queue.waiting.lock().alone = started.is_err();
        queue
    }

    /// How many lines were lost since the start of the process.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Adds lines, unless there is no room for them.
    fn push(&self, lines: &[u8]) {
        let mut waiting = self.waiting.lock();
        if waiting.writer == Some(thread::current().id()) {
            waiting.of_writer.extend_from_slice(lines);
        } else if waiting.lines.len() + lines.len() <= WAITING_MAX {
            waiting.lines.extend_from_slice(lines);
            self.filled.notify_one();
        } else {
            waiting.dropped += 1;
            self.lost.fetch_add(1, Ordering::Relaxed);
            self.filled.notify_one();
        }
    }

    /// Adds the last line of the process, and waits a moment for all lines to be written.
    pub(super) fn end(&self, last: Option<&str>) {
        let mut waiting = self.waiting.lock();
        if let Some(last) = last {
            // There is always room for this one.
            waiting.lines.extend_from_slice(last.as_bytes());
            waiting.lines.push(b'\n');
            self.filled.notify_one();
        }
        if waiting.alone {
            let lines = std::mem::take(&mut waiting.lines);
            drop(waiting);
            return self.write(&mut Stderr, &lines);
        }
        let until = Instant::now() + LAST_LINES;
        while waiting.busy || !waiting.lines.is_empty() {
            if self.emptied.wait_until(&mut waiting, until).timed_out() {
                return;
            }
        }
    }

    /// Writes what comes, for as long as the process lives.
    fn write_forever(&self, out: &mut impl Write) {
        loop {
            self.write_waiting(out);
        }
    }

    /// Waits for lines, and writes them.
    fn write_waiting(&self, out: &mut impl Write) {
        let (lines, dropped) = {
            let mut waiting = self.waiting.lock();
            waiting.busy = false;
            while waiting.lines.is_empty() && waiting.dropped == 0 {
                self.emptied.notify_all();
                self.filled.wait(&mut waiting);
            }
            waiting.busy = true;
            let dropped = std::mem::take(&mut waiting.dropped);
            (std::mem::take(&mut waiting.lines), dropped)
        };
        self.write(out, &lines);
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "lines of the log were dropped here: standard error was not read in time; \
                 `host logs` has the newest"
            );
            let own = std::mem::take(&mut self.waiting.lock().of_writer);
            self.write(out, &own);
        }
    }

    /// Writes these lines. If they cannot be written, they are lost.
    fn write(&self, out: &mut impl Write, lines: &[u8]) {
        let mut rest = lines;
        while !rest.is_empty() {
            match out.write(rest) {
                Ok(written) if written > 0 => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    let lost = rest.iter().filter(|byte| **byte == b'\n').count();
                    self.lost.fetch_add(lost as u64, Ordering::Relaxed);
                    return;
                }
            }
        }
    }
}

/// Standard error itself, without the lock that `std` puts around it: a panic of another
/// thread must not wait for it.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let stderr = io::stderr();
        loop {
            match rustix::io::write(&stderr, bytes) {
                // Another process that shares it has set it to this mode.
                Err(Errno::AGAIN) => {
                    poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], None)?;
                }
                other => return Ok(other?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How events become lines: gives each event a [`QueuedEvent`].
#[derive(Clone, Debug)]
pub(super) struct EventWriter {
    pub(super) queue: Arc<StderrQueue>,
    /// Whether each line begins with its priority, as the journal wants it.
    pub(super) priorities: bool,
    /// Whether the lines are JSON.
    pub(super) json: bool,
}

impl<'a> MakeWriter<'a> for EventWriter {
    type Writer = QueuedEvent<'a>;

    fn make_writer(&'a self) -> QueuedEvent<'a> {
        let level = Level::INFO;
        QueuedEvent { to: self, level }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> QueuedEvent<'a> {
        let level = *event.level();
        QueuedEvent { to: self, level }
    }
}

/// Takes the lines of one event.
pub(super) struct QueuedEvent<'a> {
    to: &'a EventWriter,
    level: Level,
}

impl Write for QueuedEvent<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let text = match self.to.json {
            true => terminal::json(text.into_owned()).into(),
            false => text,
        };
        match self.to.priorities {
            true => self.to.queue.push(prefixed(&text, self.level).as_bytes()),
            false => self.to.queue.push(text.as_bytes()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// These lines with the priority that the journal reads (sd-daemon(3)), from 3 for an error to
/// 7 for what only those see who look for a fault.
fn prefixed(lines: &str, level: Level) -> String {
    let priority = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    };
    let lines = lines.lines();
    lines.map(|line| format!("<{priority}>{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what is written, as far as it is told to.
    #[derive(Default)]
    struct Reader {
        read: Vec<u8>,
        fails: bool,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.fails {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let some = bytes.len().min(1000);
            self.read.extend_from_slice(&bytes[..some]);
            Ok(some)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn writer(queue: &Arc<StderrQueue>) -> EventWriter {
        EventWriter {
            queue: queue.clone(),
            priorities: false,
            json: false,
        }
    }

    fn log(queue: &Arc<StderrQueue>, act: impl FnOnce()) {
        let lines = tracing_subscriber::fmt()
            .without_time()
            .with_target(false)
            .with_ansi(false)
            .with_writer(writer(queue));
        tracing::subscriber::with_default(lines.finish(), act);
    }

    #[test]
    fn what_is_dropped_is_counted_and_told_where_it_is_missing() {
        let queue = Arc::<StderrQueue>::default();
        queue.waiting.lock().writer = None;
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        let fits = WAITING_MAX / 1024;
        for _ in 0..fits + 7 {
            queue.push(&line);
        }
        assert_eq!(queue.lost(), 7);
        let mut reader = Reader::default();
        log(&queue, || {
            queue.waiting.lock().writer = Some(thread::current().id());
            queue.write_waiting(&mut reader);
        });
        let read = String::from_utf8(reader.read).unwrap();
        let lines: Vec<&str> = read.lines().collect();
        assert_eq!(lines.len(), fits + 1);
        assert!(
            lines[fits].contains("lines of the log were dropped here")
                && lines[fits].ends_with("dropped=7"),
            "{}",
            lines[fits]
        );
    }

    #[test]
    fn lines_are_lost_and_counted_if_standard_error_is_closed() {
        let queue = Arc::<StderrQueue>::default();
        log(&queue, || {
            tracing::info!("one");
            tracing::info!("two");
        });
        let mut closed = Reader {
            fails: true,
            ..Reader::default()
        };
        queue.write_waiting(&mut closed);
        assert_eq!(queue.lost(), 2);
    }

    #[test]
    fn the_end_waits_only_a_moment_for_a_reader_that_does_not_read() {
        let queue = Arc::<StderrQueue>::default();
        queue.push(b"nobody writes this\n");
        let began = Instant::now();
        queue.end(Some("error: the last line"));
        assert!(began.elapsed() >= LAST_LINES);
        let mut reader = Reader::default();
        queue.write_waiting(&mut reader);
        let read = String::from_utf8(reader.read).unwrap();
        assert_eq!(read, "nobody writes this\nerror: the last line\n");
    }

    #[test]
    fn under_the_journal_each_line_of_an_event_has_its_priority() {
        let lines = "first\n    second\n";
        assert_eq!(prefixed(lines, Level::ERROR), "<3>first\n<3>    second\n");
        assert_eq!(prefixed(lines, Level::WARN), "<4>first\n<4>    second\n");
        assert_eq!(prefixed("a\n", Level::INFO), "<6>a\n");
        assert_eq!(prefixed("a\n", Level::TRACE), "<7>a\n");
    }
}
