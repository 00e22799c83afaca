//! Keeps a recorded datagram from working twice: by a window of sequence numbers for each
//! sender that is live, and by the nonces that prove it live.

use std::time::Duration;

use rand::{Rng, RngExt};

use crate::Time;

/// How far behind the newest a sequence number may be and still be told apart from one seen
/// before.
const WINDOW: u64 = 128;

/// The sequence numbers of one sender that were seen.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    first: u64,
    newest: u64,
    /// Bit n stands for `newest - n`.
    seen: u128,
}

impl Window {
    /// Accepts this number and none before it: an earlier datagram may be a recording.
    pub(crate) fn starting_at(sequence: u64) -> Self {
        Self {
            first: sequence,
            newest: sequence,
            seen: u128::MAX,
        }
    }

    /// Whether the number lies before the first accepted one.
    pub(crate) fn precedes(&self, sequence: u64) -> bool {
        sequence < self.first
    }

    /// The newest number that was seen.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Whether the number is seen for the first time; notes it.
    pub(crate) fn accept(&mut self, sequence: u64) -> bool {
        if sequence > self.newest {
            let by = sequence - self.newest;
            self.seen = if by < WINDOW { self.seen << by } else { 0 };
            self.seen |= 1;
            self.newest = sequence;
            return true;
        }
        let back = self.newest - sequence;
        if back >= WINDOW || self.seen & (1 << back) != 0 {
            return false;
        }
        self.seen |= 1 << back;
        true
    }
}

/// How long one nonce is given out. It is accepted for twice as long.
const NONCE_LIFE: Duration = Duration::from_secs(5);

/// The nonces that this node gave out. A sender that echoes one has heard this node lately, so
/// its datagram is no recording.
#[derive(Debug)]
pub(crate) struct Nonces {
    current: u64,
    previous: u64,
    since: Time,
}

impl Nonces {
    pub(crate) fn new(now: Time, rng: &mut impl Rng) -> Self {
        Self {
            current: rng.random(),
            previous: rng.random(),
            since: now,
        }
    }

    /// Makes a new nonce when it is time to.
    pub(crate) fn turn(&mut self, now: Time, rng: &mut impl Rng) {
        if now.since(self.since) >= NONCE_LIFE {
            self.previous = std::mem::replace(&mut self.current, rng.random());
            self.since = now;
        }
    }

    pub(crate) fn current(&self) -> u64 {
        self.current
    }

    /// Whether this is a nonce that this node gave out lately.
    pub(crate) fn accepts(&self, echo: u64) -> bool {
        echo == self.current || echo == self.previous
    }
}

/// Limits how often something is done: a number of times at once, then once more per interval.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    left: u32,
    since: Time,
}

impl Bucket {
    pub(crate) fn full(now: Time, most: u32) -> Self {
        Self {
            left: most,
            since: now,
        }
    }

    /// Whether the limit allows it once more now; counts it.
    pub(crate) fn take(&mut self, now: Time, most: u32, every: Duration) -> bool {
        let gained = now.since(self.since).as_micros() / every.as_micros().max(1);
        if gained > 0 {
            let gained = u32::try_from(gained).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(gained).min(most);
            self.since = now;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_from_before_the_start_is_accepted() {
        let mut window = Window::starting_at(1000);
        assert!((0..=1000).all(|sequence| !window.accept(sequence)));
        assert!(window.accept(1002));
        assert!(window.accept(1001));
        assert!(!window.accept(1001));
        assert!(!window.accept(1000));
    }

    #[test]
    fn a_nonce_is_accepted_for_two_lives() {
        let mut rng = rand::SeedableRng::seed_from_u64(1);
        let rng: &mut rand::rngs::StdRng = &mut rng;
        let mut nonces = Nonces::new(Time::ZERO, rng);
        let first = nonces.current();
        nonces.turn(Time::ZERO + NONCE_LIFE, rng);
        assert!(nonces.accepts(first) && nonces.current() != first);
        nonces.turn(Time::ZERO + NONCE_LIFE * 2, rng);
        assert!(!nonces.accepts(first));
    }

    #[test]
    fn a_bucket_gives_its_fill_and_then_one_an_interval() {
        let second = Duration::from_secs(1);
        let mut bucket = Bucket::full(Time::ZERO, 3);
        let taken = |bucket: &mut Bucket, at: u32| {
            (0..10)
                .filter(|_| bucket.take(Time::ZERO + second * at, 3, second))
                .count()
        };
        assert_eq!(taken(&mut bucket, 0), 3);
        assert_eq!(taken(&mut bucket, 1), 1);
        assert_eq!(taken(&mut bucket, 60), 3);
    }

    proptest! {
        #[test]
        fn no_number_is_accepted_twice(numbers in prop::collection::vec(0u64..400, 0..600)) {
            let mut window = Window::starting_at(0);
            let mut seen = BTreeSet::from([0]);
            for number in numbers {
                let fresh = seen.insert(number);
                let accepted = window.accept(number);
                prop_assert!(fresh || !accepted);
                let newest = *seen.last().expect("there is one");
                if fresh && newest - number < WINDOW {
                    prop_assert!(accepted, "{number} of {newest}");
                }
            }
        }
    }
}
