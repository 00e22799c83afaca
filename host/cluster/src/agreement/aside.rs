//! Records from too far ahead. A record of the year 2199 would end all releasing, since every
//! later release must have a later time. So it is set aside and looked at again.

use std::time::Duration;

use super::Agreement;
use crate::Time;
use crate::outbox::Outbox;
use crate::release::{Hlc, median};
use crate::stall::Moment;

/// How far ahead of all clocks a new record may be.
const AHEAD_MOST_MS: u64 = 10 * 60 * 1000;

/// How often the records that were set aside are looked at again.
const ASIDE_AGAIN: Duration = Duration::from_secs(60);

impl Agreement {
    /// The latest time that a new record may have: a little after the latest possible present. A
    /// node without members has only the clock that it stored. That clock is ahead of the
    /// machine's if the machine forgets the time without power.
    pub(crate) fn latest(&self, at: Moment<'_>) -> Hlc {
        let me = at.me.id();
        let others = self.members.iter().filter(|(id, _)| **id != me);
        let mut clocks: Vec<u64> = others.map(|(_, told)| told.clock_ms).collect();
        let members = median(&mut clocks).unwrap_or(self.releases.clock().ms());
        let now = at.wall_ms.max(at.me.config.built_ms).max(members);
        Hlc::from_ms(now.saturating_add(AHEAD_MOST_MS))
    }

    /// A decision made here may follow what is known here, whatever the time is.
    pub(super) fn take_own(&mut self, at: Moment<'_>) {
        let next = self.releases.clock().tick(0);
        self.releases.set_latest(self.latest(at).max(next));
    }

    /// Looks again at the records that were set aside, and learns those whose time has come.
    pub(super) fn look_at_aside(&mut self, at: Moment<'_>, out: &mut Outbox) {
        self.aside = None;
        self.releases.set_latest(self.latest(at));
        let releases = self.releases.look_at_aside();
        self.learn(at, at.me.run.address(), releases, Vec::new(), out);
    }

    /// Sets the time to look again, if records were set aside.
    pub(super) fn look_again_later(&mut self, now: Time) {
        if self.releases.has_aside() && self.aside.is_none() {
            self.aside = Some(now + ASIDE_AGAIN);
        }
    }
}
