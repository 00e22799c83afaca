//! How a node shows itself: its beacons, the nodes that it asks to join, and its leave. It says
//! when to announce the node, and to whom.

mod join;
mod leave;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;

use self::join::Seed;
pub(crate) use self::leave::Stage;
use crate::admission::{Bucket, Contacts};
use crate::chance::jitter;
use crate::membership::Roster;
use crate::stall::Moment;
use crate::{Config, Time};

/// The pauses between a node's first beacons. They are short because one may be lost, and at a
/// start people are watching.
const BURST: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
];

/// The pause after that, ± 10 % so that nodes do not beat together.
const EVERY: Duration = Duration::from_secs(1);
const JITTER_PER_CENT: u32 = 10;

/// A member whose broadcasts were not heard for this long may not hear ours.
const NO_BROADCAST: Duration = Duration::from_secs(3);

/// How many such members get a beacon of their own each time.
const UNICAST: usize = 3;

/// How often the node does what has no timer of its own.
const UPKEEP: Duration = Duration::from_millis(250);

/// How often a node contradicts that it is down.
const PROTEST_EVERY: Duration = Duration::from_secs(1);

/// How a node shows itself.
pub(crate) struct Presence {
    stage: Stage,
    /// When the next beacon is due.
    beacon: Time,
    /// How many beacons of the burst have been sent.
    burst: usize,
    upkeep: Time,
    /// The nodes to join.
    seeds: Vec<Seed>,
    /// Limits how often the node contradicts that it is down.
    protests: Bucket,
    rng: StdRng,
}

impl Presence {
    /// The presence of a node that starts now.
    pub(crate) fn new(config: &Config, now: Time, rng: StdRng) -> Self {
        let seeds = config.join.iter().map(|&address| Seed::new(address, now));
        Self {
            stage: Stage::Running,
            beacon: now,
            burst: 0,
            upkeep: now,
            seeds: seeds.collect(),
            protests: Bucket::full(now, 1),
            rng,
        }
    }

    /// Whether the node takes part, leaves or has left.
    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// When it next acts by itself.
    pub(crate) fn due(&self) -> Option<Time> {
        match self.stage {
            Stage::Running => Some(self.beacon.min(self.upkeep)),
            Stage::Leaving { next, .. } => Some(next),
            Stage::Ended => None,
        }
    }

    /// Whether a beacon is due; if so, sets the time of the next one.
    pub(crate) fn is_beacon_due(&mut self, now: Time) -> bool {
        if self.beacon > now {
            return false;
        }
        let wait = match BURST.get(self.burst) {
            Some(&wait) => wait,
            None => jitter(&mut self.rng, EVERY, JITTER_PER_CENT),
        };
        self.burst += 1;
        self.beacon = now + wait;
        true
    }

    /// Whether it has announced itself.
    pub(crate) fn is_announced(&self) -> bool {
        self.burst > 0
    }

    /// Whether to do now what has no timer of its own.
    pub(crate) fn is_upkeep_due(&mut self, now: Time) -> bool {
        if self.upkeep > now {
            return false;
        }
        self.upkeep = now + UPKEEP;
        true
    }

    /// Whether it may contradict once more that it is down.
    pub(crate) fn may_protest(&mut self, now: Time) -> bool {
        self.protests.take(now, 1, PROTEST_EVERY)
    }

    /// Some of the nodes that broadcasts may not reach: members, and nodes outside of this node's
    /// subnet that are down and may be back.
    pub(crate) fn deaf(
        &mut self,
        at: Moment<'_>,
        roster: &Roster,
        heard: &Contacts,
    ) -> Vec<SocketAddrV4> {
        let config = &at.me.config;
        let hears = |id| {
            let admitted = heard.admitted(id);
            let silence = admitted.and_then(|it| it.silence_of_broadcasts(at.now));
            silence.is_some_and(|silence| silence <= NO_BROADCAST)
        };
        let near = |ip: Ipv4Addr| config.broadcast.is_some() && config.subnet.contains(ip);
        let others = roster.entries().filter(|entry| {
            let (id, ip) = (entry.run.id(), entry.run.ip());
            id != at.me.id() && !hears(id) && (entry.is_up() || !near(ip))
        });
        let addresses = others.map(|entry| entry.run.address());
        addresses.sample(&mut self.rng, UNICAST)
    }

    /// The state that a refused datagram must not change.
    #[cfg(feature = "sim")]
    pub(crate) fn fingerprint(&self) -> String {
        let Self {
            stage,
            beacon,
            burst,
            upkeep,
            seeds,
            protests: _,
            rng: _,
        } = self;
        format!("stage {stage:?}\nschedule {beacon:?} {burst:?} {upkeep:?}\nseeds {seeds:?}\n")
    }
}
