//! What happens in a schedule, drawn from its seed: the same seed, the same
//! schedule. What the machine makes of it, how long a push takes to be released
//! most of all, is not drawn.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The machines of one half, and of the other.
pub const HALVES: [[u8; 2]; 2] = [[2, 3], [4, 5]];

/// How long after the first command the second one comes, in milliseconds.
const DELAY: RangeInclusive<u64> = 0..=500;
/// How long before the first command, or after the second, the LAN splits.
const SPLIT: RangeInclusive<u64> = 0..=500;
/// How long the halves are apart at least, if they heal meanwhile.
const APART: RangeInclusive<u64> = 0..=2_000;
/// How long after the end of the last command they heal else.
const AFTER: RangeInclusive<u64> = 0..=300;
/// What `--timeout` may be.
const TIMEOUTS: [Duration; 4] = [
    Duration::from_millis(700),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(10),
];

/// What is decided, at first on the one side and then on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Two apps are pushed.
    TwoApps,
    /// The same app is pushed twice.
    SameApp,
    /// One goes back, the other pushes.
    RollbackThenPush,
    /// One pushes, the other goes back.
    PushThenRollback,
    /// Both go back to the same release.
    TwoRollbacks,
}

/// When the LAN falls apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Split {
    /// Before both commands, which come when each half lists itself alone.
    Noticed,
    /// So long before the first command: nobody has noticed.
    Before(Duration),
    /// So long after the first command, and not after the second.
    Between(Duration),
    /// So long after the second command.
    After(Duration),
}

/// When it is whole again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Heal {
    /// While the commands still follow: so long after the split or the second
    /// command, whichever is later.
    Meanwhile(Duration),
    /// So long after both have ended.
    Ended(Duration),
}

/// Two decisions on two sides of a LAN that falls apart and heals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// What it was drawn from.
    pub seed: u64,
    /// What is decided.
    pub what: What,
    /// On which machine the first command runs, and on which the second: one
    /// of each half.
    pub on: [u8; 2],
    /// How long each follows its release at most.
    pub timeout: [Duration; 2],
    /// How long after the first the second begins.
    pub delay: Duration,
    /// When the LAN falls apart.
    pub split: Split,
    /// When it heals.
    pub heal: Heal,
}

impl Schedule {
    /// The schedule of this seed.
    pub fn draw(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let dice = &mut dice;
        let mut halves = HALVES;
        if dice.random_bool(0.5) {
            halves.reverse();
        }
        let on = halves.map(|half| half[dice.random_range(0..half.len())]);
        let what = match dice.random_range(0..10) {
            0..=4 => What::TwoApps,
            5 | 6 => What::SameApp,
            7 => What::RollbackThenPush,
            8 => What::PushThenRollback,
            _ => What::TwoRollbacks,
        };
        let delay = ms(dice, DELAY);
        let split = match dice.random_range(0..6) {
            0 => Split::Noticed,
            1 | 2 => Split::Before(ms(dice, SPLIT)),
            3 => Split::Between(delay.mul_f64(dice.random_range(0.0..=1.0))),
            _ => Split::After(ms(dice, SPLIT)),
        };
        let heal = match dice.random_range(0..2) {
            0 => Heal::Meanwhile(ms(dice, APART)),
            _ => Heal::Ended(ms(dice, AFTER)),
        };
        Self {
            seed,
            what,
            on,
            timeout: [0, 1].map(|_| TIMEOUTS[dice.random_range(0..TIMEOUTS.len())]),
            delay,
            split,
            heal,
        }
    }

    /// Whether one of the commands goes back.
    pub fn goes_back(&self) -> bool {
        !matches!(self.what, What::TwoApps | What::SameApp)
    }
}

/// The half of this machine, 0 or 1.
pub(super) fn half_of(number: u8) -> usize {
    usize::from(!HALVES[0].contains(&number))
}

fn ms(dice: &mut StdRng, range: RangeInclusive<u64>) -> Duration {
    Duration::from_millis(dice.random_range(range))
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            What::TwoApps => "two apps",
            What::SameApp => "the same app twice",
            What::RollbackThenPush => "a rollback, then a push",
            What::PushThenRollback => "a push, then a rollback",
            What::TwoRollbacks => "two rollbacks",
        })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.on;
        write!(
            f,
            "seed {}: {} on .{first} ({:?}) and {:?} later on .{second} ({:?}); split {:?}, healed {:?}",
            self.seed,
            self.what,
            self.timeout[0],
            self.delay,
            self.timeout[1],
            self.split,
            self.heal
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_is_one_schedule_and_a_hundred_are_of_every_shape() {
        assert_eq!(Schedule::draw(7), Schedule::draw(7));
        let drawn: Vec<Schedule> = (1..=100).map(Schedule::draw).collect();
        let whats: BTreeSet<What> = drawn.iter().map(|it| it.what).collect();
        assert_eq!(whats.len(), 5);
        let splits: BTreeSet<u8> = drawn.iter().map(|it| shape(it.split)).collect();
        assert_eq!(splits.len(), 4);
        for it in &drawn {
            assert_ne!(half_of(it.on[0]), half_of(it.on[1]), "{it}");
            if let Split::Between(after) = it.split {
                assert!(after <= it.delay, "{it}");
            }
        }
    }

    fn shape(split: Split) -> u8 {
        match split {
            Split::Noticed => 0,
            Split::Before(_) => 1,
            Split::Between(_) => 2,
            Split::After(_) => 3,
        }
    }
}
