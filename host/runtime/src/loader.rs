//! From the bytes of a component, whatever their source, to the generation that serves:
//! the one way to change the app of a node.
//!
//! ```text
//! bytes -> compile -> load permit -> check -> smoke request -> Prepared -> slot
//! ```
//!
//! Compiling may take long, and comes before the permit, so that it keeps nobody else from
//! loading.
//!
//! If a step fails, the generation that serves goes on serving, the reason is returned,
//! and nothing else has changed. A generation that served before and still drains has
//! passed all steps, so it is prepared at once.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::Digest;

use crate::component::NamedComponent;
use crate::engine::Runtime;
use crate::generation::{
    ComponentError, DrainingGeneration, Generation, LoadPermit, Slot, check, compile,
};
use crate::smoke::Smoke;

/// Loads components into one slot.
pub struct Loader {
    runtime: Arc<Runtime>,
    slot: Arc<Slot>,
    smoke: Option<Smoke>,
}

/// A generation that has passed all checks, and the permit to put it in. If it is
/// dropped unused, nothing has changed.
pub struct Prepared {
    generation: Arc<Generation>,
    permit: LoadPermit,
    /// How long it waited for room.
    waited: Duration,
    /// How long the compiler took.
    compiled: Duration,
    /// How long all checks took.
    checked: Duration,
}

/// A change of code that was made, and how long its steps took.
#[derive(Clone, Debug)]
pub struct Swapped {
    /// What serves now.
    pub digest: Digest,
    /// What served before, and drains now; none at the start of the node.
    pub draining: Option<DrainingGeneration>,
    /// How long it waited for room.
    pub waited: Duration,
    /// How long the compiler took, or the cache of compiled code.
    pub compiled: Duration,
    /// How long linking, instantiating and checking took, and the smoke request.
    pub validated: Duration,
    /// How long the change itself took: one atomic store, after which requests
    /// go to the new code.
    pub swapped: Duration,
}

/// The step that preparing a generation has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparing {
    /// The compiler works.
    Compiling,
    /// Two generations are loaded, or are about to be. It waits for room.
    WaitingForRoom,
    /// There is room. Its code runs for the first time.
    TryingOut,
}

impl Loader {
    /// A loader for this slot.
    pub fn new(runtime: Arc<Runtime>, slot: Arc<Slot>) -> Loader {
        Loader {
            runtime,
            slot,
            smoke: None,
        }
    }

    /// From now on an app must answer this request before it serves.
    #[must_use]
    pub fn with_smoke(self, smoke: Option<Smoke>) -> Loader {
        Loader { smoke, ..self }
    }

    /// The generation that serves now; none if nothing serves.
    pub fn current(&self) -> Option<Arc<Generation>> {
        self.slot.current()
    }

    /// The digest of the component that serves now.
    pub fn serves(&self) -> Option<Digest> {
        self.current().map(|generation| generation.digest)
    }

    /// The digest of the component that drains, if one does.
    pub fn draining(&self) -> Option<Digest> {
        self.slot.draining().map(|draining| draining.digest)
    }

    /// The engine that components are loaded into.
    pub fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// The generation of this component, if it served before and still drains. Its
    /// bytes are not needed.
    pub async fn back(&self, app: Digest) -> Option<Prepared> {
        let began = Instant::now();
        let (permit, generation) = self.slot.back(app).await?;
        Some(Prepared::again(generation, permit, began.elapsed()))
    }

    /// Makes a generation of a component, ready to be put in. Once it is compiled, it waits
    /// for a load permit: no more than two generations are loaded at any time.
    ///
    /// # Errors
    /// See [`ComponentError`].
    pub async fn prepare(&self, app: NamedComponent) -> Result<Prepared, ComponentError> {
        self.prepare_telling(app, |_| {}).await
    }

    /// Like [`Loader::prepare`], and reports each step as it begins.
    ///
    /// # Errors
    /// See [`ComponentError`].
    pub async fn prepare_telling(
        &self,
        app: NamedComponent,
        tell: impl Fn(Preparing),
    ) -> Result<Prepared, ComponentError> {
        if let Some(prepared) = self.back(app.component.digest()).await {
            return Ok(prepared);
        }
        tell(Preparing::Compiling);
        let compiled = compile(&self.runtime, &app).await?;
        let took = compiled.took;
        let began = Instant::now();
        let mut permit = pin!(self.slot.permit_or_back(app.component.digest()));
        let (permit, back) = tokio::select! {
            biased;
            permit = &mut permit => permit,
            () = std::future::ready(()) => {
                tell(Preparing::WaitingForRoom);
                permit.await
            }
        };
        let waited = began.elapsed();
        if let Some(generation) = back {
            return Ok(Prepared::again(generation, permit, waited));
        }
        tell(Preparing::TryingOut);
        fault::point("loader: room made");
        let began = Instant::now();
        let name = app.path.display().to_string();
        let generation = Arc::new(check(&self.runtime, app, compiled).await?);
        if let Some(smoke) = &self.smoke {
            let asked = smoke.ask(generation.twin()).await;
            asked.map_err(|unanswered| match unanswered.by_machine {
                true => ComponentError::NoRoom {
                    app: name,
                    cause: format!("its smoke request {}", unanswered.cause),
                },
                false => ComponentError::Smoke {
                    app: name,
                    target: smoke.target.to_string(),
                    cause: unanswered.cause,
                },
            })?;
            fault::point("loader: smoke passed");
        }
        fault::point("loader: ready");
        Ok(Prepared {
            generation,
            permit,
            waited,
            compiled: took,
            checked: began.elapsed(),
        })
    }
}

impl Prepared {
    /// A generation that served before. It needs no compiling and no checks.
    fn again(generation: Arc<Generation>, permit: LoadPermit, waited: Duration) -> Prepared {
        Prepared {
            generation,
            permit,
            waited,
            compiled: Duration::ZERO,
            checked: Duration::ZERO,
        }
    }

    /// The generation.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Puts the generation into the slot.
    pub fn activate(self) -> Swapped {
        let Prepared {
            generation,
            permit,
            waited,
            compiled,
            checked,
        } = self;
        let digest = generation.digest;
        let began = Instant::now();
        let draining = permit.put(generation);
        let swapped = began.elapsed();
        fault::point("loader: activated");
        Swapped {
            digest,
            draining,
            waited,
            compiled,
            validated: checked,
            swapped,
        }
    }
}
