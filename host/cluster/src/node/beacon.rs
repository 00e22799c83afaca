//! Beacons: when a node announces itself, and to whom besides all.

use std::net::SocketAddrV4;
use std::time::Duration;

use rand::RngExt;

use super::Node;
use crate::message::{Beacon, Message};
use crate::{Serving, Time};

/// How long a node waits between its first beacons: one may be lost, and at a
/// start people are watching.
const BURST: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
];

/// How long it waits after that, ± 10 % so that nodes do not beat together.
const EVERY: Duration = Duration::from_secs(1);
const JITTER_PER_CENT: u32 = 10;

/// A member whose broadcasts were not heard for so long may not hear ours.
const NO_BROADCAST: Duration = Duration::from_secs(3);

/// How many of these get a beacon of their own each time.
const UNICAST: usize = 3;

/// How often the node looks after what has no timer of its own.
const UPKEEP: Duration = Duration::from_millis(250);

/// When the node acts by itself.
#[derive(Debug)]
pub(super) struct Schedule {
    beacon: Time,
    /// How many beacons of the burst have been sent.
    burst: usize,
    upkeep: Time,
}

impl Schedule {
    pub(super) fn starting(now: Time) -> Self {
        Self {
            beacon: now,
            burst: 0,
            upkeep: now,
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        Some(self.beacon.min(self.upkeep))
    }
}

impl Node {
    /// Does all that is due.
    pub(super) fn timer(&mut self, now: Time) {
        if self.schedule.beacon <= now {
            let wait = match BURST.get(self.schedule.burst) {
                Some(&wait) => wait,
                None => self.jitter(EVERY, JITTER_PER_CENT),
            };
            self.schedule.burst += 1;
            self.schedule.beacon = now + wait;
            self.announce(now);
        }
        if self.schedule.upkeep <= now {
            self.schedule.upkeep = now + UPKEEP;
            self.upkeep(now);
        }
        self.run_swim(now);
        self.run_checks(now);
        self.run_rumours(now);
    }

    /// Says that this node is here, and what it knows.
    pub(super) fn announce(&mut self, now: Time) {
        let beacon = Message::Beacon(self.about());
        self.broadcast(&beacon);
        for to in self.deaf_members(now) {
            self.send(to, &beacon);
        }
    }

    /// Some of the nodes that broadcasts may not reach: members, and nodes
    /// outside of the own subnet that are down and may be back.
    fn deaf_members(&mut self, now: Time) -> Vec<SocketAddrV4> {
        let deaf = |ip| {
            let heard = self
                .contacts
                .admitted(ip)
                .and_then(|admitted| admitted.broadcast);
            heard.is_none_or(|at| now.since(at) > NO_BROADCAST)
        };
        let lan = |ip| self.config.broadcast.is_some() && self.config.subnet.contains(ip);
        let others = self
            .roster
            .entries()
            .filter(|entry| entry.run.ip() != self.me.run.ip());
        let mut to: Vec<SocketAddrV4> = others
            .filter(|entry| deaf(entry.run.ip()) && (entry.is_up() || !lan(entry.run.ip())))
            .map(|entry| entry.run.address())
            .collect();
        for chosen in 0..to.len().min(UNICAST) {
            let other = self.rng.random_range(chosen..to.len());
            to.swap(chosen, other);
        }
        to.truncate(UNICAST);
        to
    }

    /// What this node says of itself.
    pub(super) fn about(&self) -> Beacon {
        let uptime = self.clock.since(self.me.started).as_millis();
        Beacon {
            run: self.me.run.clone(),
            uptime_ms: u64::try_from(uptime).unwrap_or(u64::MAX),
            advertised: self.me.advertised.clone(),
            state_hash: self.roster.hash(),
            nonce: self.nonces.current(),
            wall_ms: self.wall_ms,
            head: self.releases.history().head().map(|head| head.id()),
            releases_hash: self.releases.hash(),
            clock: self.releases.clock(),
        }
    }

    /// This node serves this from now on.
    pub(super) fn serving(&mut self, now: Time, serving: Serving) {
        if self.me.advertised.serving.as_ref() != Some(&serving) {
            self.me.advertised.serving = Some(serving);
            self.advertise(now);
        }
    }

    /// What this node says of itself has changed: say so at once.
    pub(super) fn advertise(&mut self, now: Time) {
        let me = &mut self.me;
        me.advertised.revision += 1;
        let advertised = me.advertised.clone();
        self.roster
            .advertise(me.run.ip(), me.run.process, advertised);
        if self.schedule.burst > 0 {
            self.announce(now);
        }
    }
}
