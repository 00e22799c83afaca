//! What has no timer of its own: silence, nodes to join, members that were
//! never heard, and push-pull.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::Node;
use crate::hash::mix;
use crate::membership::Hint;
use crate::membership::Update;
use crate::message::Message;
use crate::release::{Ballot, Release};
use crate::sync::{KnownNode, Releases, State};
use crate::{Effect, NodeName, Time};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A member whose broadcasts came once and do not any more is not expected to
/// send any after this.
const EXPECT_BROADCASTS: Duration = Duration::from_secs(10);

/// How many nodes ask a member that has missed one beacon whether it is there.
/// If all did, a lost beacon here and there would make most of the traffic of a
/// large cluster at rest; so few are enough to see at once that it is gone.
const WATCHERS: u64 = 16;

/// How much longer the others wait: until a second beacon is missing.
const NO_WATCHER: Duration = Duration::from_secs(1);

/// How many members that were never heard are asked at once whether they are
/// there.
const ASK_UNHEARD: usize = 8;

/// How long between two attempts to join a node: at first, and at most.
const JOIN_FIRST: Duration = Duration::from_millis(250);
const JOIN_MOST: Duration = Duration::from_secs(8);

/// How many beacons a try is, one [`UPKEEP`](super::beacon::UPKEEP) after the
/// other while they are not answered: a lost datagram is not to cost as much as
/// the wait for the next try.
const JOIN_BEACONS: u8 = 3;

/// How far each wait is off that at random, so that nodes which lost their
/// seed at the same moment do not all ask it at the same moment.
const JOIN_JITTER_PER_CENT: u32 = 25;

/// The most nodes to join, of all names together.
const SEEDS_MAX: usize = 1024;

/// How long between two exchanges with one member while the states go on
/// differing: at first, and at most.
pub(crate) const SYNC_FIRST: Duration = Duration::from_millis(500);
const SYNC_MOST: Duration = Duration::from_secs(60);

/// A node that has started so lately exchanges state at the first difference.
const FRESH: Duration = Duration::from_millis(1500);
const FRESH_EVERY: Duration = Duration::from_millis(300);

/// Whether this node is one of those, some [`WATCHERS`] of so many members, that
/// watch another one. Nobody need agree on it, so it is left to chance.
fn watches(me: Ipv4Addr, other: Ipv4Addr, members: usize) -> bool {
    let pair = u64::from(me.to_bits()) << 32 | u64::from(other.to_bits());
    mix(pair) % (members as u64).max(1) < WATCHERS
}

/// A node to ask to be let in.
#[derive(Debug)]
pub(super) struct Seed {
    address: SocketAddrV4,
    /// The name that it was looked up for; none if it was given as it is.
    name: Option<u16>,
    next: Time,
    wait: Duration,
    /// How many beacons are left of this try.
    left: u8,
}

impl Seed {
    pub(super) fn new(address: SocketAddrV4, now: Time) -> Self {
        Self {
            address,
            name: None,
            next: now,
            wait: JOIN_FIRST,
            left: 0,
        }
    }
}

/// When state is exchanged.
#[derive(Debug)]
pub(super) struct SyncPace {
    next: Time,
    fresh_until: Time,
    /// The last exchange was not answered: the control channel may not work.
    unanswered: bool,
}

impl SyncPace {
    pub(super) fn starting(now: Time) -> Self {
        Self {
            next: now,
            fresh_until: now + FRESH,
            unanswered: false,
        }
    }
}

impl Node {
    /// Called a few times a second.
    pub(super) fn upkeep(&mut self, now: Time) {
        self.nonces.turn(now, &mut self.rng);
        for ip in self.contacts.unblocked(now) {
            self.promote(now, ip);
        }
        self.doubt_the_silent(now);
        self.ask_the_unheard(now);
        self.join(now);
        self.look_at_file(now);
        self.roster.forget(now);
    }

    /// Asks the members whose beacons are missing whether they are there.
    fn doubt_the_silent(&mut self, now: Time) {
        let mut silent = Vec::new();
        let (me, members) = (self.me.run.ip(), self.roster.view().members.len());
        for entry in self.roster.entries().filter(|entry| entry.is_up()) {
            let ip = entry.run.ip();
            let Some(admitted) = self.contacts.admitted_mut(ip) else {
                continue;
            };
            if admitted.boot != entry.run.boot {
                continue;
            }
            admitted
                .broadcast
                .take_if(|at| now.since(*at) >= EXPECT_BROADCASTS);
            let silence = now.since(admitted.heard);
            if admitted.broadcast.is_some()
                && silence >= admitted.patience
                && (silence >= admitted.patience + NO_WATCHER || watches(me, ip, members))
            {
                silent.push(ip);
            }
        }
        for ip in silent {
            let patience = self.patience();
            if let Some(admitted) = self.contacts.admitted_mut(ip) {
                admitted.patience = patience;
            }
            self.doubt(now, ip, None, Hint::Silence);
        }
    }

    /// Says hello to members that are only known from others.
    fn ask_the_unheard(&mut self, now: Time) {
        let unheard = self.roster.entries().filter(|entry| {
            let admitted = self.contacts.admitted(entry.run.ip());
            entry.is_up()
                && entry.run != self.me.run
                && admitted.is_none_or(|admitted| admitted.boot != entry.run.boot)
        });
        let unheard: Vec<_> = unheard
            .take(ASK_UNHEARD)
            .map(|e| (e.run.address(), e.run.boot))
            .collect();
        for (address, boot) in unheard {
            self.hello(now, address, boot, 0, true);
        }
    }

    /// Sends a beacon to each node to join that is not a member, again and
    /// again.
    fn join(&mut self, now: Time) {
        let mut to = Vec::new();
        let mut seeds = std::mem::take(&mut self.seeds);
        for seed in &mut seeds {
            if self.roster.up(*seed.address.ip()).is_some() {
                (seed.next, seed.wait, seed.left) = (now, JOIN_FIRST, 0);
                continue;
            }
            if seed.next <= now {
                seed.next = now + self.jitter(seed.wait, JOIN_JITTER_PER_CENT);
                seed.wait = JOIN_MOST.min(seed.wait * 2);
                seed.left = JOIN_BEACONS;
            }
            if let Some(left) = seed.left.checked_sub(1) {
                seed.left = left;
                to.push(seed.address);
            }
        }
        self.seeds = seeds;
        let beacon = Message::Beacon(self.about());
        for to in to {
            self.send(to, &beacon);
        }
    }

    /// Takes in what a name gave. An address that stays keeps its wait.
    pub(super) fn seed(&mut self, now: Time, name: u16, addresses: &[SocketAddrV4]) {
        self.seeds
            .retain(|seed| seed.name != Some(name) || addresses.contains(&seed.address));
        for &address in addresses {
            let known = self.seeds.iter().any(|seed| seed.address == address);
            if !known && self.config.allows(*address.ip()) && self.seeds.len() < SEEDS_MAX {
                let name = Some(name);
                self.seeds.push(Seed {
                    name,
                    ..Seed::new(address, now)
                });
            }
        }
    }

    /// A member told the hash of what it knows. If it goes on differing from
    /// ours, state is to be exchanged.
    /// `theirs`: of members, and of releases.
    pub(super) fn compare(&mut self, now: Time, ip: Ipv4Addr, theirs: (u64, u64)) {
        let same = theirs == (self.roster.hash(), self.releases.hash());
        let Some(admitted) = self.contacts.admitted_mut(ip) else {
            return;
        };
        if same {
            (admitted.odd, admitted.sync_wait) = (0, SYNC_FIRST);
        } else {
            admitted.odd = admitted.odd.saturating_add(1);
        }
        // A change takes a moment to reach everyone, so one beacon that
        // differs means nothing, unless this node knows nobody yet.
        let fresh = now < self.sync.fresh_until;
        let differs = admitted.odd >= 2 || fresh && !same;
        if !differs || now < self.sync.next || now < admitted.sync_next {
            return;
        }
        // What an exchange did not settle, another one seldom does: a node that
        // refuses what the others know would be told of it for ever.
        admitted.sync_next = now + admitted.sync_wait;
        admitted.sync_wait = SYNC_MOST.min(admitted.sync_wait * 2);
        let Some(run) = self.roster.up(ip).map(|entry| entry.run.clone()) else {
            return;
        };
        self.sync.next = now
            + if fresh {
                FRESH_EVERY
            } else {
                self.jitter(SECOND, 25)
            };
        if std::mem::replace(&mut self.sync.unanswered, true) {
            self.swim.announce(now, run.clone());
            self.apply_swim(now, false);
        }
        if let Some(bytes) = self.state(theirs.1).write() {
            let (with, name) = (run.address(), run.name);
            self.effects.push_back(Effect::Sync { with, name, bytes });
        }
    }

    pub(super) fn sync_request(&mut self, now: Time, member: NodeName, bytes: &[u8]) {
        if let Some(theirs) = self.merge(now, &member, bytes)
            && let Some(bytes) = self.state(theirs).write()
        {
            self.effects.push_back(Effect::SyncReply { member, bytes });
        }
    }

    pub(super) fn sync_reply(&mut self, now: Time, member: &NodeName, bytes: &[u8]) {
        if self.merge(now, member, bytes).is_some() {
            self.sync.unanswered = false;
        }
    }

    /// Takes in the state of a member, and gives the hash of its releases. None
    /// if it is no member that was let in, or sent something else.
    fn merge(&mut self, now: Time, member: &NodeName, bytes: &[u8]) -> Option<u64> {
        let boot = self.contacts.admitted(member.ip())?.boot;
        let at = self.roster.get(member.ip()).map(|it| it.run.address());
        let at = at.unwrap_or(SocketAddrV4::new(member.ip(), 0));
        let state = match State::read(bytes) {
            Ok(state) => state,
            Err(why) => {
                self.refuse(now, at, why);
                return None;
            }
        };
        if state.boot != boot {
            return None;
        }
        let mut told = Vec::with_capacity(state.nodes.len());
        let mut updates = Vec::with_capacity(state.nodes.len());
        for KnownNode { update, advertised } in state.nodes {
            told.extend(advertised.map(|it| (update.run.ip(), update.run.process, it)));
            updates.push(update);
        }
        self.learn(now, updates);
        for (ip, process, advertised) in told {
            if ip != self.me.run.ip() {
                self.roster.advertise(ip, process, advertised);
            }
        }
        if let Some(Releases { records, votes }) = state.releases {
            let mut read = Vec::with_capacity(records.len());
            let mut refused = None;
            for record in &records {
                match Release::read(record) {
                    Ok(release) => read.push(release),
                    Err(error) => {
                        self.refusals.counters.records.unreadable += 1;
                        refused = Some(error.refusal());
                    }
                }
            }
            if let Some(why) = refused {
                self.refuse(now, at, why);
            }
            let votes = votes.iter().flat_map(Ballot::votes).collect();
            self.learn_releases(now, at, read, votes);
        }
        Some(state.releases_hash)
    }

    /// All that this node knows; of releases only if the receiver, whose hash
    /// of them this is, knows others.
    pub(super) fn state(&self, their_releases: u64) -> State {
        let mut updates = self.swim.updates();
        updates.push(Update::alive(self.me.run.clone()));
        let known = |update: Update| {
            let entry = self.roster.get(update.run.ip());
            let advertised = entry
                .filter(|entry| entry.run.process == update.run.process)
                .and_then(|entry| entry.advertised.clone());
            KnownNode { update, advertised }
        };
        State {
            boot: self.me.run.boot,
            nodes: updates.into_iter().map(known).collect(),
            releases_hash: self.releases.hash(),
            releases: (their_releases != self.releases.hash()).then(|| Releases {
                records: self
                    .releases
                    .history()
                    .newest()
                    .map(|it| it.bytes().clone())
                    .collect(),
                votes: self.releases.votes().ballots(),
            }),
        }
    }
}
