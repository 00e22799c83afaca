//! Hostile datagrams, made from recorded ones or from nothing. The tape flows in; the datagrams
//! arrive at one machine.

use std::net::{Ipv4Addr, SocketAddrV4};

use bytes::Bytes;
use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::{Keys, NodeId};

use super::{Lan, PORT, Taped};

/// A way to send something that must change nothing, or nothing a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    /// Datagrams that the machine could have had, from their true source.
    Replay,
    /// Datagrams to other machines, from their true source.
    Misdirect,
    /// Sent datagrams, with a wrong tag.
    Forge,
    /// Sent datagrams, from another IP.
    Spoof,
    /// Any datagrams, each from a different unknown IP.
    Flood,
}

/// The keys of another cluster.
pub(super) fn other_keys() -> Keys {
    Keys::from_master(&[9; 32])
}

impl Lan {
    /// Sends `count` hostile datagrams to a machine.
    pub(super) fn attack(&mut self, machine: usize, attack: Attack, count: u16) {
        let me = NodeId::of(self.machines[machine].name.ip());
        let tape = self.tape.as_deref().unwrap_or_default();
        let fits = |taped: &&Taped| {
            let receiver = receiver(&taped.bytes);
            NodeId::of(*taped.from.ip()) != me
                && match attack {
                    Attack::Replay => receiver.is_none_or(|it| it == me),
                    Attack::Misdirect => receiver.is_some_and(|it| it != me),
                    Attack::Forge | Attack::Spoof | Attack::Flood => true,
                }
        };
        let fitting: Vec<Taped> = tape.iter().filter(fits).cloned().collect();
        for _ in 0..count {
            let Some(Taped { from, bytes }) = fitting.choose(&mut self.rng).cloned() else {
                return;
            };
            let (from, bytes) = match attack {
                Attack::Replay | Attack::Misdirect => (from, bytes),
                Attack::Forge => (from, self.forged(&bytes)),
                Attack::Spoof => (self.elsewhere(), bytes),
                Attack::Flood if self.rng.random_bool(0.5) => (self.elsewhere(), bytes),
                Attack::Flood => (self.elsewhere(), self.forged(&bytes)),
            };
            self.arrive(machine, from, bytes);
        }
    }

    /// A datagram like `bytes`, but not of this cluster.
    fn forged(&mut self, bytes: &Bytes) -> Bytes {
        let mut forged = bytes.to_vec();
        match self.rng.random_range(0..4) {
            0 => forged.truncate(self.rng.random_range(0..bytes.len())),
            1 => {
                let at = self.rng.random_range(0..bytes.len());
                forged[at] ^= 1 << self.rng.random_range(0..8);
            }
            2 => self.rng.fill(&mut forged[..]),
            _ => {
                let keys = other_keys();
                let signed = bytes.len() - 16;
                forged[1] = keys.key_id().first_byte();
                let tag = keys.tag(&forged[..signed]);
                forged[signed..].copy_from_slice(&tag);
            }
        }
        forged.into()
    }

    /// An address that no machine of the network has.
    fn elsewhere(&mut self) -> SocketAddrV4 {
        let [c, d] = self.rng.random::<[u8; 2]>();
        let net = if self.rng.random_bool(0.5) {
            [10, 10]
        } else {
            [172, 16]
        };
        SocketAddrV4::new(Ipv4Addr::new(net[0], net[1], 128 | c, d), PORT)
    }
}

/// The receiver of a datagram; none for a broadcast.
fn receiver(bytes: &[u8]) -> Option<NodeId> {
    let id = bytes.get(10..18).and_then(|part| part.first_chunk::<8>());
    id.filter(|id| **id != [0; 8])
        .map(|id| NodeId::from_bytes(*id))
}
