//! What a cluster serves, from outside: host processes on this machine's
//! loopback, each with an app file, a data folder and a port of its own, which
//! are changed, killed and started again.
//!
//! - [`file`]: one node and its app file
//! - [`push`]: the commands that make a release
//! - [`canary`]: releases that bake on one node first
//! - [`shown`]: those that show it
//! - [`spread`]: a release on several nodes
//! - [`trouble`]: pushes that go wrong, on a canary, on their way or on a full
//!   disk; [`relay`]: stands between a command and its node

#[path = "../support/mod.rs"]
mod support;

mod canary;
mod file;
mod place;
mod push;
mod relay;
mod shown;
mod spread;
mod trouble;
