//! One loaded release: compiled, linked, checked, serving.
//!
//! ```text
//! Loader: validate -> Generation -> Slot
//! ```
//!
//! Only [`validate()`] builds a [`Generation`], and the [`Slot`] takes nothing
//! else: so whatever serves has been checked. Who loads one has [`Slot::room`]
//! for it first: so there are at most two.

mod life;
mod loader;
mod slot;
mod tally;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use cluster::Digest;
use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::contract::{CallContext, ReleaseTag};
use crate::engine::Runtime;

pub use life::{Alive, Life, Seat};
pub use loader::{Loader, Preparing, Ready, Swapped};
pub use slot::{Draining, Room, Slot};
pub use tally::{CallEnd, Tally};
pub use validate::{Refusal, validate};

/// What kind of app a component is, ready to be instantiated.
///
/// The callbacks of a kind are looked up one by one when they are called:
/// loading a whole interface checks the types of each of its functions again,
/// which a fresh instance for every callback would pay each time. Validation
/// has loaded, and so checked, them all.
#[derive(Clone)]
pub enum Kind {
    /// Exports `ace:raxx/simple-server`.
    Simple(SimpleApp),
    /// Exports `ace:raxx/server`.
    Streaming(StreamingApp),
    /// Exports `wasi:http/incoming-handler`.
    Plain(ProxyPre<CallContext>),
}

/// An app that exports `ace:raxx/simple-server`.
#[derive(Clone)]
pub struct SimpleApp {
    pre: InstancePre<CallContext>,
    pub(crate) handle_request: ComponentExportIndex,
}

/// An app that exports `ace:raxx/server`.
#[derive(Clone)]
pub struct StreamingApp {
    pre: InstancePre<CallContext>,
    pub(crate) handle_head: ComponentExportIndex,
    pub(crate) handle_data: ComponentExportIndex,
    pub(crate) handle_tail: ComponentExportIndex,
    pub(crate) handle_info: ComponentExportIndex,
    /// None if it does not export `ace:raxx/upgrade`.
    pub(crate) upgrade: Option<Upgrade>,
}

/// The functions of `ace:raxx/upgrade`.
#[derive(Clone)]
pub(crate) struct Upgrade {
    pub(crate) code_change: ComponentExportIndex,
    pub(crate) code_change_down: ComponentExportIndex,
}

impl SimpleApp {
    /// Finds the function of the interface; none if it is not exported.
    pub(super) fn find(pre: InstancePre<CallContext>, interface: &str) -> Option<SimpleApp> {
        let handle_request = function(pre.component(), interface, "handle-request")?;
        Some(SimpleApp {
            pre,
            handle_request,
        })
    }

    pub(crate) async fn instantiate(
        &self,
        store: &mut Store<CallContext>,
    ) -> wasmtime::Result<Instance> {
        self.pre.instantiate_async(store).await
    }
}

impl StreamingApp {
    /// Finds the functions of the interface, and of `upgrade` if it is
    /// exported; none if one is not there.
    pub(super) fn find(
        pre: InstancePre<CallContext>,
        interface: &str,
        upgrade: Option<&str>,
    ) -> Option<StreamingApp> {
        let find = |name| function(pre.component(), interface, name);
        let (handle_head, handle_data) = (find("handle-head")?, find("handle-data")?);
        let (handle_tail, handle_info) = (find("handle-tail")?, find("handle-info")?);
        let upgrade = match upgrade {
            None => None,
            Some(interface) => {
                let find = |name| function(pre.component(), interface, name);
                Some(Upgrade {
                    code_change: find("code-change")?,
                    code_change_down: find("code-change-down")?,
                })
            }
        };
        Some(StreamingApp {
            pre,
            handle_head,
            handle_data,
            handle_tail,
            handle_info,
            upgrade,
        })
    }

    pub(crate) async fn instantiate(
        &self,
        store: &mut Store<CallContext>,
    ) -> wasmtime::Result<Instance> {
        self.pre.instantiate_async(store).await
    }
}

fn function(component: &Component, interface: &str, name: &str) -> Option<ComponentExportIndex> {
    let interface = component.get_export_index(None, interface)?;
    component.get_export_index(Some(&interface), name)
}

impl Kind {
    /// What the kind is called in the log.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Simple(_) => "ace:raxx/simple-server",
            Kind::Streaming(_) => "ace:raxx/server",
            Kind::Plain(_) => "wasi:http/incoming-handler",
        }
    }
}

/// A component that has been validated and can serve.
pub struct Generation {
    /// The engine and what callbacks share.
    pub runtime: Arc<Runtime>,
    /// What the component is.
    pub kind: Kind,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// How the contract and the log name it.
    pub release: ReleaseTag,
    /// The version of the state that its code writes.
    pub state_version: u32,
    /// The size of the component, in bytes.
    pub size: usize,
    /// How long it took to compile, or to load from the cache of compiled code.
    pub compiled_in: Duration,
    /// Who is on it. Last, so that it is dropped after the code.
    pub life: Alive,
}

impl Generation {
    /// The same code with a life of its own, in which nothing has happened.
    pub(super) fn twin(&self) -> Generation {
        Generation {
            runtime: self.runtime.clone(),
            kind: self.kind.clone(),
            digest: self.digest,
            release: self.release.clone(),
            state_version: self.state_version,
            size: self.size,
            compiled_in: self.compiled_in,
            life: Alive::default(),
        }
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation")
            .field("kind", &self.kind.name())
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
