//! The contract between host and guest: bindings generated from `wit/`, and what the host does
//! for its imports.
//!
//! The types of version 0.2.0 are those that the host works with. [`v0_1`] turns what differs in
//! version 0.1.0 into them.
//!
//! One linker serves every world. So the bindings of each world are generated
//! separately, and share the types of the first.

#![allow(missing_docs, unsafe_code, reason = "generated code")]

mod call_data;
mod charged;
mod charged_03;
mod config;
mod context;
mod denials;
mod effects;
mod instance;
mod keyvalue;
pub(crate) mod members;
mod memory_cap;
mod outbound;
mod output;
mod quota;
mod sent;
mod sockets;
mod system;
pub(crate) mod v0_1;

pub(crate) use call_data::wall_ms;
pub(crate) use charged::add_to_linker as add_charged_to_linker;
pub(crate) use charged_03::add_to_linker as add_charged_03_to_linker;
pub(crate) use config::add_to_linker as add_config_to_linker;
pub use context::{CallContext, CallLimits, NodeInfo, Subscribed};
pub use effects::{CallEffect, MAX_PAYLOAD, MAX_TOPIC};
pub(crate) use effects::{CallEffects, IllegalEffect};
pub use instance::HostState;
pub(crate) use instance::InstanceContext;
pub(crate) use keyvalue::add_to_linker as add_keyvalue_to_linker;
pub(crate) use memory_cap::by_machine;
pub(crate) use output::GuestLog;
pub(crate) use quota::{CALLBACK_CALL_MAX, HANDLES_MAX, OverQuota, REQUEST_CALL_MAX};
pub(crate) use sent::{BodyEnd, BodyMark, ResponseSet, on_tick, promised};
pub(crate) use sockets::add_to_linker as add_sockets_to_linker;

/// Bindings of the world `streaming-app`, and of all the types.
pub mod streaming {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "streaming-app",
        imports: { "ace:raxx/system": trappable },
        exports: { default: async },
    });
}

/// Bindings of the world `simple-app`.
pub mod simple {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "simple-app",
        exports: { default: async },
        with: {
            "ace:raxx/http": super::streaming::ace::raxx::http,
            "ace:raxx/cluster": super::streaming::ace::raxx::cluster,
            "ace:raxx/system": super::streaming::ace::raxx::system,
        },
    });
}

/// Bindings of the optional export `upgrade`.
pub mod upgrade {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "upgradable",
        exports: { default: async },
    });
}

pub use streaming::ace::raxx::{cluster, data, fetch, http, mailbox};
pub use streaming::exports::ace::raxx::server::{Complete, Next, Step};

/// Links the imports of the contract, in each version that the host serves.
///
/// # Errors
/// If one of them is linked already.
pub(crate) fn add_to_linker(
    linker: &mut wasmtime::component::Linker<HostState>,
) -> wasmtime::Result<()> {
    use wasmtime::component::HasSelf;

    fn call(state: &mut HostState) -> &mut CallContext {
        &mut state.call
    }
    cluster::add_to_linker::<_, HasSelf<CallContext>>(linker, call)?;
    // These have types only.
    http::add_to_linker::<_, HasSelf<CallContext>>(linker, call)?;
    data::add_to_linker::<_, HasSelf<CallContext>>(linker, call)?;
    fetch::add_to_linker::<_, HasSelf<CallContext>>(linker, call)?;
    mailbox::add_to_linker::<_, HasSelf<CallContext>>(linker, call)?;
    streaming::ace::raxx::system::add_to_linker::<_, HasSelf<HostState>>(linker, |state| state)?;
    v0_1::add_to_linker(linker)
}
