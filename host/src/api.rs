//! What people and their programs ask of a node, and the same for the commands
//! `host status`, `host push` and so on: a small JSON API over HTTP.
//!
//! ```text
//! host.sock | control channel -> Service -> NodeApi
//! ```
//!
//! - [`types`]: all that is said, shared by both sides; docs/api.md describes it
//! - [`NodeApi`]: what of the node it needs
//! - [`Service`]: a request in, an answer out; behind it `upload` (apps),
//!   `releasing` (push and rollback), `progress` (following a release), `logs`
//! - [`ToolSocket`]: the socket of the processes on this machine

mod body;
pub mod describe;
mod logs;
mod node;
mod progress;
pub mod recent;
mod releasing;
mod service;
mod socket;
pub mod types;
mod upload;

pub use body::Body;
pub use node::{Later, NodeApi, Refused};
pub use service::{Asker, Limits, Service};
pub use socket::{SocketError, ToolSocket, connect, path};
