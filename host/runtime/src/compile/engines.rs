//! The engines that compile: one for each of the two engines that run code. Which one it is, the
//! component tells, so its digest names the code of one engine only.

use std::sync::{Arc, OnceLock};

use wasmtime::Engine;

use super::functions::Functions;
use super::limits;
use crate::component::exports_handler_03;
use crate::engine::CodeSettings;

/// Makes code for both engines. They share the functions that were compiled before: the hash by
/// which one is found is of all that its code depends on.
pub(super) struct Engines {
    settings: CodeSettings,
    functions: Arc<Functions>,
    usual: Engine,
    /// Made when the first component needs it. Most nodes never see one.
    concurrent: OnceLock<Engine>,
}

impl Engines {
    /// The engines that make code for engines with these settings, in a process with this limit of
    /// memory.
    ///
    /// # Errors
    /// As of [`Engine::new`].
    pub(super) fn new(settings: CodeSettings, memory: u64) -> wasmtime::Result<Engines> {
        let functions = Arc::new(Functions::new(limits::functions(memory)));
        Ok(Engines {
            settings,
            usual: engine(settings, functions.clone())?,
            functions,
            concurrent: OnceLock::new(),
        })
    }

    /// Compiles a component for the engine that will run it.
    ///
    /// # Errors
    /// As of [`Engine::precompile_component`].
    pub(super) fn precompile(&self, component: &[u8]) -> wasmtime::Result<Vec<u8>> {
        let engine = match exports_handler_03(component) {
            false => &self.usual,
            true => self.concurrent()?,
        };
        engine.precompile_component(component)
    }

    fn concurrent(&self) -> wasmtime::Result<&Engine> {
        if let Some(made) = self.concurrent.get() {
            return Ok(made);
        }
        let made = engine(self.settings.concurrent(), self.functions.clone())?;
        // If another thread was faster, its engine is as good.
        Ok(self.concurrent.get_or_init(|| made))
    }
}

/// An engine that compiles. It has no pool of instances, so it needs few addresses.
fn engine(settings: CodeSettings, functions: Arc<Functions>) -> wasmtime::Result<Engine> {
    let mut config = settings.config();
    config.enable_incremental_compilation(functions)?;
    Engine::new(&config)
}
