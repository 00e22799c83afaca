//! Between machines: the thread that drives the core of the cluster, the control channel, and
//! how components get from the members that have them to those that do not.
//!
//! - [`net`]: addresses and sockets of this machine
//! - [`data_dir`]: the node's folder
//! - [`durable`]: the one way to write a file that a crash leaves old or new, never half
//! - [`membership`]: the thread that drives `cluster::Node`
//! - [`control`]: TCP between nodes, and from tools to nodes
//! - [`store`]: the components that this node has, on disk
//! - [`transfer`]: components in chunks between members
//! - [`counts`]: what is counted of all this

pub mod control;
pub mod counts;
pub mod data_dir;
pub mod durable;
pub mod membership;
pub mod net;
pub mod store;
pub mod transfer;
