//! How much memory an instance may have: all of its memories and tables together.

use std::sync::Arc;

use crate::capacity::Resident;

/// What an element of a table takes, in bytes.
const TABLE_ELEMENT: usize = size_of::<usize>();

/// Counts all memories and tables of a store together, and refuses what exceeds the
/// limit.
pub(super) struct MemoryCap {
    cap: usize,
    table_elements: usize,
    pub(super) used: usize,
    pub(super) refused: bool,
    pub(super) table_refused: bool,
    /// Whether this machine could not give memory that the limit allows.
    pub(super) starved: bool,
    /// The memory of the whole process.
    resident: Option<Arc<Resident>>,
}

impl MemoryCap {
    pub(super) fn new(
        cap: usize,
        table_elements: usize,
        resident: Option<Arc<Resident>>,
    ) -> MemoryCap {
        MemoryCap {
            cap,
            table_elements,
            used: 0,
            refused: false,
            table_refused: false,
            starved: false,
            resident,
        }
    }

    /// Whether so many more bytes may be used. If so, they count as used.
    fn take(&mut self, bytes: usize) -> bool {
        let used = self.used.saturating_add(bytes);
        if used > self.cap {
            self.refused = true;
            return false;
        }
        if self
            .resident
            .as_ref()
            .is_some_and(|it| !it.gives(bytes as u64))
        {
            self.starved = true;
            return false;
        }
        self.used = used;
        true
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
        Ok(self.take(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.starved |= by_machine(&error);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.table_elements {
            self.table_refused = true;
            return Ok(false);
        }
        let grown = desired.saturating_sub(current);
        Ok(self.take(grown.saturating_mul(TABLE_ELEMENT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::ResourceLimiter as _;

    #[test]
    fn a_table_counts_as_memory_and_has_a_limit_of_its_own() {
        let mut cap = MemoryCap::new(100, 10, None);
        assert!(cap.table_growing(0, 10, None).unwrap());
        assert!(!cap.table_refused && !cap.refused);
        assert!(!cap.table_growing(10, 11, None).unwrap());
        assert!(cap.table_refused && !cap.refused);
        // 80 of the 100 bytes are used.
        assert!(!cap.table_growing(0, 3, None).unwrap());
        assert!(cap.refused);
        assert!(cap.memory_growing(0, 20, None).unwrap());
    }

    #[test]
    fn the_memory_cap_counts_all_memories_together_and_remembers_a_refusal() {
        let mut cap = MemoryCap::new(100, 10, None);
        assert!(cap.memory_growing(0, 60, None).unwrap());
        assert!(cap.memory_growing(0, 40, None).unwrap());
        assert!(!cap.refused);
        assert!(!cap.memory_growing(60, 61, None).unwrap());
        assert!(cap.refused);
        assert!(!cap.memory_growing(0, usize::MAX, None).unwrap());
    }

    #[test]
    fn once_the_memory_of_the_node_is_used_up_no_instance_gets_more_and_none_is_to_blame() {
        let mut cap = MemoryCap::new(100, 10, Some(Arc::new(Resident::within(1))));
        assert!(!cap.memory_growing(0, 60, None).unwrap());
        assert!(cap.starved && !cap.refused);
    }
}
