//! Version 0.1.0 of the contract, which is served on: its bindings, and how what differs in it is
//! turned into the types of the host, and back.
//!
//! ```text
//! a call of its mailbox -> CallEffects      its step -> Step      Message -> its message
//! ```

use wasmtime::StoreContextMut;
use wasmtime::component::{HasSelf, Linker};

use super::cluster::{Host as _, Node, View};
use super::{CallContext, HostState, IllegalEffect, mailbox as current};

pub(crate) mod streaming {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1.0",
        world: "streaming-app",
        exports: { default: async },
        with: {
            "ace:raxx/http": crate::contract::http,
            "ace:raxx/cluster": crate::contract::cluster,
        },
    });
}

pub(crate) mod simple {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1.0",
        world: "simple-app",
        exports: { default: async },
        with: {
            "ace:raxx/http": crate::contract::http,
            "ace:raxx/cluster": crate::contract::cluster,
        },
    });
}

pub(crate) mod upgrade {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1.0",
        world: "upgradable",
        exports: { default: async },
    });
}

use streaming::ace::raxx::mailbox;
pub(crate) use streaming::ace::raxx::mailbox::Message;
pub(crate) use streaming::exports::ace::raxx::server::Step;

type Caller<'a> = StoreContextMut<'a, HostState>;

/// Links what this version imports.
pub(super) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    mailbox::add_to_linker::<_, HasSelf<CallContext>>(linker, |state| &mut state.call)?;
    linker.instance("ace:raxx/http@0.1.0")?;
    let mut cluster = linker.instance("ace:raxx/cluster@0.1.0")?;
    cluster.func_wrap("self", |mut caller: Caller<'_>, (): ()| {
        Ok((caller.data_mut().call.self_(),)) as wasmtime::Result<(Node,)>
    })?;
    cluster.func_wrap("nodes", |mut caller: Caller<'_>, (): ()| {
        Ok((caller.data_mut().call.nodes(),)) as wasmtime::Result<(View,)>
    })
}

impl mailbox::Host for CallContext {
    fn subscribe_nodes(&mut self) {
        self.effects.subscribe_nodes();
    }

    fn subscribe(&mut self, topic: String) -> Result<(), mailbox::Error> {
        self.effects.subscribe(topic).map_err(mailbox::Error::from)
    }

    fn unsubscribe(&mut self, topic: String) {
        self.effects.unsubscribe(&topic);
    }

    fn publish(&mut self, topic: String, payload: Vec<u8>) -> Result<(), mailbox::Error> {
        let published = self.effects.publish(topic, payload);
        published.map_err(mailbox::Error::from)
    }

    fn send_after(&mut self, milliseconds: u64, token: u64) -> Result<(), mailbox::Error> {
        let sent = self.effects.send_after(milliseconds, token);
        sent.map_err(mailbox::Error::from)
    }
}

impl From<IllegalEffect> for mailbox::Error {
    fn from(illegal: IllegalEffect) -> mailbox::Error {
        match illegal {
            IllegalEffect::Topic { .. } => mailbox::Error::BadTopic,
            IllegalEffect::Payload(_) => mailbox::Error::PayloadTooLarge,
            _ => mailbox::Error::TooMany,
        }
    }
}

impl From<Step> for super::Step {
    /// The effects of this version are not in its step.
    fn from(step: Step) -> super::Step {
        let effects = Vec::new();
        match step {
            Step::Done(response) => super::Step::Done(super::Complete { response, effects }),
            Step::Continue((parts, state)) => super::Step::Continue(super::Next {
                parts,
                effects,
                state,
            }),
        }
    }
}

impl From<current::Message> for Message {
    /// A message that this version does not know counts as dropped.
    fn from(message: current::Message) -> Message {
        match message {
            current::Message::Nodes(view) => Message::Nodes(view),
            current::Message::Published(it) => Message::Published(mailbox::Publication {
                topic: it.topic,
                payload: it.payload,
                from: it.from,
            }),
            current::Message::Timer(token) => Message::Timer(token),
            current::Message::Lagged(dropped) => Message::Lagged(dropped),
            current::Message::Writable => Message::Writable,
            current::Message::Closing(reason) => Message::Closing(match reason {
                current::ClosingReason::ClientGone => mailbox::ClosingReason::ClientGone,
                current::ClosingReason::Shutdown => mailbox::ClosingReason::Shutdown,
                current::ClosingReason::CodeChange => mailbox::ClosingReason::CodeChange,
            }),
            current::Message::Frame(frame) => Message::Frame(frame),
            current::Message::Fetched(_) | current::Message::KeyChanged(_) => Message::Lagged(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::fetch::{FetchError, Fetched};

    #[test]
    fn a_message_that_the_earlier_version_does_not_know_counts_as_dropped() {
        let fetched = current::Message::Fetched(Fetched {
            token: 1,
            outcome: Err(FetchError::Unsupported),
        });
        assert!(matches!(Message::from(fetched), Message::Lagged(1)));
        let timer = current::Message::Timer(7);
        assert!(matches!(Message::from(timer), Message::Timer(7)));
    }
}
