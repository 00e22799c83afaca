//! What a node has counted since its start: what came in, what it refused and
//! why, what was lost.

use serde::{Deserialize, Serialize};

/// Datagrams that came in, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagrams {
    /// Accepted.
    pub accepted: u64,
    /// From nodes that had not proven to be live.
    pub probation: u64,
    /// Refused, for whatever reason.
    pub refused: u64,
    /// The same by reason.
    #[serde(default)]
    pub refused_by: RefusedDatagrams,
    /// Not sent, since the system did not take them.
    pub unsent: u64,
}

/// Datagrams that were refused, by reason; what members say of their state
/// over the control channel counts too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedDatagrams {
    /// Shorter or longer than any.
    pub size: u64,
    /// None of a cluster, or of another major version.
    pub version: u64,
    /// From outside of the subnet and every `--allow`.
    pub source: u64,
    /// Of another cookie, or forged.
    pub cookie: u64,
    /// From another IP than that of the name.
    pub address: u64,
    /// Meant for another node.
    pub receiver: u64,
    /// Seen before.
    pub replay: u64,
    /// Of an earlier run of the node.
    pub stale: u64,
    /// Not readable although the cookie is right.
    pub content: u64,
    /// With a release that is not signed.
    pub unsigned: u64,
    /// With a release whose signature is not that of the deploy key over it.
    pub forged: u64,
    /// With a release from before the target, as if it were new.
    pub old: u64,
}

/// Records of releases that were refused, by reason. A datagram brings one,
/// the state of a member may bring many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRecords {
    /// Not readable, or against the rules.
    pub unreadable: u64,
    /// Not signed, where a deploy key is set.
    pub unsigned: u64,
    /// With a signature that is not that of the deploy key over them.
    pub forged: u64,
    /// From before the target, told as if they were new.
    pub old: u64,
}

/// Callers on the control channel, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callers {
    /// They proved that they know the cookie.
    pub admitted: u64,
    /// Closed, or refused what they asked for; for whatever reason.
    pub refused: u64,
    /// The same by reason.
    #[serde(default)]
    pub refused_by: RefusedCallers,
}

/// Callers that were refused, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedCallers {
    /// From outside of the subnet and every `--allow`.
    pub source: u64,
    /// Too many connections.
    pub limit: u64,
    /// Another cookie, no TLS, or too slow.
    pub handshake: u64,
    /// No name, or not with the IP that they call from.
    pub hello: u64,
    /// They asked for what is for members only, or for tools only.
    pub role: u64,
    /// They did not take the answer.
    pub stalled: u64,
}

/// Apps that are fetched from members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetches {
    /// How often a member gave bytes that are not of the app; they were
    /// dropped.
    pub wrong: u64,
}

/// What apps published, between nodes. One publication that goes to five
/// members counts five times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publications {
    /// Sent, and the member has them.
    pub sent: u64,
    /// Sent, and the member did not say that it has them.
    pub uncertain: u64,
    /// Not sent: the member was too slow, or not reached.
    pub dropped: u64,
    /// Came from members, and went to those who have subscribed.
    pub received: u64,
    /// Came from members again, or late; dropped.
    pub stale: u64,
    /// Messages of members that are no publications.
    pub unreadable: u64,
}
