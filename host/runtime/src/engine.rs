//! The engine that all generations of a node share: compiler, pool of
//! instances, linker, epoch. Components for WASI 0.3 have a second one.

mod concurrent;
mod room;
mod settings;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use cluster::ComponentBytes;
use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime::{Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use crate::capacity::{self, Class, InstancePlaces, Meter, Place, PlaceLimits, Resident, SlowLane};
use crate::compile::{Compiler, CompilerConfig};
use crate::contract::{self, CallLimits, GuestLog, HostState, NodeInfo};
pub(crate) use crate::engine::concurrent::NoEngine;
use crate::engine::concurrent::{ConcurrentEngine, LazyEngine};
pub use crate::engine::room::ComponentRoom;
pub(crate) use crate::engine::room::OverRoom;
use crate::generation::InstancePolicy;

pub(crate) use settings::CodeSettings;

/// The memory of the process is looked at every so many ticks, and at each of them if it is more
/// than half used up.
const LOOK: u32 = 20;
/// How much memory a slot keeps between two callbacks, in bytes. A callback that
/// uses no more causes no page faults. An app in JavaScript writes to some 300 KiB in a call.
const KEEP_RESIDENT: usize = 1 << 20;
/// The same where the kernel cannot tell which pages were written to. Then all of it is copied
/// after each callback.
const KEEP_RESIDENT_BLIND: usize = 128 * 1024;

/// How many stacks there are for each instance that takes several calls at a time. A call that
/// waits in the middle of a function of the host keeps one.
const STACKS_OF_CONCURRENT: u32 = 4;

/// How a [`Runtime`] is built.
#[derive(Debug)]
pub struct RuntimeConfig {
    /// What a callback may use.
    pub limits: CallLimits,
    /// How many parts a component may have.
    pub room: ComponentRoom,
    /// How many instances there may be, and how much memory.
    pub places: PlaceLimits,
    /// Whether live instances take further calls.
    pub instances: InstancePolicy,
    /// Threads that run guests. The same number of slices of long callbacks run at
    /// a time.
    pub workers: usize,
    /// Where compiled code is kept from one start to the next.
    pub code_cache: Option<PathBuf>,
    /// Where and within which limits components are compiled.
    pub compiler: CompilerConfig,
}

/// Why the runtime could not be built.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The folder for compiled code cannot be used.
    #[error("cannot keep compiled code in {path}: {cause}; choose another folder with --data-dir")]
    CodeCache {
        /// The folder.
        path: PathBuf,
        /// What the file system said.
        cause: std::io::Error,
    },
    /// The engine could not be built.
    #[error(
        "cannot set up the WebAssembly engine: {0}; if address space is limited (ulimit -v), raise the limit"
    )]
    Engine(wasmtime::Error),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}; raise the limit of processes (ulimit -u)")]
    Thread(std::io::Error),
}

/// The engine, the linker and what callbacks share.
pub struct Runtime {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<HostState>,
    /// The engine for components that export `wasi:http/handler` of WASI 0.3.
    concurrent: LazyEngine,
    pub(crate) limits: CallLimits,
    pub(crate) room: ComponentRoom,
    pub(crate) instances: InstancePolicy,
    lane: SlowLane,
    /// New code is tried out beside the requests, however many of them run long.
    tries: SlowLane,
    pub(crate) places: Arc<InstancePlaces>,
    /// Limits how many exchanges migrate at a time, so that one worker is left to
    /// requests.
    pub(crate) migrations: Semaphore,
    pub(crate) compiler: Compiler,
    /// Limits how much guests bring into the log.
    pub(crate) guest_log: Arc<GuestLog>,
    pub(crate) node: Arc<NodeInfo>,
    _ticker: Ticker,
}

impl Runtime {
    /// Builds the engine.
    ///
    /// # Errors
    /// See [`RuntimeError`].
    pub fn new(config: RuntimeConfig, node: Arc<NodeInfo>) -> Result<Arc<Runtime>, RuntimeError> {
        let (engine, places, code) = build_engine(&config)?;
        let folder = config.code_cache.as_deref();
        let compiler = Compiler::start(&config.compiler, code, config.workers, folder)?;
        let linker = build_linker(&engine).map_err(RuntimeError::Engine)?;
        let resident = Arc::new(Resident::within(places.budget));
        let each = InstanceRoom {
            room: config.room,
            memory: config.limits.memory,
        };
        let concurrent = LazyEngine::new(code, each, places.all());
        let ticker = Ticker::start(engine.clone(), concurrent.made(), resident.clone());
        let ticker = ticker.map_err(RuntimeError::Thread)?;
        Ok(Arc::new(Runtime {
            engine,
            linker,
            concurrent,
            limits: config.limits,
            room: config.room,
            instances: config.instances,
            lane: SlowLane::beside(config.workers),
            tries: SlowLane::beside(1),
            places: InstancePlaces::new(places, resident),
            migrations: Semaphore::new(config.workers.saturating_sub(1).max(1)),
            compiler,
            guest_log: Arc::default(),
            node,
            _ticker: ticker,
        }))
    }

    /// Starts the compiler on a component that will probably be loaded in a moment. A file
    /// that has changed is not loaded before it has been still for a while, and most likely
    /// its content is the one that will be. Must be called within a tokio runtime.
    pub fn compile_ahead(&self, app: &ComponentBytes) {
        self.compiler.compile_ahead(app);
    }

    /// The places for instances.
    pub fn places(&self) -> &InstancePlaces {
        &self.places
    }

    /// A meter for one call of this class.
    pub(super) fn meter(&self, class: Class, place: impl Into<Option<Place>>) -> Arc<Meter> {
        let lane = match class {
            Class::Call => &self.lane,
            Class::Try => &self.tries,
        };
        Meter::new(self.limits.cpu, lane.clone(), place)
    }

    /// The engine that runs a component: one that exports `wasi:http/handler` of WASI 0.3, or
    /// another one. Blocks while the engine for the former is made.
    ///
    /// # Errors
    /// There is not enough address space for it.
    pub(super) fn engine_for(&self, is_handler_03: bool) -> Result<&Engine, NoEngine> {
        match is_handler_03 {
            false => Ok(&self.engine),
            true => self.concurrent.get().map(|made| &made.engine),
        }
    }

    /// The linker of one of the engines.
    pub(super) fn linker_of(&self, engine: &Engine) -> &Linker<HostState> {
        let concurrent = self.concurrent.if_made();
        let concurrent = concurrent.filter(|made| Engine::same(&made.engine, engine));
        concurrent.map_or(&self.linker, |made| &made.linker)
    }

    /// A store for one instance, of one of the engines.
    pub(super) fn store(&self, engine: &Engine, state: HostState) -> Store<HostState> {
        let mut store = Store::new(engine, state);
        store.limiter(HostState::limiter);
        store.set_max_component_handles(contract::HANDLES_MAX);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| contract::on_tick(&store.data().call));
        store
    }
}

/// The engine, the places that it has, and which code it runs.
fn build_engine(
    config: &RuntimeConfig,
) -> Result<(Engine, PlaceLimits, CodeSettings), RuntimeError> {
    // A slot reserves 4 GiB of addresses, so that no access needs a check. Where
    // there are not so many addresses (39-bit processors, containers with a limit),
    // a slot reserves no more than its memory, and accesses are checked.
    let code = CodeSettings::default();
    let each = InstanceRoom {
        room: config.room,
        memory: config.limits.memory,
    };
    let mut places = config.places;
    let mut failed = match pooled(code, each, places.all()) {
        Ok(engine) => return Ok((engine, places, code)),
        Err(error) => error,
    };
    let (wanted, roomy) = (places.all(), one_line(&failed));
    let code = CodeSettings {
        checked: Some((config.limits.memory as u64, 64 * 1024)),
        ..CodeSettings::default()
    };
    while let Some(fewer) = places.quarter() {
        places = fewer;
        match pooled(code, each, places.all()) {
            Ok(engine) => {
                tracing::warn!(
                    "there is not enough address space for {wanted} instances ({roomy}); going on with {}, and slower",
                    places.all(),
                );
                return Ok((engine, places, code));
            }
            Err(error) => failed = error,
        }
    }
    Err(RuntimeError::Engine(failed))
}

/// What one instance may have.
#[derive(Clone, Copy)]
struct InstanceRoom {
    room: ComponentRoom,
    /// Bytes of one memory.
    memory: usize,
}

/// An engine with a pool for so many usual instances.
fn pooled(code: CodeSettings, each: InstanceRoom, instances: u32) -> wasmtime::Result<Engine> {
    let mut engine = code.config();
    let mut pool = pool(each, instances);
    if code.concurrent {
        pool.total_stacks(instances * STACKS_OF_CONCURRENT);
    }
    engine.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&engine)
}

/// A pool for so many usual instances. A large one counts as several of them.
fn pool(each: InstanceRoom, instances: u32) -> PoolingAllocationConfig {
    let InstanceRoom { room, memory } = each;
    let mut pool = PoolingAllocationConfig::new();
    room.apply(&mut pool);
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(room.core_instances))
        .total_memories(instances.max(room.memories))
        .total_tables((instances * capacity::TABLES_OF_A_PLACE).max(room.tables))
        .total_stacks(instances)
        .max_memory_size(memory)
        .max_unused_warm_slots(100)
        .linear_memory_keep_resident(match PoolingAllocationConfig::is_pagemap_scan_available() {
            true => KEEP_RESIDENT,
            false => KEEP_RESIDENT_BLIND,
        })
        .table_keep_resident(16 * 1024)
        .async_stack_keep_resident(16 * 1024)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// A linker with all that components of WASI 0.2 and of the contract may import.
fn build_linker(engine: &Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    contract::add_charged_to_linker(&mut linker)?;
    contract::add_sockets_to_linker(&mut linker)?;
    contract::add_config_to_linker(&mut linker)?;
    contract::add_keyvalue_to_linker(&mut linker)?;
    contract::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// The thread that advances the epoch, so that running guests are interrupted. It also looks at
/// how much memory there is.
struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(
        engine: Engine,
        concurrent: Arc<OnceLock<ConcurrentEngine>>,
        resident: Arc<Resident>,
    ) -> std::io::Result<Ticker> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || {
                let mut ticks = 0_u32;
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::sleep(capacity::TICK);
                    engine.increment_epoch();
                    if let Some(made) = concurrent.get() {
                        made.engine.increment_epoch();
                    }
                    ticks = ticks.wrapping_add(1);
                    if resident.is_tight() || ticks.is_multiple_of(LOOK) {
                        resident.look();
                    }
                }
            })?;
        Ok(Ticker {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread only sleeps and counts; it cannot have panicked.
            let _ = thread.join();
        }
    }
}

/// An error and its causes, in one line of bounded length.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    bounded(&format!("{error:#}"))
}

/// A text in one line of at most 300 characters.
pub(crate) fn bounded(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}
