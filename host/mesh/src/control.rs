//! The control channel, TCP on the cluster port: what members say to each
//! other that does not fit a datagram, and what tools of people ask of nodes.
//!
//! HTTP/2 over TLS 1.3. Both sides prove by a raw public key that they know
//! the cookie, so nothing of a stranger reaches a decoder of ours. Then they
//! exchange names, and whoever is not who was dialled, or calls from another
//! IP than that of its name, is closed. Everything has a limit of size and
//! time. Push-pull of membership's state is answered by membership, all else by
//! the [`Service`] that it was given.
//!
//! An open connection is also the fastest detector of a dead process: the
//! system closes it within a millisecond. So every node keeps connections to
//! a few others, and tells membership when one is cut ([`Event::Lost`]).

mod caller;
mod choice;
mod client;
mod counters;
mod dial;
mod links;
mod protocol;
pub mod routes;
mod server;
mod service;
mod stall_guard;
mod stream;
mod tls;
pub mod tool;

#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use cluster::NodeName;
use tokio::sync::oneshot;

pub use client::{CallError, Client};
pub(crate) use counters::CallerCounts;
pub use counters::{CallerRefusal, Callers, RefusedCallers};
pub use dial::DialError;
pub(crate) use dial::Dialler;
pub(crate) use links::Links;
pub use protocol::{Body, ReadError, answer, read, refusal, whole};
pub(crate) use server::{Server, WAITS};
pub use service::{Answer, Peer, Refuse, Service};
pub(crate) use tls::Identity;
pub use tls::IdentityError;

/// The largest message, in bytes: a state.
const MESSAGE_MAX: usize = cluster::STATE_MAX;

/// How long connecting and the TLS handshake may take together.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// How long a request and its answer may take, and the hello.
pub const EXCHANGE: Duration = Duration::from_secs(5);

/// When an idle connection is pinged, so that one whose other end vanished
/// without a word is noticed.
const PING: Duration = Duration::from_secs(10);

/// How long the answer to a ping may take.
const PING_ANSWER: Duration = Duration::from_secs(5);

/// How much of a message may be on its way, in bytes. Small, since every
/// connection may take so much memory.
const WINDOW: u32 = 64 * 1024;

/// What the control channel tells membership.
#[derive(Debug)]
pub(crate) enum Event {
    /// A member sent its state and waits for the answer.
    Request {
        /// The member: it knows the cookie, and calls from the IP of this name.
        peer: NodeName,
        /// What it sent.
        bytes: Bytes,
        /// Takes the answer; dropped if there is none.
        answer: oneshot::Sender<Bytes>,
    },
    /// A member answered what [`Links::sync`] sent.
    Reply {
        /// The member.
        peer: NodeName,
        /// What it answered.
        bytes: Bytes,
    },
    /// A connection to this IP was cut, or refused: perhaps its process ended.
    Lost {
        /// Whose it was.
        ip: Ipv4Addr,
    },
}
