//! What stands between hyper's types and the contract's.

mod body;
pub mod request;
pub mod response;

pub use body::{Body, empty, text};
pub use request::Head;
pub use response::IllegalResponse;
