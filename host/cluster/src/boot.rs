//! The boot number, which tells one run of a node from the next.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of one run of one node. A later run of the same name has a greater number. It
/// starts as the larger of the stored number + 1 and the wall clock in milliseconds, and it
/// only grows. So it orders runs even if the clock was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Boot(u64);

impl Boot {
    /// The number as it is stored and sent.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number itself.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The boot number of a run that starts now.
    pub fn at_start(stored: Option<Boot>, wall_ms: u64) -> Self {
        let after_stored = stored.map_or(0, |boot| boot.0.saturating_add(1));
        Self(after_stored.max(wall_ms))
    }

    /// The next number.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_does_not_lower_the_boot_number() {
        let stored = Boot::at_start(None, 1_000);
        assert_eq!(Boot::at_start(Some(stored), 10), Boot(1_001));
        assert_eq!(Boot::at_start(Some(stored), 5_000), Boot(5_000));
    }
}
