//! What people and their programs ask of a node, also with the commands
//! `host status`, `host push` and so on: a small JSON API over HTTP.
//!
//! ```text
//! host.sock | control channel -> ApiService -> NodeApi
//! ```
//!
//! - [`types`]: all requests and answers, shared by both sides; docs/api.md
//!   describes them
//! - [`NodeApi`]: what the API needs of the node
//! - [`ApiService`]: turns a request into an answer; behind it are `upload`
//!   (components), `releasing` (push and rollback), `progress` (following a
//!   release), `settings`, `data` (key-value data) and `logs`
//! - [`ToolSocket`]: the socket for processes on this machine

mod body;
mod data;
pub mod describe;
mod logs;
mod node;
mod progress;
pub mod recent;
mod releasing;
mod service;
pub mod settings;
mod socket;
pub mod types;
mod upload;

pub use body::Body;
pub use node::{Later, NodeApi, Refused};
pub use service::{ApiService, Asker, Limits};
pub use socket::{SocketError, ToolSocket, connect, is_of, path};
pub use upload::RECORD;
