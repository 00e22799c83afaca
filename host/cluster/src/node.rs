//! The state machine of one node: what flows in, when it wants to be called, what flows out. It
//! only connects its parts. Each part owns its state, gets what it needs of the others, and
//! returns what is to be done. `receive` handles a datagram, `exchange` handles a state.

mod ask;
mod exchange;
#[cfg(feature = "sim")]
mod inspect;
mod receive;
#[cfg(test)]
mod tests;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

#[cfg(feature = "sim")]
pub use self::inspect::Sizes;
use crate::admission::Admission;
use crate::agreement::Agreement;
use crate::me::Me;
use crate::membership::{FocaSwim, Hint, MemberChange, Members, Roster, Swim};
use crate::message::Message;
use crate::outbox::Outbox;
use crate::presence::{Presence, Stage};
use crate::replication::Replication;
use crate::run::Run;
use crate::settings::SharedSettings;
use crate::stall::{Moment, StallAdjustedClock};
use crate::{Boot, Config, Effect, Input, Keys, NodeId, TakenEvidence, Time};

/// One node of a cluster, without its sockets, clock and files.
pub struct Node {
    me: Me,
    clock: StallAdjustedClock,
    presence: Presence,
    admission: Admission,
    membership: Members,
    agreement: Agreement,
    settings: SharedSettings,
    replication: Replication,
    outbox: Outbox,
}

impl Node {
    /// A node that starts now. Its first effect stores its boot number. Its first timer, due at
    /// once, announces it. The seed must come from the operating system's generator.
    pub fn new(config: Config, keys: &Keys, now: Time, seed: u64) -> Self {
        Self::with_engine(config, keys, now, seed, |me, rng| {
            Box::new(FocaSwim::new(me, rng))
        })
    }

    /// Like `new`, with another failure detector.
    fn with_engine(
        config: Config,
        keys: &Keys,
        now: Time,
        seed: u64,
        engine: impl FnOnce(Run, StdRng) -> Box<dyn Swim>,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut fork = || StdRng::seed_from_u64(rng.random());
        let process = fork().random();
        let me = Me::new(config, keys.clone(), now, process);
        let mut outbox = Outbox::default();
        outbox.push(Effect::StoreBoot(me.run.boot));
        let store = &me.config.data;
        store.begin(me.id(), process, me.config.wall_ms);
        let swim = engine(me.run.clone(), fork());
        let mut node = Self {
            clock: StallAdjustedClock::new(now, me.config.wall_ms),
            presence: Presence::new(&me.config, now, fork()),
            admission: Admission::new(now, fork()),
            membership: Members::new(&me, now, swim),
            agreement: Agreement::new(&me, now, fork(), &mut outbox),
            replication: Replication::new(now, fork()),
            settings: SharedSettings::new(&me, fork(), &mut outbox),
            outbox,
            me,
        };
        node.membership.publish_first(now, &mut node.outbox);
        node
    }

    /// Takes in what has happened. `now` must not go back. `wall_ms` is the wall clock in
    /// milliseconds since 1970-01-01 UTC: it dates the start of a membership, and orders what
    /// this node releases.
    pub fn handle(&mut self, now: Time, wall_ms: u64, input: Input<'_>) {
        let due = self.due();
        self.clock.enter(now, wall_ms, due);
        match (self.presence.stage(), input) {
            (Stage::Running, input) => self.run(input),
            (Stage::Leaving { .. }, Input::Timer) => self.leave(Presence::say_leave),
            (Stage::Ended, Input::Leave) => self.outbox.push(Effect::Departed),
            (Stage::Leaving { .. } | Stage::Ended, _) => {}
        }
        self.follow_changes();
        let now = self.clock.now();
        if self.membership.publish(now, &mut self.outbox) {
            self.follow_members();
        }
    }

    /// Tells the key-value data which runs are members, and what their clocks show.
    fn follow_members(&self) {
        let at = self.clock.at(&self.me);
        let roster = self.membership.roster();
        let ahead_ms = self.agreement.ahead_ms(at.clock, at.wall_ms, roster);
        let store = &self.me.config.data;
        store.follow(at.wall_ms, self.me.id(), roster, ahead_ms);
    }

    fn run(&mut self, input: Input<'_>) {
        let at = self.clock.at(&self.me);
        let (roster, out) = (self.membership.roster(), &mut self.outbox);
        match input {
            Input::Datagram { from, bytes } => self.datagram(from, bytes),
            Input::Timer => self.timer(),
            Input::Unreachable { ip } => {
                let heard = self.admission.heard();
                let (doubted, hint) = ((NodeId::of(ip), None), Hint::Unreachable);
                self.membership.doubt(at, heard, doubted, hint, out);
            }
            Input::Serving(serving) => {
                let is_new = self.me.serve(serving);
                self.advertise(is_new);
            }
            Input::AppFile(file) => self.agreement.see_file(at, roster, file, out),
            Input::Publish(release) => self.agreement.publish(at, roster, release, out),
            Input::Settings(records) => {
                let latest = self.agreement.latest(at);
                self.settings.publish(at, roster, latest, records, out);
            }
            Input::Vote(release, verdict) => {
                self.agreement.vote(at, roster, (release, verdict), out);
            }
            Input::SyncRequest { member, bytes } => self.sync_request(member, bytes),
            Input::SyncReply { member, bytes } => self.sync_reply(member, bytes),
            Input::Keys(keys) => {
                let is_new = self.me.change_keys(*keys);
                self.advertise(is_new);
            }
            Input::Seeds { name, addresses } => {
                self.presence.seed(at.now, &self.me.config, name, addresses);
            }
            Input::Leave => self.leave(Presence::leave),
        }
    }

    /// When to hand in the next [`Input::Timer`]; none once the node has left.
    pub fn next_timer(&self) -> Option<Time> {
        self.due().map(|due| self.clock.outer(due))
    }

    fn due(&self) -> Option<Time> {
        let mut due = vec![self.presence.due()];
        if matches!(self.presence.stage(), Stage::Running) {
            due.extend([self.membership.due(), self.agreement.due()]);
            due.push(self.settings.due());
        }
        due.into_iter().flatten().min()
    }

    /// The next thing to do. Call it until it returns none, after [`Node::new`] and after every
    /// [`Node::handle`].
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.outbox.poll()
    }

    /// Does all that is due.
    fn timer(&mut self) {
        let now = self.clock.now();
        if self.presence.is_beacon_due(now) {
            self.announce();
        }
        if self.presence.is_upkeep_due(now) {
            self.upkeep();
        }
        let at = self.clock.at(&self.me);
        let heard = self.admission.heard();
        self.membership.timer(at, heard, &mut self.outbox);
        let roster = self.membership.roster();
        self.agreement.timer(at, roster, &mut self.outbox);
        let latest = self.agreement.latest(at);
        self.settings.timer(at, roster, latest, &mut self.outbox);
    }

    /// Does what has no timer of its own, a few times a second.
    fn upkeep(&mut self) {
        let now = self.clock.now();
        self.admission.turn_nonces(now);
        for ip in self.admission.unblocked(now) {
            self.promote(ip);
        }
        let at = self.clock.at(&self.me);
        for ip in self.admission.silent(at, self.membership.roster()) {
            let heard = self.admission.heard();
            let out = &mut self.outbox;
            self.membership
                .doubt(at, heard, (ip, None), Hint::Silence, out);
        }
        for greeting in self.admission.unheard(at, self.membership.roster()) {
            self.hello(greeting);
        }
        let beacon = Message::Beacon(self.about());
        for to in self.presence.joins(now, self.membership.roster()) {
            self.outbox.send(&self.me, to, &beacon);
        }
        let at = self.clock.at(&self.me);
        let roster = self.membership.roster();
        self.agreement.look_at_file(at, roster, &mut self.outbox);
        self.agreement.forget(roster);
        self.settings.forget(roster);
        self.replication.forget(roster);
        self.membership.forget(now);
        self.follow_members();
    }

    /// Says that this node is here, and what it knows.
    fn announce(&mut self) {
        let beacon = Message::Beacon(self.about());
        self.outbox.broadcast(&self.me, &beacon);
        let at = self.clock.at(&self.me);
        let (roster, heard) = (self.membership.roster(), self.admission.heard());
        for to in self.presence.deaf(at, roster, heard) {
            self.outbox.send(&self.me, to, &beacon);
        }
    }

    /// If what this node says of itself is new, announces it at once.
    fn advertise(&mut self, is_new: bool) {
        if is_new {
            self.membership.advertise(&self.me);
            if self.presence.is_announced() {
                self.announce();
            }
        }
    }

    /// Acts on what has changed among the members.
    fn follow_changes(&mut self) {
        while let Some(change) = self.membership.poll() {
            match change {
                MemberChange::Up(run) => self.ask_to_prove(&run),
                MemberChange::Gone(ip) => self.promote(ip),
                MemberChange::Defunct(boot) if boot == self.me.run.boot => self.raise(boot),
                MemberChange::Defunct(_) => {}
            }
        }
    }

    /// Continues with a boot number above this one.
    fn raise(&mut self, above: Boot) {
        let boot = self.me.raise(above);
        self.outbox.push(Effect::StoreBoot(boot));
        let at = self.clock.at(&self.me);
        self.membership.rejoin(at, &mut self.outbox);
        self.announce();
    }

    fn leave(&mut self, say: impl FnOnce(&mut Presence, Moment<'_>, &Roster, &mut Outbox)) {
        let at = self.clock.at(&self.me);
        let roster = self.membership.roster();
        say(&mut self.presence, at, roster, &mut self.outbox);
    }

    /// Another machine has this name.
    fn name_taken(&mut self, evidence: TakenEvidence) {
        self.presence.end(evidence, &mut self.outbox);
    }
}
