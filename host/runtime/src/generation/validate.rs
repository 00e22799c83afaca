//! From bytes to a generation: compile, link, check what is exported, and
//! instantiate once.
//!
//! The types of exports are checked only when an instance is made and each of its
//! interfaces is loaded. So this is done here, under the limits of a callback.

use std::sync::Arc;

use cluster::Serving;
use parking_lot::Mutex;
use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre};
use wasmtime_wasi_http::p2::bindings::ProxyIndices;
use wasmtime_wasi_http::p3::bindings::{ServiceIndices, ServicePre};

use crate::capacity::SizeOf;
use crate::compile::CompileError;
use crate::component::{NamedComponent, is_handler_03, of_wasi_03};
use crate::contract::simple::SimpleAppIndices;
use crate::contract::streaming::StreamingAppIndices;
use crate::contract::upgrade::exports::ace::raxx::upgrade::GuestIndices as UpgradeIndices;
use crate::contract::{HostState, Subscribed};
use crate::engine::{Runtime, one_line};
use crate::generation::{Compiled, ComponentKind, Generation, Span, compile, imports, invoke};

const HANDLERS: &str = "ace:raxx/server, ace:raxx/simple-server, wasi:http/incoming-handler (0.2) or wasi:http/handler (0.3)";
const SIMPLE: &str = "ace:raxx/simple-server@";
const STREAMING: &str = "ace:raxx/server@";
const MAILBOX: &str = "ace:raxx/mailbox@";
/// How many memories a component is taken to have if that is not known.
const LARGE: u32 = 4;
const UPGRADE: &str = "ace:raxx/upgrade@";
const WASI_HTTP: &str = "wasi:http/incoming-handler@";

/// Why a component cannot be an app here. Each variant says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// Not WebAssembly of any kind.
    #[error(
        "{app} is not WebAssembly; --app takes a component, as `cargo component build -p guest` makes it"
    )]
    NotWasm {
        /// The file.
        app: String,
    },
    /// A module where a component is wanted.
    #[error(
        "{app} is a core module, not a component; build it with `cargo component build`, or for the target wasm32-wasip2"
    )]
    CoreModule {
        /// The file.
        app: String,
    },
    /// It has more parts than a component may have here.
    #[error("{app} {over}")]
    Room {
        /// The file.
        app: String,
        /// The limit, what the component has, and the way out.
        over: String,
    },
    /// Broken, cut off, or using features that this engine does not know.
    #[error("{app} cannot be compiled: {cause}; build it again")]
    Invalid {
        /// The file.
        app: String,
        /// What the compiler said, in one line.
        cause: String,
    },
    /// It was not compiled: it exceeds a limit, or this machine is in trouble.
    #[error("{app} was not compiled: {cause}")]
    Compile {
        /// The file.
        app: String,
        /// Why, and what to do.
        cause: CompileError,
    },
    /// It does not export any interface that requests can go to.
    #[error("{app} has no handler: it exports {exports}; an app exports {HANDLERS}")]
    NoHandler {
        /// The file.
        app: String,
        /// What it exports instead.
        exports: String,
    },
    /// It imports what this host does not have, or with another type.
    #[error(
        "{app} imports what this host does not give: {cause}; remove the import, or run a host that has it"
    )]
    Import {
        /// The file.
        app: String,
        /// All interfaces that are missing; if none is, what the linker said. In one line.
        cause: String,
    },
    /// It is for WASI 0.3, and no handler of requests.
    #[error(
        "{app} is for WASI 0.3 ({interface}), of which this host runs only components that export wasi:http/handler@0.3; build it as one, or for WASI 0.2"
    )]
    Wasi03 {
        /// The file.
        app: String,
        /// The interface that tells.
        interface: String,
    },
    /// An export has another type than in the contract.
    #[error(
        "{app} does not fit the contract: {cause}; build it against the wit/ of this host's version"
    )]
    Contract {
        /// The file.
        app: String,
        /// What does not fit, in one line.
        cause: String,
    },
    /// It does not answer the smoke request as it should.
    #[error(
        "{app} failed its smoke request: GET {target} {cause}; repair the app, or change --smoke"
    )]
    Smoke {
        /// The file.
        app: String,
        /// The target of the request.
        target: String,
        /// What came instead of a success, in one line.
        cause: String,
    },
    /// This machine had no room to try it. It says nothing about the component: another attempt
    /// may succeed.
    #[error("{app} cannot be tried on this machine now: {cause}; try again in a moment")]
    NoRoom {
        /// The file.
        app: String,
        /// What was missing, in one line.
        cause: String,
    },
    /// It fails when it starts.
    #[error("{app} does not start: {cause}")]
    Start {
        /// The file.
        app: String,
        /// How it failed, in one line.
        cause: String,
    },
}

/// Makes a generation from the bytes of a component.
///
/// # Errors
/// See [`ComponentError`].
pub async fn validate(
    runtime: &Arc<Runtime>,
    app: NamedComponent,
) -> Result<Generation, ComponentError> {
    let compiled = compile(runtime, &app).await?;
    check(runtime, app, compiled).await
}

/// The second half of [`validate()`]: all that needs room for another generation.
pub(crate) async fn check(
    runtime: &Arc<Runtime>,
    app: NamedComponent,
    compiled: Compiled,
) -> Result<Generation, ComponentError> {
    let checked = load(runtime, &app, compiled).await;
    checked.map_err(|error| error.or_wasi_03(&app))
}

async fn load(
    runtime: &Arc<Runtime>,
    app: &NamedComponent,
    compiled: Compiled,
) -> Result<Generation, ComponentError> {
    let name = &app.path.display().to_string();
    let (size, digest) = (app.component.bytes().len(), app.component.digest());
    let (component, compiled) = compiled.map(runtime, app).await?;
    let pre = runtime
        .linker_of(component.engine())
        .instantiate_pre(&component)
        .map_err(|error| ComponentError::Import {
            app: name.to_owned(),
            cause: match &imports::missing(runtime, &component)[..] {
                [] => one_line(&error),
                missing => imports::list(missing),
            },
        })?;
    let interfaces = Interfaces::of(&component);
    let (kind, world) = interfaces.kind(name, &pre)?;
    let mut generation = Generation {
        runtime: runtime.clone(),
        pre,
        kind,
        digest,
        release: Mutex::new(Serving::bootstrap(digest).release),
        state_version: 0,
        size,
        compiled_in: compiled.took,
        instance_size: instance_size(&component),
        is_tried: true,
        handlers_03: super::Handlers03::default(),
        stats: Arc::default(),
        signals: super::SignalsOfCode::default(),
    };
    generation.state_version = try_out(&generation, name, &world, &interfaces).await?;
    generation.is_tried = false;
    fault::point("validate: tried out");
    compiled.keep(runtime, digest);
    Ok(generation)
}

impl ComponentError {
    /// Whether the cause is in this machine alone, so that it says nothing about the
    /// component, and a later attempt may succeed.
    pub fn is_local(&self) -> bool {
        match self {
            ComponentError::Compile { cause, .. } => cause.is_local(),
            ComponentError::NoRoom { .. } => true,
            _ => false,
        }
    }

    /// What is for WASI 0.3 and no handler fails in many ways. So that is said instead, if it is.
    pub(super) fn or_wasi_03(self, app: &NamedComponent) -> ComponentError {
        // Otherwise it can be an app, and fails.
        let is_of_kind = matches!(
            self,
            ComponentError::Invalid { .. }
                | ComponentError::NoHandler { .. }
                | ComponentError::Import { .. }
        );
        let interface = is_of_kind.then(|| of_wasi_03(app.component.bytes()));
        match interface.flatten() {
            None => self,
            Some(interface) => ComponentError::Wasi03 {
                app: app.path.display().to_string(),
                interface,
            },
        }
    }
}

/// How much room an instance takes. Where the component decides at run time which modules it
/// instantiates, it counts as a large one.
fn instance_size(component: &Component) -> SizeOf {
    let known = component.resources_required();
    known.map_or(SizeOf::instance(LARGE, 0), |it| {
        SizeOf::instance(it.num_memories, it.num_tables)
    })
}

/// What a component imports and exports, by name.
struct Interfaces {
    imports_mailbox: bool,
    exports: Vec<String>,
}

/// The interfaces of a kind of app. They are loaded once, to check their types.
enum World {
    Simple(SimpleAppIndices),
    Streaming(StreamingAppIndices),
    WasiHttp(ProxyIndices),
    WasiHttp03(ServiceIndices),
}

impl Interfaces {
    fn of(component: &Component) -> Interfaces {
        let (engine, component) = (component.engine(), component.component_type());
        let names = component.exports(engine);
        Interfaces {
            exports: names.map(|(export, _)| export.to_owned()).collect(),
            imports_mailbox: component
                .imports(engine)
                .any(|(import, _)| import.starts_with(MAILBOX)),
        }
    }

    fn export(&self, interface: &str) -> Option<&str> {
        let mut exports = self.exports.iter();
        let found = exports.find(|export| export.starts_with(interface))?;
        Some(found)
    }

    /// The kind of app that a component with these interfaces is.
    fn kind(
        &self,
        app: &str,
        pre: &InstancePre<HostState>,
    ) -> Result<(ComponentKind, World), ComponentError> {
        let component = pre.component();
        let (kind, world) = if self.exports.iter().any(|name| is_handler_03(name)) {
            // Its engine is the one for WASI 0.3, whatever else it exports.
            let kind =
                ServicePre::new(pre.clone()).map_err(|error| contract(app, one_line(&error)))?;
            let world = ServiceIndices::new(pre).map(World::WasiHttp03);
            (Some(ComponentKind::WasiHttp03(kind)), world)
        } else if let Some(handler) = self.export(STREAMING) {
            let kind = ComponentKind::streaming(component, handler, self.export(UPGRADE));
            (kind, StreamingAppIndices::new(pre).map(World::Streaming))
        } else if let Some(handler) = self.export(SIMPLE) {
            let kind = ComponentKind::simple(component, handler);
            (kind, SimpleAppIndices::new(pre).map(World::Simple))
        } else if let Some(handler) = self.export(WASI_HTTP) {
            let kind = ComponentKind::wasi_http(component, handler);
            (kind, ProxyIndices::new(pre).map(World::WasiHttp))
        } else {
            let exports = match &self.exports[..] {
                [] => "nothing".to_owned(),
                some => some.join(", "),
            };
            return Err(ComponentError::NoHandler {
                app: app.to_owned(),
                exports,
            });
        };
        let world = world.map_err(|error| contract(app, one_line(&error)))?;
        if self.imports_mailbox && !matches!(world, World::Streaming(_)) {
            return Err(ComponentError::Import {
                app: app.to_owned(),
                cause: "ace:raxx/mailbox is for apps that export ace:raxx/server, since only \
                        their exchanges have a mailbox"
                    .to_owned(),
            });
        }
        let missing = || contract(app, "a function of its handler is missing".to_owned());
        Ok((kind.ok_or_else(missing)?, world))
    }
}

fn contract(app: &str, cause: String) -> ComponentError {
    ComponentError::Contract {
        app: app.to_owned(),
        cause,
    }
}

impl World {
    fn load(&self, store: &mut Store<HostState>, instance: &Instance) -> wasmtime::Result<()> {
        match self {
            World::Simple(indices) => indices.load(store, instance).map(drop),
            World::Streaming(indices) => indices.load(store, instance).map(drop),
            World::WasiHttp(indices) => indices.load(store, instance).map(drop),
            World::WasiHttp03(indices) => indices.load(store, instance).map(drop),
        }
    }
}

/// Makes one instance, loads each of its interfaces, and asks for its state version.
async fn try_out(
    generation: &Generation,
    app: &str,
    world: &World,
    interfaces: &Interfaces,
) -> Result<u32, ComponentError> {
    let tried = invoke(
        generation,
        Span::Callback,
        Subscribed::default(),
        async |store, instance| {
            let upgrade = world.load(store, instance).and_then(|()| {
                let exported = interfaces.export(UPGRADE);
                exported
                    .map(|_| UpgradeIndices::new(&generation.pre)?.load(&mut *store, instance))
                    .transpose()
            });
            match upgrade {
                Ok(None) => Ok(Ok(0)),
                Ok(Some(upgrade)) => upgrade.call_state_version(store).await.map(Ok),
                Err(error) => Ok(Err(contract(app, one_line(&error)))),
            }
        },
    );
    match tried.await {
        Ok((tried, _)) => tried,
        Err(failure) if failure.is_busy() => Err(ComponentError::NoRoom {
            app: app.to_owned(),
            cause: failure.to_string(),
        }),
        Err(failure) => Err(ComponentError::Start {
            app: app.to_owned(),
            cause: failure.to_string(),
        }),
    }
}
