//! WebAssembly: from the bytes of a component to the answer to a request.
//!
//! A map of the crate, in the order in which a component, and then a request, passes through it:
//!
//! - [`component`]: bytes with a digest
//! - [`compile`]: from bytes to machine code, in another process
//! - [`engine`]: pool of instances, linker, epoch: shared by all generations of a node
//! - [`capacity`]: what a call gets of this machine: places, memory, processors
//! - [`contract`]: the generated bindings of `wit/`, and what they need of the host
//! - [`generation`]: a component that was compiled and checked, the slot that holds it, and each call into it
//! - [`http`]: between hyper's requests and responses and the contract's
//! - [`exchange`]: one request and all that follows from it
//! - [`smoke`]: the request that new code must answer before it serves
//! - [`loader`]: all of it in order, from bytes to the generation that serves
//! - [`throttle`]: how many lines of one kind go into the log
//! - [`views`]: the members as they come

pub mod capacity;
pub mod compile;
pub mod component;
pub mod contract;
pub mod engine;
pub mod exchange;
pub mod generation;
pub mod http;
pub mod loader;
pub mod smoke;
pub mod throttle;
pub mod views;
