//! What one instance may make the host keep, and how much a guest may hand over in one call.
//!
//! Handles, fields and bodies of `wasi:http` lie in the host's memory. The engine bounds one map
//! of fields (128 KiB), but not how many there are. So each function by which they grow charges
//! the quota first:
//!
//! ```text
//! charge: more than HELD_MAX charged? -> count what is really held -> still more? -> trap
//! ```
//!
//! What was let go of is noticed only by that count. So a callback that uses little is never
//! counted, and an instance that lives long does not pay for what it held once.

use http::HeaderMap;
use wasmtime::component::{ResourceTable, ResourceTableError};
use wasmtime_wasi_http::p2::bindings::http::types::{
    Method, OutgoingBody, OutgoingRequest, OutgoingResponse, Scheme,
};
use wasmtime_wasi_http::{FieldMap, p3};

/// How many handles an instance may hold at a time.
pub(crate) const HANDLES_MAX: usize = 10_000;
/// How many bytes of fields and bodies the host keeps for an instance at a time.
pub(super) const HELD_MAX: usize = 16 << 20;
/// How many handles a guest may leave open from one call to the next.
pub(super) const LEFT_MAX: usize = HANDLES_MAX / 2;
/// How many bytes a guest may write to a body at once.
pub(super) const BODY_CHUNK: usize = 64 * 1024;
/// What the host may keep of a body: two chunks that wait for the client.
pub(super) const BODY: usize = 2 * BODY_CHUNK;
/// What a field takes beside its name and its value, in bytes.
pub(super) const FIELD: usize = 64;
/// How many bytes a `wasi:http` component may hand over in one call.
pub(crate) const REQUEST_CALL_MAX: usize = 1 << 20;
/// How many bytes a callback may hand over in one call, or return. `server.wit` names this limit.
pub(crate) const CALLBACK_CALL_MAX: usize = 32 << 20;
/// How many random bytes a guest may ask for in one call.
pub(super) const RANDOM_MAX: u64 = 1 << 20;

/// The limit that a guest went over. The text is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OverQuota {
    #[error(
        "held more than {} MiB of fields and bodies at a time; let each go, or finish it, sooner",
        HELD_MAX >> 20
    )]
    Held,
    #[error("held more than {HANDLES_MAX} handles at a time; let each go sooner")]
    Handles,
    #[error(
        "handed over more than {} MiB in one call; write bodies in pieces, and stream large responses",
        .0 >> 20
    )]
    Call(usize),
}

impl OverQuota {
    /// The limit that this error is about, if it is. `call` is the limit of one call.
    pub(crate) fn of(error: &wasmtime::Error, call: usize) -> Option<OverQuota> {
        if let Some(over) = error.downcast_ref::<OverQuota>() {
            return Some(*over);
        }
        if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
            return Some(OverQuota::Handles);
        }
        // The engine has no types for these two. The tests hold its texts.
        let cause = error.root_cause().to_string();
        if cause.contains("fuel allocated for hostcalls") {
            Some(OverQuota::Call(call))
        } else if cause.contains("handle limit exceeded") {
            Some(OverQuota::Handles)
        } else {
            None
        }
    }
}

/// What an instance was charged for since the last count.
#[derive(Debug, Default)]
pub(super) struct Quota {
    charged: usize,
}

impl Quota {
    /// Charges for what is about to be kept beside what `held` counts.
    ///
    /// # Errors
    /// [`OverQuota::Held`].
    pub(super) fn charge(
        &mut self,
        bytes: usize,
        held: impl FnOnce() -> usize,
    ) -> Result<(), OverQuota> {
        self.charged = self.charged.saturating_add(bytes);
        if self.charged > HELD_MAX {
            self.charged = held().saturating_add(bytes);
        }
        match self.charged > HELD_MAX {
            true => Err(OverQuota::Held),
            false => Ok(()),
        }
    }
}

/// A table of handles with the limit of an instance.
pub(super) fn table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES_MAX);
    table
}

/// Whether a guest has left no more handles open than it may from one call to the next.
pub(super) fn is_tidy(table: &mut ResourceTable) -> bool {
    table.is_empty() || table.iter_mut().nth(LEFT_MAX).is_none()
}

/// What the host keeps for the handles of a table, in bytes.
pub(super) fn held(table: &mut ResourceTable) -> usize {
    table
        .iter_mut()
        .map(|entry| {
            if let Some(fields) = entry.downcast_ref::<FieldMap>() {
                map_bytes(fields)
            } else if let Some(response) = entry.downcast_ref::<OutgoingResponse>() {
                map_bytes(&response.headers) + response.body.as_ref().map_or(0, |_| BODY)
            } else if let Some(request) = entry.downcast_ref::<OutgoingRequest>() {
                request_bytes(request)
            } else if entry.is::<OutgoingBody>() {
                BODY
            } else if let Some(request) = entry.downcast_ref::<p3::Request>() {
                request_03_bytes(request)
            } else if let Some(response) = entry.downcast_ref::<p3::Response>() {
                map_bytes(&response.headers) + BODY
            } else {
                0
            }
        })
        .sum()
}

fn request_bytes(request: &OutgoingRequest) -> usize {
    let method = match &request.method {
        Method::Other(method) => method.len(),
        _ => 0,
    };
    let scheme = match &request.scheme {
        Some(Scheme::Other(scheme)) => scheme.len(),
        _ => 0,
    };
    let path = request.path_with_query.as_ref().map_or(0, String::len);
    let authority = request.authority.as_ref().map_or(0, String::len);
    let body = request.body.as_ref().map_or(0, |_| BODY);
    method + scheme + path + authority + body + map_bytes(&request.headers)
}

fn request_03_bytes(request: &p3::Request) -> usize {
    let authority = request.authority.as_ref().map_or(0, |it| it.as_str().len());
    let path = request.path_with_query.as_ref();
    let path = path.map_or(0, |it| it.as_str().len());
    let scheme = request.scheme.as_ref().map_or(0, |it| it.as_str().len());
    let method = request.method.as_str().len();
    method + scheme + path + authority + BODY + map_bytes(&request.headers)
}

/// What the host keeps for a map of fields, in bytes.
pub(super) fn map_bytes(fields: &HeaderMap) -> usize {
    let fields = fields.iter();
    fields
        .map(|(name, value)| FIELD + name.as_str().len() + value.len())
        .sum()
}
