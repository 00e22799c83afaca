//! The faults of a run and their times. They tell whether it is right that one node declares
//! another down.

use std::time::Duration;

use crate::Time;

/// How long after the end of a fault a node may still be declared down because of it: the time
/// of a check, and until the node hears of it.
pub const GRACE: Duration = Duration::from_secs(4);

/// Which nodes a fault keeps from hearing which others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// No node hears another.
    Everyone,
    /// The others do not hear this one. That alone is no reason for this one to declare others
    /// down.
    Of(usize),
    /// This one does not hear the others.
    By(usize),
    /// This one cannot act, so all that it notices is late.
    Held(usize),
    /// One node does not hear another.
    Between {
        /// The node that does not hear.
        by: usize,
        /// The node that is not heard.
        of: usize,
    },
}

#[derive(Debug)]
struct Fault {
    touch: Touch,
    from: Time,
    until: Option<Time>,
}

/// The faults of one run.
#[derive(Debug, Default)]
pub struct Ledger {
    faults: Vec<Fault>,
}

impl Ledger {
    /// A fault begins.
    pub fn open(&mut self, touch: Touch, from: Time) {
        self.faults.push(Fault {
            touch,
            from,
            until: None,
        });
    }

    /// A fault begins, and ends by itself.
    pub fn note(&mut self, touch: Touch, from: Time, time: Duration) {
        self.faults.push(Fault {
            touch,
            from,
            until: Some(from + time),
        });
    }

    /// Ends all such faults that are still open.
    pub fn close(&mut self, touch: Touch, at: Time) {
        self.end(at, |fault| fault.touch == touch && fault.until.is_none());
    }

    /// Ends all faults that are still open.
    pub fn close_all(&mut self, at: Time) {
        self.end(at, |_| true);
    }

    fn end(&mut self, at: Time, which: impl Fn(&Fault) -> bool) {
        for fault in self.faults.iter_mut().filter(|fault| which(fault)) {
            fault.until = Some(fault.until.map_or(at, |until| until.min(at)));
        }
    }

    /// Whether a fault explains that one node declares another down.
    pub fn explains(&self, at: Time, by: usize, of: usize) -> bool {
        let matches = |touch| match touch {
            Touch::Everyone => true,
            Touch::Of(node) => node == of,
            Touch::By(node) => node == by,
            Touch::Held(_) => false,
            Touch::Between { by: b, of: o } => (b, o) == (by, of),
        };
        self.faults.iter().any(|fault| {
            matches(fault.touch)
                && fault.from <= at
                && fault
                    .until
                    .is_none_or(|until| at <= until + GRACE + self.held(by, until, at))
        })
    }

    /// How long at most a node could not act between two moments.
    fn held(&self, node: usize, from: Time, until: Time) -> Duration {
        let held = self.faults.iter().filter(|f| f.touch == Touch::Held(node));
        held.map(|fault| {
            let end = fault.until.map_or(until, |end| end.min(until));
            end.since(fault.from.max(from))
        })
        .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_fault_explains_what_it_touches_while_it_lasts_and_a_little_longer() {
        let mut ledger = Ledger::default();
        ledger.note(Touch::Of(2), at(10), Duration::from_secs(5));
        assert!(!ledger.explains(at(9), 1, 2), "before");
        assert!(ledger.explains(at(12), 1, 2) && ledger.explains(at(19), 1, 2));
        assert!(!ledger.explains(at(20), 1, 2), "long after");
        assert!(!ledger.explains(at(12), 1, 3), "of another node");
        assert!(!ledger.explains(at(12), 2, 1), "by the one that is touched");
    }

    #[test]
    fn a_node_that_was_held_up_has_longer_to_find_out() {
        let mut ledger = Ledger::default();
        ledger.note(Touch::Of(2), at(10), Duration::from_secs(1));
        ledger.note(Touch::Held(1), at(8), Duration::from_secs(100));
        assert!(ledger.explains(at(109), 1, 2) && !ledger.explains(at(109), 3, 2));
        assert!(!ledger.explains(at(113), 1, 2));
        assert!(
            !ledger.explains(at(50), 1, 3),
            "by itself it explains nothing"
        );
    }

    #[test]
    fn a_deaf_node_explains_what_it_says_and_not_what_others_say() {
        let mut ledger = Ledger::default();
        ledger.open(Touch::By(2), at(0));
        assert!(ledger.explains(at(1000), 2, 1));
        assert!(!ledger.explains(at(1000), 3, 1));
        ledger.close(Touch::By(2), at(1000));
        assert!(!ledger.explains(at(1005), 2, 1));
    }
}
