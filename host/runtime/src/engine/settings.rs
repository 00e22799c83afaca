//! The settings of an engine that decide which machine code is made. The engine that
//! runs guests and the one that compiles for it are made from the same, or the one would
//! refuse the code of the other.

use std::num::NonZeroUsize;

use wasmtime::{Config, OptLevel};

/// The stack of a callback, in bytes. A guest has half of it.
const STACK: usize = 1024 * 1024;

/// What differs in the code that is made: from machine to machine, and between the two engines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CodeSettings {
    /// The addresses that a memory reserves and those of its guard, in bytes, where there
    /// are not enough of them to leave out the check at each access.
    pub(crate) checked: Option<(u64, u64)>,
    /// Whether an instance takes several calls at a time, as WASI 0.3 needs it. Other calls are
    /// slower with it.
    pub(crate) concurrent: bool,
}

impl CodeSettings {
    /// The same, for the engine whose instances take several calls at a time.
    pub(crate) fn concurrent(self) -> CodeSettings {
        CodeSettings {
            concurrent: true,
            ..self
        }
    }

    /// The configuration of an engine.
    pub(crate) fn config(self) -> Config {
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .concurrency_support(self.concurrent)
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
