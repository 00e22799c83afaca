//! Many values of one figure, and how they are told.

use std::time::Duration;

/// Values of one figure.
#[derive(Debug, Default)]
pub(crate) struct Spread(Vec<Duration>);

impl Spread {
    /// Adds a value.
    pub(crate) fn add(&mut self, value: Duration) {
        self.0.push(value);
    }

    /// This much of them is at most the value returned, in percent.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let at = (sorted.len() * percent / 100).min(last);
        sorted.get(at).copied().unwrap_or_default()
    }

    /// Prints a row.
    pub(crate) fn print(&self, name: &str) {
        let [p50, p99, most] = [50, 99, 100].map(|percent| self.percentile(percent));
        println!(
            "  {name:<48} {:>10} {:>10} {:>10}",
            short(p50),
            short(p99),
            short(most)
        );
    }
}

impl FromIterator<Duration> for Spread {
    fn from_iter<I: IntoIterator<Item = Duration>>(values: I) -> Spread {
        Spread(values.into_iter().collect())
    }
}

/// A time in the unit that suits it.
pub(crate) fn short(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1_000 => format!("{micros} us"),
        micros @ 1_000..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        micros => format!("{} ms", micros / 1_000),
    }
}
