//! What a component can reach while one of its callbacks runs: the data of
//! its store, and the host's side of the imports.
//!
//! A context lives for one callback (for one whole request of a `wasi:http`
//! component). It collects what the callback asks for; the exchange puts it
//! into effect only if the callback returns.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::meter::{Slices, SlowLane};
use super::outbound::NoOutbound;
use super::output::GuestOutput;
use super::{cluster, mailbox};
use crate::views::Views;

/// The most topics, and the most timers, that one exchange has at a time; the
/// most messages that one callback publishes. Named in `mailbox.wit`.
pub(super) const MAX_PER_EXCHANGE: usize = 32;
/// The longest topic, in bytes. Named in `mailbox.wit`.
pub const MAX_TOPIC: usize = 256;
/// The largest payload, in bytes. Named in `mailbox.wit`.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// What a callback may use.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    /// Processor time of one callback, or of one request of a `wasi:http` component.
    pub cpu: Duration,
    /// Time on the wall of one callback; of a `wasi:http` component, until its response head.
    pub wall: Duration,
    /// Bytes of linear memory, all memories of an instance together.
    pub memory: usize,
    /// Bytes of an exchange's state.
    pub state: usize,
}

/// What one node's callbacks share: who the node is and what it sees.
#[derive(Debug)]
pub struct NodeInfo {
    /// The membership views as they come.
    pub views: Views,
}

/// Which release a callback runs, as the contract shows it.
#[derive(Clone, Debug)]
pub struct ReleaseTag {
    /// Equal on nodes that run the same release.
    pub id: Arc<str>,
    /// SHA-256 in lower-case hex.
    pub digest: Arc<str>,
}

/// Something that a callback asked for and that takes hold when it returns.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell this exchange of the members.
    SubscribeNodes,
    /// Tell this exchange what is published on a topic.
    Subscribe(Arc<str>),
    /// No longer tell it.
    Unsubscribe(Arc<str>),
    /// Tell every exchange that has subscribed.
    Publish {
        /// On which topic.
        topic: Arc<str>,
        /// What.
        payload: Bytes,
    },
    /// Send `timer(token)` after a time.
    SendAfter {
        /// After how long.
        delay: Duration,
        /// What to send.
        token: u64,
    },
}

/// What an exchange holds when a callback of it begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held<'a> {
    /// The topics that it has subscribed to.
    pub topics: &'a [Arc<str>],
    /// How many timers it waits for.
    pub timers: usize,
}

/// The data of one store.
pub struct CallContext {
    node: Arc<NodeInfo>,
    release: ReleaseTag,
    view: Option<Arc<::cluster::View>>,
    /// What the callback asked for, in order.
    pub effects: Vec<Effect>,
    /// The topics that the exchange would have if the callback returned now.
    topics: Vec<Arc<str>>,
    timers_left: usize,
    publishes_left: usize,
    slices: Arc<Slices>,
    memory: MemoryCap,
    output: GuestOutput,
    wasi: Option<Box<WasiCtx>>,
    http: WasiHttpCtx,
    outbound: NoOutbound,
    table: ResourceTable,
}

impl CallContext {
    /// A context for one callback of an exchange that holds this already.
    pub fn new(
        node: Arc<NodeInfo>,
        release: ReleaseTag,
        limits: &CallLimits,
        lane: SlowLane,
        held: Held<'_>,
    ) -> CallContext {
        CallContext {
            node,
            release,
            view: None,
            effects: Vec::new(),
            topics: held.topics.to_vec(),
            timers_left: MAX_PER_EXCHANGE.saturating_sub(held.timers),
            publishes_left: MAX_PER_EXCHANGE,
            slices: Slices::new(limits.cpu, lane),
            memory: MemoryCap::new(limits.memory),
            output: GuestOutput::default(),
            wasi: None,
            http: WasiHttpCtx::new(),
            outbound: NoOutbound,
            table: ResourceTable::new(),
        }
    }

    /// The limiter of the store.
    pub fn limiter(&mut self) -> &mut dyn wasmtime::ResourceLimiter {
        &mut self.memory
    }

    /// The slices that this callback runs in.
    pub fn slices(&self) -> &Arc<Slices> {
        &self.slices
    }

    /// Whether the guest was refused memory, and so most likely died of it.
    pub fn memory_refused(&self) -> Option<usize> {
        self.memory.refused.then_some(self.memory.cap)
    }

    /// Whether this machine had no memory for it, and so it most likely died.
    pub fn starved(&self) -> bool {
        self.memory.starved
    }

    /// What the guest wrote to its standard output and error.
    pub fn output(&self) -> &GuestOutput {
        &self.output
    }

    fn view(&mut self) -> Arc<::cluster::View> {
        // One callback sees one view, whatever comes meanwhile.
        self.view
            .get_or_insert_with(|| self.node.views.current())
            .clone()
    }

    fn take_back(&mut self, effect: &Effect) -> bool {
        let at = self.effects.iter().position(|asked| asked == effect);
        at.map(|at| self.effects.remove(at)).is_some()
    }

    fn checked_topic(topic: &str) -> Result<(), mailbox::Error> {
        if topic.is_empty() || topic.len() > MAX_TOPIC {
            return Err(mailbox::Error::BadTopic);
        }
        Ok(())
    }
}

impl cluster::Host for CallContext {
    fn self_(&mut self) -> cluster::Node {
        let view = self.view();
        let mut node = self.node.views.own(&view);
        node.release = Some(cluster::Release {
            id: self.release.id.to_string(),
            digest: self.release.digest.to_string(),
        });
        node
    }

    fn nodes(&mut self) -> cluster::View {
        let view = self.view();
        self.node.views.to_contract(&view)
    }
}

impl super::http::Host for CallContext {}

impl mailbox::Host for CallContext {
    fn subscribe_nodes(&mut self) {
        if !self.effects.contains(&Effect::SubscribeNodes) {
            self.effects.push(Effect::SubscribeNodes);
        }
    }

    fn subscribe(&mut self, topic: String) -> Result<(), mailbox::Error> {
        Self::checked_topic(&topic)?;
        let topic: Arc<str> = topic.into();
        if self.topics.contains(&topic) {
            return Ok(());
        }
        if self.topics.len() >= MAX_PER_EXCHANGE {
            return Err(mailbox::Error::TooMany);
        }
        self.topics.push(topic.clone());
        // Taking back an effect instead of adding its contrary keeps their
        // number bounded, however often a guest changes its mind.
        let contrary = Effect::Unsubscribe(topic.clone());
        if !self.take_back(&contrary) {
            self.effects.push(Effect::Subscribe(topic));
        }
        Ok(())
    }

    fn unsubscribe(&mut self, topic: String) {
        let Some(at) = self.topics.iter().position(|held| **held == *topic) else {
            return;
        };
        let topic = self.topics.swap_remove(at);
        let contrary = Effect::Subscribe(topic.clone());
        if !self.take_back(&contrary) {
            self.effects.push(Effect::Unsubscribe(topic));
        }
    }

    fn publish(&mut self, topic: String, payload: Vec<u8>) -> Result<(), mailbox::Error> {
        Self::checked_topic(&topic)?;
        if payload.len() > MAX_PAYLOAD {
            return Err(mailbox::Error::PayloadTooLarge);
        }
        if self.publishes_left == 0 {
            return Err(mailbox::Error::TooMany);
        }
        self.publishes_left -= 1;
        self.effects.push(Effect::Publish {
            topic: topic.into(),
            payload: payload.into(),
        });
        Ok(())
    }

    fn send_after(&mut self, milliseconds: u64, token: u64) -> Result<(), mailbox::Error> {
        if self.timers_left == 0 {
            return Err(mailbox::Error::TooMany);
        }
        self.timers_left -= 1;
        self.effects.push(Effect::SendAfter {
            delay: Duration::from_millis(milliseconds),
            token,
        });
        Ok(())
    }
}

impl WasiView for CallContext {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Built only when a guest uses WASI at all: it seeds generators, and
        // most callbacks need none of it.
        let output = &self.output;
        let wasi = self.wasi.get_or_insert_with(|| {
            Box::new(
                WasiCtx::builder()
                    .stdout(output.stream())
                    .stderr(output.stream())
                    .build(),
            )
        });
        WasiCtxView {
            ctx: wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for CallContext {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.outbound,
        }
    }
}

/// Counts linear memory over all memories of a store and refuses what goes
/// over the cap.
struct MemoryCap {
    cap: usize,
    used: usize,
    refused: bool,
    /// Whether memory that it may have could not be had.
    starved: bool,
}

impl MemoryCap {
    fn new(cap: usize) -> MemoryCap {
        MemoryCap {
            cap,
            used: 0,
            refused: false,
            starved: false,
        }
    }
}

/// Whether an error of the engine comes from this machine and not from the
/// guest: no memory, no place in the pool.
pub(crate) fn by_machine(error: &wasmtime::Error) -> bool {
    error.is::<wasmtime::OutOfMemory>()
        || error.is::<wasmtime::PoolConcurrencyLimitError>()
        || error
            .chain()
            .any(|cause| cause.is::<std::io::Error>() || cause.is::<rustix::io::Errno>())
}

impl wasmtime::ResourceLimiter for MemoryCap {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.cap {
            self.refused = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.starved |= by_machine(&error);
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= super::MAX_TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::mailbox::Host as _;
    use wasmtime::ResourceLimiter as _;

    fn context(held: &[Arc<str>]) -> CallContext {
        let name = "example@10.10.10.2".parse().unwrap();
        let views = Views::new(tokio::sync::watch::Sender::default().subscribe(), name);
        let release = ReleaseTag {
            id: "r".into(),
            digest: "d".into(),
        };
        let limits = CallLimits {
            cpu: Duration::from_secs(1),
            wall: Duration::from_secs(1),
            memory: 1 << 20,
            state: 0,
        };
        let held = Held {
            topics: held,
            timers: 0,
        };
        let lane = SlowLane::beside(1);
        CallContext::new(Arc::new(NodeInfo { views }), release, &limits, lane, held)
    }

    #[test]
    fn topics_are_a_set_that_is_never_larger_than_allowed() {
        let held: Vec<Arc<str>> = (0..MAX_PER_EXCHANGE)
            .map(|n| n.to_string().into())
            .collect();
        let mut context = context(&held);
        // One that it has already does nothing, and needs no room.
        assert!(context.subscribe("0".into()).is_ok());
        // One that it does not have gives no room back.
        context.unsubscribe("unknown".into());
        assert!(context.effects.is_empty());
        let full = context.subscribe("new".into());
        assert!(matches!(full, Err(mailbox::Error::TooMany)));
        context.unsubscribe("0".into());
        assert!(context.subscribe("new".into()).is_ok());
        let wanted = [
            Effect::Unsubscribe("0".into()),
            Effect::Subscribe("new".into()),
        ];
        assert_eq!(context.effects, wanted);
    }

    #[test]
    fn a_guest_that_changes_its_mind_for_ever_asks_for_nothing() {
        let mut context = context(&[]);
        for _ in 0..1000 {
            assert!(context.subscribe("t".into()).is_ok());
            context.unsubscribe("t".into());
        }
        assert!(context.effects.is_empty());
    }

    #[test]
    fn the_memory_cap_counts_all_memories_together_and_remembers_a_refusal() {
        let mut cap = MemoryCap::new(100);
        assert!(cap.memory_growing(0, 60, None).unwrap());
        assert!(cap.memory_growing(0, 40, None).unwrap());
        assert!(!cap.refused);
        assert!(!cap.memory_growing(60, 61, None).unwrap());
        assert!(cap.refused);
        assert!(!cap.memory_growing(0, usize::MAX, None).unwrap());
    }
}
