//! Requests of apps to other servers.
//!
//! ```text
//! request -> EgressClient (name allowed?) -> pool -> Gate: resolve -> each address allowed? -> connect -> TLS
//! ```
//!
//! - [`gate`]: the one place that looks names up and opens connections, by the rules that stand
//! - [`client`]: HTTP requests, over connections that are kept for the next one
//! - [`body`]: the body of an answer, which may neither dribble nor grow without end
//! - [`whole`]: answers that are read as a whole
//! - [`error`]: why a server was not reached
//!
//! Nothing here knows of WebAssembly, or of the other nodes.

mod body;
mod client;
mod connector;
mod error;
mod gate;
mod resolver;
mod tls;
mod whole;

pub use body::ResponseBody;
pub use client::{EgressClient, RequestBody, SendLimits};
pub use error::EgressError;
pub use gate::{EgressConfig, Gate, OwnAddresses, RulesNow};
pub use resolver::{NameLookup, Resolver, SystemResolver};
pub use tls::TlsRoots;
pub use whole::{HeldMemory, WholeLimits, WholeResponse};

use std::time::Duration;

/// How many requests of apps a node sends at a time, until their answers have been read.
pub const REQUESTS_MAX: usize = 256;
/// How many connections a node has for them, those included that wait for a next request.
pub const CONNECTIONS_MAX: usize = 256;
/// How many connections to one server wait for a next request, and how long.
const IDLE_PER_SERVER: usize = 8;
const IDLE_TIME: Duration = Duration::from_secs(30);
/// How long a lookup of a name may take.
const LOOKUP_TIME: Duration = Duration::from_secs(5);
/// How many lookups run at a time. Each takes a thread until the system gives up.
const LOOKUPS_MAX: usize = 16;
/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 8;
/// The next address of a name is tried so long after the one before (RFC 8305, section 5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// How long a connection may take, with its lookup and TLS.
pub const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long a server may take to the head of its answer, unless the app says less or more.
pub const FIRST_BYTE_TIME: Duration = Duration::from_secs(60);
/// How long a body may pause, unless the app says less or more.
pub const BETWEEN_BYTES_TIME: Duration = Duration::from_secs(60);
/// The most that an app may say for either.
pub const TIME_MAX: Duration = Duration::from_secs(300);
/// How long an answer may take to its end.
pub const TOTAL_TIME: Duration = Duration::from_secs(3600);
/// The largest head of an answer over HTTP/1.1, in bytes, and about as much over HTTP/2.
const HEAD_MAX: usize = 64 << 10;
/// What HTTP/2 servers may send ahead of what is read: on one stream, and on a connection.
const STREAM_WINDOW: u32 = 256 << 10;
// As large as those of all requests: what one app does not read must not stop the others that ask the
// same server.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * REQUESTS_MAX as u32;
