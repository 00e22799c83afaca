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
mod instances;
mod interfaces;
mod invoke;
mod kind;
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
use wasmtime::component::InstancePre;

use crate::capacity::{Class, SizeOf};
use crate::contract::HostState;
use crate::engine::Runtime;

pub use class::{CountedRequest, Counts, EndCounts, OTHER_SEGMENTS, Yardstick, totals};
pub(crate) use compiled::{Compiled, compile};
pub use drain::{DrainSignals, SignalsOfCode};
use handler_03::Handlers03;
pub(crate) use handler_03::{Asked, Handler03, SharedInstance};
pub(crate) use instances::Instances;
pub use instances::{InstancePolicy, NoPolicy};
pub use invoke::CallFailure;
pub(crate) use invoke::{Span, call_function, end as call_end, invoke};
pub(crate) use kind::ServerVersion;
pub use kind::{ComponentKind, ContractVersion, Streaming};
pub use lease::Lease;
pub use slot::{DrainingGeneration, LoadPermit, Slot};
pub use source::{BySource, Source};
pub use stats::{Fresh, GenerationStats, Left, Once};
pub(crate) use stopwatch::{Stopwatch, queue};
pub use tally::{CallEnd, RequestEnd, Tally};
pub use times::HeadTimes;
pub(crate) use validate::check;
pub use validate::{ComponentError, validate};

/// A component that has been validated and can serve.
pub struct Generation {
    /// The engine and what callbacks share.
    pub runtime: Arc<Runtime>,
    /// Its instances. They are dropped before the code.
    pub(super) instances: Instances,
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
    /// The shape of that state, if its code says it.
    pub state_shape: Option<Arc<str>>,
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
    /// The key-value data that its calls see.
    pub fn data(&self) -> &cluster::data::DataStore {
        &self.runtime.node.data
    }

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
            instances: Instances::new(self.runtime.instances),
            pre: self.pre.clone(),
            kind: self.kind.clone(),
            digest: self.digest,
            release: Mutex::new(self.release()),
            state_version: self.state_version,
            state_shape: self.state_shape.clone(),
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
