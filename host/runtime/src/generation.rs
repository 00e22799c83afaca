//! One loaded release: compiled, linked, checked, serving.
//!
//! ```text
//! validate -> Generation -> Slot -> Lease -> invoke
//! ```
//!
//! Only [`validate()`] builds a [`Generation`], and the [`Slot`] takes nothing else.
//! So whatever serves has been checked. Loading needs a [`LoadPermit`], so there are
//! at most two generations.

mod class;
mod compiled;
mod drain;
mod handler_03;
mod imports;
mod invoke;
mod lease;
mod slot;
mod source;
mod stats;
mod stopwatch;
mod tally;
mod times;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use cluster::release::ReleaseId;
use cluster::{Digest, Serving};
use parking_lot::Mutex;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::capacity::{Class, SizeOf};
use crate::contract::HostState;
use crate::engine::Runtime;

pub use class::{CountedRequest, Counts, EndCounts, OTHER_SEGMENTS, Yardstick, totals};
pub(crate) use compiled::{Compiled, compile};
pub use drain::{DrainSignals, SignalsOfCode};
use handler_03::Handlers03;
pub(crate) use handler_03::{Asked, Handler03, LiveInstance};
pub use invoke::CallFailure;
pub(crate) use invoke::{Span, call_function, end as call_end, invoke};
pub use lease::Lease;
pub use slot::{DrainingGeneration, LoadPermit, Slot};
pub use source::{BySource, Source};
pub use stats::{Fresh, GenerationStats, Left, Once};
pub(crate) use stopwatch::{Stopwatch, queue};
pub use tally::{CallEnd, RequestEnd, Tally};
pub use times::HeadTimes;
pub(crate) use validate::check;
pub use validate::{ComponentError, validate};

/// The kind of app that a component is, with the functions that the host calls.
///
/// A function is looked up when it is called. Loading the whole interface instead
/// would check the types of all its functions again, for each fresh instance.
/// Validation has loaded all interfaces, and so checked the types.
#[derive(Clone)]
pub enum ComponentKind {
    /// Exports `ace:raxx/simple-server`.
    Simple {
        /// Its one function.
        handle_request: ComponentExportIndex,
    },
    /// Exports `ace:raxx/server`.
    Streaming(Streaming),
    /// Exports `wasi:http/incoming-handler`.
    WasiHttp {
        /// Its one function.
        handle: ComponentExportIndex,
    },
    /// Exports `wasi:http/handler` of WASI 0.3. It runs on an engine of its own.
    WasiHttp03(ServicePre<HostState>),
}

/// The functions of an app that exports `ace:raxx/server`.
#[derive(Clone)]
pub struct Streaming {
    pub(crate) handle_head: ComponentExportIndex,
    pub(crate) handle_data: ComponentExportIndex,
    pub(crate) handle_tail: ComponentExportIndex,
    pub(crate) handle_info: ComponentExportIndex,
    /// None if the component does not export `ace:raxx/upgrade`.
    pub(crate) upgrade: Option<Upgrade>,
}

/// The functions of `ace:raxx/upgrade`.
#[derive(Clone)]
pub(crate) struct Upgrade {
    pub(crate) code_change: ComponentExportIndex,
    pub(crate) code_change_down: ComponentExportIndex,
}

impl ComponentKind {
    /// Finds the function of `ace:raxx/simple-server`, which is exported under the
    /// name `interface`. None if the function is not there.
    pub(super) fn simple(component: &Component, interface: &str) -> Option<ComponentKind> {
        let handle_request = function(component, interface, "handle-request")?;
        Some(ComponentKind::Simple { handle_request })
    }

    /// Finds the functions of `ace:raxx/server`, and of `ace:raxx/upgrade` if it is
    /// exported.
    pub(super) fn streaming(
        component: &Component,
        interface: &str,
        upgrade: Option<&str>,
    ) -> Option<ComponentKind> {
        let find = |name| function(component, interface, name);
        let upgrade = match upgrade {
            None => None,
            Some(interface) => Some(Upgrade {
                code_change: function(component, interface, "code-change")?,
                code_change_down: function(component, interface, "code-change-down")?,
            }),
        };
        Some(ComponentKind::Streaming(Streaming {
            handle_head: find("handle-head")?,
            handle_data: find("handle-data")?,
            handle_tail: find("handle-tail")?,
            handle_info: find("handle-info")?,
            upgrade,
        }))
    }

    /// Finds the function of `wasi:http/incoming-handler`.
    pub(super) fn wasi_http(component: &Component, interface: &str) -> Option<ComponentKind> {
        let handle = function(component, interface, "handle")?;
        Some(ComponentKind::WasiHttp { handle })
    }

    /// The name of the kind in the log.
    pub fn name(&self) -> &'static str {
        match self {
            ComponentKind::Simple { .. } => "ace:raxx/simple-server",
            ComponentKind::Streaming(_) => "ace:raxx/server",
            ComponentKind::WasiHttp { .. } => "wasi:http/incoming-handler",
            ComponentKind::WasiHttp03(_) => "wasi:http/handler",
        }
    }
}

fn function(component: &Component, interface: &str, name: &str) -> Option<ComponentExportIndex> {
    let interface = component.get_export_index(None, interface)?;
    component.get_export_index(Some(&interface), name)
}

/// A component that has been validated and can serve.
pub struct Generation {
    /// The engine and what callbacks share.
    pub runtime: Arc<Runtime>,
    /// The component, linked and ready to be instantiated.
    pub(super) pre: InstancePre<HostState>,
    /// The kind of app that the component is.
    pub kind: ComponentKind,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// The release under which it serves. It changes if the component is released again while
    /// this generation serves or drains.
    release: Mutex<ReleaseId>,
    /// The version of the state that its code writes.
    pub state_version: u32,
    /// The size of the component, in bytes.
    pub size: usize,
    /// How long it took to compile, or to load from the cache of compiled code.
    pub compiled_in: Duration,
    /// How much room one instance of it takes.
    pub(super) instance_size: SizeOf,
    /// Whether it is only tried out. Then its calls use the places for that, and their failures
    /// say nothing of load.
    pub(super) is_tried: bool,
    /// What hands requests to its instances, if it is of [`ComponentKind::WasiHttp03`].
    handlers_03: Handlers03,
    /// What is counted of it.
    pub stats: Arc<GenerationStats>,
    /// Its signals. They are the last field, so that they are dropped after the code.
    pub signals: SignalsOfCode,
}

impl Generation {
    /// The release under which it serves. Until it has served, the one that a bootstrap with
    /// its component makes.
    pub fn release(&self) -> ReleaseId {
        *self.release.lock()
    }

    /// From now on it serves under this release.
    pub fn serve_as(&self, release: ReleaseId) {
        *self.release.lock() = release;
    }

    /// What the node serves if it serves this.
    pub fn serving(&self) -> Serving {
        Serving::the_only(self.release(), self.digest)
    }

    /// The same code, to be tried out: with stats that have counted nothing yet.
    pub(crate) fn twin(&self) -> Generation {
        Generation {
            runtime: self.runtime.clone(),
            pre: self.pre.clone(),
            kind: self.kind.clone(),
            digest: self.digest,
            release: Mutex::new(self.release()),
            state_version: self.state_version,
            size: self.size,
            compiled_in: self.compiled_in,
            instance_size: self.instance_size,
            is_tried: true,
            handlers_03: Handlers03::default(),
            stats: Arc::default(),
            signals: SignalsOfCode::default(),
        }
    }

    /// What hands requests to its instances, if it is of [`ComponentKind::WasiHttp03`].
    pub(crate) fn handler_03(self: &Arc<Self>) -> Handler03 {
        self.handlers_03.get(self)
    }

    /// How much room one instance of it takes.
    pub(crate) fn instance_size(&self) -> SizeOf {
        self.instance_size
    }

    /// Which places its calls use.
    pub(crate) fn class(&self) -> Class {
        match self.is_tried {
            true => Class::Try,
            false => Class::Call,
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
