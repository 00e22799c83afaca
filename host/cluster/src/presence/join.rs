//! The nodes to join, for where broadcasts do not reach: each that is no member is sent beacons,
//! again and again.

use std::net::SocketAddrV4;
use std::time::Duration;

use super::Presence;
use crate::chance::jitter;
use crate::membership::Roster;
use crate::{Config, NodeId, Time};

/// How long between two attempts to join a node: at first, and at most.
const JOIN_FIRST: Duration = Duration::from_millis(250);
const JOIN_MOST: Duration = Duration::from_secs(8);

/// How many beacons a try is, one [`UPKEEP`](super::UPKEEP) after the
/// other while they are not answered: a lost datagram is not to cost as much as
/// the wait for the next try.
const JOIN_BEACONS: u8 = 3;

/// How far each wait is off that at random, so that nodes which lost their
/// seed at the same moment do not all ask it at the same moment.
const JOIN_JITTER_PER_CENT: u32 = 25;

/// The most nodes to join, of all names together.
const SEEDS_MAX: usize = 1024;

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

impl Presence {
    /// The nodes to join that are to be sent a beacon now.
    pub(crate) fn joins(&mut self, now: Time, roster: &Roster) -> Vec<SocketAddrV4> {
        let mut to = Vec::new();
        for seed in &mut self.seeds {
            if roster.up(NodeId::of(*seed.address.ip())).is_some() {
                (seed.next, seed.wait, seed.left) = (now, JOIN_FIRST, 0);
                continue;
            }
            if seed.next <= now {
                seed.next = now + jitter(&mut self.rng, seed.wait, JOIN_JITTER_PER_CENT);
                seed.wait = JOIN_MOST.min(seed.wait * 2);
                seed.left = JOIN_BEACONS;
            }
            if let Some(left) = seed.left.checked_sub(1) {
                seed.left = left;
                to.push(seed.address);
            }
        }
        to
    }

    /// Takes in what a name gave. An address that stays keeps its wait.
    pub(crate) fn seed(
        &mut self,
        now: Time,
        config: &Config,
        name: u16,
        addresses: &[SocketAddrV4],
    ) {
        self.seeds
            .retain(|seed| seed.name != Some(name) || addresses.contains(&seed.address));
        for &address in addresses {
            let known = self.seeds.iter().any(|seed| seed.address == address);
            if !known && config.allows(*address.ip()) && self.seeds.len() < SEEDS_MAX {
                let name = Some(name);
                self.seeds.push(Seed {
                    name,
                    ..Seed::new(address, now)
                });
            }
        }
    }
}
