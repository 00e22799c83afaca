//! The audit of datagrams. It uses what the network knows of each one, and finds datagrams that
//! should change nothing in the receiver but do, and those that are accepted twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddrV4;

use crate::{Boot, Cidr, Input, Keys, Node, NodeId};

use super::Lan;
use super::invariants::Violation;

/// Why a datagram must change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harmless {
    /// It was not sealed with the cookie of the receiver.
    WrongCookie,
    /// It does not come from the IP that it claims.
    WrongIp,
    /// It comes from outside of the ranges that the receiver allows.
    Outside,
    /// It was meant for another node.
    Misdirected,
    /// The receiver has accepted it before.
    Repeated,
}

impl fmt::Display for Harmless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Harmless::WrongCookie => "a datagram with a wrong cookie",
            Harmless::WrongIp => "a datagram from another IP than it says",
            Harmless::Outside => "a datagram from outside",
            Harmless::Misdirected => "a datagram for another node",
            Harmless::Repeated => "a datagram that was taken in before",
        })
    }
}

/// A sender's run, and a sequence number of it.
type Number = (NodeId, Boot, u64);

/// The tag of a datagram.
type Tag = [u8; 16];

/// What was seen of the datagrams in a run of the simulation.
#[derive(Debug)]
pub struct Audit {
    /// How many machines are audited: the first ones.
    machines: usize,
    taken: BTreeSet<(usize, Number)>,
    /// Each also has its tag: two machines with one name may by chance have one boot number.
    seen: BTreeSet<(usize, Number, Tag)>,
    /// How many datagrams changed nothing, by the reason why they must not.
    pub harmless: BTreeMap<Harmless, u64>,
    /// The violations.
    pub found: Vec<Violation>,
}

/// The state before a datagram was handed in.
struct Before {
    number: Option<(Number, Tag)>,
    accepted: u64,
    admitted: Option<Boot>,
    harmless: Option<(Harmless, String)>,
}

impl Audit {
    /// An audit of the first `machines` machines.
    pub fn of(machines: usize) -> Self {
        Self {
            machines,
            taken: BTreeSet::new(),
            seen: BTreeSet::new(),
            harmless: BTreeMap::new(),
            found: Vec::new(),
        }
    }

    /// A node has accepted this datagram.
    fn take(&mut self, lan: &Lan, machine: usize, number: Number, tag: Tag) {
        self.seen.insert((machine, number, tag));
        if !self.taken.insert((machine, number)) {
            let (source, boot, sequence) = number;
            self.found.push(Violation::Twice {
                at: lan.now,
                machine,
                source,
                boot,
                sequence,
            });
        }
    }
}

#[cfg(test)]
impl Audit {
    /// Whether a machine has accepted this datagram.
    pub(super) fn takes(&self, lan: &Lan, machine: usize, bytes: &[u8]) -> bool {
        Envelope::read(&lan.machines[machine].keys, bytes)
            .is_some_and(|envelope| self.taken.contains(&(machine, envelope.number())))
    }

    /// Notes that a machine has accepted this datagram.
    pub(super) fn note(&mut self, lan: &Lan, machine: usize, bytes: &[u8]) {
        if let Some(envelope) = Envelope::read(&lan.machines[machine].keys, bytes) {
            self.take(lan, machine, envelope.number(), envelope.tag);
        }
    }
}

/// An envelope, read without the code under test. The offsets are those in `wire`.
struct Envelope {
    source: NodeId,
    /// Zeros for a broadcast.
    receiver: [u8; 8],
    boot: Boot,
    sequence: u64,
    tag: Tag,
}

impl Envelope {
    fn read(keys: &Keys, frame: &[u8]) -> Option<Self> {
        let (signed, tag) = frame.split_last_chunk::<16>()?;
        let [_, key, rest @ ..] = signed else {
            return None;
        };
        let (source, rest) = rest.split_first_chunk::<8>()?;
        let (receiver, rest) = rest.split_first_chunk::<8>()?;
        let (boot, rest) = rest.split_first_chunk::<8>()?;
        let (sequence, _) = rest.split_first_chunk::<8>()?;
        (keys.verify(*key, signed, tag) == Some(true)).then(|| Self {
            source: NodeId::from_bytes(*source),
            receiver: *receiver,
            boot: Boot::from_number(u64::from_be_bytes(*boot)),
            sequence: u64::from_be_bytes(*sequence),
            tag: *tag,
        })
    }

    fn number(&self) -> Number {
        (self.source, self.boot, self.sequence)
    }
}

impl Lan {
    /// Hands a datagram to a node, and checks the result.
    pub(super) fn hear(&mut self, machine: usize, from: SocketAddrV4, bytes: &[u8]) {
        let audit = self.audit.take_if(|audit| machine < audit.machines);
        let before = audit
            .as_ref()
            .and_then(|audit| self.before(audit, machine, from, bytes));
        self.give(machine, Input::Datagram { from, bytes });
        if let Some(mut audit) = audit {
            if let Some(before) = before {
                self.after(&mut audit, machine, before);
            }
            self.audit = Some(audit);
        }
    }

    fn before(
        &self,
        audit: &Audit,
        machine: usize,
        from: SocketAddrV4,
        bytes: &[u8],
    ) -> Option<Before> {
        let its = &self.machines[machine];
        let node = its.node.as_ref()?;
        let me = its.name.ip();
        let near = Cidr::new(me, its.prefix).is_ok_and(|near| near.contains(*from.ip()));
        let inside = near || its.allow.iter().any(|range| range.contains(*from.ip()));
        let (number, harmless) = match Envelope::read(&its.keys, bytes) {
            _ if !inside => (None, Some(Harmless::Outside)),
            None => (None, Some(Harmless::WrongCookie)),
            Some(envelope) => {
                let number = envelope.number();
                let harmless = if envelope.source != NodeId::of(*from.ip()) {
                    Some(Harmless::WrongIp)
                } else if ![[0; 8], *NodeId::of(me).as_bytes()].contains(&envelope.receiver) {
                    Some(Harmless::Misdirected)
                } else if audit.seen.contains(&(machine, number, envelope.tag)) {
                    Some(Harmless::Repeated)
                } else {
                    None
                };
                (Some((number, envelope.tag)), harmless)
            }
        };
        Some(Before {
            number,
            accepted: node.counters().accepted,
            admitted: number.and_then(|((source, ..), _)| node.admitted(source)),
            harmless: harmless.map(|why| (why, node.fingerprint())),
        })
    }

    fn after(&self, audit: &mut Audit, machine: usize, before: Before) {
        let node = self.machines[machine].node.as_ref();
        if let Some((why, known)) = before.harmless {
            let knows = node.map_or_else(String::new, Node::fingerprint);
            if known == knows {
                *audit.harmless.entry(why).or_default() += 1;
            } else {
                audit.found.push(Violation::Changed {
                    at: self.now,
                    machine,
                    why,
                    lines: changed_lines(&known, &knows),
                });
            }
        }
        if let (Some((number, tag)), Some(node)) = (before.number, node) {
            let (source, boot, _) = number;
            let admitted = node.admitted(source);
            if node.counters().accepted > before.accepted
                || admitted != before.admitted && admitted == Some(boot)
            {
                audit.take(self, machine, number, tag);
            }
        }
    }
}

/// The lines that only one of two texts has.
fn changed_lines(before: &str, after: &str) -> Vec<String> {
    let only = |one: &str, other: &str, sign: char| -> Vec<String> {
        let others: BTreeSet<&str> = other.lines().collect();
        let lines = one.lines().filter(|line| !others.contains(line));
        lines.map(|line| format!("{sign} {line}")).collect()
    };
    [only(before, after, '-'), only(after, before, '+')].concat()
}
