//! What a component can reach of the cluster and its mailbox while one of its callbacks runs:
//! the host's side of the contract's imports.
//!
//! A context lives for one callback, or for one whole request of a `wasi:http` component. It
//! collects what the callback asks for. The exchange carries this out only if the callback
//! returns.

use std::sync::Arc;
use std::time::Duration;

use ::cluster::Digest;
use ::cluster::release::ReleaseId;
use bytes::Bytes;

use super::sent::ResponseSet;
use super::{cluster, mailbox, members};
use crate::capacity::Meter;
use crate::views::Views;

/// How many topics an exchange may have at a time, and how many timers; and how many messages
/// one callback may publish. `mailbox.wit` names this limit.
pub(super) const MAX_PER_EXCHANGE: usize = 32;
/// The longest topic, in bytes. `mailbox.wit` names this limit.
pub const MAX_TOPIC: usize = 256;
/// The largest payload, in bytes. `mailbox.wit` names this limit.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// What a callback may use.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    /// Processor time of one callback, or of one request of a `wasi:http` component.
    pub cpu: Duration,
    /// Time on the wall of one callback. For a `wasi:http` component, the time until its
    /// response head.
    pub wall: Duration,
    /// Bytes of linear memory: all memories of an instance together.
    pub memory: usize,
    /// Bytes of the state of an exchange.
    pub state: usize,
}

/// What the callbacks of one node share: who the node is, and which members it sees.
#[derive(Debug)]
pub struct NodeInfo {
    /// The membership views as they come.
    pub views: Views,
}

/// Something that a callback asked for. It takes effect when the callback returns.
#[derive(Debug, PartialEq, Eq)]
pub enum CallEffect {
    /// Send the members to this exchange.
    SubscribeNodes,
    /// Send to this exchange what is published on a topic.
    Subscribe(Arc<str>),
    /// Send no more of that topic.
    Unsubscribe(Arc<str>),
    /// Publish to every exchange that has subscribed.
    Publish {
        /// The topic.
        topic: Arc<str>,
        /// The message.
        payload: Bytes,
    },
    /// Send `timer(token)` after a time.
    SendAfter {
        /// The time.
        delay: Duration,
        /// The token to send.
        token: u64,
    },
}

/// What an exchange has when one of its callbacks begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subscribed<'a> {
    /// The topics that it has subscribed to.
    pub topics: &'a [Arc<str>],
    /// How many timers the exchange waits for.
    pub timers: usize,
}

/// What belongs to one call.
pub struct CallContext {
    node: Arc<NodeInfo>,
    release: ReleaseId,
    digest: Digest,
    view: Option<Arc<::cluster::View>>,
    /// What the callback asked for, in order.
    pub effects: Vec<CallEffect>,
    /// The topics that the exchange will have if the callback returns now.
    topics: Vec<Arc<str>>,
    timers_left: usize,
    publishes_left: usize,
    meter: Arc<Meter>,
    /// Whether a `HEAD` request is answered, by a `wasi:http` component.
    pub(crate) to_head: bool,
    /// Where it is noted that a `wasi:http` component has set its response.
    pub(crate) response: Option<Arc<ResponseSet>>,
}

impl CallContext {
    /// A context for one callback of an exchange that has this already, run by this component
    /// under this release.
    pub fn new(
        node: Arc<NodeInfo>,
        (release, digest): (ReleaseId, Digest),
        meter: Arc<Meter>,
        held: Subscribed<'_>,
    ) -> CallContext {
        CallContext {
            node,
            release,
            digest,
            view: None,
            effects: Vec::new(),
            topics: held.topics.to_vec(),
            timers_left: MAX_PER_EXCHANGE.saturating_sub(held.timers),
            publishes_left: MAX_PER_EXCHANGE,
            meter,
            to_head: false,
            response: None,
        }
    }

    /// The meter of what the call uses.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// The next look at the members sees them as they are then.
    pub(crate) fn look_anew(&mut self) {
        self.view = None;
    }

    fn view(&mut self) -> Arc<::cluster::View> {
        // One callback sees one view, even if a new view comes meanwhile.
        self.view
            .get_or_insert_with(|| self.node.views.current())
            .clone()
    }

    fn take_back(&mut self, effect: &CallEffect) -> bool {
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
        let mut node = members::own(&self.node.views, &view);
        node.release = Some(members::release(self.release, self.digest));
        node
    }

    fn nodes(&mut self) -> cluster::View {
        let view = self.view();
        members::view(&view)
    }
}

impl super::http::Host for CallContext {}

impl mailbox::Host for CallContext {
    fn subscribe_nodes(&mut self) {
        if !self.effects.contains(&CallEffect::SubscribeNodes) {
            self.effects.push(CallEffect::SubscribeNodes);
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
        // An effect is taken back instead of adding the opposite one. So the number of
        // effects is bounded, however often a guest changes its mind.
        let contrary = CallEffect::Unsubscribe(topic.clone());
        if !self.take_back(&contrary) {
            self.effects.push(CallEffect::Subscribe(topic));
        }
        Ok(())
    }

    fn unsubscribe(&mut self, topic: String) {
        let Some(at) = self.topics.iter().position(|held| **held == *topic) else {
            return;
        };
        let topic = self.topics.swap_remove(at);
        let contrary = CallEffect::Subscribe(topic.clone());
        if !self.take_back(&contrary) {
            self.effects.push(CallEffect::Unsubscribe(topic));
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
        self.effects.push(CallEffect::Publish {
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
        self.effects.push(CallEffect::SendAfter {
            delay: Duration::from_millis(milliseconds),
            token,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::{
        Class, InstancePlaces, MachineLimits, PATIENCE, PlaceLimits, Resident, SizeOf, SlowLane,
    };
    use crate::contract::mailbox::Host as _;

    async fn context(held: &[Arc<str>]) -> CallContext {
        let name = "example@10.10.10.2".parse().unwrap();
        let views = Views::new(tokio::sync::watch::Sender::default().subscribe(), name);
        let serving = ::cluster::Serving::bootstrap(Digest::of(b"an app"));
        let release = (serving.release, serving.digest);
        let held = Subscribed {
            topics: held,
            timers: 0,
        };
        let room = PlaceLimits::of(MachineLimits::look(), None);
        let places = InstancePlaces::new(room, Arc::new(Resident::within(room.budget)));
        let place = places
            .take(Class::Call, SizeOf::instance(1, 1), PATIENCE)
            .await
            .unwrap();
        let meter = Meter::new(Duration::from_secs(1), SlowLane::beside(1), place);
        CallContext::new(Arc::new(NodeInfo { views }), release, meter, held)
    }

    #[tokio::test]
    async fn topics_are_a_set_that_is_never_larger_than_allowed() {
        let held: Vec<Arc<str>> = (0..MAX_PER_EXCHANGE)
            .map(|n| n.to_string().into())
            .collect();
        let mut context = context(&held).await;
        // A topic that the exchange has already changes nothing, and needs no room.
        assert!(context.subscribe("0".into()).is_ok());
        // A topic that the exchange does not have gives no room back.
        context.unsubscribe("unknown".into());
        assert!(context.effects.is_empty());
        let full = context.subscribe("new".into());
        assert!(matches!(full, Err(mailbox::Error::TooMany)));
        context.unsubscribe("0".into());
        assert!(context.subscribe("new".into()).is_ok());
        let wanted = [
            CallEffect::Unsubscribe("0".into()),
            CallEffect::Subscribe("new".into()),
        ];
        assert_eq!(context.effects, wanted);
    }

    #[tokio::test]
    async fn a_guest_that_changes_its_mind_for_ever_asks_for_nothing() {
        let mut context = context(&[]).await;
        for _ in 0..1000 {
            assert!(context.subscribe("t".into()).is_ok());
            context.unsubscribe("t".into());
        }
        assert!(context.effects.is_empty());
    }
}
