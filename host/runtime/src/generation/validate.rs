//! From bytes to a generation: compile, link, check what is exported, and
//! instantiate once.
//!
//! Types of exports are checked only when an instance is made and each of its
//! interfaces is loaded, so that is done here, under the limits of a callback.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use cluster::ComponentBytes;
use wasmtime::component::{Component, InstancePre};

use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::component::NamedComponent;
use crate::contract::simple::SimpleAppPre;
use crate::contract::streaming::StreamingAppPre;
use crate::contract::upgrade::exports::ace::raxx::upgrade::GuestIndices as UpgradeIndices;
use crate::contract::{CallContext, Held, Metered, ReleaseTag, WallDeadline};
use crate::engine::{Runtime, one_line};
use crate::generation::{Generation, Kind};
use crate::generation::{SimpleApp, StreamingApp};
use cluster::short;

const HANDLERS: &str = "ace:raxx/server, ace:raxx/simple-server or wasi:http/incoming-handler";
const SIMPLE: &str = "ace:raxx/simple-server@";
const STREAMING: &str = "ace:raxx/server@";
const MAILBOX: &str = "ace:raxx/mailbox@";
const UPGRADE: &str = "ace:raxx/upgrade@";
const PLAIN: &str = "wasi:http/incoming-handler@";

/// Why a component cannot be an app here. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
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
    /// Broken, cut off, or using what this engine does not know.
    #[error(
        "{app} cannot be compiled: {cause}; build it again, or raise --memory-limit if its memory is what exceeds a limit"
    )]
    Invalid {
        /// The file.
        app: String,
        /// What the compiler said, in one line.
        cause: String,
    },
    /// It does not export any interface that requests can go to.
    #[error("{app} has no handler: it exports {exports}; an app exports {HANDLERS}")]
    NoHandler {
        /// The file.
        app: String,
        /// What it does export.
        exports: String,
    },
    /// It imports what this host does not give, or in another shape.
    #[error(
        "{app} imports what this host does not give: {cause}; remove the import, or run a host that has it"
    )]
    Import {
        /// The file.
        app: String,
        /// What the linker said, in one line.
        cause: String,
    },
    /// An export has another type than the contract says.
    #[error(
        "{app} does not fit the contract: {cause}; build it against the wit/ of this host's version"
    )]
    Contract {
        /// The file.
        app: String,
        /// What does not fit, in one line.
        cause: String,
    },
    /// It does not answer as it should.
    #[error(
        "{app} failed its smoke request: GET {target} {cause}; repair the app, or change --smoke"
    )]
    Smoke {
        /// The file.
        app: String,
        /// What was asked for.
        target: String,
        /// What came instead of a success, in one line.
        cause: String,
    },
    /// It does not come up.
    #[error("{app} does not start: {cause}")]
    Start {
        /// The file.
        app: String,
        /// How it failed, in one line.
        cause: String,
    },
}

/// Makes a generation from the bytes of an app.
///
/// # Errors
/// See [`Refusal`].
pub async fn validate(runtime: &Arc<Runtime>, app: NamedComponent) -> Result<Generation, Refusal> {
    let name = app.path.display().to_string();
    check_layer(&name, app.component.bytes())?;

    let began = Instant::now();
    let (size, digest) = (app.component.bytes().len(), app.component.digest());
    let component = compile(runtime, &name, &app.component).await?;
    let compiled_in = began.elapsed();
    fault::point("validate: compiled");

    let exports: Vec<String> = component
        .component_type()
        .exports(&runtime.engine)
        .map(|(export, _)| export.to_owned())
        .collect();
    let pre = runtime
        .linker
        .instantiate_pre(&component)
        .map_err(|error| Refusal::Import {
            app: name.clone(),
            cause: one_line(&error),
        })?;
    let world = World::of(&name, &exports, &pre)?;
    let imports_mailbox = component
        .component_type()
        .imports(&runtime.engine)
        .any(|(import, _)| import.starts_with(MAILBOX));
    if imports_mailbox && !matches!(world, World::Streaming(..)) {
        return Err(Refusal::Import {
            app: name,
            cause: "ace:raxx/mailbox is for apps that export ace:raxx/server, since only their \
                    exchanges have a mailbox"
                .to_owned(),
        });
    }

    let text = digest.to_string();
    let release = ReleaseTag {
        id: short(&text).into(),
        digest: text.into(),
    };
    let upgrade = exports.iter().find(|export| export.starts_with(UPGRADE));
    let state_version = try_out(runtime, &name, &world, &release, upgrade.is_some(), &pre).await?;
    fault::point("validate: tried out");
    let kind = world.into_kind(&name, pre, upgrade.map(String::as_str))?;

    Ok(Generation {
        runtime: runtime.clone(),
        kind,
        digest,
        release,
        state_version,
        size,
        compiled_in,
        life: super::Alive::default(),
    })
}

/// A component starts with the magic of WebAssembly and layer 1; a core module
/// has layer 0 there.
fn check_layer(app: &str, bytes: &[u8]) -> Result<(), Refusal> {
    match bytes {
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => Err(Refusal::CoreModule {
            app: app.to_owned(),
        }),
        _ => Err(Refusal::NotWasm {
            app: app.to_owned(),
        }),
    }
}

async fn compile(
    runtime: &Arc<Runtime>,
    name: &str,
    app: &ComponentBytes,
) -> Result<Component, Refusal> {
    let invalid = |cause: String| Refusal::Invalid {
        app: name.to_owned(),
        cause,
    };
    match runtime.compile(app).await {
        Ok(Ok(component)) => Ok(component),
        Ok(Err(error)) => Err(invalid(one_line(&error))),
        Err(_) => Err(invalid("the compiler failed on it".to_owned())),
    }
}

/// The world that a component fits, with the name of its handler.
enum World {
    Simple(String, SimpleAppPre<CallContext>),
    Streaming(String, StreamingAppPre<CallContext>),
    Plain(ProxyPre<CallContext>),
}

impl World {
    fn of(app: &str, exports: &[String], pre: &InstancePre<CallContext>) -> Result<World, Refusal> {
        let find = |interface: &str| {
            exports
                .iter()
                .find(|export| export.starts_with(interface))
                .cloned()
        };
        let contract = |error: wasmtime::Error| Refusal::Contract {
            app: app.to_owned(),
            cause: one_line(&error),
        };
        if let Some(handler) = find(STREAMING) {
            Ok(World::Streaming(
                handler,
                StreamingAppPre::new(pre.clone()).map_err(contract)?,
            ))
        } else if let Some(handler) = find(SIMPLE) {
            Ok(World::Simple(
                handler,
                SimpleAppPre::new(pre.clone()).map_err(contract)?,
            ))
        } else if find(PLAIN).is_some() {
            Ok(World::Plain(ProxyPre::new(pre.clone()).map_err(contract)?))
        } else {
            let exports = match exports {
                [] => "nothing".to_owned(),
                some => some.join(", "),
            };
            Err(Refusal::NoHandler {
                app: app.to_owned(),
                exports,
            })
        }
    }

    fn into_kind(
        self,
        app: &str,
        pre: InstancePre<CallContext>,
        upgrade: Option<&str>,
    ) -> Result<Kind, Refusal> {
        let found = match &self {
            World::Simple(handler, _) => SimpleApp::find(pre, handler).map(Kind::Simple),
            World::Streaming(handler, _) => {
                StreamingApp::find(pre, handler, upgrade).map(Kind::Streaming)
            }
            World::Plain(pre) => Some(Kind::Plain(pre.clone())),
        };
        found.ok_or_else(|| Refusal::Contract {
            app: app.to_owned(),
            cause: "a function of its handler is missing".to_owned(),
        })
    }
}

/// Makes a second instance, since only so are the interfaces of a kind loaded.
/// It is metered by itself, and is gone when this returns: it may hold the one
/// place in the slow lane, which it needs for its own next slice, and then the
/// first instance to go on.
async fn load_all(
    runtime: &Arc<Runtime>,
    world: &World,
    release: &ReleaseTag,
) -> wasmtime::Result<()> {
    let mut other = runtime.store(release.clone(), Held::default());
    let slices = other.data().slices().clone();
    let loaded = pin!(async {
        match world {
            World::Simple(_, pre) => pre.instantiate_async(&mut other).await.map(drop),
            World::Streaming(_, pre) => pre.instantiate_async(&mut other).await.map(drop),
            World::Plain(pre) => pre.instantiate_async(&mut other).await.map(drop),
        }
    });
    // Whoever waits for this keeps the time.
    match Metered::new(loaded, slices, None).await {
        Ok(loaded) => loaded,
        Err(WallDeadline) => Err(wasmtime::Error::msg("it did not start in time")),
    }
}

/// Makes one instance, loads each of its interfaces, and asks for its state version.
async fn try_out(
    runtime: &Arc<Runtime>,
    app: &str,
    world: &World,
    release: &ReleaseTag,
    upgradable: bool,
    pre: &InstancePre<CallContext>,
) -> Result<u32, Refusal> {
    let start = |cause: String| Refusal::Start {
        app: app.to_owned(),
        cause,
    };
    let contract = |error: wasmtime::Error| Refusal::Contract {
        app: app.to_owned(),
        cause: one_line(&error),
    };

    let mut store = runtime.store(release.clone(), Held::default());
    let slices = store.data().slices().clone();
    let trial = pin!(async {
        let instance = pre
            .instantiate_async(&mut store)
            .await
            .map_err(|e| start(one_line(&e)))?;
        load_all(runtime, world, release).await.map_err(contract)?;
        if !upgradable {
            return Ok(0);
        }
        let upgrade = UpgradeIndices::new(pre)
            .and_then(|indices| indices.load(&mut store, &instance))
            .map_err(contract)?;
        upgrade
            .call_state_version(&mut store)
            .await
            .map_err(|e| start(one_line(&e)))
    });
    match Metered::new(trial, slices, Some(runtime.limits.wall)).await {
        Ok(tried) => tried,
        Err(_) => Err(start(format!(
            "it took more than {} s",
            runtime.limits.wall.as_secs()
        ))),
    }
}
