//! The native node: serves a WASI component as a web app, as a member of a
//! live cluster.
//!
//! A map of the crate, in the order in which a node is built and a request
//! travels:
//!
//! - [`cli`], [`config`]: what was typed, and what it means
//! - [`node`]: a node from its parts; its start and its end
//! - [`cookies`]: the secrets: read, read again, changed node by node
//! - [`net`], [`data_dir`]: this machine's addresses and sockets, this node's folder
//! - [`store`]: the apps that this node has, on disk
//! - [`membership`], [`control`]: the thread that drives `cluster::Node`, and its TCP side
//! - [`app`]: from the bytes of a component to a [`app::Generation`] in the [`app::Slot`]
//! - [`deploy`]: from what the cluster has agreed on to what serves
//! - [`transfer`]: how an app gets from the members that have it to those that do not
//! - [`contract`]: the generated bindings of `wit/`, and what they need of the host
//! - [`http`]: listener, dispatch, conversion to and from the contract
//! - [`exchange`]: one request and all that follows from it
//! - [`publish`]: what exchanges publish, on its way to other nodes
//! - [`fault`]: where tests let a node die
//! - [`health`]: whether new code fails where the release before did not
//! - [`cluster_view`]: the members, as exchanges and the contract see them
//! - [`tools`]: what people and their programs ask of a node
//! - [`commands`]: `host status`, `host push` and the like, which ask it

pub mod app;
pub mod cli;
pub mod cluster_view;
pub mod commands;
pub mod config;
pub mod contract;
pub mod control;
pub mod cookies;
pub mod data_dir;
pub mod deploy;
mod durable;
pub mod exchange;
pub mod fault;
pub mod health;
pub mod http;
pub mod log;
pub mod membership;
pub mod net;
pub mod node;
pub mod publish;
pub mod store;
pub mod tools;
pub mod transfer;
