//! The contract between host and guest: bindings generated from `wit/`.
//!
//! One linker serves every world. So the bindings of each world are generated
//! separately, and share the types of the first.

#![allow(missing_docs, unsafe_code, reason = "generated code")]

mod charged;
mod charged_03;
mod context;
mod instance;
pub(crate) mod members;
mod outbound;
mod output;
mod quota;
mod sent;
mod unbacked;

pub(crate) use charged::add_to_linker as add_charged_to_linker;
pub(crate) use charged_03::add_to_linker as add_charged_03_to_linker;
pub use context::{
    CallContext, CallEffect, CallLimits, MAX_PAYLOAD, MAX_TOPIC, NodeInfo, Subscribed,
};
pub use instance::HostState;
pub(crate) use instance::{InstanceContext, by_machine};
pub(crate) use output::GuestLog;
pub(crate) use quota::{CALLBACK_CALL_MAX, HANDLES_MAX, OverQuota, REQUEST_CALL_MAX};
pub(crate) use sent::{BodyEnd, BodyMark, ResponseSet, on_tick, promised};
pub(crate) use unbacked::add_to_linker as add_unbacked_to_linker;

/// Bindings of the world `streaming-app`, and of all the types.
pub mod streaming {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1.0",
        world: "streaming-app",
        exports: { default: async },
    });
}

/// Bindings of the world `simple-app`.
pub mod simple {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1.0",
        world: "simple-app",
        exports: { default: async },
        with: {
            "ace:raxx/http": super::streaming::ace::raxx::http,
            "ace:raxx/cluster": super::streaming::ace::raxx::cluster,
        },
    });
}

/// Bindings of the optional export `upgrade`.
pub mod upgrade {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1.0",
        world: "upgradable",
        exports: { default: async },
    });
}

pub use streaming::ace::raxx::{cluster, http, mailbox};
pub use streaming::exports::ace::raxx::server::Step;
