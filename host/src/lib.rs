//! The native node: serves a WASI component as a web app, as a member of a
//! live cluster.

pub mod control;
pub mod data_dir;
pub mod membership;
pub mod net;
