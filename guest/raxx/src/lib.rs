//! The SDK that guests are written with: web apps that run as components on a
//! cluster of hosts. The contract itself is in `wit/`; this crate is its
//! pleasant face.
//!
//! The smallest app, as the whole of a `cdylib` crate that is built with
//! `cargo component build`:
//!
//! ```
//! use raxx::{GET, Request, Response, SimpleServer, response};
//!
//! struct Home;
//!
//! impl SimpleServer for Home {
//!     fn handle_request(&self, request: Request, _config: &[u8]) -> Response {
//!         match (request.method(), request.path()) {
//!             (GET, []) => response(200).header("content-type", "text/plain").body("hi"),
//!             (GET, ["users", id]) => response(200).body(format!("user {id}")),
//!             _ => response(404).body("not found"),
//!         }
//!     }
//! }
//!
//! raxx::export_simple!(Home);
//! # fn main() {}
//! ```
//!
//! - A [`SimpleServer`] gets a whole request and returns a whole response.
//! - A [`Server`] takes part in an exchange: it gets the head of the request,
//!   then pieces of its body, and messages meanwhile, and returns a [`Step`]
//!   each time. Its state is bytes that the host keeps.
//! - What an app asks of the host is an [`Effect`](mailbox::Effect) in the
//!   step that it returns. So tests need no socket and no host: they call the
//!   app and compare values. [`testing`] stands in for the rest.
//! - [`cluster`] says which nodes there are.
//!
//! A guide is in this crate's `README.md`; another, on changing code under live
//! connections, in its `CODE_CHANGE.md`.

mod headers;
mod request;
mod response;
mod server;
mod state;
mod step;
#[cfg(feature = "serde")]
mod versions;

pub mod cluster;
pub mod html;
pub mod json;
pub mod mailbox;
pub mod sse;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod export;

pub use headers::{HeaderError, Headers};
pub use request::{
    DELETE, GET, HEAD, Method, OPTIONS, PATCH, POST, PUT, Peer, Request, RequestBody, Scheme,
    request,
};
pub use response::{Response, ResponseBody, head_from_get, redirect, response};
pub use server::{Server, SimpleServer, Upgrade};
#[cfg(feature = "serde")]
pub use state::Postcard;
pub use state::{State, StateError};
pub use step::{Continue, Frame, Part, Step, continue_with};
#[cfg(feature = "serde")]
pub use versions::{NoPrevious, Versioned, Versions};

/// Runs the examples of the guide as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Guide;

/// As above.
#[cfg(doctest)]
#[doc = include_str!("../CODE_CHANGE.md")]
struct CodeChangeGuide;
