//! The response of a `wasi:http` component: whether its body was finished, as the guest said it.
//!
//! The engine ends a body in the same way when the guest finishes it and when the guest is gone.
//! So it is noted here which body belongs to the response, and how the guest left it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::header;
use parking_lot::Mutex;
use wasmtime::UpdateDeadline;
use wasmtime::component::Resource;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::bindings::http::types::{OutgoingBody, OutgoingResponse};

use super::CallContext;

/// How the guest has left the body of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyEnd {
    /// It may still write to it.
    #[default]
    #[error("never finished the body of its response")]
    Open,
    /// All of it was written.
    #[error("finished the body of its response")]
    Finished,
    /// It returned and kept the body. What was written is taken to be all of it.
    #[error("returned without finishing the body of its response, which went out as if it had")]
    Kept,
    /// It was ended before all bytes that were promised had been written.
    #[error(
        "ended the body of its response after {written} of the {promised} bytes of its content-length"
    )]
    Short {
        /// The bytes that were written.
        written: u64,
        /// Its `content-length`.
        promised: u64,
    },
    /// Nobody reads it: the client has gone.
    #[error("was left by its client")]
    Left,
}

/// How the body of one response was left. The guest's functions, the task of the guest and the
/// connection share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct BodyMark(Arc<Mutex<BodyEnd>>);

impl BodyMark {
    /// A mark of a body of which all is there.
    pub(crate) fn finished() -> BodyMark {
        let mark = BodyMark::default();
        mark.set(BodyEnd::Finished);
        mark
    }

    pub(crate) fn end(&self) -> BodyEnd {
        *self.0.lock()
    }

    /// Whether nothing more is to come.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.end(), BodyEnd::Finished | BodyEnd::Kept)
    }

    /// The client has gone. A body that was finished before stays so.
    pub(crate) fn leave(&self) {
        let mut end = self.0.lock();
        if !matches!(*end, BodyEnd::Finished | BodyEnd::Kept) {
            *end = BodyEnd::Left;
        }
    }

    pub(crate) fn set(&self, end: BodyEnd) {
        *self.0.lock() = end;
    }
}

/// A body that the guest has taken from a response.
struct Taken {
    response: u32,
    body: u32,
    promised: u64,
    mark: BodyMark,
}

/// The bodies of responses that the guest has taken and not finished.
#[derive(Default)]
pub(super) struct Bodies {
    taken: Vec<Taken>,
    /// The numbers of those that are over, though the guest holds them still.
    settled: HashSet<u32>,
}

impl Bodies {
    /// The guest has taken the body of a response.
    pub(super) fn take(
        &mut self,
        response: &Resource<OutgoingResponse>,
        body: &Resource<OutgoingBody>,
        headers: &FieldMap,
    ) {
        let (response, body) = (response.rep(), body.rep());
        // Numbers are used again once a handle is gone.
        self.settled.remove(&body);
        self.taken
            .retain(|taken| taken.response != response && taken.body != body);
        self.taken.push(Taken {
            response,
            body,
            promised: promised(headers).unwrap_or(0),
            mark: BodyMark::default(),
        });
    }

    /// The mark of the body that was taken from a response.
    pub(super) fn of(&self, response: &Resource<OutgoingResponse>) -> Option<BodyMark> {
        let response = response.rep();
        let taken = self.taken.iter().find(|taken| taken.response == response)?;
        Some(taken.mark.clone())
    }

    /// The guest has returned. `settle` ends a body, by its number, if the guest holds it still.
    pub(super) fn returned(&mut self, mut settle: impl FnMut(u32, &BodyMark) -> bool) {
        let settled = &mut self.settled;
        self.taken.retain(|Taken { body, mark, .. }| {
            let is_kept = mark.end() == BodyEnd::Open && settle(*body, mark);
            if is_kept {
                settled.insert(*body);
            }
            !is_kept
        });
    }

    /// The number is that of another body now.
    pub(super) fn forget(&mut self, body: u32) {
        self.settled.remove(&body);
    }

    /// How many bodies are over, though the guest holds them still. `holds` says whether it does.
    pub(super) fn settled(&mut self, holds: impl Fn(u32) -> bool) -> usize {
        self.settled.retain(|body| holds(*body));
        self.settled.len()
    }

    /// The guest finishes a body. It is marked as finished before the connection can see its end;
    /// the result is called if it turns out that bytes are missing, with those that were written.
    pub(super) fn finish(&mut self, body: &Resource<OutgoingBody>) -> impl FnOnce(u64) + use<> {
        let at = self.taken.iter().position(|taken| taken.body == body.rep());
        let taken = at.map(|at| self.taken.swap_remove(at));
        if let Some(taken) = &taken {
            taken.mark.set(BodyEnd::Finished);
        }
        move |written| {
            if let Some(Taken { promised, mark, .. }) = taken {
                mark.set(BodyEnd::Short { written, promised });
            }
        }
    }
}

/// The `content-length` of these fields.
pub(crate) fn promised(fields: &http::HeaderMap) -> Option<u64> {
    let length = fields.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// What is noted of the response of a call: the mark of its body, once the guest has set it, and
/// whether the guest waits only for its turn.
#[derive(Debug, Default)]
pub(crate) struct ResponseSet {
    mark: Mutex<Option<BodyMark>>,
    waits_for_turn: AtomicBool,
}

impl ResponseSet {
    pub(super) fn body(&self, mark: Option<BodyMark>) {
        *self.mark.lock() = mark;
    }

    /// The mark of the body. A response without a body is finished.
    pub(crate) fn mark(&self) -> BodyMark {
        let mark = self.mark.lock().clone();
        mark.unwrap_or_else(BodyMark::finished)
    }

    /// Whether the guest was interrupted at a tick, and would go on.
    pub(crate) fn waits_for_turn(&self) -> bool {
        self.waits_for_turn.load(Relaxed)
    }
}

/// What the store of a call does at each epoch tick.
///
/// # Errors
/// As of [`crate::capacity::Meter::on_tick`].
pub(crate) fn on_tick(call: &CallContext) -> wasmtime::Result<UpdateDeadline> {
    let (set, ticks, turn) = match (&call.response, call.meter().clone().on_tick()?) {
        (Some(set), UpdateDeadline::YieldCustom(ticks, turn)) => (set.clone(), ticks, turn),
        (_, deadline) => return Ok(deadline),
    };
    set.waits_for_turn.store(true, Relaxed);
    let turn = async move {
        turn.await;
        set.waits_for_turn.store(false, Relaxed);
    };
    Ok(UpdateDeadline::YieldCustom(ticks, Box::pin(turn)))
}
