//! What a component can reach of the cluster while one of its callbacks runs.
//!
//! A context lives for one callback, or for one whole request of a `wasi:http` component. It
//! collects what the callback asks for by calls. The exchange carries this out only if the
//! callback returns.

use std::sync::Arc;
use std::time::Duration;

use ::cluster::data::{DataStore, DataWatch, KeyRange};
use ::cluster::release::ReleaseId;
use ::cluster::{Digest, Settings};

use tokio::sync::watch;

use super::effects::CallEffects;
use super::sent::ResponseSet;
use super::{cluster, members};
use crate::capacity::Meter;
use crate::views::Views;

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

/// What the callbacks of one node share: who the node is, which members it sees, what is set for the
/// app, the key-value data, and the way to other servers.
#[derive(Debug)]
pub struct NodeInfo {
    /// The membership views as they come.
    pub views: Views,
    /// What is set, always the newest.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// What apps reach other servers by.
    pub egress: egress::EgressClient,
    /// The key-value data.
    pub data: DataStore,
}

impl NodeInfo {
    /// A node that sees these views, on which nothing is ever set, whose apps reach no other servers,
    /// and whose data is its own.
    pub fn closed(views: Views) -> NodeInfo {
        NodeInfo {
            views,
            settings: watch::channel(Arc::default()).1,
            egress: egress::EgressClient::closed(),
            data: DataStore::default(),
        }
    }

    /// What is set now.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.borrow().clone()
    }

    /// The version of what is set now.
    pub(crate) fn settings_version(&self) -> u64 {
        self.settings.borrow().version()
    }
}

/// What an exchange has when one of its callbacks begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subscribed<'a> {
    /// The topics that it has subscribed to.
    pub topics: &'a [Arc<str>],
    /// How many timers the exchange waits for.
    pub timers: usize,
    /// How many fetches the exchange waits for.
    pub fetches: usize,
    /// The ranges of keys that it watches.
    pub watches: &'a [(KeyRange, DataWatch)],
}

/// What belongs to one call.
pub struct CallContext {
    node: Arc<NodeInfo>,
    release: ReleaseId,
    digest: Digest,
    view: Option<Arc<::cluster::View>>,
    /// What the callback asked for.
    pub(crate) effects: CallEffects,
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
        let effects = CallEffects::of(held, node.data.clone());
        CallContext {
            node,
            release,
            digest,
            view: None,
            effects,
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

    /// Whether anything was asked of the cluster or the mailbox.
    pub(crate) fn has_asked(&self) -> bool {
        self.view.is_some() || !self.effects.is_empty()
    }

    fn view(&mut self) -> Arc<::cluster::View> {
        // One callback sees one view, even if a new view comes meanwhile.
        self.view
            .get_or_insert_with(|| self.node.views.current())
            .clone()
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
impl super::data::Host for CallContext {}
impl super::fetch::Host for CallContext {}
impl super::mailbox::Host for CallContext {}
