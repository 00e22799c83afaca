//! The data of one store. What belongs to the instance is separate from what
//! belongs to the call, so that an instance can serve a next call.

use std::sync::Arc;

use ::cluster::Settings;
use ::cluster::release::ReleaseId;
use tokio::sync::Semaphore;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::http::types::{OutgoingBody, OutgoingResponse};
use wasmtime_wasi_http::p2::body::StreamContext;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::config;
use super::context::{CallContext, NodeInfo};
use super::memory_cap::MemoryCap;
use super::outbound::{self, Outbound};
use super::output::{GuestLog, GuestOutput};
use super::quota::{self, OverQuota, Quota};
use super::sent::{Bodies, BodyEnd};
use super::sockets::Sockets;
use crate::capacity::Resident;

/// The data of one store.
pub struct HostState {
    /// What lasts as long as the instance.
    pub(crate) instance: InstanceContext,
    /// What lasts as long as one call into it.
    pub(crate) call: CallContext,
}

/// What belongs to an instance: its memory, its resources, and where its
/// standard output goes.
pub(crate) struct InstanceContext {
    memory: MemoryCap,
    /// What was set when it was made.
    settings: Arc<Settings>,
    output: GuestOutput,
    wasi: Option<Box<WasiCtx>>,
    http: WasiHttpCtx,
    outbound: Outbound,
    /// None before WASI is used, and if it may have none, whatever the rules say.
    pub(super) sockets: Option<Sockets>,
    has_sockets: bool,
    quota: Quota,
    /// The bodies of responses that the guest writes.
    pub(super) bodies: Bodies,
    table: ResourceTable,
    /// The bytes of the heads of all requests that it was given.
    heads: usize,
    /// Whether no further call may be made into it, though the last one returned.
    spent: bool,
    /// Whether it returned without an answer.
    unanswered: bool,
}

impl HostState {
    /// A next call begins, under this release. Nothing is left of the call before but what the
    /// guest keeps.
    pub(crate) fn begin_call(&mut self, call: CallContext, release: ReleaseId) {
        self.call = call;
        self.instance.output.begin_call(release);
        self.instance.outbound.release = release;
        if let Some(sockets) = &mut self.instance.sockets {
            sockets.begin_call(release);
        }
    }

    /// The resources of the instance.
    pub(super) fn table(&mut self) -> &mut ResourceTable {
        &mut self.instance.table
    }

    /// The limiter of the store.
    pub(crate) fn limiter(&mut self) -> &mut dyn wasmtime::ResourceLimiter {
        &mut self.instance.memory
    }
}

impl InstanceContext {
    /// The context of a new instance: the most bytes of memory, and the most elements of a table;
    /// and where the log is, for an instance of this release on this node. It gets no more memory
    /// once `resident` is used up, if that is given.
    pub(crate) fn new(
        (memory, table_elements): (usize, usize),
        node: &NodeInfo,
        resident: Option<Arc<Resident>>,
        log: &Arc<GuestLog>,
        release: ReleaseId,
    ) -> InstanceContext {
        InstanceContext {
            memory: MemoryCap::new(memory, table_elements, resident),
            settings: node.settings(),
            output: GuestOutput::new(log.clone(), release),
            wasi: None,
            http: WasiHttpCtx::new(),
            outbound: Outbound {
                client: node.egress.clone(),
                log: log.clone(),
                release,
                places: Arc::new(Semaphore::new(outbound::PLACES)),
            },
            sockets: None,
            has_sockets: true,
            quota: Quota::default(),
            bodies: Bodies::default(),
            table: quota::table(),
            heads: 0,
            spent: false,
            unanswered: false,
        }
    }

    /// It gets no sockets, whatever the rules say.
    pub(crate) fn without_sockets(mut self) -> InstanceContext {
        self.has_sockets = false;
        self
    }

    /// What is set, as the instance sees it.
    pub(crate) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The bytes of its memories, and of its tables.
    pub(crate) fn memory(&self) -> usize {
        self.memory.used
    }

    /// The instance is given a request with this head. The guest may hold it for as long as the
    /// instance lives.
    pub(crate) fn note_head<B>(&mut self, request: &http::Request<B>) {
        let target = request.uri().path_and_query();
        let target = target.map_or(0, |target| target.as_str().len());
        let bytes = target + quota::map_bytes(request.headers());
        self.heads = self.heads.saturating_add(bytes);
    }

    /// No further call may be made into the instance.
    pub(crate) fn spend(&mut self) {
        self.spent = true;
    }

    /// It returned without an answer: no further call may be made into it either.
    pub(crate) fn leave_unanswered(&mut self) {
        (self.spent, self.unanswered) = (true, true);
    }

    /// Whether it returned without an answer.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.unanswered
    }

    /// The call has returned. Returns whether another one may be made: the host keeps little for
    /// the guest, and refused it nothing.
    pub(crate) fn end_call(&mut self) -> bool {
        self.end_output();
        let refused = self.was_refused();
        let held = self.heads > quota::HELD_MAX || !quota::is_tidy(&mut self.table);
        !(self.spent || refused || held)
    }

    /// What it has printed so far belongs to no later call.
    pub(crate) fn end_output(&self) {
        self.output.end_call();
    }

    /// Whether the guest was refused something that it would have grown by.
    pub(crate) fn was_refused(&self) -> bool {
        self.memory.refused || self.memory.table_refused || self.memory.starved
    }

    /// Whether the guest was refused memory. If the guest failed, this is most
    /// likely the reason.
    pub(crate) fn memory_refused(&self) -> bool {
        self.memory.refused
    }

    /// Whether a table of the guest was to be larger than it may be.
    pub(crate) fn table_refused(&self) -> bool {
        self.memory.table_refused
    }

    /// Whether this machine had no memory for the guest. If the guest failed, this
    /// is most likely the reason.
    pub(crate) fn starved(&self) -> bool {
        self.memory.starved
    }

    /// Charges for what the host is about to keep for the guest.
    ///
    /// # Errors
    /// [`OverQuota::Held`].
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), OverQuota> {
        let InstanceContext {
            table,
            bodies,
            quota: charged,
            ..
        } = self;
        charged.charge(bytes, || {
            let settled = bodies.settled(|body| table.get(&outgoing(body)).is_ok());
            quota::held(table).saturating_sub(settled * quota::BODY)
        })
    }

    /// Notes that the guest has taken the body of a response.
    pub(super) fn note_body(
        &mut self,
        response: &Resource<OutgoingResponse>,
        body: &Resource<OutgoingBody>,
    ) -> wasmtime::Result<()> {
        let headers = &self.table.get(response)?.headers;
        self.bodies.take(response, body, headers);
        Ok(())
    }

    /// The guest has returned. Some toolchains never finish a body, and never drop it either. Then
    /// it ends here: what the guest has left in its place, it can only drop.
    pub(crate) fn returned(&mut self) {
        let InstanceContext {
            table,
            bodies,
            spent,
            ..
        } = self;
        bodies.returned(|body, mark| {
            let body = outgoing(body);
            // A stream that writes to it would keep it open.
            *spent |= table
                .iter_children(&body)
                .is_ok_and(|mut it| it.next().is_some());
            let Ok(kept) = table.get_mut(&body) else {
                return false;
            };
            mark.set(BodyEnd::Kept);
            *kept = OutgoingBody::new(StreamContext::Response, None, 1, 1).0;
            true
        });
    }

    /// Whether the guest has taken the body of a response.
    pub(super) fn has_body(&self, response: &Resource<OutgoingResponse>) -> wasmtime::Result<bool> {
        Ok(self.table.get(response)?.body.is_some())
    }

    /// The guest writes into the log.
    pub(super) fn write(&self, bytes: &[u8]) {
        self.output.append(bytes);
    }

    /// The last panic that the guest reported on its standard error, if there is one.
    pub(crate) fn last_panic(&self) -> Option<String> {
        self.output.last_panic()
    }
}

/// The body with this number.
fn outgoing(body: u32) -> Resource<OutgoingBody> {
    Resource::new_borrow(body)
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Built only when a guest uses WASI: building seeds random generators, and
        // most callbacks need no WASI.
        let InstanceContext {
            output,
            settings,
            outbound,
            sockets,
            has_sockets,
            wasi,
            table,
            ..
        } = &mut self.instance;
        let wasi = wasi.get_or_insert_with(|| {
            let mut wasi = config::wasi(settings);
            wasi.stdout(output.stream())
                .stderr(output.stream())
                .allow_tcp(false)
                .allow_udp(false)
                .max_random_size(quota::RANDOM_MAX);
            if *has_sockets {
                sockets.insert(Sockets::of(outbound)).set_up(&mut wasi);
            }
            Box::new(wasi.build())
        });
        WasiCtxView { ctx: wasi, table }
    }
}

impl WasiHttpView for HostState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.instance.http,
            table: &mut self.instance.table,
            hooks: &mut self.instance.outbound,
        }
    }
}
