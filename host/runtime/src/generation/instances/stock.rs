//! Instances that are made ready before they are asked for, where each call has an instance of its
//! own: then a call need not wait until its instance has been set up.
//!
//! They are made while this node works on nothing else. They take the places of instances that
//! wait, go when memory is short, and are not made where that saves nothing.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::super::invoke::{Span, failure, within_limits};
use super::InstanceGuard;
use crate::contract::{CALLBACK_CALL_MAX, CallContext, Subscribed};
use crate::generation::Generation;

/// How many instances are kept ready.
const READY: usize = 4;
/// What takes less time to set up is not kept ready: waking the task that does it costs as much.
const WORTH: Duration = Duration::from_micros(25);
/// How long to wait while there are requests.
const PAUSE: Duration = Duration::from_millis(10);

/// Keeps the stock of one generation full while it serves.
#[derive(Debug, Default)]
pub(super) struct Stock {
    /// Notified when an instance was taken.
    taken: Arc<Notify>,
    task: parking_lot::Mutex<Option<AbortHandle>>,
}

/// Why the stock is not filled further.
enum Full {
    /// There is no room for it now.
    ForNow,
    /// It would save nothing, or the app cannot be set up before its call.
    ForGood,
}

impl Stock {
    /// Keeps the stock full from now on. Must be called within a tokio runtime.
    pub(super) fn begin(&self, generation: &Arc<Generation>) {
        let task = tokio::spawn(fill(Arc::downgrade(generation), self.taken.clone()));
        if let Some(before) = self.task.lock().replace(task.abort_handle()) {
            before.abort();
        }
    }

    /// Ends that.
    pub(super) fn end(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }

    /// An instance was taken, or there was none.
    pub(super) fn note_taken(&self) {
        self.taken.notify_one();
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        self.end();
    }
}

async fn fill(generation: Weak<Generation>, taken: Arc<Notify>) {
    let mut fastest = Duration::MAX;
    let mut made = 0;
    loop {
        until_idle(&generation).await;
        let Some(serving) = generation.upgrade() else {
            return;
        };
        let full = match serving.idle_instances() < READY {
            true => serving.make_ready(&mut fastest).await.err(),
            false => Some(Full::ForNow),
        };
        made += usize::from(full.is_none());
        // The first are slower than the others will be.
        if matches!(full, Some(Full::ForGood)) || (made >= READY && fastest < WORTH) {
            return serving.instances.empty();
        }
        drop(serving);
        match full {
            Some(_) => taken.notified().await,
            // Others have their turn in between.
            None => tokio::task::yield_now().await,
        }
    }
}

/// Waits until the node works on no request.
async fn until_idle(generation: &Weak<Generation>) {
    let works = || {
        let generation = generation.upgrade();
        generation.is_some_and(|it| it.runtime.places.now().calls > 0)
    };
    while works() {
        tokio::time::sleep(PAUSE).await;
    }
}

impl Generation {
    /// Sets up one instance and lets it wait. `fastest`: the least that it took so far.
    async fn make_ready(&self, fastest: &mut Duration) -> Result<(), Full> {
        let runtime = &self.runtime;
        let place = runtime.places.take_idle(self.instance_size);
        let meter = runtime.meter(self.class(), place.ok_or(Full::ForNow)?);
        let serving = (self.release(), self.digest);
        let held = Subscribed::default();
        let context = CallContext::new(runtime.node.clone(), serving, meter.clone(), held);
        let mut live = self.new_instance(context);
        live.store.set_hostcall_fuel(CALLBACK_CALL_MAX);
        let mut guard = InstanceGuard {
            generation: self,
            live,
        };
        let began = Instant::now();
        let set_up = {
            let running = pin!(guard.run(&self.pre, async |_, _| Ok(())));
            within_limits(self, Span::Callback, &meter, running).await
        };
        *fastest = began.elapsed().min(*fastest);
        let live = guard.live;
        let set_up = set_up.and_then(|set_up| {
            let why = |error| failure(self, Span::Callback, live.store.data(), &error);
            set_up.map_err(why)
        });
        match set_up {
            // What it asked of the cluster belongs to a call.
            Ok(()) if live.store.data().call.has_asked() => return Err(Full::ForGood),
            Ok(()) => {}
            Err(failed) if failed.is_busy() => return Err(Full::ForNow),
            // Its first request tells why it failed.
            Err(_) => return Err(Full::ForGood),
        }
        self.instances.idle.push(live, runtime.places.resident());
        Ok(())
    }
}
