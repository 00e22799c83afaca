//! The engine for components that export `wasi:http/handler` of WASI 0.3. Its instances take
//! several calls at a time, which makes each call slower; so other components have an engine
//! without that. Most nodes never see such a component, so it is made for the first one.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use wasmtime::Engine;
use wasmtime::component::Linker;

use super::settings::CodeSettings;
use super::{InstanceRoom, build_linker, one_line, pooled};
use crate::contract::{self, HostState};

/// How many usual instances have room in its pool, and how many where addresses are short. Each
/// takes several requests at a time.
const INSTANCES: [u32; 2] = [256, 64];

/// The engine could not be made. It says nothing about a component.
#[derive(Debug, thiserror::Error)]
#[error(
    "the engine for components of WASI 0.3 cannot be set up: {0}; if address space is limited (ulimit -v), raise the limit"
)]
pub(crate) struct NoEngine(String);

/// The engine, and its linker.
pub(super) struct ConcurrentEngine {
    pub(super) engine: Engine,
    pub(super) linker: Linker<HostState>,
}

/// The engine, which is made when it is first asked for.
pub(super) struct LazyEngine {
    made: Arc<OnceLock<ConcurrentEngine>>,
    /// Held while it is made: its pool takes terabytes of addresses, so it is not made twice.
    making: Mutex<()>,
    code: CodeSettings,
    each: InstanceRoom,
    /// How many instances the node has room for in all.
    places: u32,
}

impl LazyEngine {
    /// An engine for code like that of the engine with these settings.
    pub(super) fn new(code: CodeSettings, each: InstanceRoom, places: u32) -> LazyEngine {
        LazyEngine {
            made: Arc::default(),
            making: Mutex::new(()),
            code: code.concurrent(),
            each,
            places,
        }
    }

    /// Where it will be.
    pub(super) fn made(&self) -> Arc<OnceLock<ConcurrentEngine>> {
        self.made.clone()
    }

    /// The engine, if it was made.
    pub(super) fn if_made(&self) -> Option<&ConcurrentEngine> {
        self.made.get()
    }

    /// The engine. Blocks while it is made.
    ///
    /// # Errors
    /// There is not enough address space for it. The next call tries again.
    pub(super) fn get(&self) -> Result<&ConcurrentEngine, NoEngine> {
        let _making = self.making.lock();
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = self.make().map_err(|error| NoEngine(one_line(&error)))?;
        Ok(self.made.get_or_init(|| made))
    }

    fn make(&self) -> wasmtime::Result<ConcurrentEngine> {
        let [most, fewest] = INSTANCES.map(|instances| instances.min(self.places));
        let engine =
            pooled(self.code, self.each, most).or_else(|_| pooled(self.code, self.each, fewest))?;
        let linker = linker(&engine)?;
        Ok(ConcurrentEngine { engine, linker })
    }
}

/// A linker with WASI 0.3, beside all that other components may import: what is compiled for
/// 0.3 still uses 0.2 for its standard library.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = build_linker(engine)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    contract::add_charged_03_to_linker(&mut linker)?;
    Ok(linker)
}
