//! A node that hears nobody may be alone, or behind a firewall. It cannot know, so it says once
//! what to look at.

use std::time::{Duration, Instant};

/// How long after its start a node waits for others before it says so. Others beacon every
/// second.
const ALONE: Duration = Duration::from_secs(60);

/// Whether the hint is still to come.
pub(super) struct SilenceHint {
    due: Option<Instant>,
    /// The cluster port.
    port: u16,
}

impl SilenceHint {
    pub(super) fn new(started: Instant, port: u16) -> SilenceHint {
        let due = Some(started + ALONE);
        SilenceHint { due, port }
    }

    /// Gives the hint, if it is time and nobody was heard.
    pub(super) fn look(&mut self, now: Instant, heard: bool) {
        if self.is_due(now, heard) {
            tracing::info!(
                "no other node was heard in {} s. If there are others in this subnet, let UDP and \
                 TCP port {} in on each machine, broadcasts too; where no broadcast passes, name \
                 one of them with --join IP",
                ALONE.as_secs(),
                self.port
            );
        }
    }

    fn is_due(&mut self, now: Instant, heard: bool) -> bool {
        if heard {
            self.due = None;
        }
        self.due.take_if(|due| *due <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_hears_nobody_for_a_minute_says_so_once() {
        let start = Instant::now();
        let mut hint = SilenceHint::new(start, 8383);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!hint.is_due(at(59), false));
        assert!(hint.is_due(at(60), false));
        assert!(!hint.is_due(at(1000), false));
    }

    #[test]
    fn a_node_that_has_heard_another_says_nothing_when_that_one_is_gone() {
        let start = Instant::now();
        let mut hint = SilenceHint::new(start, 8383);
        assert!(!hint.is_due(start, true));
        assert!(!hint.is_due(start + ALONE * 2, false));
    }
}
