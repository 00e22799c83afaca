//! One call into a component, for any purpose: a callback, a change of code, a `wasi:http`
//! request, the first instance during validation.
//!
//! ```text
//! place -> instance -> metered call -> effects, or a CallFailure
//! ```

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower};
use wasmtime_wasi::I32Exit;

use super::{CallEnd, Generation, RequestEnd, queue};
use crate::capacity::{CallEnded, CallTimes, Class, Meter, Metered, NoPlace, PATIENCE};
use crate::contract::{
    CALLBACK_CALL_MAX, CallContext, CallEffects, HostState, OverQuota, REQUEST_CALL_MAX,
    Subscribed, by_machine,
};
use crate::engine::{bounded, one_line};

/// Why a call failed. The text is the cause in the log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallFailure {
    /// The guest trapped: it panicked, or broke a rule of WebAssembly.
    #[error("{0}")]
    Trap(String),
    /// It ended itself, and all went well. So there is no result, and no fault either.
    #[error("called exit(0) instead of returning")]
    Exited,
    /// It used up its processor time.
    #[error("used its {} s of processor time; --cpu-limit allows more", .0.as_secs_f32())]
    Cpu(Duration),
    /// It did not return in time on the wall.
    #[error("did not return within {} s; --wall-limit allows more", .0.as_secs_f32())]
    Wall(Duration),
    /// It was refused memory, and failed after that.
    #[error("asked for more than its {} MiB of memory; --memory-limit allows more", .0 >> 20)]
    Memory(usize),
    /// A table of it was to grow beyond the limit, and it failed after that.
    #[error("asked for a table of more than {0} elements; --max-table-elements allows more")]
    Table(usize),
    /// It made the host keep too much, or handed over too much in one call.
    #[error("{0}")]
    Quota(String),
    /// Its client sent nothing for longer than it may.
    #[error("was ended: its client stopped sending")]
    Silent,
    /// Its client read nothing for so long.
    #[error("was ended: its client read nothing for {} s", .0.as_secs_f32())]
    Unread(Duration),
    /// This machine had no place for it, or no memory.
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    /// It ran old code, and the time for that was over.
    #[error("was ended: it ran old code, and a next app waited for its room")]
    Drained,
}

impl CallFailure {
    /// How the failure is counted; none if the app did not cause it.
    pub(crate) fn end(&self) -> Option<CallEnd> {
        match self {
            CallFailure::Trap(_)
            | CallFailure::Memory(_)
            | CallFailure::Table(_)
            | CallFailure::Quota(_) => Some(CallEnd::Trapped),
            CallFailure::Cpu(_) | CallFailure::Wall(_) => Some(CallEnd::Overran),
            CallFailure::Exited
            | CallFailure::Silent
            | CallFailure::Unread(_)
            | CallFailure::NoPlace(_)
            | CallFailure::Drained => None,
        }
    }

    /// Whether the client ended the call, by not sending or not reading.
    pub(crate) fn is_client(&self) -> bool {
        matches!(self, CallFailure::Silent | CallFailure::Unread(_))
    }

    /// How the client of the request saw it; none if the app did not cause it.
    pub(crate) fn request_end(&self) -> Option<RequestEnd> {
        match self.end() {
            Some(CallEnd::Trapped) => Some(RequestEnd::Trapped),
            Some(CallEnd::Overran) => Some(RequestEnd::Overran),
            // It is no trap, but no answer either.
            None if matches!(self, CallFailure::Exited) => Some(RequestEnd::Broken),
            Some(CallEnd::Returned) | None => None,
        }
    }

    /// Whether the node was too busy. Another node, or the same node a moment later, may not be.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, CallFailure::NoPlace(_) | CallFailure::Drained)
    }
}

/// How a call ended, as it is counted; none if the end says nothing about the app.
pub(crate) fn end<T>(ended: &Result<T, CallFailure>) -> Option<CallEnd> {
    match ended {
        Ok(_) => Some(CallEnd::Returned),
        Err(failure) => failure.end(),
    }
}

/// How long a call keeps its instance, and how long it waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// Until it returns. It is the first of its request, and does not wait for long.
    First,
    /// Until it returns.
    Callback,
    /// For a whole `wasi:http` request, unless its client reads nothing for this time.
    Request(Duration),
}

impl Span {
    /// How many bytes the guest may hand over in one call, or return.
    fn call_max(self) -> usize {
        match self {
            Span::First | Span::Callback => CALLBACK_CALL_MAX,
            Span::Request(_) => REQUEST_CALL_MAX,
        }
    }
}

/// Calls into an instance of a component, under all limits of a call. Returns the result of
/// the call, and what it asked for. `held` says what its exchange has subscribed to. Most calls
/// return when they are first polled.
pub(crate) async fn invoke<T>(
    generation: &Generation,
    span: Span,
    held: Subscribed<'_>,
    call: impl AsyncFnOnce(&mut Store<HostState>, &Instance) -> wasmtime::Result<T>,
) -> Result<(T, CallEffects), CallFailure> {
    let runtime = &generation.runtime;
    let class = generation.class();
    let patience = match (span, class) {
        (Span::First | Span::Request(_), Class::Call) => PATIENCE,
        (Span::Callback, _) | (_, Class::Try) => runtime.limits.wall,
    };
    let size = generation.instance_size;
    let place = queue(runtime.places.take(class, size, patience)).await?;
    let meter = runtime.meter(class, place);
    let mut context = CallContext::new(
        runtime.node.clone(),
        (generation.release(), generation.digest),
        meter.clone(),
        held,
    );
    // What new code writes while it is tried out holds nowhere.
    if matches!(span, Span::Request(_)) && class == Class::Call {
        context.effects.data.write_at_once();
    }
    let mut instance = generation.acquire(context, span.call_max());
    let returned = {
        let running = pin!(instance.run(&generation.pre, call));
        within_limits(generation, span, &meter, running).await?
    };
    match returned {
        Ok(returned) => Ok((returned, instance.finish())),
        Err(error) => {
            let failure = failure(generation, span, instance.state(), &error);
            if failure.end().is_some() {
                instance.fail();
            }
            Err(failure)
        }
    }
}

/// Lets a call run until it ends, by itself or at a limit.
pub(super) async fn within_limits<R>(
    generation: &Generation,
    span: Span,
    meter: &Arc<Meter>,
    running: Pin<&mut impl Future<Output = R>>,
) -> Result<R, CallFailure> {
    let wall = generation.runtime.limits.wall;
    let stall = match span {
        Span::First | Span::Callback => Duration::MAX,
        Span::Request(stall) => stall,
    };
    tokio::select! {
        biased;
        ended = Metered::new(running, meter.clone(), CallTimes { wall, stall }) => {
            ended.map_err(|ended| match ended {
                CallEnded::Wall => CallFailure::Wall(wall),
                CallEnded::Silent => CallFailure::Silent,
                CallEnded::Unread => CallFailure::Unread(stall),
                CallEnded::NoPlace(why) => {
                    meter.turn_away(&why);
                    CallFailure::NoPlace(why)
                }
            })
        }
        () = generation.signals.over() => Err(CallFailure::Drained),
    }
}

/// Calls one function of an instance.
pub(crate) async fn call_function<P, R>(
    store: &mut Store<HostState>,
    instance: &Instance,
    function: &ComponentExportIndex,
    parameters: P,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    instance
        .get_typed_func::<P, R>(&mut *store, function)?
        .call_async(store, parameters)
        .await
}

/// Why a call failed, from what its store saw.
pub(super) fn failure(
    generation: &Generation,
    span: Span,
    state: &HostState,
    error: &wasmtime::Error,
) -> CallFailure {
    let limits = &generation.runtime.limits;
    if state.call.meter().overrun() {
        return CallFailure::Cpu(limits.cpu);
    }
    if let Some(over) = OverQuota::of(error, span.call_max()) {
        return CallFailure::Quota(over.to_string());
    }
    if state.instance.memory_refused() {
        return CallFailure::Memory(limits.memory);
    }
    if state.instance.table_refused() {
        return CallFailure::Table(generation.runtime.room.table_elements);
    }
    if state.instance.starved() || by_machine(error) {
        let places = &generation.runtime.places;
        let why = places.memory_is_short();
        let why = why.unwrap_or_else(|| NoPlace::Engine(one_line(error)));
        places.turn_away(&why);
        return CallFailure::NoPlace(why);
    }
    match error.downcast_ref::<I32Exit>() {
        Some(I32Exit(0)) => return CallFailure::Exited,
        Some(exit) => return CallFailure::Trap(format!("called exit({})", exit.0)),
        None => {}
    }
    match state.instance.last_panic() {
        Some(panic) => CallFailure::Trap(panic),
        None => CallFailure::Trap(cause_and_backtrace(error)),
    }
}

/// The cause of an error, and then where the guest was, each of bounded length.
fn cause_and_backtrace(error: &wasmtime::Error) -> String {
    let (mut cause, mut backtrace) = (Vec::new(), String::new());
    for said in error.chain().map(ToString::to_string) {
        match said.split_once("wasm backtrace:") {
            Some((_, frames)) => backtrace = frames.to_owned(),
            None => cause.push(said),
        }
    }
    let cause = bounded(&cause.join(": "));
    match backtrace.is_empty() {
        true => cause,
        false => format!("{cause}; backtrace: {}", bounded(&backtrace)),
    }
}
