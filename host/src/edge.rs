//! The edge: the listener that clients reach, and the limits they meet there.
//!
//! ```text
//! listener -> dispatch -> slot (current generation) -> exchange -> component
//! ```

mod connection;
mod listener;
mod open;
mod socket;

pub use listener::{HttpLimits, Server};
