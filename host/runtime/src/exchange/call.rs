//! One call into a component, in a fresh instance, under its limits.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower};
use wasmtime::{Store, Trap};

use crate::contract::http::{Field, Request};
use crate::contract::mailbox::Message;
use crate::contract::{CallContext, Effect, Held, Metered, Step, WallDeadline, by_machine};
use crate::generation::{CallEnd, Generation, Kind};

/// One callback of an exchange.
pub(super) enum Call {
    /// The head of the request; the state is the app's config.
    Head(Request),
    /// A piece of its body.
    Data(Vec<u8>),
    /// The end of its body.
    Tail(Vec<Field>),
    /// A message.
    Info(Message),
}

/// What a callback came back with.
pub(super) struct Returned {
    pub(super) step: Step,
    /// What it asked for, in order.
    pub(super) effects: Vec<Effect>,
}

/// Why a callback did not come back. The text is the cause in the log.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The guest trapped: it panicked, or broke a rule of WebAssembly.
    #[error("{0}")]
    Trap(String),
    /// It used up its processor time.
    #[error("used its {} s of processor time; --cpu-limit allows more", .0.as_secs_f32())]
    Cpu(Duration),
    /// It did not return in time.
    #[error("did not return within {} s; --wall-limit allows more", .0.as_secs_f32())]
    Wall(Duration),
    /// It was refused memory and did not survive it.
    #[error("asked for more than its {} MiB of memory; --memory-limit allows more", .0 >> 20)]
    Memory(usize),
    /// Too many callbacks run already, and none ended in time.
    #[error("no instance came free within {} s; too many requests run", .0.as_secs_f32())]
    NoInstance(Duration),
    /// It ran old code, and the time for that was over.
    #[error("was ended: it ran old code, and a next app waited for its room")]
    Drained,
    /// This machine had no room for it.
    #[error("could not be given an instance: {0}; is there memory left?")]
    NoRoom(String),
}

impl Failure {
    /// What is counted of it; none if it was no fault of the app's.
    pub(super) fn end(&self) -> Option<CallEnd> {
        match self {
            Failure::Trap(_) | Failure::Memory(_) => Some(CallEnd::Trapped),
            Failure::Cpu(_) | Failure::Wall(_) => Some(CallEnd::Overran),
            Failure::NoInstance(_) | Failure::Drained | Failure::NoRoom(_) => None,
        }
    }

    /// Whether the node was too busy for it: another one, or the same a moment
    /// later, may not be.
    pub(super) fn is_busy(&self) -> bool {
        matches!(
            self,
            Failure::NoInstance(_) | Failure::Drained | Failure::NoRoom(_)
        )
    }
}

/// How a call ended, as it is counted; none if that says nothing of the app.
pub(super) fn end<T>(ended: &Result<T, Failure>) -> Option<CallEnd> {
    match ended {
        Ok(_) => Some(CallEnd::Returned),
        Err(failure) => failure.end(),
    }
}

/// Calls the component. `held` says what the exchange has subscribed to.
pub(super) async fn call(
    generation: &Generation,
    call: Call,
    state: &[u8],
    held: Held<'_>,
) -> Result<Returned, Failure> {
    let runtime = &generation.runtime;
    let _place = free(&runtime.instances, runtime.limits.wall).await?;
    let mut store = runtime.store(generation.release.clone(), held);
    let slices = store.data().slices().clone();
    let returned = {
        let running = pin!(async {
            match &generation.kind {
                Kind::Streaming(app) => {
                    let instance = app.instantiate(&mut store).await?;
                    let (step,): (Step,) = match call {
                        Call::Head(request) => {
                            call_in(&mut store, &instance, &app.handle_head, (&request, state))
                                .await?
                        }
                        Call::Data(data) => {
                            call_in(&mut store, &instance, &app.handle_data, (&data[..], state))
                                .await?
                        }
                        Call::Tail(fields) => {
                            call_in(
                                &mut store,
                                &instance,
                                &app.handle_tail,
                                (&fields[..], state),
                            )
                            .await?
                        }
                        Call::Info(message) => {
                            call_in(&mut store, &instance, &app.handle_info, (&message, state))
                                .await?
                        }
                    };
                    Ok(step)
                }
                Kind::Simple(app) => match call {
                    Call::Head(request) => {
                        let instance = app.instantiate(&mut store).await?;
                        let parameters = (&request, state);
                        let (response,) =
                            call_in(&mut store, &instance, &app.handle_request, parameters).await?;
                        Ok(Step::Done(response))
                    }
                    // A simple app is called once per exchange.
                    _ => Ok(Step::Continue((Vec::new(), Vec::new()))),
                },
                Kind::Plain(_) => Err(wasmtime::Error::msg(
                    "a wasi:http component has no callbacks",
                )),
            }
        });
        until_over(
            generation,
            Metered::new(running, slices, Some(runtime.limits.wall)),
        )
        .await
    };
    let step = outcome(&store, generation, returned)?;
    Ok(Returned {
        step,
        effects: std::mem::take(&mut store.data_mut().effects),
    })
}

/// Which of the two functions of `upgrade` is called, and with which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// `code-change`, of a state that code of this version wrote.
    From(u32),
    /// `code-change-down`, to a state for code of this version.
    DownTo(u32),
}

/// Has a state turned into one of another version; the inner error is the
/// app's refusal. What it asks of its mailbox meanwhile is dropped.
pub(super) async fn change(
    generation: &Generation,
    change: Change,
    state: &[u8],
) -> Result<Result<Vec<u8>, String>, Failure> {
    let runtime = &generation.runtime;
    let Kind::Streaming(app) = &generation.kind else {
        return Ok(Err("it keeps no state".to_owned()));
    };
    let Some(upgrade) = &app.upgrade else {
        return Ok(Err("it does not export ace:raxx/upgrade".to_owned()));
    };
    let (function, version) = match change {
        Change::From(version) => (&upgrade.code_change, version),
        Change::DownTo(version) => (&upgrade.code_change_down, version),
    };
    let _place = free(&runtime.instances, runtime.limits.wall).await?;
    let mut store = runtime.store(generation.release.clone(), Held::default());
    let slices = store.data().slices().clone();
    let returned = {
        let running = pin!(async {
            let instance = app.instantiate(&mut store).await?;
            let (changed,): (Result<Vec<u8>, String>,) =
                call_in(&mut store, &instance, function, (version, state)).await?;
            Ok(changed)
        });
        until_over(
            generation,
            Metered::new(running, slices, Some(runtime.limits.wall)),
        )
        .await
    };
    let changed = outcome(&store, generation, returned);
    if let Some(end) = end(&changed) {
        generation.life.count_change(end);
    }
    changed
}

/// Runs a call until it returns, or its generation is to be freed. Most calls
/// return when they are first polled, and then this costs nothing.
pub(super) async fn until_over<T>(
    generation: &Generation,
    call: impl Future<Output = Result<T, WallDeadline>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        returned = call => {
            returned.map_err(|WallDeadline| Failure::Wall(generation.runtime.limits.wall))
        }
        () = generation.life.over() => Err(Failure::Drained),
    }
}

/// What a call came back with, or why it did not.
pub(super) fn outcome<T>(
    store: &Store<CallContext>,
    generation: &Generation,
    returned: Result<wasmtime::Result<T>, Failure>,
) -> Result<T, Failure> {
    report_output(store, generation);
    returned?.map_err(|error| failure(generation, store.data(), &error))
}

/// Calls one function of an instance.
async fn call_in<P, R>(
    store: &mut Store<CallContext>,
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

/// A place for one instance. One is nearly always free; if not, it is waited
/// for, for so long.
pub(super) async fn free(
    places: &Arc<Semaphore>,
    wait: Duration,
) -> Result<OwnedSemaphorePermit, Failure> {
    if let Ok(place) = places.clone().try_acquire_owned() {
        return Ok(place);
    }
    match tokio::time::timeout(wait, places.clone().acquire_owned()).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err(Failure::NoInstance(wait)),
    }
}

/// Why a call failed, from what the store saw.
fn failure(generation: &Generation, context: &CallContext, error: &wasmtime::Error) -> Failure {
    let limits = &generation.runtime.limits;
    if context.slices().overrun() {
        return Failure::Cpu(limits.cpu);
    }
    if let Some(cap) = context.memory_refused() {
        return Failure::Memory(cap);
    }
    if context.starved() || by_machine(error) {
        return Failure::NoRoom(crate::engine::one_line(error));
    }
    // The backtrace names the guest's own functions: for who asks for it.
    tracing::debug!(release = %generation.release.id, "{error:?}");
    match (context.output().last_panic(), error.downcast_ref::<Trap>()) {
        (Some(panic), _) => Failure::Trap(panic),
        (None, Some(trap)) => Failure::Trap(trap.to_string()),
        (None, None) => Failure::Trap(crate::engine::one_line(error)),
    }
}

/// Logs what the guest wrote, as far as the log's limit allows.
fn report_output(store: &Store<CallContext>, generation: &Generation) {
    let output = store.data().output();
    if output.is_empty() {
        return;
    }
    for line in output.lines() {
        let Some(left_out) = generation.runtime.guest_lines.admit(Instant::now()) else {
            continue;
        };
        if left_out > 0 {
            tracing::info!("{left_out} more lines of guests were not logged");
        }
        tracing::info!(release = %generation.release.id, "guest: {line}");
    }
}
