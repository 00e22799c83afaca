//! What a cluster serves, from outside: host processes on this machine's
//! loopback, each with an app file, a data folder and a port of its own, which
//! are changed, killed and started again.
//!
//! - [`file`]: one node and its app file
//! - [`push`]: the commands
//! - [`spread`]: a release on several nodes

#[path = "../support/mod.rs"]
mod support;

mod file;
mod place;
mod push;
mod spread;
