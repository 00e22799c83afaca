//! The instances of one generation. Each call gets one here, and what is still good after the call
//! takes a next one, if the node was told so.
//!
//! ```text
//! acquire: waiting instance | new store -> InstanceGuard -> run -> finish -> waits again
//!                                               `- dropped in any other case: the instance is gone
//! ```
//!
//! Where each call has an instance of its own, those that wait were set up and have had no call: see
//! [`stock`].
//!
//! An instance goes when its call failed or was cancelled, when it has taken as many calls as it
//! may, when it has grown, when the host refused it something or keeps much for it, when it has
//! waited for long, when memory is short, when something was set that it has not seen, and when its
//! generation serves no more.

mod idle;
mod policy;
mod stock;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use self::idle::{IDLE_MAX, IdleStack, give_back};
use self::stock::Stock;
use super::{ComponentKind, Generation};
use crate::capacity::Class;
use crate::contract::{CallContext, CallEffects, HostState, InstanceContext};
use crate::engine::Runtime;

pub use policy::{InstancePolicy, NoPolicy};

/// The instances of one generation.
pub(crate) struct Instances {
    policy: InstancePolicy,
    /// How many were made.
    made: AtomicU32,
    idle: Arc<IdleStack<LiveInstance>>,
    stock: Stock,
    second: SecondCalls,
}

/// A store with an instance, or with room for one.
struct LiveInstance {
    store: Store<HostState>,
    /// None until its first call begins.
    instance: Option<Instance>,
    calls_left: u32,
    /// Whether a call into it has returned.
    is_used: bool,
    /// The bytes of its memory after its first call.
    memory_first: Option<usize>,
}

/// Whether the app bears that an instance takes a second call. Some do not: of some toolchains all,
/// because they take an instance to be there for one request.
#[derive(Default)]
struct SecondCalls(AtomicU32);

impl SecondCalls {
    /// So many that failed, and none that went well before, say that the app does not bear it.
    const FAILED_MAX: u32 = 2;
    /// One has gone well, so it does.
    const BORNE: u32 = u32::MAX;

    /// Whether it is clear that the app does not bear it.
    fn went_wrong(&self) -> bool {
        self.0.load(Relaxed) == SecondCalls::FAILED_MAX
    }

    /// Notes how one went. Returns true once: when it is clear that the app does not bear it.
    fn note(&self, went_well: bool) -> bool {
        if went_well {
            if self.0.load(Relaxed) < SecondCalls::FAILED_MAX {
                self.0.store(SecondCalls::BORNE, Relaxed);
            }
            return false;
        }
        let failed = self.0.fetch_update(Relaxed, Relaxed, |failed| {
            (failed < SecondCalls::FAILED_MAX).then_some(failed + 1)
        });
        failed == Ok(SecondCalls::FAILED_MAX - 1)
    }
}

/// The hold of one call on an instance. If it is dropped before [`InstanceGuard::finish`], the
/// instance is gone.
pub(crate) struct InstanceGuard<'a> {
    generation: &'a Generation,
    live: LiveInstance,
}

impl Instances {
    /// None yet, and none is kept until [`Instances::open`].
    pub(super) fn new(policy: InstancePolicy) -> Instances {
        Instances {
            policy,
            made: AtomicU32::new(0),
            idle: Arc::new(IdleStack::new(match policy {
                // They have had no call, so they are as good as new ones however long they wait.
                InstancePolicy::Fresh => None,
                InstancePolicy::Reuse(_) => Some(IDLE_MAX),
            })),
            stock: Stock::default(),
            second: SecondCalls::default(),
        }
    }

    /// The generation serves no more: what waits goes, and what works goes after its call. Must be
    /// called within a tokio runtime.
    pub(super) fn close(&self) {
        self.stock.end();
        give_back(self.idle.close());
    }

    /// What waits goes.
    fn empty(&self) {
        give_back(self.idle.age(None));
    }
}

impl Generation {
    /// How many of its instances wait for their next call.
    pub fn idle_instances(&self) -> usize {
        self.instances.idle.len()
    }

    /// It serves: its instances may wait for a next call. Must be called within a tokio runtime.
    pub(super) fn open_instances(self: &Arc<Self>) {
        // Those of WASI 0.3 are kept by their handler.
        let elsewhere = matches!(self.kind, ComponentKind::WasiHttp03(_));
        if elsewhere || self.instances.second.went_wrong() {
            return;
        }
        self.instances.idle.open();
        if self.instances.policy == InstancePolicy::Fresh {
            self.instances.stock.begin(self);
        }
    }

    /// An instance for a call. `handed_max`: how many bytes the guest may hand over in it at once.
    pub(super) fn acquire(&self, call: CallContext, handed_max: usize) -> InstanceGuard<'_> {
        let waiting = match self.instances.idle.pop() {
            Some(live) if !self.is_current(&live) => {
                // Those that wait longer have seen no newer settings either.
                give_back(vec![live]);
                self.instances.empty();
                None
            }
            waiting => waiting,
        };
        let mut live = match waiting {
            Some(mut live) => {
                live.store.data_mut().begin_call(call, self.release());
                // Ticks have passed while it waited.
                live.store.set_epoch_deadline(1);
                live
            }
            None => self.new_instance(call),
        };
        if self.instances.policy == InstancePolicy::Fresh {
            self.instances.stock.note_taken();
        }
        live.store.set_hostcall_fuel(handed_max);
        InstanceGuard {
            generation: self,
            live,
        }
    }

    /// Whether an instance has seen what is set now.
    fn is_current(&self, live: &LiveInstance) -> bool {
        let seen = live.store.data().instance.settings().version();
        seen == self.runtime.node.settings_version()
    }

    /// Notes how a call into an instance went, unless it was its first.
    fn note_call(&self, live: &LiveInstance, went_well: bool) {
        if !live.is_used || !self.instances.second.note(went_well) {
            return;
        }
        self.instances.close();
        tracing::warn!(
            release = %self.release(),
            "the app failed whenever an instance was used again: each call has an instance of its own from now on, as with --instances fresh"
        );
    }

    fn new_instance(&self, call: CallContext) -> LiveInstance {
        let Runtime { limits, room, .. } = &*self.runtime;
        let resident = match self.class() {
            Class::Call => Some(self.runtime.places.resident().clone()),
            Class::Try => None,
        };
        let instance = InstanceContext::new(
            (limits.memory, room.table_elements),
            &self.runtime.node,
            resident,
            &self.runtime.guest_log,
            self.release(),
        );
        let Instances { policy, made, .. } = &self.instances;
        LiveInstance {
            store: self
                .runtime
                .store(self.pre.engine(), HostState { instance, call }),
            instance: None,
            calls_left: policy.calls(made.fetch_add(1, Relaxed)),
            is_used: false,
            memory_first: None,
        }
    }
}

impl InstanceGuard<'_> {
    /// Makes the call. A new instance is instantiated before it.
    pub(super) async fn run<T>(
        &mut self,
        pre: &InstancePre<HostState>,
        call: impl AsyncFnOnce(&mut Store<HostState>, &Instance) -> wasmtime::Result<T>,
    ) -> wasmtime::Result<T> {
        let LiveInstance {
            store, instance, ..
        } = &mut self.live;
        let instance = match instance {
            Some(instance) => instance,
            none => none.insert(pre.instantiate_async(&mut *store).await?),
        };
        call(store, instance).await
    }

    /// The data of the store.
    pub(super) fn state(&self) -> &HostState {
        self.live.store.data()
    }

    /// The app failed in the call.
    pub(super) fn fail(self) {
        let InstanceGuard { generation, live } = self;
        generation.note_call(&live, false);
    }

    /// The call has returned, as it should. Returns what it asked for.
    pub(super) fn finish(self) -> CallEffects {
        let InstanceGuard {
            generation,
            mut live,
        } = self;
        let effects = std::mem::take(&mut live.store.data_mut().call.effects);
        generation.note_call(&live, !live.store.data().instance.is_unanswered());
        let is_current = generation.is_current(&live);
        if is_current && live.is_good(generation.runtime.limits.memory) {
            let resident = generation.runtime.places.resident();
            generation.instances.idle.push(live, resident);
        }
        effects
    }
}

impl LiveInstance {
    /// Whether it may take another call. Then it waits in the place for that, and not in the place
    /// of its request.
    fn is_good(&mut self, memory_max: usize) -> bool {
        self.is_used = true;
        self.calls_left -= 1;
        if self.calls_left == 0 {
            return false;
        }
        let state = self.store.data_mut();
        let memory = state.instance.memory();
        // Whoever needs twice as much as after the first call leaks, or had one large request: a
        // new instance costs less than that memory. And in half of its limit, a call still has the
        // room that it would have in a new one.
        let first = *self.memory_first.get_or_insert(memory);
        memory <= first.saturating_mul(2)
            && memory <= memory_max / 2
            && state.instance.end_call()
            && state.call.meter().becomes_idle()
    }
}
