//! What happens to a datagram between two machines: it arrives, is lost, comes late, or comes
//! twice.

use std::net::SocketAddrV4;
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;

use super::{Event, Lan};

impl Lan {
    /// Sends a datagram on its way from one machine to another.
    pub(super) fn carry(
        &mut self,
        sender: usize,
        receiver: usize,
        from: SocketAddrV4,
        bytes: Bytes,
    ) {
        let martian = sender != receiver && self.machines[receiver].name.ip() == *from.ip();
        if self.happens(self.loss) || martian && self.drop_martians || !self.hears(sender, receiver)
        {
            return;
        }
        let between = self.loss_between.get(&(sender, receiver)).copied();
        if self.happens(between.unwrap_or(0.0)) {
            return;
        }
        if self.happens(self.duplication) {
            self.arrive(receiver, from, bytes.clone());
        }
        self.arrive(receiver, from, bytes);
    }

    /// Lets a datagram arrive after its latency, from any source.
    pub(super) fn arrive(&mut self, receiver: usize, from: SocketAddrV4, bytes: Bytes) {
        let micros = self.rng.random_range(self.latency.clone());
        self.post(
            receiver,
            Duration::from_micros(micros),
            Event::Datagram { from, bytes },
        );
    }

    /// Whether datagrams get from one machine to another at all.
    pub(super) fn hears(&self, sender: usize, receiver: usize) -> bool {
        let (one, other) = (&self.machines[sender], &self.machines[receiver]);
        sender == receiver || one.linked && other.linked && one.part == other.part
    }

    pub(super) fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.random_bool(share)
    }
}
