//! The native node: serves a WASI component as a web app, as a member of a
//! live cluster.
//!
//! A map of the crate, in the order in which a node is built and a request
//! travels:
//!
//! - [`app`]: from the bytes of a component to a [`app::Generation`] in the [`app::Slot`]
//! - [`contract`]: the generated bindings of `wit/`, and what they need of the host
//! - [`exchange`]: one request and all that follows from it
//! - [`http`]: listener, dispatch, conversion to and from the contract

pub mod app;
pub mod cli;
pub mod cluster_view;
pub mod config;
pub mod contract;
pub mod exchange;
pub mod http;
pub mod log;
