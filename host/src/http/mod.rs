//! HTTP: the listener, and what stands between hyper's types and the
//! contract's.
//!
//! ```text
//! listener -> dispatch -> slot (current generation) -> exchange -> component
//! ```

mod body;
mod listener;
pub mod request;
pub mod response;

pub use body::{Body, empty, text};
pub use listener::{HttpLimits, Server};
pub use request::Head;
pub use response::IllegalResponse;
