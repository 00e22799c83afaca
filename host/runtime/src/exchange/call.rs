//! The callbacks of an exchange, and the functions that turn its state into one
//! of another version.

use crate::contract::http::{Field, Request};
use crate::contract::mailbox::Message;
use crate::contract::{CallEffect, Step, Subscribed};
use crate::generation::{
    CallFailure, ComponentKind, Generation, Span, call_end, call_function, invoke,
};

/// One callback of an exchange.
pub(super) enum Call {
    /// The head of the request. The state is the app's config.
    Head(Request),
    /// A piece of the body.
    Data(Vec<u8>),
    /// The end of the body.
    Tail(Vec<Field>),
    /// A message.
    Info(Message),
}

/// Makes a callback. Returns its step and what it asked for, in order. `held`
/// says what the exchange has subscribed to.
pub(super) async fn call(
    generation: &Generation,
    call: Call,
    state: &[u8],
    held: Subscribed<'_>,
) -> Result<(Step, Vec<CallEffect>), CallFailure> {
    let span = match &call {
        Call::Head(_) => Span::First,
        Call::Data(_) | Call::Tail(_) | Call::Info(_) => Span::Callback,
    };
    match &generation.kind {
        ComponentKind::Streaming(app) => {
            invoke(generation, span, held, async |store, instance| {
                let (step,) = match call {
                    Call::Head(request) => {
                        call_function(store, instance, &app.handle_head, (&request, state)).await?
                    }
                    Call::Data(data) => {
                        call_function(store, instance, &app.handle_data, (&data[..], state)).await?
                    }
                    Call::Tail(fields) => {
                        let parameters = (&fields[..], state);
                        call_function(store, instance, &app.handle_tail, parameters).await?
                    }
                    Call::Info(message) => {
                        call_function(store, instance, &app.handle_info, (&message, state)).await?
                    }
                };
                Ok(step)
            })
            .await
        }
        ComponentKind::Simple { handle_request } => match call {
            Call::Head(request) => {
                invoke(generation, span, held, async |store, instance| {
                    let parameters = (&request, state);
                    let (response,) =
                        call_function(store, instance, handle_request, parameters).await?;
                    Ok(Step::Done(response))
                })
                .await
            }
            // A simple app is called once per exchange.
            _ => Ok((Step::Continue((Vec::new(), Vec::new())), Vec::new())),
        },
        ComponentKind::WasiHttp { .. } | ComponentKind::WasiHttp03(_) => Err(CallFailure::Trap(
            "a wasi:http component has no callbacks".to_owned(),
        )),
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
