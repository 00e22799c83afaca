//! A laboratory for real nodes: Linux network namespaces joined by a bridge,
//! `host` processes in them, and clients that look at them from outside.
//!
//! The integration tests of the host and `cargo xtask lab` both use it, so what
//! is measured is what is tested. Read in this order:
//!
//! | module | what it gives |
//! |---|---|
//! | [`netns`] | one network namespace |
//! | [`lan`] | a bridge and some machines on it, whose cables can be pulled |
//! | [`quality`] | cables that lose, delay and double frames |
//! | [`process`] | a running program: its lines, its signals, its end |
//! | [`small_disk`] | a disk that is full, for one process |
//! | [`little_memory`] | a control group with little memory, for one process |
//! | [`client`] | HTTP requests and server-sent events from any machine |
//! | [`wire`] | capturing and forging datagrams |
//! | [`cluster`] | nodes that are up, and what each of them lists |
//! | [`events`] | what can happen to them, each as one function |
//! | [`faults`] | what can happen to a crowd of them, and what must not |
//! | [`schedules`] | two decisions on two sides of a LAN that falls apart and heals, by a seed |
//! | [`push`] | a push to nodes that are up, and what becomes of it |
//! | [`rollout`] | releases that are left by themselves, and who is killed while one is on its way |
//! | [`soak`] | all that can happen, for a long time, under load |
//! | [`components`] | what is pushed |
//! | [`load`] | many streams, many requests |
//! | [`targets`] | how fast they have to be |
//! | [`browser`] | headless Chromium on one of the machines |
//! | [`readme`] | the README's line, run to the letter |
//! | [`compare`] | this host beside other servers |
//! | [`figures`] | the tables that `cargo xtask lab` prints |
//!
//! Everything awaits events under a bound that the caller names; nothing sleeps
//! in the hope that something has happened meanwhile. All that is made is
//! removed on drop, and what a killed run left behind by the next one.

pub mod browser;
pub mod client;
pub mod cluster;
pub mod compare;
pub mod components;
pub mod events;
pub mod faults;
pub mod figures;
pub mod lan;
pub mod little_memory;
pub mod load;
pub mod netns;
pub mod process;
pub mod programs;
pub mod push;
pub mod quality;
pub mod readme;
pub mod rollout;
pub mod schedules;
pub mod skip;
pub mod small_disk;
pub mod soak;
pub mod targets;
pub mod wire;

pub use client::{Answer, Sse};
pub use cluster::Cluster;
pub use lan::{Lan, Machine};
pub use process::{Launch, Process};
pub use programs::Programs;
