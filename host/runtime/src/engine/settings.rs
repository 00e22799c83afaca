//! The settings of the engine that decide which machine code is made. The engine that
//! runs guests and the one that compiles are made from the same, or the one would
//! refuse the code of the other.

use std::num::NonZeroUsize;

use wasmtime::{Config, OptLevel};

/// The stack of a callback, in bytes. A guest has half of it.
const STACK: usize = 1024 * 1024;

/// What differs from machine to machine in the code that is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CodeSettings {
    /// The addresses that a memory reserves and those of its guard, in bytes, where there
    /// are not enough of them to leave out the check at each access.
    pub(crate) checked: Option<(u64, u64)>,
}

impl CodeSettings {
    /// The configuration of an engine.
    pub(crate) fn config(self) -> Config {
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            // Calls are slower with it, and only WASI 0.3 needs it.
            .concurrency_support(false)
            .epoch_interruption(true)
            .cranelift_opt_level(OptLevel::Speed)
            .wasm_backtrace_max_frames(NonZeroUsize::new(16))
            .max_wasm_stack(STACK / 2)
            .async_stack_size(STACK)
            .memory_init_cow(true);
        if let Some((reservation, guard)) = self.checked {
            config.memory_reservation(reservation);
            config.memory_guard_size(guard);
        }
        config
    }
}
