//! The callbacks of an exchange, in each version of the contract, and the functions that turn its
//! state into one of another version.

use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower};

use super::run::Gathered;
use crate::contract::http::{Field, Request};
use crate::contract::mailbox::Message;
use crate::contract::{
    CallEffect, Complete, HostState, IllegalEffect, Next, Step, Subscribed, v0_1,
};
use crate::generation::{
    CallFailure, ComponentKind, Generation, ServerVersion, Span, Streaming, call_end,
    call_function, invoke,
};
use crate::http::response::fields;

/// One callback of an exchange.
pub(super) enum Call {
    /// The head of the request. The state is the app's config.
    Head(Request),
    /// A piece of the body.
    Data(Vec<u8>),
    /// The end of the body.
    Tail(Vec<Field>),
    /// The rest of the body, gathered.
    Body(Gathered),
    /// A message.
    Info(Message),
}

/// What a callback returned. Its effects are in the second half, checked and in order, and not in
/// the step.
pub(super) type Returned = (Step, Result<Vec<CallEffect>, IllegalEffect>);

/// Makes a callback. `held` says what the exchange has subscribed to.
pub(super) async fn call(
    generation: &Generation,
    call: Call,
    state: &[u8],
    held: Subscribed<'_>,
) -> Result<Returned, CallFailure> {
    let span = match &call {
        Call::Head(_) => Span::First,
        Call::Data(_) | Call::Tail(_) | Call::Body(_) | Call::Info(_) => Span::Callback,
    };
    let (mut step, effects) = match &generation.kind {
        ComponentKind::Streaming(app) => {
            invoke(generation, span, held, async |store, instance| {
                let callback = Callback {
                    store,
                    instance,
                    state,
                };
                callback.make(app, call).await
            })
            .await?
        }
        ComponentKind::Simple { handle_request } => {
            let Call::Head(request) = call else {
                // A simple app is called once per exchange.
                return Ok((Step::Continue(nothing()), Ok(Vec::new())));
            };
            invoke(generation, span, held, async |store, instance| {
                let parameters = (&request, state);
                let (response,) =
                    call_function(store, instance, handle_request, parameters).await?;
                let effects = Vec::new();
                Ok(Step::Done(Complete { response, effects }))
            })
            .await?
        }
        ComponentKind::WasiHttp { .. } | ComponentKind::WasiHttp03(_) => {
            return Err(CallFailure::Trap(
                "a wasi:http component has no callbacks".to_owned(),
            ));
        }
    };
    let effects = effects.with(take_effects(&mut step));
    Ok((step, effects))
}

fn nothing() -> Next {
    Next {
        parts: Vec::new(),
        effects: Vec::new(),
        state: Vec::new(),
    }
}

fn take_effects(step: &mut Step) -> Vec<crate::contract::mailbox::Effect> {
    let effects = match step {
        Step::Done(complete) => &mut complete.effects,
        Step::Continue(next) | Step::Collect((next, _)) => &mut next.effects,
    };
    std::mem::take(effects)
}

/// A callback into an instance that was made for it.
struct Callback<'a> {
    store: &'a mut Store<HostState>,
    instance: &'a Instance,
    state: &'a [u8],
}

impl Callback<'_> {
    async fn make(self, app: &Streaming, call: Call) -> wasmtime::Result<Step> {
        match &app.version {
            ServerVersion::V0_1 => match call {
                Call::Info(message) => {
                    let message = v0_1::Message::from(message);
                    let step: v0_1::Step = self.message(app, &message).await?;
                    Ok(step.into())
                }
                call => Ok(self.request::<v0_1::Step>(app, call).await?.into()),
            },
            ServerVersion::V0_2 { .. } => match call {
                Call::Info(message) => self.message(app, &message).await,
                call => self.request(app, call).await,
            },
        }
    }

    async fn message<M, S>(self, app: &Streaming, message: &M) -> wasmtime::Result<S>
    where
        M: Lower + Send + Sync,
        S: Lift + Send + Sync + 'static,
    {
        let parameters = (message, self.state);
        self.function(&app.handle_info, parameters).await
    }

    async fn request<S>(self, app: &Streaming, call: Call) -> wasmtime::Result<S>
    where
        S: Lift + Send + Sync + 'static,
    {
        let state = self.state;
        match call {
            Call::Head(request) => self.function(&app.handle_head, (&request, state)).await,
            Call::Data(data) => self.function(&app.handle_data, (&data[..], state)).await,
            Call::Tail(fields) => self.function(&app.handle_tail, (&fields[..], state)).await,
            Call::Body(body) => {
                let ServerVersion::V0_2 { handle_body } = &app.version else {
                    return Err(wasmtime::Error::msg("it has no handle-body"));
                };
                let trailers = fields(&body.trailers);
                let parameters = (&body.bytes[..], &trailers[..], state);
                self.function(handle_body, parameters).await
            }
            Call::Info(_) => Err(wasmtime::Error::msg("a message is no part of a request")),
        }
    }

    async fn function<P, S>(
        self,
        function: &ComponentExportIndex,
        parameters: P,
    ) -> wasmtime::Result<S>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        S: Lift + Send + Sync + 'static,
    {
        let (step,) = call_function(self.store, self.instance, function, parameters).await?;
        Ok(step)
    }
}

/// Which of the two functions of `upgrade` is called, and for which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// `code-change`: the state was written by code of this version.
    From(u32),
    /// `code-change-down`: the state is for code of this version.
    DownTo(u32),
}

/// Turns a state into one of another version. The inner error is the app's
/// refusal. What the app asks of its mailbox meanwhile is dropped.
pub(super) async fn change(
    generation: &Generation,
    change: Change,
    state: &[u8],
) -> Result<Result<Vec<u8>, String>, CallFailure> {
    let ComponentKind::Streaming(app) = &generation.kind else {
        return Ok(Err("it keeps no state".to_owned()));
    };
    let Some(upgrade) = &app.upgrade else {
        return Ok(Err("it does not export ace:raxx/upgrade".to_owned()));
    };
    let (function, version) = match change {
        Change::From(version) => (&upgrade.code_change, version),
        Change::DownTo(version) => (&upgrade.code_change_down, version),
    };
    let held = Subscribed::default();
    let changed = invoke(generation, Span::Callback, held, async |store, instance| {
        let (changed,) = call_function(store, instance, function, (version, state)).await?;
        Ok(changed)
    })
    .await;
    if let Some(end) = call_end(&changed) {
        generation.stats.count_change(end);
    }
    changed.map(|(changed, _)| changed)
}
