//! What the host logs while a test runs.

use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::subscriber::DefaultGuard;

/// The log of this thread, from [`Log::capture`] until it is dropped: so of a
/// test whose tokio runtime has one thread, which is the default.
pub(crate) struct Log {
    written: Written,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Begins to take down what is logged, as a node would log it.
    pub(crate) fn capture() -> Log {
        // Threads of other tests have no log. If one of them were the first to
        // come by a place that logs, the place would be off for all threads;
        // with a log for everyone else, it is not.
        static ELSEWHERE: std::sync::Once = std::sync::Once::new();
        ELSEWHERE.call_once(|| {
            let sink = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::INFO)
                .with_writer(std::io::sink)
                .finish();
            // One that is there already does as well.
            let _ = tracing::subscriber::set_global_default(sink);
        });
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || writer.clone())
            .finish();
        Log {
            written,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// The lines that contain all of these.
    pub(crate) fn lines(&self, all_of: &[&str]) -> Vec<String> {
        let written = self.written.0.lock();
        String::from_utf8_lossy(&written)
            .lines()
            .filter(|line| all_of.iter().all(|one| line.contains(one)))
            .map(str::to_owned)
            .collect()
    }

    /// Asserts that there is one line that contains all of these.
    #[track_caller]
    pub(crate) fn tells_once(&self, all_of: &[&str]) {
        let found = self.lines(all_of).len();
        assert_eq!(found, 1, "lines with {all_of:?} in {:#?}", self.lines(&[]));
    }

    /// Asserts that no failure of the app was logged.
    #[track_caller]
    pub(crate) fn tells_no_failure(&self) {
        assert_eq!(self.lines(&["the app failed"]), [""; 0]);
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut written = self.0.lock();
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
