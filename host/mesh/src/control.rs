//! The control channel, TCP on the cluster port. Members use it for what does not fit a
//! datagram, and people's tools use it to talk to nodes.
//!
//! HTTP/2 over TLS 1.3. Both sides prove by a raw public key that they know the cookie, so no
//! bytes of a stranger reach our decoders. Then they exchange names. A connection is closed if
//! the node that answers is not the dialled one, or if the caller's IP is not that of its name.
//! Everything has a limit of size and time. Membership answers push-pull of its state; the
//! given [`Service`] answers everything else.
//!
//! An open connection is also the fastest detector of a dead process, since the system closes
//! it within a millisecond. So every node keeps connections to a few others, and tells
//! membership when one is cut ([`Event::Lost`]).

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
pub(crate) use server::{ControlServer, WAITS};
pub use service::{FutureAnswer, Peer, Refuse, Service};
pub(crate) use tls::Identity;
pub use tls::IdentityError;

/// The largest message, in bytes: a state.
const MESSAGE_MAX: usize = cluster::STATE_MAX;

/// How long connecting and the TLS handshake may take together.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// How long a request and its answer, or the hello, may take.
pub const EXCHANGE: Duration = Duration::from_secs(5);

/// After this time an idle connection is pinged, to find out whether the other end has silently
/// vanished.
const PING: Duration = Duration::from_secs(10);

/// How long the answer to a ping may take.
const PING_ANSWER: Duration = Duration::from_secs(5);

/// How much of a message may be under way, in bytes. It is small, since every connection may
/// use that much memory.
const WINDOW: u32 = 64 * 1024;

/// What the control channel tells membership.
#[derive(Debug)]
pub(crate) enum Event {
    /// A member sent its state and waits for the answer.
    Request {
        /// The member. It knows the cookie, and calls from the IP of this name.
        peer: NodeName,
        /// The state that it sent.
        bytes: Bytes,
        /// Takes the answer; dropped if there is no answer.
        answer: oneshot::Sender<Bytes>,
    },
    /// A member answered the state that [`Links::sync`] sent.
    Reply {
        /// The member.
        peer: NodeName,
        /// The state that it answered.
        bytes: Bytes,
    },
    /// A connection to this IP was cut or refused: perhaps the process there ended.
    Lost {
        /// The IP of the member.
        ip: Ipv4Addr,
    },
}
