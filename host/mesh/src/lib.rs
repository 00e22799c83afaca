//! What goes between machines: the thread that drives the core of the cluster, the control
//! channel, and the transfer of components from the members that have them.
//!
//! - [`net`]: addresses and sockets of this machine
//! - [`data_dir`]: the node's folder
//! - [`durable`]: the only way to write files; after a crash a file is old or new, never half
//! - [`membership`]: the thread that drives `cluster::Node`
//! - [`control`]: TCP between nodes, and from tools to nodes
//! - [`store`]: the components that this node has, on disk
//! - [`transfer`]: components in chunks between members
//! - [`data`]: the key-value data on the disk, and told to members
//! - [`counts`]: the counts of all this

pub mod control;
pub mod counts;
pub mod data;
pub mod data_dir;
pub mod durable;
pub mod membership;
pub mod net;
pub mod store;
pub mod transfer;
