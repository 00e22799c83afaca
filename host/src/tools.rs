//! What people and their programs ask of a node, and the same for the commands
//! `host status`, `host push` and so on: a small JSON API over HTTP.
//!
//! ```text
//! host.sock | control channel -> Service::answer -> Node
//! ```
//!
//! - [`api`]: all that is said, shared by both sides; docs/api.md describes it
//! - [`Node`]: what of the node it needs

pub mod api;
mod node;

pub use node::{Later, Node, Refused};
