//! Conversions between hyper's types and the contract's.

mod body;
mod output_queue;
pub mod request;
pub mod response;
mod wasi_http_body;

pub use body::{OutgoingBody, empty, text};
pub(crate) use output_queue::{HIGH_WATER, OutputQueue, output_queue};
pub use output_queue::{OutputBody, StreamCut};
pub use request::RequestHead;
pub use response::IllegalResponse;
pub use wasi_http_body::WasiHttpBody;
pub(crate) use wasi_http_body::{AbortOnDrop, Task, leave};
