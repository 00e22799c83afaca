//! Whole networks of nodes in virtual time: what nodes see of each other
//! through losses, cuts, restarts and attacks. `cluster::sim` is the network; each of
//! the modules is about one kind of event.

mod ahead;
mod attacks;
mod data;
mod discovery;
mod faults;
mod fetching;
mod names;
mod releases;
mod rotation;
mod scale;
mod scenarios;
mod settings;
mod votes;
