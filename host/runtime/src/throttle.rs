//! Bounds how many lines of one kind go into the log.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lets only some lines per second into the log, and counts the rest.
#[derive(Debug)]
pub struct Throttle {
    lines: u32,
    second: Mutex<Second>,
}

#[derive(Debug, Default)]
struct Second {
    began: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Throttle {
    /// So many lines a second.
    pub fn per_second(lines: u32) -> Throttle {
        Throttle {
            lines,
            second: Mutex::default(),
        }
    }

    /// Returns none if no line may be written now, else how many were left out
    /// since the line before it.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut second = self.second.lock();
        let over = |began| now.duration_since(began) >= Duration::from_secs(1);
        if second.began.is_none_or(over) {
            second.began = Some(now);
            second.lines = 0;
        }
        if second.lines == self.lines {
            second.left_out += 1;
            return None;
        }
        second.lines += 1;
        Some(std::mem::take(&mut second.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_a_second_are_written_and_the_rest_counted() {
        let throttle = Throttle::per_second(10);
        let now = Instant::now();
        let written = (0..100).filter(|_| throttle.admit(now).is_some());
        assert_eq!(written.count(), 10);
        let later = now + Duration::from_secs(1);
        assert_eq!(throttle.admit(later), Some(90));
        assert_eq!(throttle.admit(later), Some(0));
    }
}
