//! What an exchange asks of its host, and the messages that it gets.
//!
//! A callback asks by returning [`Effect`]s with its [`Step`](crate::Step). They hold
//! only if the callback returns. What comes of them goes to
//! [`Server::handle_info`](crate::Server::handle_info), one message at a time.

use crate::Frame;
use crate::bindings::streaming::ace::raxx::mailbox as wire;
use crate::cluster::View;
use crate::data::KeyChange;
use crate::fetch::Fetched;

pub use crate::effect::{Effect, EffectError, MAX_PAYLOAD, MAX_TOPIC};
pub use wire::{ClosingReason, Publication};

/// All that can come to `handle_info`. Ignore what means nothing to the app: later
/// versions may have more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// The newest view, after `subscribe_nodes`.
    Nodes(View),
    /// Something was published on a topic subscribed to.
    Published(Publication),
    /// The time asked for with `send_after` has come.
    Timer(u64),
    /// So many messages were dropped, because the mailbox was full.
    Lagged(u64),
    /// The output that was waiting has gone out: go on producing.
    Writable,
    /// The exchange is about to end.
    Closing(ClosingReason),
    /// The client sent a WebSocket message.
    Frame(Frame),
    /// The answer to a `fetch`.
    Fetched(Fetched),
    /// A key that is watched has another value.
    KeyChanged(KeyChange),
}

impl Message {
    pub(crate) fn from_wire(message: wire::Message) -> Self {
        match message {
            wire::Message::Nodes(view) => Message::Nodes(view),
            wire::Message::Published(publication) => Message::Published(publication),
            wire::Message::Timer(token) => Message::Timer(token),
            wire::Message::Lagged(dropped) => Message::Lagged(dropped),
            wire::Message::Writable => Message::Writable,
            wire::Message::Closing(reason) => Message::Closing(reason),
            wire::Message::Frame(frame) => Message::Frame(frame),
            wire::Message::Fetched(fetched) => Message::Fetched(Fetched::from_wire(fetched)),
            wire::Message::KeyChanged(change) => Message::KeyChanged(change),
        }
    }
}
