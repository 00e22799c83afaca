//! Decides which nodes are members, from what the failure detector says, what others say, and what
//! this node checks itself. What admission has heard flows in. [`Members::poll`] says what others
//! are to do about a change, and every module may read the [`Roster`].

mod check;
mod decide;
mod hearsay;
mod replicated;
mod roster;
mod swim;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::check::Hint;
use self::check::{CheckStep, Checks};
use self::decide::DownDecision;
#[cfg(test)]
pub(crate) use self::hearsay::HEARSAY;
use self::hearsay::{HEARD, HearsayFilter, doubtful, may_be_there};
#[cfg(test)]
pub(crate) use self::replicated::KnownNode;
pub(crate) use self::replicated::MemberData;
pub(crate) use self::roster::{Roster, RosterEntry};
#[cfg(test)]
pub(crate) use self::swim::TableSwim;
pub(crate) use self::swim::{FocaSwim, Swim, SwimEvent, Unreadable, Update};
use crate::admission::{CONTACTS_MAX, Contacts};
use crate::me::Me;
use crate::message::{Beacon, Cause, Down, KnownRun};
use crate::outbox::Outbox;
use crate::run::Run;
use crate::stall::Moment;
use crate::{Boot, DownReason, Effect, NodeId, Time, View};

/// The least time between two views when many members change at once: each view costs time that
/// grows with the cluster, here and for its readers.
pub(crate) const VIEWS_APART: Duration = Duration::from_millis(4);

/// Decides which nodes are members.
pub(crate) struct Members {
    roster: Roster,
    swim: Box<dyn Swim>,
    checks: Checks,
    /// The earliest time of the next view.
    view_next: Time,
    changes: VecDeque<MemberChange>,
}

/// A change that others have to act on.
#[derive(Debug)]
pub(crate) enum MemberChange {
    /// This run is up. If it has not proven here that it is live, it is to be asked.
    Up(Run),
    /// The run with this IP has gone, or another one has taken its place.
    Gone(NodeId),
    /// The others count this run of this node as down, so it needs a new boot number.
    Defunct(Boot),
}

impl Members {
    /// A roster of this node alone.
    pub(crate) fn new(me: &Me, now: Time, swim: Box<dyn Swim>) -> Self {
        let entry = RosterEntry {
            run: me.run.clone(),
            advertised: Some(me.advertised.clone()),
            since_ms: me.config.wall_ms,
            gone: None,
        };
        Self {
            roster: Roster::new(entry),
            swim,
            checks: Checks::default(),
            view_next: now,
            changes: VecDeque::new(),
        }
    }

    /// The members.
    pub(crate) fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The next change that others have to act on.
    pub(crate) fn poll(&mut self) -> Option<MemberChange> {
        self.changes.pop_front()
    }

    /// When to call [`Members::timer`] next.
    pub(crate) fn due(&self) -> Option<Time> {
        let view = self.roster.is_changed().then_some(self.view_next);
        let due = [self.swim.due(), self.checks.due(), view];
        due.into_iter().flatten().min()
    }

    /// Does what is due. If a suspicion has run out but the suspect may be there, this node checks
    /// it first: its beacons may come although it hears nothing, and if it sends no broadcasts,
    /// silence means little.
    pub(crate) fn timer(&mut self, at: Moment<'_>, heard: &Contacts, out: &mut Outbox) {
        let doubts = RefCell::new(Vec::new());
        self.swim.timer(at.now, &|run: &Run| {
            let may_be_there = may_be_there(heard, at.now, run.id(), run.boot, HEARD);
            if may_be_there {
                doubts.borrow_mut().push((run.id(), run.boot));
            }
            may_be_there
        });
        self.apply_swim(at, true, out);
        self.doubt_all(at, heard, doubts.into_inner(), out);
        self.run_checks(at, out);
    }

    /// Takes in a datagram of SWIM.
    ///
    /// # Errors
    /// The datagram cannot be read, or does not come from the node that it names.
    pub(crate) fn gossip(
        &mut self,
        at: Moment<'_>,
        heard: &Contacts,
        from: (NodeId, Boot),
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Unreadable> {
        let mut filter = HearsayFilter::new(at, heard, &self.roster, self.swim.len());
        let read = self
            .swim
            .packet(at.now, from, bytes, &mut |update| filter.believes(update));
        let doubts = filter.doubts;
        self.apply_swim(at, false, out);
        self.doubt_all(at, heard, doubts, out);
        read
    }

    /// Takes in updates that came another way, if they can be believed.
    pub(crate) fn learn(
        &mut self,
        at: Moment<'_>,
        heard: &Contacts,
        mut updates: Vec<Update>,
        out: &mut Outbox,
    ) {
        let mut filter = HearsayFilter::new(at, heard, &self.roster, self.swim.len());
        updates.retain(|update| filter.believes(update));
        let doubts = filter.doubts;
        self.swim.learn(at.now, updates);
        self.apply_swim(at, false, out);
        self.doubt_all(at, heard, doubts, out);
    }

    /// An admitted run is here. False if it counts as down, or as an earlier run.
    pub(crate) fn alive(&mut self, at: Moment<'_>, about: &Beacon, out: &mut Outbox) -> bool {
        let (id, boot) = (about.run.id(), about.run.boot);
        if !self.roster.is_up(id, boot) {
            let other_run = self.roster.get(id).map(|entry| entry.run.boot != boot);
            if other_run.unwrap_or(self.swim.len() < CONTACTS_MAX) {
                self.swim
                    .learn(at.now, vec![Update::alive(about.run.clone())]);
                self.apply_swim(at, false, out);
            }
        }
        let advertised = about.advertised.clone();
        self.roster.advertise(id, about.run.process, advertised);
        self.roster.is_up(id, boot)
    }

    /// Another node has decided that a run is down.
    pub(crate) fn told_down(
        &mut self,
        at: Moment<'_>,
        heard: &Contacts,
        Down {
            node: id,
            boot,
            why,
        }: Down,
        out: &mut Outbox,
    ) {
        if why != Cause::Left && doubtful(heard, &self.roster, at.now, id, boot) {
            self.doubt(at, heard, (id, Some(boot)), Hint::Hearsay, out);
        } else {
            self.declare(at, id, boot, DownDecision::theirs(why.into()), out);
        }
    }

    /// A run says that it leaves.
    pub(crate) fn left(&mut self, at: Moment<'_>, id: NodeId, boot: Boot, out: &mut Outbox) {
        self.declare(at, id, boot, DownDecision::theirs(DownReason::Left), out);
    }

    /// Something new was heard of the node with this IP, so it need not be checked.
    pub(crate) fn heard(&mut self, id: NodeId) {
        self.checks.clear(id);
    }

    /// Takes in a hint that a node may be gone. Without a boot number, the hint is about the run
    /// that is up.
    pub(crate) fn doubt(
        &mut self,
        at: Moment<'_>,
        heard: &Contacts,
        (id, boot): (NodeId, Option<Boot>),
        hint: Hint,
        out: &mut Outbox,
    ) {
        let Some(entry) = self.roster.up(id) else {
            return;
        };
        let up = entry.run.boot;
        // Where two machines have one IP, a probe may reach the wrong one. What is heard then
        // shows which one is there.
        let conflict = heard.has_conflict(at.now, id);
        if id != at.me.id() && boot.is_none_or(|boot| boot == up) && !conflict {
            self.checks.doubt(at.now, id, up, hint);
            self.run_checks(at, out);
        }
    }

    fn doubt_all(
        &mut self,
        at: Moment<'_>,
        heard: &Contacts,
        doubts: Vec<(NodeId, Boot)>,
        out: &mut Outbox,
    ) {
        for (id, boot) in doubts {
            self.doubt(at, heard, (id, Some(boot)), Hint::Hearsay, out);
        }
    }

    /// Goes on with another boot number.
    pub(crate) fn rejoin(&mut self, at: Moment<'_>, out: &mut Outbox) {
        let me = &at.me.run;
        self.roster
            .update(me.id(), |entry| entry.run.boot = me.boot);
        self.swim.rejoin(at.now, me.clone());
        self.apply_swim(at, false, out);
    }

    /// What this node says of itself has changed.
    pub(crate) fn advertise(&mut self, me: &Me) {
        let advertised = me.advertised.clone();
        self.roster.advertise(me.id(), me.run.process, advertised);
    }

    /// Asks a member for the members that it knows.
    pub(crate) fn ask(&mut self, at: Moment<'_>, of: Run, out: &mut Outbox) {
        self.swim.announce(at.now, of);
        self.apply_swim(at, false, out);
    }

    /// The latest run that is known of a node.
    pub(crate) fn known(&self, id: NodeId) -> Option<KnownRun> {
        match self.roster.get(id) {
            Some(entry) => Some(KnownRun {
                boot: entry.run.boot,
                down: !entry.is_up(),
            }),
            // SWIM also knows of runs that were never up here.
            None => self.swim.known(id),
        }
    }

    /// Forgets the nodes that have been down for long.
    pub(crate) fn forget(&mut self, now: Time) {
        self.roster.forget(now);
    }

    /// Publishes a new view, if the members have changed and the last view is old enough. Returns
    /// whether it did.
    pub(crate) fn publish(&mut self, now: Time, out: &mut Outbox) -> bool {
        let is_due = now >= self.view_next;
        let Some(view) = is_due.then(|| self.roster.publish()).flatten() else {
            return false;
        };
        self.view_next = now + VIEWS_APART;
        out.push(Effect::View(view));
        true
    }

    /// Publishes the first view; the next one may come at once.
    pub(crate) fn publish_first(&mut self, now: Time, out: &mut Outbox) {
        self.publish(now, out);
        self.view_next = now;
    }

    /// The members as they were last published.
    pub(crate) fn view(&self) -> Arc<View> {
        self.roster.view()
    }

    /// Uses another failure detector.
    #[cfg(test)]
    pub(crate) fn set_engine(&mut self, swim: Box<dyn Swim>) {
        self.swim = swim;
    }

    /// How many nodes the failure detector knows, and how many are being probed.
    #[cfg(feature = "sim")]
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.swim.len(), self.checks.len())
    }

    /// The state that a refused datagram must not change.
    #[cfg(feature = "sim")]
    pub(crate) fn fingerprint(&self) -> String {
        let Self {
            roster,
            swim,
            checks,
            view_next: _,
            changes,
        } = self;
        let mut lines: Vec<String> = roster
            .entries()
            .map(|it| format!("member {it:?}\n"))
            .collect();
        let mut updates = swim.updates();
        updates.sort_by_key(|update| update.run.id());
        lines.extend(updates.iter().map(|it| format!("update {it:?}\n")));
        lines.push(format!("hash {:?}\nswim {:?}\n", roster.hash(), swim.due()));
        lines.push(format!("checks {checks:?}\nchanges {changes:?}\n"));
        lines.concat()
    }
}
