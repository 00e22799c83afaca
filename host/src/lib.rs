//! The native node: serves a WASI component as a web app, and is a member of a live
//! cluster.
//!
//! A map of the crate, in the order in which a request travels and a node is built:
//!
//! - [`edge`]: the listener that clients reach
//! - [`files`]: the files that people name
//! - [`app`]: the app: its file, its deployment, its bake check, what its exchanges publish
//! - [`api`]: what people and their programs ask of a node
//! - [`node`]: configuration, cookies, log; a node from its parts, its start and its end
//! - [`commands`]: `host status`, `host push` and the like, which ask a node
//! - [`cli`]: the command line
//! - [`terminal`]: text from elsewhere, made fit for a terminal
//!
//! Below it: `runtime` (components and exchanges), `mesh` (between machines),
//! `cluster` (the core without IO), `fault` (where tests let a node die).

pub mod api;
pub mod app;
pub mod cli;
pub mod commands;
pub mod edge;
pub mod files;
pub mod node;
pub mod terminal;
