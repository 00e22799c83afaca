//! From bytes to a generation: compile, link, check what is exported, and
//! instantiate once.
//!
//! The types of exports are checked only when an instance is made and each of its
//! interfaces is loaded. So this is done here, under the limits of a callback.

use std::sync::Arc;

use cluster::Serving;
use parking_lot::Mutex;
use wasmtime::component::Component;

use super::interfaces::Interfaces;
use super::{Compiled, ContractVersion, Generation, Instances, compile, imports};
use crate::capacity::SizeOf;
use crate::compile::CompileError;
use crate::component::{NamedComponent, of_wasi_03};
use crate::engine::{Runtime, one_line};

const HANDLERS: &str = "ace:raxx/server, ace:raxx/simple-server, wasi:http/incoming-handler (0.2) or wasi:http/handler (0.3)";
/// How many bytes the shape of a state has at most. `server.wit` names this limit.
pub(super) const SHAPE_MAX: usize = 256;
/// How many memories a component is taken to have if that is not known.
const LARGE: u32 = 4;

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
    /// It is for a version of the contract that is not served, or for several.
    #[error(
        "{app} {cause}; this host serves {}: build all of it against one of these, or run a host that serves it",
        ContractVersion::SERVED
    )]
    Version {
        /// The file.
        app: String,
        /// What it has, as the rest of the sentence.
        cause: String,
    },
    /// The shape of its state takes too many bytes.
    #[error(
        "{app} says the shape of its state in {bytes} bytes, more than the {SHAPE_MAX} allowed; let it say a hash"
    )]
    Shape {
        /// The file.
        app: String,
        /// How many it takes.
        bytes: usize,
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
    let interfaces = Interfaces::of(&component);
    interfaces.check_versions(name)?;
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
    let (kind, world) = interfaces.kind(name, &pre)?;
    let mut generation = Generation {
        runtime: runtime.clone(),
        instances: Instances::new(runtime.instances),
        pre,
        kind,
        digest,
        release: Mutex::new(Serving::bootstrap(digest).release),
        state_version: 0,
        state_shape: None,
        size,
        compiled_in: compiled.took,
        instance_size: instance_size(&component),
        is_tried: true,
        handlers_03: super::Handlers03::default(),
        stats: Arc::default(),
        signals: super::SignalsOfCode::default(),
    };
    let state = world.try_out(&generation, name).await?;
    (generation.state_version, generation.state_shape) = (state.version, state.shape);
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

pub(super) fn contract(app: &str, cause: String) -> ComponentError {
    ComponentError::Contract {
        app: app.to_owned(),
        cause,
    }
}
