//! The boundary of the core: all that can happen to a node, and all that it wants done. Both
//! enums are closed.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use bytes::Bytes;

use crate::release::{AppFile, News, Release, ReleaseId, Verdict};
use crate::{Boot, Keys, Member, NodeName, Refusal, Serving, Setting, SettingNews, Settings, View};

/// Something that happens to a node.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram arrived, on either socket.
    Datagram {
        /// Its source address, as the system gives it.
        from: SocketAddrV4,
        /// The whole datagram.
        bytes: &'a [u8],
    },
    /// The time of [`Node::next_timer`](crate::Node::next_timer) has come.
    Timer,
    /// A hint that no process listens at this IP any more: a port was reported closed, or a
    /// control connection ended.
    Unreachable {
        /// The IP of the node that may be gone.
        ip: Ipv4Addr,
    },
    /// What this node serves from now on.
    Serving(Serving),
    /// An app file of this node is there, at the start, or has changed.
    AppFile(AppFile),
    /// A release that [`Node::draft`](crate::Node::draft) made, signed or not. A node that
    /// leaves ignores it; see [`Node::takes_part`](crate::Node::takes_part).
    Publish(Arc<Release>),
    /// Settings that were changed on this node, and that
    /// [`Node::check_settings`](crate::Node::check_settings) has accepted. A node that leaves ignores
    /// them.
    Settings(Vec<Arc<Setting>>),
    /// What this node has found out about a release by serving it.
    Vote(ReleaseId, Verdict),
    /// A member sent its state over the control channel. The answer is the
    /// [`Effect::SyncReply`] that follows at once.
    SyncRequest {
        /// The member, as the control channel has verified it.
        member: NodeName,
        /// The state that it sent.
        bytes: &'a [u8],
    },
    /// A member answered an [`Effect::Sync`].
    SyncReply {
        /// The member, as the control channel has verified it.
        member: NodeName,
        /// The state that it answered.
        bytes: &'a [u8],
    },
    /// The cookie changes, or the node begins or stops to accept a second one. Members are told
    /// the ids of the keys.
    Keys(Box<Keys>),
    /// A name to join was looked up. The new addresses replace the earlier ones; addresses from
    /// which nothing is accepted are left out.
    Seeds {
        /// The number of the name; each name has its own.
        name: u16,
        /// The addresses of the name.
        addresses: &'a [SocketAddrV4],
    },
    /// The node stops and tells the others. [`Effect::Departed`] follows when all has been
    /// sent.
    Leave,
}

/// Something that a node wants done. The caller carries out effects in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a datagram from the node's own address.
    Send {
        /// The receiver.
        to: SocketAddrV4,
        /// The whole datagram.
        bytes: Bytes,
    },
    /// Send a datagram to [`Config::broadcast`](crate::Config::broadcast).
    Broadcast {
        /// The whole datagram.
        bytes: Bytes,
    },
    /// The members have changed. Two views never follow each other directly.
    View(Arc<View>),
    /// A member came up, or came back.
    Up {
        /// The member.
        member: Member,
        /// Why it came up.
        reason: UpReason,
    },
    /// A member has gone.
    Down {
        /// The member as it last was.
        member: Member,
        /// Why it has gone.
        reason: DownReason,
    },
    /// Exchange state with a member: open or reuse the control connection, send the bytes, and
    /// give the answer to [`Input::SyncReply`]. A failure need not be reported.
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
        /// The member to answer.
        member: NodeName,
        /// What to send.
        bytes: Bytes,
    },
    /// Store the boot number so that it survives the process, before any later effect is
    /// carried out.
    StoreBoot(Boot),
    /// Store these bytes so that they survive the process, for
    /// [`Config::releases_stored`](crate::Config::releases_stored) at the next start. If
    /// several wait, only the last needs to be stored.
    StoreReleases {
        /// What to store.
        bytes: Bytes,
        /// The bytes contain a decision of this node, which later effects tell the others:
        /// store them before those effects. Decisions of others may wait, since the others know
        /// them too.
        first: bool,
    },
    /// Store these bytes so that they survive the process, for
    /// [`Config::settings_stored`](crate::Config::settings_stored) at the next start.
    StoreSettings {
        /// What to store.
        bytes: Bytes,
        /// As in [`Effect::StoreReleases`].
        first: bool,
    },
    /// What is set has changed.
    Settings(Arc<Settings>),
    /// News about settings.
    SettingNews(SettingNews),
    /// News about releases.
    Release(News),
    /// Datagrams of this source were refused. Sent at most once per source and minute;
    /// [`Node::counters`](crate::Node::counters) counts all.
    Refused {
        /// The source of the newest one. `0.0.0.0:0` stands for many sources, more than are
        /// told apart.
        source: SocketAddrV4,
        /// Why the newest one was refused.
        why: Refusal,
        /// How many there were since the last report.
        count: u64,
    },
    /// Another machine uses the name of this node and had it first. The node has stopped taking
    /// part; the process should end.
    NameTaken {
        /// How this node knows that.
        evidence: TakenEvidence,
    },
    /// A leaving node has sent all its farewells.
    Departed,
}

/// Why a member came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpReason {
    /// It was unknown before.
    Joined,
    /// It was up, and a new run took the place of the old one.
    Restarted,
    /// It had been down: it was started again, woke up, or its link is back.
    Returned,
}

/// Why a member has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// It said that it leaves.
    Left,
    /// It does not answer.
    Failed,
    /// Its machine says that no process listens any more: the process has ended.
    Refused,
}

/// How a node knows that its name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenEvidence {
    /// A member hears the other machine and this one in turns.
    Witness(Ipv4Addr),
    /// The other machine itself answered a broadcast of this node.
    Direct,
    /// Members knew, again and again, a later run of this node than this one.
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
