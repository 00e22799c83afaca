//! How many refusals of outgoing requests go into the log: one a second for each destination, so
//! that an app that asks for one again and again does not hide the others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How many refusals go into the log each second, over all destinations.
const DENIALS_A_SECOND: usize = 30;
/// How long a destination that was told is left out.
const SECOND: Duration = Duration::from_secs(1);

/// What was told in the last second, and how many refusals were left out.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    /// At most [`DENIALS_A_SECOND`].
    recent: HashMap<String, Instant>,
    left_out: u64,
}

impl Denials {
    /// Returns none if this may not be told now, else how many were left out since the one before.
    pub(super) fn admit(&self, what: &str, now: Instant) -> Option<u64> {
        let mut told = self.0.lock();
        told.recent.retain(|_, at| now.duration_since(*at) < SECOND);
        if told.recent.contains_key(what) || told.recent.len() == DENIALS_A_SECOND {
            told.left_out += 1;
            return None;
        }
        told.recent.insert(what.to_owned(), now);
        Some(std::mem::take(&mut told.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_destination_is_told_once_a_second_and_so_many_of_them_at_most() {
        let (denials, now) = (Denials::default(), Instant::now());
        assert_eq!(denials.admit("a", now), Some(0));
        assert_eq!(denials.admit("a", now), None);
        assert_eq!(denials.admit("b", now), Some(1));
        let others = (0..100).filter(|it| denials.admit(&it.to_string(), now).is_some());
        assert_eq!(others.count(), DENIALS_A_SECOND - 2);
        let left_out = 100 - (DENIALS_A_SECOND as u64 - 2);
        assert_eq!(denials.admit("a", now + SECOND), Some(left_out));
    }
}
