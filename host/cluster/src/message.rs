//! What nodes say to each other, inside of the envelope that `wire` seals.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::peer::Peer;
use crate::{Boot, Digest, DownReason};

/// The content of a datagram.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Message<'a> {
    /// "I am here", to everyone or to a node that may not hear broadcasts.
    Beacon(Beacon),
    /// The same to one node, in answer to something it sent.
    Hello(Hello),
    /// A datagram of the SWIM engine.
    Swim(#[serde(borrow)] &'a [u8]),
    /// "This run is down", by a node that has made sure of it.
    Verdict(Verdict),
    /// "I leave."
    Leave,
    /// "Are you, of this boot number, there?"
    Probe { boot: Boot },
    /// "I am."
    Ack,
    /// "The machine with this boot number uses a name that was in use." The
    /// nonce is one of that machine, so an old notice does nothing.
    Taken { ip: Ipv4Addr, boot: Boot, echo: u64 },
}

/// What a node says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Beacon {
    pub(crate) peer: Peer,
    /// How long its process has run.
    pub(crate) uptime_ms: u64,
    pub(crate) release: Option<Digest>,
    /// Counts its changes of release.
    pub(crate) revision: u32,
    /// Of its view: equal hashes mean that there is nothing to exchange.
    pub(crate) state_hash: u64,
    /// To be echoed by whoever wants to show that it is live.
    pub(crate) nonce: u64,
}

/// A beacon to one node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) about: Beacon,
    /// The receiver's nonce.
    pub(crate) echo: u64,
    /// The receiver is on probation with the sender: it is to echo the nonce.
    pub(crate) want_echo: bool,
    /// The latest run of the receiver that the sender knows of.
    pub(crate) known: Option<Known>,
}

/// What a node knows of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) boot: Boot,
    /// That run is down, for ever: the receiver has to take a new number.
    pub(crate) down: bool,
}

/// A run that is down, and why.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) ip: Ipv4Addr,
    pub(crate) boot: Boot,
    pub(crate) why: Cause,
}

/// [`DownReason`], as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    Left,
    Failed,
    Refused,
}

impl From<Cause> for DownReason {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Left => DownReason::Left,
            Cause::Failed => DownReason::Failed,
            Cause::Refused => DownReason::Refused,
        }
    }
}

impl From<DownReason> for Cause {
    fn from(reason: DownReason) -> Self {
        match reason {
            DownReason::Left => Cause::Left,
            DownReason::Failed => Cause::Failed,
            DownReason::Refused => Cause::Refused,
        }
    }
}

impl Message<'_> {
    /// Reads what [`wire::open`](crate::wire::open) took out of its envelope.
    /// None if it is anything but exactly one message.
    pub(crate) fn read(payload: &[u8]) -> Option<Message<'_>> {
        match postcard::take_from_bytes(payload) {
            Ok((message, [])) => Some(message),
            _ => None,
        }
    }

    /// What the sender says of itself, if it does.
    pub(crate) fn about(&self) -> Option<&Beacon> {
        match self {
            Message::Beacon(about) | Message::Hello(Hello { about, .. }) => Some(about),
            _ => None,
        }
    }
}
