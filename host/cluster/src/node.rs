//! The state machine of one node.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::strange::Strangers;
use crate::{Boot, Config, Counters, Effect, Input, Keys, Member, Time, View};

/// One node of a cluster, without its sockets, clock and files.
pub struct Node {
    effects: VecDeque<Effect>,
    view: Arc<View>,
    strangers: Strangers,
}

impl Node {
    /// A node that starts now. Its first effects store its boot number and
    /// announce it. The seed must come from the operating system's generator.
    pub fn new(config: Config, _keys: &Keys, _now: Time, _seed: u64) -> Self {
        let boot = Boot::at_start(config.boot_stored, config.wall_ms);
        let me = Member {
            name: config.name,
            boot,
            http: config.http,
            since_ms: config.wall_ms,
            release: None,
        };
        Self {
            effects: VecDeque::from([Effect::StoreBoot(boot)]),
            view: Arc::new(View {
                version: 1,
                members: vec![me],
            }),
            strangers: Strangers::default(),
        }
    }

    /// Takes in what has happened. `wall_ms` is the wall clock in milliseconds
    /// since 1970-01-01 UTC; it only serves to show since when a member is up.
    pub fn handle(&mut self, _now: Time, _wall_ms: u64, _input: Input<'_>) {}

    /// When to hand in the next [`Input::Timer`].
    pub fn next_timer(&self) -> Option<Time> {
        None
    }

    /// The next thing that is to be done. To be asked until there is none,
    /// after [`Node::new`] and after every [`Node::handle`].
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The members now.
    pub fn view(&self) -> Arc<View> {
        self.view.clone()
    }

    /// What came in and was refused, since the start.
    pub fn counters(&self) -> &Counters {
        &self.strangers.counters
    }
}
