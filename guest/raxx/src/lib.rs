//! The SDK that guests are written with: web apps that run as components on a cluster of
//! hosts. The contract itself is in `wit/`; this crate makes it easy to use.
//!
//! The smallest app. This is the whole of a `cdylib` crate, which `cargo component build`
//! builds:
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
//! - A [`Server`] takes part in an exchange. It gets the head of the request, then pieces
//!   of its body and messages, and returns a [`Step`] each time. Its state is bytes that
//!   the host keeps.
//! - An app asks the host for something with an [`Effect`](mailbox::Effect) in the step
//!   that it returns: to be told of the members, of a publication or of a key that
//!   changes, for an answer of another server, for a write. So tests need no socket and
//!   no host: they call the app and compare values.
//! - [`config`] reads what is set for the app: config and secrets.
//! - [`cluster`] says which nodes there are; [`testing`] stands in for it in tests.
//! - An app imports no WASI, which makes its instances cost half; the standard library
//!   works on what the host offers instead. With the feature `wasi` it imports WASI.
//!
//! This crate's `README.md` is a guide. Its `CODE_CHANGE.md` is a guide to changing code
//! under live connections.

mod effect;
mod headers;
mod request;
mod response;
mod server;
#[cfg(feature = "serde")]
mod shape;
mod state;
mod step;
#[cfg(feature = "serde")]
mod versions;

pub mod cluster;
pub mod config;
pub mod data;
pub mod fetch;
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
#[cfg(feature = "serde")]
pub use postcard_schema::Schema;
pub use request::{
    DELETE, GET, HEAD, Method, OPTIONS, PATCH, POST, PUT, Peer, Request, RequestBody, Scheme,
    request,
};
pub use response::{Response, ResponseBody, head_from_get, redirect, response};
pub use server::{Server, SimpleServer};
#[cfg(feature = "serde")]
pub use state::Postcard;
pub use state::{State, StateError};
pub use step::{Complete, Continue, Frame, Part, Step, complete, continue_with};
#[cfg(feature = "serde")]
pub use versions::{NoPrevious, Versioned, Versions};

/// Runs the examples of `README.md` as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Guide;

/// Runs the examples of `CODE_CHANGE.md` as tests.
#[cfg(doctest)]
#[doc = include_str!("../CODE_CHANGE.md")]
struct CodeChangeGuide;
