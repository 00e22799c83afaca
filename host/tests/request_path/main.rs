//! The request path in one process: listener, dispatch, exchange, component,
//! with clients on real sockets. What needs the machine for itself is in
//! `crowds`.
//!
//! - [`attacks`]: clients that want a release to be voted down; [`adversary`]: while it bakes
//! - [`bad_guests`]: apps that break a rule
//! - [`instances`]: which calls share an instance, and which do not
//! - [`limits`]: apps and clients that use too much
//! - [`uploads`], [`downloads`]: bodies that come and go in pieces; [`collects`]: that are gathered
//! - [`messages`]: timers, topics, views; [`effects`]: what is asked for with a step
//! - [`egress`]: requests and connections to other servers
//! - [`endings`]: clients that go, nodes that stop
//! - [`handler_03`]: components with a handler of WASI 0.3
//! - [`heads`]: heads of requests that reach no app
//! - [`http1`], [`http2`]: the protocols, well and badly spoken
//! - [`places`]: who has an instance, and whose time it is that passes
//! - [`plain`]: `wasi:http` components; [`conformance`]: what wasmtime's own tests ask of a
//!   host of them
//! - [`quota`]: what a component takes of the host, and consists of
//! - [`refusals`]: what is no app
//! - [`responses`]: how responses of `wasi:http` components leave
//! - [`smoke`]: what new code must answer before it serves
//! - [`swaps`]: code that changes while it runs; [`shapes`]: and what its state is like
//! - [`counts`]: how requests end, as it is counted; [`judged`]: what follows from it
//! - [`try_out`]: new code before it serves, where there is little room
//! - [`settings`]: what apps of each kind see of config and secrets
//! - [`keyvalue`]: the key-value store that components of any maker import
//! - [`imports`]: interfaces of WASI that are not the engine's own
//! - [`output`]: what apps print, and what the log says of them
//! - [`watching`]: the file of `--app` while it changes
//! - [`system`]: what the machine gives to apps; [`standard_library`]: and what Rust makes of it
//! - [`kept`]: apps built against earlier versions of the contract

#[path = "../support/mod.rs"]
mod support;

mod adversary;
mod attacks;
mod bad_guests;
mod collects;
mod conformance;
mod counts;
mod downloads;
mod effects;
mod egress;
mod endings;
mod handler_03;
mod heads;
mod http1;
mod http2;
mod imports;
mod instances;
mod judged;
mod kept;
mod keyvalue;
mod limits;
mod messages;
mod output;
mod places;
mod plain;
mod quota;
mod refusals;
mod responses;
mod settings;
mod shapes;
mod smoke;
mod standard_library;
mod swaps;
mod system;
mod try_out;
mod uploads;
mod watching;
