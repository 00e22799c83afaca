//! The first half of validation: from the bytes of a component to compiled code. It may take
//! long, and needs no room for another generation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::Digest;
use tokio::task::spawn_blocking;
use wasmtime::component::Component;

use crate::compile::{Artefact, CompileError};
use crate::component::{NamedComponent, exports_handler_03};
use crate::engine::{NoEngine, OverRoom, Runtime, one_line};
use crate::generation::ComponentError;

/// The compiled code of a component, and how long it took to make, or to find.
pub(crate) struct Compiled {
    code: Artefact,
    pub(crate) took: Duration,
}

/// Compiles a component. If this is dropped, the compiler stops.
pub(crate) async fn compile(
    runtime: &Runtime,
    app: &NamedComponent,
) -> Result<Compiled, ComponentError> {
    check_layer(app)?;
    let began = Instant::now();
    let compiling = runtime.compiler.compile(&app.component);
    let code = compiling.done().await.map_err(|error| match error {
        CompileError::Refused(cause) => invalid(app, cause).or_wasi_03(app),
        cause => ComponentError::Compile {
            app: name(app),
            cause,
        },
    })?;
    fault::point("validate: compiled");
    Ok(Compiled {
        code,
        took: began.elapsed(),
    })
}

impl Compiled {
    /// Maps the code. Code that another version of this program has kept is not taken, so
    /// then the component is compiled again.
    pub(super) async fn map(
        self,
        runtime: &Arc<Runtime>,
        app: &NamedComponent,
    ) -> Result<(Component, Compiled), ComponentError> {
        let is_kept = self.code.is_kept();
        let mapped = match self.map_once(runtime, app).await {
            Err(_) if is_kept => compile(runtime, app).await?.map_once(runtime, app).await,
            mapped => mapped,
        };
        mapped.map_err(|error| {
            if let Some(none) = error.downcast_ref::<NoEngine>() {
                return ComponentError::NoRoom {
                    app: name(app),
                    cause: none.to_string(),
                };
            }
            match OverRoom::of(&error) {
                Some(over) => ComponentError::Room {
                    app: name(app),
                    over: over.to_string(),
                },
                None => invalid(app, one_line(&error)),
            }
        })
    }

    async fn map_once(
        self,
        runtime: &Arc<Runtime>,
        app: &NamedComponent,
    ) -> wasmtime::Result<(Component, Compiled)> {
        let (runtime, app) = (runtime.clone(), app.component.clone());
        // The code is copied, and there may be megabytes of it.
        let mapped = spawn_blocking(move || {
            let engine = runtime.engine_for(exports_handler_03(app.bytes()))?;
            let component = runtime.compiler.map(engine, &app.digest(), &self.code)?;
            Ok((component, self))
        });
        let ended = |_| wasmtime::Error::msg("the node is stopping");
        mapped.await.map_err(ended)?
    }

    /// Keeps the code for the next start: the component is an app.
    pub(super) fn keep(self, runtime: &Runtime, component: Digest) {
        runtime.compiler.keep(component, self.code);
    }
}

/// A component starts with the magic of WebAssembly and layer 1; a core module
/// has layer 0 there.
fn check_layer(app: &NamedComponent) -> Result<(), ComponentError> {
    let name = name(app);
    match app.component.bytes()[..] {
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => Err(ComponentError::CoreModule { app: name }),
        _ => Err(ComponentError::NotWasm { app: name }),
    }
}

fn invalid(app: &NamedComponent, cause: String) -> ComponentError {
    ComponentError::Invalid {
        app: name(app),
        cause,
    }
}

fn name(app: &NamedComponent) -> String {
    app.path.display().to_string()
}
