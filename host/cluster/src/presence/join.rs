//! The nodes to join where broadcasts do not reach. Each one that is no member is sent beacons,
//! again and again.

use std::net::SocketAddrV4;
use std::time::Duration;

use super::Presence;
use crate::chance::jitter;
use crate::membership::Roster;
use crate::{Config, NodeId, Time};

/// The pause between two attempts to join a node: at first, and at most.
const JOIN_FIRST: Duration = Duration::from_millis(250);
const JOIN_MOST: Duration = Duration::from_secs(8);

/// How many beacons an attempt sends while they are not answered, one per
/// [`UPKEEP`](super::UPKEEP). So a lost datagram costs less than the pause before the next
/// attempt.
const JOIN_BEACONS: u8 = 3;

/// How much chance changes each pause, so that nodes which lost their seed at the same moment do
/// not all ask it at the same moment.
const JOIN_JITTER_PER_CENT: u32 = 25;

/// The most nodes to join, of all names together.
const SEEDS_MAX: usize = 1024;

/// A node to join.
#[derive(Debug)]
pub(super) struct Seed {
    address: SocketAddrV4,
    /// The number of the looked-up name; none if the address was given directly.
    name: Option<u16>,
    next: Time,
    wait: Duration,
    /// How many beacons are left in this attempt.
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
    /// The nodes to join that get a beacon now.
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

    /// Takes in the addresses of a name. An address that stays keeps its pause.
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
