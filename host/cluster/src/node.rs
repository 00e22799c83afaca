//! The state machine of one node: what flows in, when it wants to be called,
//! what flows out. Its parts follow the way of a datagram.

mod beacon;
mod hello;
#[cfg(feature = "sim")]
mod inspect;
mod keys;
mod leave;
mod members;
mod name_conflict;
mod receive;
mod releases;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::beacon::Schedule;
#[cfg(feature = "sim")]
pub use self::inspect::Sizes;
use self::leave::Stage;
use self::releases::Rumours;
pub(crate) use self::upkeep::SYNC_FIRST;
use self::upkeep::{Seed, SyncPace};
use crate::admission::Contacts;
use crate::admission::Refusals;
use crate::admission::{Bucket, Nonces};
use crate::membership::{Checks, Hint};
use crate::membership::{FocaSwim, Swim};
use crate::membership::{Roster, RosterEntry};
use crate::message::Message;
use crate::release::ReleaseSet;
use crate::run::{Advertised, Run};
use crate::stall::StallAdjustedClock;
use crate::wire::{self, Head, Version};
use crate::{Boot, Config, Counters, Effect, Input, Keys, Refusal, Time, View};

/// When many members change at once, views come no closer together than this:
/// each takes time that grows with the cluster, here and for whoever is told.
const VIEWS_APART: Duration = Duration::from_millis(4);

/// One node of a cluster, without its sockets, clock and files.
pub struct Node {
    config: Config,
    keys: Keys,
    me: Me,
    rng: StdRng,
    nonces: Nonces,
    stall: StallAdjustedClock,
    /// The caller's time and wall clock at the last call.
    clock: Time,
    wall_ms: u64,
    stage: Stage,
    contacts: Contacts,
    roster: Roster,
    swim: Box<dyn Swim>,
    checks: Checks,
    schedule: Schedule,
    seeds: Vec<Seed>,
    /// While two cookies are accepted: the nodes whose newest datagram was
    /// under the one that is sent with.
    confirmed: BTreeSet<Ipv4Addr>,
    sync: SyncPace,
    releases: ReleaseSet,
    rumours: Rumours,
    /// Limits the answers to strangers, all together.
    hellos: Bucket,
    /// Limits how often it contradicts that it is down.
    protests: Bucket,
    refusals: Refusals,
    /// When the next view may come.
    view_next: Time,
    effects: VecDeque<Effect>,
}

/// What a node knows of itself.
struct Me {
    run: Run,
    started: Time,
    sequence: u64,
    advertised: Advertised,
    /// The boot numbers of this process, the newest ones.
    boots: BTreeSet<Boot>,
    /// When another run was found to be ahead of this one, lately.
    overtaken: VecDeque<Time>,
}

impl Node {
    /// A node that starts now. Its first effect stores its boot number; its
    /// first timer, due at once, announces it. The seed must come from the
    /// operating system's generator.
    pub fn new(config: Config, keys: &Keys, now: Time, seed: u64) -> Self {
        Self::with_engine(config, keys, now, seed, |me, rng| {
            Box::new(FocaSwim::new(me, rng))
        })
    }

    /// The same with another failure detector.
    fn with_engine(
        config: Config,
        keys: &Keys,
        now: Time,
        seed: u64,
        engine: impl FnOnce(Run, StdRng) -> Box<dyn Swim>,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let boot = Boot::at_start(config.boot_stored, config.wall_ms);
        let run = Run {
            name: config.name.clone(),
            port: config.cluster_port,
            url: config.url.clone(),
            boot,
            process: rng.random(),
        };
        let releases = ReleaseSet::begin(
            &config.name,
            config.deploy_key.clone(),
            config.releases_stored.as_deref(),
        );
        let advertised = Advertised {
            revision: 0,
            serving: None,
            keys: keys.ids(),
        };
        let entry = RosterEntry {
            run: run.clone(),
            advertised: Some(advertised.clone()),
            since_ms: config.wall_ms,
            gone: None,
        };
        let mut node = Self {
            swim: engine(run.clone(), StdRng::seed_from_u64(rng.random())),
            nonces: Nonces::new(now, &mut rng),
            stall: StallAdjustedClock::new(now),
            clock: now,
            wall_ms: config.wall_ms,
            stage: Stage::Running,
            contacts: Contacts::default(),
            roster: Roster::new(entry),
            checks: Checks::default(),
            schedule: Schedule::starting(now),
            seeds: config
                .join
                .iter()
                .map(|&address| Seed::new(address, now))
                .collect(),
            confirmed: BTreeSet::new(),
            sync: SyncPace::starting(now),
            rumours: Rumours::starting(&releases, now),
            releases,
            hellos: Bucket::full(now, hello::ANSWERS_AT_ONCE),
            protests: Bucket::full(now, 1),
            refusals: Refusals::default(),
            view_next: now,
            effects: VecDeque::from([Effect::StoreBoot(boot)]),
            me: Me {
                run,
                started: now,
                sequence: 0,
                advertised,
                boots: BTreeSet::from([boot]),
                overtaken: VecDeque::new(),
            },
            config,
            keys: keys.clone(),
            rng,
        };
        while let Some(news) = node.releases.poll() {
            node.effects.push_back(Effect::Release(news));
        }
        node.publish(now);
        node.view_next = now;
        node
    }

    /// Takes in what has happened. `now` must not go back. `wall_ms` is the
    /// wall clock in milliseconds since 1970-01-01 UTC: it shows since when a
    /// member is up, and orders what this node releases.
    pub fn handle(&mut self, now: Time, wall_ms: u64, input: Input<'_>) {
        self.clock = now;
        self.wall_ms = wall_ms;
        let now = self.stall.enter(now, self.due());
        match (&self.stage, input) {
            (Stage::Ended, Input::Leave) => self.effects.push_back(Effect::Departed),
            (Stage::Ended, _) => {}
            (Stage::Leaving { .. }, Input::Timer) => self.say_leave(now),
            (Stage::Leaving { .. }, _) => {}
            (Stage::Running, input) => self.run(now, input),
        }
        self.publish(now);
    }

    fn run(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Datagram { from, bytes } => self.datagram(now, from, bytes),
            Input::Timer => self.timer(now),
            Input::Unreachable { ip } => self.doubt(now, ip, None, Hint::Unreachable),
            Input::Serving(serving) => self.serving(now, serving),
            Input::AppFile(file) => self.app_file(now, file),
            Input::Publish(release) => self.publish_release(now, release),
            Input::Vote(release, verdict) => self.vote(now, release, verdict),
            Input::SyncRequest { member, bytes } => self.sync_request(now, member, bytes),
            Input::SyncReply { member, bytes } => self.sync_reply(now, &member, bytes),
            Input::Keys(keys) => self.change_keys(now, *keys),
            Input::Seeds { name, addresses } => self.seed(now, name, addresses),
            Input::Leave => self.leave(now),
        }
    }

    /// When to hand in the next [`Input::Timer`]; none once the node has left.
    pub fn next_timer(&self) -> Option<Time> {
        self.due().map(|due| self.stall.outer(due))
    }

    fn due(&self) -> Option<Time> {
        match self.stage {
            Stage::Ended => None,
            Stage::Leaving { next, .. } => Some(next),
            Stage::Running => [
                self.schedule.due(),
                self.swim.due(),
                self.checks.due(),
                self.rumours.due(),
                self.roster.is_changed().then_some(self.view_next),
            ]
            .into_iter()
            .flatten()
            .min(),
        }
    }

    /// The next thing that is to be done. To be asked until there is none,
    /// after [`Node::new`] and after every [`Node::handle`].
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The members now.
    pub fn view(&self) -> Arc<View> {
        self.roster.view()
    }

    /// The present boot number of this node.
    pub fn boot(&self) -> Boot {
        self.me.run.boot
    }

    /// Whether this node still takes part: it neither leaves nor has left. One
    /// that does not takes in nothing more, so whoever wants to give it
    /// something is to be told.
    pub fn takes_part(&self) -> bool {
        matches!(self.stage, Stage::Running)
    }

    /// What came in and was refused, since the start.
    pub fn counters(&self) -> &Counters {
        &self.refusals.counters
    }

    fn publish(&mut self, now: Time) {
        if now < self.view_next {
            return;
        }
        if let Some(view) = self.roster.publish() {
            self.view_next = now + VIEWS_APART;
            self.effects.push_back(Effect::View(view));
        }
    }

    fn refuse(&mut self, now: Time, from: SocketAddrV4, why: Refusal) {
        let report = self.refusals.refuse(now, from, why);
        self.effects.extend(report);
    }

    /// Sends a message to one node.
    fn send(&mut self, to: SocketAddrV4, message: &Message<'_>) {
        if let Some(bytes) = self.seal(Some(*to.ip()), message) {
            self.effects.push_back(Effect::Send { to, bytes });
        }
    }

    /// Sends a message to whoever hears broadcasts, if there are any.
    fn broadcast(&mut self, message: &Message<'_>) {
        if self.config.broadcast.is_some()
            && let Some(bytes) = self.seal(None, message)
        {
            self.effects.push_back(Effect::Broadcast { bytes });
        }
    }

    fn seal(&mut self, receiver: Option<Ipv4Addr>, message: &Message<'_>) -> Option<Bytes> {
        self.me.sequence += 1;
        let head = Head {
            version: Version::OURS,
            source: self.me.run.ip(),
            receiver,
            boot: self.me.run.boot,
            sequence: self.me.sequence,
        };
        wire::seal(&self.keys, &head, message)
    }

    fn jitter(&mut self, base: Duration, per_cent: u32) -> Duration {
        let spread = base * per_cent / 100;
        base - spread + 2 * spread.mul_f64(self.rng.random::<f64>())
    }
}
