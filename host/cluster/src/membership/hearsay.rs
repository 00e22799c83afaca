//! Decides whether to believe what one node says about another.

use std::time::Duration;

use super::{Roster, Update};
use crate::admission::{CONTACTS_MAX, Contacts, HOLD};
use crate::run::Run;
use crate::stall::Moment;
use crate::{Boot, DownReason, NodeId, Time};

/// If a suspect was heard within this time, a suspicion that has run out waits until the
/// suspect was asked once more.
pub(super) const HEARD: Duration = Duration::from_secs(1);

/// A node that was heard within this time is not declared down on another's word, so one deaf
/// node cannot take down the others. It is longer than the longest pause between two beacons;
/// otherwise the word of a deaf node would count just before the next beacon. It is shorter
/// than the check of a silent member.
pub(crate) const HEARSAY: Duration = Duration::from_millis(1500);

/// Whether this very run may be there, as far as this node can tell: it was heard within this
/// time, or sends no broadcasts that could be missed.
pub(super) fn may_be_there(
    heard: &Contacts,
    now: Time,
    id: NodeId,
    boot: Boot,
    within: Duration,
) -> bool {
    let admitted = heard.admitted(id).filter(|it| it.boot() == boot);
    admitted.is_some_and(|it| it.silence_of_broadcasts(now).is_none() || it.silence(now) < within)
}

/// Whether this node checks a run itself when another node says that it is gone: the run may be
/// there, as far as this node can tell, or it is up and was not heard yet. The other node may
/// be on the far side of a network split.
pub(super) fn doubtful(
    heard: &Contacts,
    roster: &Roster,
    now: Time,
    id: NodeId,
    boot: Boot,
) -> bool {
    let was_heard = heard.admitted(id).is_some_and(|it| it.boot() == boot);
    may_be_there(heard, now, id, boot, HEARSAY) || !was_heard && roster.is_up(id, boot)
}

/// Filters the updates of one datagram or state.
pub(super) struct HearsayFilter<'a> {
    at: Moment<'a>,
    heard: &'a Contacts,
    roster: &'a Roster,
    /// How many more nodes may become known.
    room: usize,
    /// The runs that were called down but may be there.
    pub(super) doubts: Vec<(NodeId, Boot)>,
}

impl<'a> HearsayFilter<'a> {
    /// The filter of a node that knows `known` nodes.
    pub(super) fn new(
        at: Moment<'a>,
        heard: &'a Contacts,
        roster: &'a Roster,
        known: usize,
    ) -> Self {
        Self {
            at,
            heard,
            roster,
            room: CONTACTS_MAX.saturating_sub(known),
            doubts: Vec::new(),
        }
    }

    /// Whether to take in this update.
    pub(super) fn believes(&mut self, update: &Update) -> bool {
        let id = update.run.id();
        if id == self.at.me.id() {
            // Updates about this run pass, so that SWIM can refute them; those about earlier
            // runs do not.
            return update.run == self.at.me.run;
        }
        if !self.at.me.config.allows(update.run.ip()) {
            return false;
        }
        if self.roster.get(id).is_none() {
            if self.room == 0 {
                return false;
            }
            self.room -= 1;
        }
        match update.down_reason() {
            None => !self.second_run(&update.run),
            // Only the node itself says so, and only once.
            Some(DownReason::Left) => true,
            Some(DownReason::Failed | DownReason::Refused) => {
                let boot = update.run.boot;
                let doubtful = doubtful(self.heard, self.roster, self.at.now, id, boot);
                if doubtful && self.roster.is_up(id, boot) {
                    self.doubts.push((id, boot));
                }
                !doubtful
            }
        }
    }

    /// Whether another run of this node is there, so that this one has to prove here that it is
    /// live.
    fn second_run(&self, run: &Run) -> bool {
        self.heard.admitted(run.id()).is_some_and(|first| {
            run.boot > first.boot()
                && run.process != first.process()
                && first.silence(self.at.now) < HOLD
                && self.roster.is_up(run.id(), first.boot())
        })
    }
}
