//! The instances of a component that exports `wasi:http/handler` of WASI 0.3. The engine's ready-made
//! handler hands requests to them; here is what it asks: how one is made, which requests it takes,
//! and when it ends.
//!
//! ```text
//! Asked -> Handler03 -> live instance | instantiate -> on_request_start -> response
//!                        live instance <- Expiry: idle, stopped, over its limits, drained
//! ```
//!
//! An instance takes several requests at a time, so what ends it ends all of them. A request that
//! fails alone does not end it.

mod expiry;
mod handlers;

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ProxyHandler, ShouldAccept, WorkerState,
};

pub(crate) use self::expiry::Expiry;
pub(super) use self::handlers::Handlers03;
use super::invoke::failure;
use super::{CallFailure, ComponentKind, Generation, Span};
use crate::capacity::{CallEnded, CallTimes, Class, Meter, Metered, SharedMeter};
use crate::contract::{
    CallContext, HANDLES_MAX, HostState, InstanceContext, REQUEST_CALL_MAX, Subscribed,
};

/// How many requests an instance takes at a time, with those whose response is a stream.
const AT_ONCE: usize = 16;
/// How many requests an instance takes in all. It is more for some, so that not all of those that
/// were made together end together.
const IN_ALL: usize = 128;
const IN_ALL_SPREAD: usize = 32;

/// Hands requests to instances.
pub(crate) type Handler03 = ProxyHandler<Instances03>;

/// What a handler knows. It does not hold the generation: that holds it.
pub(crate) struct Instances03 {
    generation: Weak<Generation>,
    /// Which of the handlers of the generation it is.
    number: usize,
}

impl HandlerState for Instances03 {
    type StoreData = HostState;
    type WorkerExpiration = Expiry;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<HostState, Expiry, Worker>> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let generation = self.generation.upgrade().ok_or(CallFailure::Drained)?;
        let (store, proxy, meter) = instantiate(&generation).await?;
        let live = Arc::new(SharedInstance {
            meter: SharedMeter::new(meter),
            is_stopped: AtomicBool::new(false),
            has_begun: AtomicBool::new(false),
            why: Mutex::default(),
            ended: watch::Sender::default(),
            worker: Mutex::default(),
        });
        Ok(Instance {
            store,
            proxy,
            view: HostState::http,
            expiration: Expiry::new(live.clone(), generation.clone(), self.number),
            state: Worker {
                live,
                generation,
                in_all: IN_ALL + MADE.fetch_add(1, Relaxed) % IN_ALL_SPREAD,
            },
        })
    }
}

/// Makes an instance, under the limits of a call.
async fn instantiate(
    generation: &Generation,
) -> Result<(Store<HostState>, Proxy, Arc<Meter>), CallFailure> {
    let ComponentKind::WasiHttp03(service) = &generation.kind else {
        let cause = "not a component with a handler of WASI 0.3";
        return Err(CallFailure::Trap(cause.to_owned()));
    };
    let runtime = &generation.runtime;
    let wall = runtime.limits.wall;
    let (mut store, meter) = store(generation);
    let made = {
        let running = pin!(service.instantiate_async(&mut store));
        let stall = Duration::MAX;
        tokio::select! {
            biased;
            made = Metered::new(running, meter.clone(), CallTimes { wall, stall }) => {
                made.map_err(|ended| match ended {
                    CallEnded::NoPlace(why) => CallFailure::NoPlace(why),
                    // No client is waited for yet.
                    CallEnded::Wall | CallEnded::Silent | CallEnded::Unread => CallFailure::Wall(wall),
                })
            }
            () = generation.signals.over() => Err(CallFailure::Drained),
        }
    };
    match made? {
        Ok(service) => Ok((store, Proxy::P3(service), meter)),
        Err(error) => Err(failure(
            generation,
            Span::Request(wall),
            store.data(),
            &error,
        )),
    }
}

/// A store for an instance, and its meter. Its requests have places, and not the instance.
fn store(generation: &Generation) -> (Store<HostState>, Arc<Meter>) {
    let runtime = &generation.runtime;
    let class = generation.class();
    let meter = runtime.meter(class, None);
    let resident = (class == Class::Call).then(|| runtime.places.resident().clone());
    let mut call = CallContext::new(
        runtime.node.clone(),
        (generation.release(), generation.digest),
        meter.clone(),
        Subscribed::default(),
    );
    // What new code writes while it is tried out holds nowhere.
    if class == Class::Call {
        call.effects.data.write_at_once();
    }
    let state = HostState {
        instance: InstanceContext::new(
            (runtime.limits.memory, runtime.room.table_elements),
            &runtime.node,
            resident,
            &runtime.guest_log,
            generation.release(),
        )
        .without_sockets(),
        call,
    };
    let mut store = runtime.store(generation.pre.engine(), state);
    store.set_hostcall_fuel(REQUEST_CALL_MAX);
    // Tasks, streams and futures of the guest that the engine keeps.
    if let Some(kept) = store.concurrent_resource_table() {
        kept.set_max_capacity(HANDLES_MAX);
    }
    (store, meter)
}

/// One request on its way to an instance. Whoever waits for the response holds it, and so does the
/// instance until it has answered.
#[derive(Default)]
pub(crate) struct Asked {
    state: Mutex<AskedState>,
    given_up: Notify,
}

#[derive(Default)]
enum AskedState {
    /// No instance has it yet.
    #[default]
    Waits,
    /// An instance works on it, under this number.
    Begun(Arc<SharedInstance>, u64),
    /// It is over.
    Over,
}

impl Asked {
    /// An instance works on it, though its client may have left meanwhile: the engine has begun
    /// it already.
    fn begin(&self, live: &Arc<SharedInstance>) -> Task03 {
        let number = live.meter.enter();
        let mut state = self.state.lock();
        match *state {
            AskedState::Waits => *state = AskedState::Begun(live.clone(), number),
            AskedState::Begun(..) | AskedState::Over => live.meter.leave(number),
        }
        Task03 {
            live: live.clone(),
            number: Some(number),
        }
    }

    /// The instance that works on it, if one does.
    pub(crate) fn instance(&self) -> Option<Arc<SharedInstance>> {
        match &*self.state.lock() {
            AskedState::Begun(live, _) => Some(live.clone()),
            AskedState::Waits | AskedState::Over => None,
        }
    }

    /// Its response head is there: from now on it may last.
    pub(crate) fn lasts(&self) {
        if let AskedState::Begun(live, number) = &*self.state.lock() {
            live.meter.lasts(*number);
        }
    }

    /// It took too long. Its instance takes no more requests, and ends when the others of it are
    /// over: the engine cannot end one request.
    pub(crate) fn give_up(&self) {
        if let Some(live) = self.instance() {
            live.stop();
        }
        self.given_up.notify_one();
        self.end();
    }

    /// It is over, however it ended.
    pub(crate) fn end(&self) {
        let before = std::mem::replace(&mut *self.state.lock(), AskedState::Over);
        if let AskedState::Begun(live, number) = before {
            live.meter.leave(number);
            live.wake();
        }
    }
}

/// The task of a request, until it has answered.
struct Task03 {
    live: Arc<SharedInstance>,
    /// None if it was given up, and runs on.
    number: Option<u64>,
}

impl Task03 {
    /// It took too long, and runs on: its account stays.
    fn runs_on(mut self) {
        self.number = None;
    }
}

impl Drop for Task03 {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.live.meter.answered(number);
        }
    }
}

/// An instance, as its requests see it.
pub(crate) struct SharedInstance {
    meter: SharedMeter,
    /// Whether it takes no more requests.
    is_stopped: AtomicBool,
    /// Whether it has begun a request since it last stopped running.
    has_begun: AtomicBool,
    /// Why it was ended from outside.
    why: Mutex<Option<CallFailure>>,
    /// How it has ended; none while it lives.
    ended: watch::Sender<Option<Result<(), CallFailure>>>,
    /// Wakes the task that runs it.
    worker: Mutex<Option<Waker>>,
}

impl SharedInstance {
    /// Waits until it has ended. Returns why, unless it ended as it should.
    pub(crate) async fn ended(&self) -> Option<CallFailure> {
        let mut ended = self.ended.subscribe();
        // The sender is in `self`, so it is not dropped meanwhile.
        let ended = ended.wait_for(Option::is_some).await.ok()?;
        ended.as_ref()?.as_ref().err().cloned()
    }

    /// Why it has ended, if it has, and not as it should.
    pub(crate) fn failure(&self) -> Option<CallFailure> {
        self.ended.borrow().as_ref()?.as_ref().err().cloned()
    }

    /// Whether it waits, for something other than its turn.
    pub(crate) fn is_waiting(&self) -> bool {
        self.meter.is_waiting()
    }

    /// Completes when the instance waits the next time, for something other than its turn.
    pub(crate) fn waits(&self) -> Notified<'_> {
        self.meter.waits()
    }

    /// It takes no more requests, and ends when none is open.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Relaxed);
        self.wake();
    }

    fn wake(&self) {
        if let Some(worker) = &*self.worker.lock() {
            worker.wake_by_ref();
        }
    }

    /// It ends, for this reason.
    fn end(&self, why: CallFailure) -> Poll<()> {
        *self.why.lock() = Some(why);
        Poll::Ready(())
    }
}

/// What the handler asks of one instance: which requests it takes.
pub(crate) struct Worker {
    live: Arc<SharedInstance>,
    generation: Arc<Generation>,
    in_all: usize,
}

impl WorkerState for Worker {
    type StoreData = HostState;
    type RequestData = Arc<Asked>;

    /// The handler asks this whenever it has polled the instance's requests, and so at the
    /// beginning of each slice.
    fn should_accept_request(&self, _at_once: usize, in_all: usize) -> ShouldAccept {
        self.live.meter.begin();
        if in_all >= self.in_all || self.live.is_stopped.load(Relaxed) {
            ShouldAccept::Never
        } else if self.live.meter.running() >= AT_ONCE {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, HostState>,
        asked: Arc<Asked>,
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        let instance = &mut store.data_mut().instance;
        if self.live.meter.open().0 == 0 {
            instance.end_output();
        }
        // Memory does not shrink: what has grown so far would soon be refused more. And what was
        // refused once would be taken for the cause of what a later request does.
        let has_grown = instance.memory() > self.generation.runtime.limits.memory / 2;
        if has_grown || instance.was_refused() {
            self.live.is_stopped.store(true, Relaxed);
        }
        self.live.has_begun.store(true, Relaxed);
        let task = asked.begin(&self.live);
        // One request sees one view; the instance sees newer ones with its next request.
        store.data_mut().call.look_anew();
        Box::pin(async move {
            asked.given_up.notified().await;
            task.runs_on();
        })
    }

    /// Notes why the instance has ended, before its store is dropped and its requests see it.
    fn drop(&self, store: Store<HostState>, result: Result<(), wasmtime::Error>) {
        let ended = match (self.live.why.lock().take(), result) {
            (Some(why), _) => Err(why),
            (None, Ok(())) => Ok(()),
            (None, Err(error)) => {
                let span = Span::Request(self.generation.runtime.limits.wall);
                Err(failure(&self.generation, span, store.data(), &error))
            }
        };
        self.live.ended.send_replace(Some(ended));
        std::mem::drop(store);
    }
}
