//! The boundary of the core: all that can happen to a node, and all that it
//! wants done. Both are closed.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use bytes::Bytes;

use crate::release::{AppFile, News, Release, ReleaseId, Verdict};
use crate::{Boot, Keys, Member, NodeName, Refusal, Serving, View};

/// Something that happens to a node.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram came in, on either socket.
    Datagram {
        /// Its source address, as the system gives it.
        from: SocketAddrV4,
        /// All of it.
        bytes: &'a [u8],
    },
    /// The time that [`Node::next_timer`](crate::Node::next_timer) gave has come.
    Timer,
    /// A hint that nobody listens at this IP any more: a port was reported
    /// closed, or a control connection ended.
    Unreachable {
        /// The IP of the node that may be gone.
        ip: Ipv4Addr,
    },
    /// What this node serves from now on.
    Serving(Serving),
    /// An app file of this node is there, at the start, or has changed.
    AppFile(AppFile),
    /// A release that [`Node::draft`](crate::Node::draft) made, signed or not.
    /// Nothing comes of it on a node that leaves; see
    /// [`Node::takes_part`](crate::Node::takes_part).
    Publish(Arc<Release>),
    /// What this node has found out about a release by serving it.
    Vote(ReleaseId, Verdict),
    /// A member sent its state over the control channel. The answer is the
    /// [`Effect::SyncReply`] that follows at once.
    SyncRequest {
        /// The member, as the control channel made sure of.
        member: NodeName,
        /// What it sent.
        bytes: &'a [u8],
    },
    /// A member answered an [`Effect::Sync`].
    SyncReply {
        /// The member, as the control channel made sure of.
        member: NodeName,
        /// What it answered.
        bytes: &'a [u8],
    },
    /// The cookie changes, or a second one is accepted from now on, or no
    /// longer. Members are told which keys these are.
    Keys(Box<Keys>),
    /// A name to join was looked up. What it gave takes the place of what it
    /// gave before; addresses from which nothing is accepted are left out.
    Seeds {
        /// Which name: any number that is its own.
        name: u16,
        /// Its addresses.
        addresses: &'a [SocketAddrV4],
    },
    /// The node stops: tell the others. [`Effect::Departed`] says when all
    /// has been said.
    Leave,
}

/// Something that a node wants done. Effects are to be carried out in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a datagram from the node's own address.
    Send {
        /// Where to.
        to: SocketAddrV4,
        /// All of it.
        bytes: Bytes,
    },
    /// Send a datagram to [`Config::broadcast`](crate::Config::broadcast).
    Broadcast {
        /// All of it.
        bytes: Bytes,
    },
    /// The members have changed. There is at most one in a row.
    View(Arc<View>),
    /// A member came up, or came back.
    Up {
        /// The member.
        member: Member,
        /// How.
        reason: UpReason,
    },
    /// A member is gone.
    Down {
        /// The member as it last was.
        member: Member,
        /// Why.
        reason: DownReason,
    },
    /// Exchange state with a member: open or reuse the control connection,
    /// send the bytes, and hand what comes back to [`Input::SyncReply`]. If it
    /// cannot be done, nothing need be said.
    Sync {
        /// The control address of the member.
        with: SocketAddrV4,
        /// Its name.
        name: NodeName,
        /// What to send.
        bytes: Bytes,
    },
    /// The answer to the [`Input::SyncRequest`] just given.
    SyncReply {
        /// Whom to answer.
        member: NodeName,
        /// What to send.
        bytes: Bytes,
    },
    /// Store the boot number so that it survives the process, before any
    /// effect that follows is carried out.
    StoreBoot(Boot),
    /// Store this so that it survives the process: it is what
    /// [`Config::releases_stored`](crate::Config::releases_stored) wants at
    /// the next start. Of several that wait, only the last need be stored.
    StoreReleases {
        /// What to store.
        bytes: Bytes,
        /// It has a decision of this node, which the effects that follow tell
        /// others: store it before they are carried out. What others decided
        /// may wait, since they know it too.
        first: bool,
    },
    /// Something is new about releases.
    Release(News),
    /// Datagrams of this source were refused. At most one per source and
    /// minute; all are counted in [`Node::counters`](crate::Node::counters).
    Refused {
        /// Where the newest of them came from. `0.0.0.0:0` stands for many
        /// sources, more than are told apart.
        source: SocketAddrV4,
        /// Why the newest of them was refused.
        why: Refusal,
        /// How many there were since the one before.
        count: u64,
    },
    /// Another machine uses the name of this node and was there first. The
    /// node has stopped taking part; the process should end.
    NameTaken {
        /// How that is known.
        evidence: TakenEvidence,
    },
    /// All that a leaving node has to say was said.
    Departed,
}

/// How a member came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpReason {
    /// It was not known before.
    Joined,
    /// It was up, and a new run of it took the place of the old one.
    Restarted,
    /// It had been down: it was started again, thawed, or its link is back.
    Returned,
}

/// Why a member is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// It said that it leaves.
    Left,
    /// It does not answer.
    Failed,
    /// Its machine says that nobody listens any more: the process has ended.
    Refused,
}

/// How a node knows that its name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenEvidence {
    /// A member hears the other machine and this one by turns.
    Witness(Ipv4Addr),
    /// The other machine answered a broadcast of this node itself.
    Direct,
    /// Again and again a member knew of a later run of this node than this.
    Overtaken,
}

impl fmt::Display for UpReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UpReason::Joined => "joined",
            UpReason::Restarted => "restarted",
            UpReason::Returned => "returned",
        })
    }
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DownReason::Left => "left",
            DownReason::Failed => "does not answer",
            DownReason::Refused => "process ended",
        })
    }
}

impl fmt::Display for TakenEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TakenEvidence::Witness(ip) => write!(f, "{ip} hears both machines"),
            TakenEvidence::Direct => f.write_str("the other machine answered"),
            TakenEvidence::Overtaken => {
                f.write_str("three times in a minute another run took its place")
            }
        }
    }
}
