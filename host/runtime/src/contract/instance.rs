//! The data of one store. What belongs to the instance is separate from what
//! belongs to the call, so that an instance can serve a next call.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::context::CallContext;
use super::outbound::NoOutbound;
use super::output::GuestOutput;
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
    output: GuestOutput,
    wasi: Option<Box<WasiCtx>>,
    http: WasiHttpCtx,
    outbound: NoOutbound,
    table: ResourceTable,
}

impl HostState {
    /// The limiter of the store.
    pub(crate) fn limiter(&mut self) -> &mut dyn wasmtime::ResourceLimiter {
        &mut self.instance.memory
    }
}

impl InstanceContext {
    /// The context of a new instance; `memory` is the most bytes of linear memory. It gets no more
    /// once `resident` is used up, if that is given.
    pub(crate) fn new(memory: usize, resident: Option<Arc<Resident>>) -> InstanceContext {
        InstanceContext {
            memory: MemoryCap::new(memory, resident),
            output: GuestOutput::default(),
            wasi: None,
            http: WasiHttpCtx::new(),
            outbound: NoOutbound,
            table: ResourceTable::new(),
        }
    }

    /// Whether the guest was refused memory. If the guest failed, this is most
    /// likely the reason.
    pub(crate) fn memory_refused(&self) -> bool {
        self.memory.refused
    }

    /// Whether this machine had no memory for the guest. If the guest failed, this
    /// is most likely the reason.
    pub(crate) fn starved(&self) -> bool {
        self.memory.starved
    }

    /// What the guest wrote to its standard output and error.
    pub(crate) fn output(&self) -> &GuestOutput {
        &self.output
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Built only when a guest uses WASI: building seeds random generators, and
        // most callbacks need no WASI.
        let output = &self.instance.output;
        let wasi = self.instance.wasi.get_or_insert_with(|| {
            Box::new(
                WasiCtx::builder()
                    .stdout(output.stream())
                    .stderr(output.stream())
                    .build(),
            )
        });
        WasiCtxView {
            ctx: wasi,
            table: &mut self.instance.table,
        }
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

/// Counts linear memory over all memories of a store, and refuses what exceeds the
/// limit.
struct MemoryCap {
    cap: usize,
    used: usize,
    refused: bool,
    /// Whether this machine could not give memory that the limit allows.
    starved: bool,
    /// The memory of the whole process.
    resident: Option<Arc<Resident>>,
}

impl MemoryCap {
    fn new(cap: usize, resident: Option<Arc<Resident>>) -> MemoryCap {
        MemoryCap {
            cap,
            used: 0,
            refused: false,
            starved: false,
            resident,
        }
    }
}

/// Whether the machine caused an error of the engine, and not the guest: there was
/// no memory, or no place in the pool.
pub(crate) fn by_machine(error: &wasmtime::Error) -> bool {
    error.is::<wasmtime::OutOfMemory>()
        || error.is::<wasmtime::PoolConcurrencyLimitError>()
        || error
            .chain()
            .any(|cause| cause.is::<std::io::Error>() || cause.is::<rustix::io::Errno>())
}

impl wasmtime::ResourceLimiter for MemoryCap {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.cap {
            self.refused = true;
            return Ok(false);
        }
        if self.resident.as_ref().is_some_and(|it| it.is_used_up()) {
            self.starved = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.starved |= by_machine(&error);
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= super::MAX_TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::ResourceLimiter as _;

    #[test]
    fn the_memory_cap_counts_all_memories_together_and_remembers_a_refusal() {
        let mut cap = MemoryCap::new(100, None);
        assert!(cap.memory_growing(0, 60, None).unwrap());
        assert!(cap.memory_growing(0, 40, None).unwrap());
        assert!(!cap.refused);
        assert!(!cap.memory_growing(60, 61, None).unwrap());
        assert!(cap.refused);
        assert!(!cap.memory_growing(0, usize::MAX, None).unwrap());
    }

    #[test]
    fn once_the_memory_of_the_node_is_used_up_no_instance_gets_more_and_none_is_to_blame() {
        let mut cap = MemoryCap::new(100, Some(Arc::new(Resident::within(1))));
        assert!(!cap.memory_growing(0, 60, None).unwrap());
        assert!(cap.starved && !cap.refused);
    }
}
