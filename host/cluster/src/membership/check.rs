//! Checks whether a node is gone. A hint leads to a few fast probes; only if none is answered,
//! the node is declared down.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Boot, DownReason, NodeId, Time};

/// Why a node doubts another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// Its port was reported closed, or its control connection ended.
    Unreachable,
    /// Another node says that it is down, but this node heard it just now, or never.
    Hearsay,
    /// It was not heard for longer than the time between its beacons.
    Silence,
}

impl Hint {
    /// How many probes, how far apart, and how long to wait for an answer to the last. The
    /// rarer a hint is wrong, the fewer probes it takes: at 1 % loss a probe of a live node
    /// fails in 2 % of cases. Among 254 nodes, lost beacons make one node doubt another some
    /// 600 times a second, and one deaf node causes 64,000 checks; none of these may ever go
    /// wrong. Silence is probed for longer than a second, since a node that is frozen for a
    /// second is not gone.
    fn plan(self) -> (u8, Duration, Duration) {
        let ms = Duration::from_millis;
        match self {
            Hint::Unreachable => (2, ms(50), ms(100)),
            Hint::Hearsay => (5, ms(50), ms(100)),
            Hint::Silence => (6, ms(175), ms(225)),
        }
    }
}

/// How long a node may contradict after a probe was answered with "port closed". A live node is
/// quick to answer.
const CONTRADICT: Duration = Duration::from_millis(10);

/// The nodes being probed.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    running: BTreeMap<NodeId, Check>,
}

#[derive(Debug)]
struct Check {
    boot: Boot,
    hint: Hint,
    sent: u8,
    sent_at: Time,
    refused: u8,
    next: Time,
}

/// What a check asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckStep {
    /// Probe this run.
    Probe { id: NodeId, boot: Boot },
    /// This run has not answered.
    Down {
        id: NodeId,
        boot: Boot,
        reason: DownReason,
    },
}

impl Checks {
    /// Takes in a hint that this run may be gone.
    pub(crate) fn doubt(&mut self, now: Time, id: NodeId, boot: Boot, hint: Hint) {
        match self.running.get_mut(&id) {
            Some(check) if check.boot == boot => {
                if hint == Hint::Unreachable {
                    check.refused = check.refused.saturating_add(1);
                    check.next = check.next.min(check.sent_at + CONTRADICT);
                }
            }
            _ => {
                let check = Check {
                    boot,
                    hint,
                    sent: 0,
                    sent_at: now,
                    refused: 0,
                    next: now,
                };
                self.running.insert(id, check);
            }
        }
    }

    /// The run was heard, so it is there.
    pub(crate) fn clear(&mut self, id: NodeId) {
        self.running.remove(&id);
    }

    /// How many nodes are being probed.
    #[cfg(feature = "sim")]
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// When to call [`Checks::step`] next.
    pub(crate) fn due(&self) -> Option<Time> {
        self.running.values().map(|check| check.next).min()
    }

    /// The next thing that is due, if any.
    pub(crate) fn step(&mut self, now: Time) -> Option<CheckStep> {
        let (&id, check) = self
            .running
            .iter_mut()
            .find(|(_, check)| check.next <= now)?;
        let (mut probes, spacing, patience) = check.hint.plan();
        if check.refused >= 2 {
            probes = probes.min(2);
        }
        let boot = check.boot;
        if check.sent >= probes {
            let reason = if check.refused >= 2 {
                DownReason::Refused
            } else {
                DownReason::Failed
            };
            self.running.remove(&id);
            return Some(CheckStep::Down { id, boot, reason });
        }
        check.sent += 1;
        check.sent_at = now;
        check.next = now
            + if check.sent == probes {
                patience
            } else {
                spacing
            };
        Some(CheckStep::Probe { id, boot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: NodeId = NodeId::from_bytes([3; 8]);
    const BOOT: Boot = Boot::from_number(5);

    /// Runs a check to its end. Returns the times of its probes and of the decision.
    fn run(hint: Hint, refused_after: Option<Duration>) -> (Vec<Duration>, Duration, DownReason) {
        let mut checks = Checks::default();
        checks.doubt(Time::ZERO, ID, BOOT, hint);
        let mut probes = Vec::new();
        while let Some(now) = checks.due() {
            match checks.step(now) {
                Some(CheckStep::Probe { .. }) => {
                    probes.push(now.since_start());
                    if let Some(after) = refused_after {
                        checks.doubt(now + after, ID, BOOT, Hint::Unreachable);
                    }
                }
                Some(CheckStep::Down { reason, .. }) => {
                    return (probes, now.since_start(), reason);
                }
                None => panic!("nothing was due at {now}"),
            }
        }
        panic!("no decision")
    }

    #[test]
    fn an_unreachable_node_is_down_after_two_probes() {
        let ms = Duration::from_millis;
        let (probes, decided, reason) = run(Hint::Unreachable, None);
        assert_eq!((probes, decided), (vec![ms(0), ms(50)], ms(150)));
        assert_eq!(reason, DownReason::Failed);
    }

    #[test]
    fn a_node_whose_port_is_closed_is_down_at_once() {
        let (probes, decided, reason) = run(Hint::Unreachable, Some(Duration::from_micros(400)));
        assert_eq!(probes.len(), 2);
        assert!(decided <= Duration::from_millis(20), "{decided:?}");
        assert_eq!(reason, DownReason::Refused);
    }

    #[test]
    fn a_silent_node_has_more_than_a_second_to_answer() {
        let (probes, decided, reason) = run(Hint::Silence, None);
        assert_eq!(probes.len(), 6);
        assert!(decided > Duration::from_millis(1050), "{decided:?}");
        assert_eq!(reason, DownReason::Failed);
    }

    #[test]
    fn a_node_that_is_heard_is_not_down() {
        let mut checks = Checks::default();
        checks.doubt(Time::ZERO, ID, BOOT, Hint::Silence);
        assert!(matches!(
            checks.step(Time::ZERO),
            Some(CheckStep::Probe { .. })
        ));
        checks.clear(ID);
        assert_eq!((checks.due(), checks.step(Time::ZERO + HOUR)), (None, None));
    }

    const HOUR: Duration = Duration::from_secs(3600);
}
