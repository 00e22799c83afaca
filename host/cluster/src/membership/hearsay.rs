//! Whether to believe what another node says of a third.

use std::time::Duration;

use super::{Roster, Update};
use crate::admission::{CONTACTS_MAX, Contacts, HOLD};
use crate::run::Run;
use crate::stall::Moment;
use crate::{Boot, DownReason, NodeId, Time};

/// While a suspect is heard so often, a suspicion that has run out waits until
/// it was asked once more.
pub(super) const HEARD: Duration = Duration::from_secs(1);

/// Whoever was heard within this is not taken for down on another's word, so
/// one deaf node cannot take down the others. It is longer than the longest
/// pause between two beacons, or the word of a deaf node would count just
/// before the next one; and shorter than making sure of a silent member takes.
pub(crate) const HEARSAY: Duration = Duration::from_millis(1500);

/// Whether this very run may be there for all that this node can tell: it was
/// heard within so long, or sends no broadcasts that could be missed.
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

/// Whether this node makes sure itself when another one says that this run is
/// gone: it may be there for all that it can tell, or is up and was not heard
/// yet. Who speaks of that one may come from the other side of a cut.
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
    /// That of a node which knows so many nodes.
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
            // Of this run, so that SWIM can refute it; not of earlier ones.
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
            // Only the node itself says so, and it says it once.
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

    /// Whether another run of this node is there, so that this one has to prove
    /// itself here.
    fn second_run(&self, run: &Run) -> bool {
        self.heard.admitted(run.id()).is_some_and(|first| {
            run.boot > first.boot()
                && run.process != first.process()
                && first.silence(self.at.now) < HOLD
                && self.roster.is_up(run.id(), first.boot())
        })
    }
}
