//! Compiling ahead. A file that has changed is not loaded before it has been still
//! for a moment. The compiler uses that time to work on its content, because the
//! content will most likely be loaded. If it is not, only the work was wasted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster::{ComponentBytes, Digest};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wasmtime::component::Component;

use crate::engine::Runtime;

/// Where the result of the compiler comes. An error of the channel means that the
/// compiler panicked.
pub(crate) type Compiling = oneshot::Receiver<wasmtime::Result<Component>>;

/// The one component that is compiled ahead, or was, and has not been asked for
/// yet.
#[derive(Default)]
pub(super) struct Ahead {
    begun: Mutex<Option<(Digest, Compiling)>>,
    /// Whether the compiler still works on it. Only one component is compiled
    /// ahead at a time: a file that is written again and again does not keep the
    /// compilers busy.
    is_busy: Arc<AtomicBool>,
}

impl Ahead {
    /// The compiling that was begun for this component, if it was.
    pub(super) fn take(&self, digest: &Digest) -> Option<Compiling> {
        let mut begun = self.begun.lock();
        let found = begun.take_if(|(of, _)| of == digest)?;
        Some(found.1)
    }

    fn keep(&self, digest: Digest, compiling: Compiling) {
        let mut begun = self.begun.lock();
        *begun = Some((digest, compiling));
    }
}

/// Clears the mark when the compiler is done, even after a panic.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Runtime {
    /// Starts the compiler on a component that will probably be loaded in a
    /// moment. Does nothing while the compiler still works on another one ahead.
    pub fn compile_ahead(&self, app: &ComponentBytes) {
        let busy = self.ahead.is_busy.clone();
        if busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let compiling = self.begin(app.bytes(), Busy(busy));
        self.ahead.keep(app.digest(), compiling);
    }

    /// Starts the compiler on a component, or continues what it began ahead.
    pub(crate) fn compile(&self, app: &ComponentBytes) -> Compiling {
        match self.ahead.take(&app.digest()) {
            Some(compiling) => compiling,
            None => self.begin(app.bytes(), ()),
        }
    }

    fn begin(&self, bytes: &bytes::Bytes, until: impl Send + 'static) -> Compiling {
        let (engine, bytes) = (self.engine.clone(), bytes.clone());
        let (sender, compiling) = oneshot::channel();
        self.compilers.spawn(move || {
            let _until = until;
            // Nobody waits for the result if the node stops, or if the component
            // was compiled ahead in vain.
            let _ = sender.send(Component::from_binary(&engine, &bytes));
        });
        compiling
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::PlaceLimits;
    use crate::contract::{CallLimits, NodeInfo};
    use crate::engine::RuntimeConfig;
    use crate::views::Views;
    use std::time::Duration;

    fn runtime() -> Arc<Runtime> {
        let name = "example@10.10.10.2".parse().unwrap();
        let views = Views::new(tokio::sync::watch::Sender::default().subscribe(), name);
        let config = RuntimeConfig {
            room: Default::default(),
            places: PlaceLimits {
                calls: 4,
                streams: 4,
                tries: 4,
                budget: u64::MAX,
            },
            limits: CallLimits {
                cpu: Duration::from_secs(1),
                wall: Duration::from_secs(1),
                memory: 1 << 20,
                state: 0,
            },
            workers: 1,
            code_cache: None,
        };
        Runtime::new(config, Arc::new(NodeInfo { views })).unwrap()
    }

    fn app(bytes: &[u8]) -> ComponentBytes {
        ComponentBytes::of(bytes.to_vec().into())
    }

    #[tokio::test]
    async fn what_was_begun_ahead_is_taken_once_and_by_its_own_digest_only() {
        let runtime = runtime();
        let (one, other) = (b"\0asm\x0d\0\x01\0".to_vec(), b"no app".to_vec());
        runtime.compile_ahead(&app(&one));
        assert!(runtime.ahead.take(&Digest::of(&other)).is_none());
        let compiling = runtime.ahead.take(&Digest::of(&one));
        compiling.expect("it was begun").await.unwrap().unwrap();
        assert!(runtime.ahead.take(&Digest::of(&one)).is_none());
        // A component that was not begun is compiled all the same, and a failure
        // is reported.
        assert!(runtime.compile(&app(&one)).await.unwrap().is_ok());
        assert!(runtime.compile(&app(&other)).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn one_at_a_time_is_compiled_ahead_and_the_newest_kept() {
        let runtime = runtime();
        // Keeps the only compiler busy until the test ends this.
        let (go, wait) = std::sync::mpsc::channel::<()>();
        runtime.compilers.spawn(move || wait.recv().unwrap());
        let apps = [b"\0asm\x0d\0\x01\0".to_vec(), b"second".to_vec()];
        runtime.compile_ahead(&app(&apps[0]));
        runtime.compile_ahead(&app(&apps[1]));
        assert!(runtime.ahead.take(&Digest::of(&apps[1])).is_none());
        go.send(()).unwrap();
        let first = runtime.ahead.take(&Digest::of(&apps[0])).unwrap();
        first.await.unwrap().unwrap();
        // The mark is cleared after the result has come.
        while runtime.ahead.is_busy.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        runtime.compile_ahead(&app(&apps[1]));
        let second = runtime.ahead.take(&Digest::of(&apps[1])).unwrap();
        assert!(second.await.unwrap().is_err());
    }
}
