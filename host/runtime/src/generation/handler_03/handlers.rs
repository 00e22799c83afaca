//! Which handler gets the next request.

use std::sync::Arc;

use parking_lot::Mutex;
use wasmtime_wasi_http::handler::ProxyHandler;

use super::{Handler03, Instances03};
use crate::generation::Generation;

/// The handler that gets the requests of a generation.
///
/// A handler does not know that an instance is busy that began to run when it was asked for
/// nothing new, and lets requests wait for it. So when an instance is busy, a next handler takes its
/// place; those that wait stay, and the instances of the old one end when they are idle.
///
/// The same happens when something was set: the instances of the old one have seen what was set
/// before.
#[derive(Default)]
pub(in crate::generation) struct Handlers03(Mutex<LastHandler03>);

#[derive(Default)]
struct LastHandler03 {
    number: usize,
    /// The version of what was set when it was made.
    settings: u64,
    handler: Option<Handler03>,
}

impl Handlers03 {
    /// The handler for the next request.
    pub(in crate::generation) fn get(&self, generation: &Arc<Generation>) -> Handler03 {
        let mut last = self.0.lock();
        let settings = generation.runtime.node.settings_version();
        if last.settings != settings {
            last.pass();
            last.settings = settings;
        }
        let number = last.number;
        let made = || {
            ProxyHandler::new(Instances03 {
                generation: Arc::downgrade(generation),
                number,
            })
        };
        last.handler.get_or_insert_with(made).clone()
    }

    /// An instance of the handler with this number is busy.
    pub(super) fn pass_over(&self, busy: usize) {
        let mut last = self.0.lock();
        if last.number == busy {
            last.pass();
        }
    }
}

impl LastHandler03 {
    /// The next request gets another handler.
    fn pass(&mut self) {
        self.number += 1;
        self.handler = None;
    }
}
