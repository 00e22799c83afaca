//! What an exchange asks of its mailbox, and the messages that it gets.
//!
//! A callback asks by returning [`Effect`]s in its [`Step`](crate::Step). The
//! functions of this module ask at once instead. They are for apps that want to
//! handle a refusal. Both ways take effect only if the callback returns.

use std::fmt;

use crate::bindings::streaming::ace::raxx::mailbox as wire;

pub use wire::{ClosingReason, Error, Message, Publication};

/// The longest topic, in bytes.
pub const MAX_TOPIC: usize = 256;
/// The longest payload of a publication, in bytes.
pub const MAX_PAYLOAD: usize = 65536;

/// Something that an exchange asks of its mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Get the members: the current view at once, then each change.
    SubscribeNodes,
    /// Get what is published on a topic.
    Subscribe(String),
    /// No longer get what is published on a topic.
    Unsubscribe(String),
    /// Publish to every exchange, on every node, that has subscribed to the
    /// topic.
    Publish {
        /// The topic.
        topic: String,
        /// What the subscribers get.
        payload: Vec<u8>,
    },
    /// Get `Timer(token)` once.
    SendAfter {
        /// The timer does not fire sooner than after this time.
        milliseconds: u64,
        /// The number that comes back, so that the app can tell timers apart.
        token: u64,
    },
}

impl Effect {
    /// Checks the size of a topic and a payload as the host does. Call it
    /// before text from outside becomes a topic.
    ///
    /// ```
    /// use raxx::mailbox::Effect;
    ///
    /// assert!(Effect::Subscribe("room/tea".into()).check().is_ok());
    /// assert!(Effect::Subscribe("".into()).check().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// The errors with which the host would refuse it. The host may still
    /// refuse it with [`Error::TooMany`].
    pub fn check(&self) -> Result<(), Error> {
        let (topic, payload) = match self {
            Effect::Subscribe(topic) => (topic, 0),
            Effect::Publish { topic, payload } => (topic, payload.len()),
            Effect::SubscribeNodes | Effect::Unsubscribe(_) | Effect::SendAfter { .. } => {
                return Ok(());
            }
        };
        if topic.is_empty() || topic.len() > MAX_TOPIC {
            return Err(Error::BadTopic);
        }
        if payload > MAX_PAYLOAD {
            return Err(Error::PayloadTooLarge);
        }
        Ok(())
    }
}

/// The text that fits after "the host refused to".
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::SubscribeNodes => f.write_str("subscribe to the nodes"),
            Effect::Subscribe(topic) => write!(f, "subscribe to {topic:?}"),
            Effect::Unsubscribe(topic) => write!(f, "unsubscribe from {topic:?}"),
            Effect::Publish { topic, payload } => {
                write!(f, "publish {} bytes on {topic:?}", payload.len())
            }
            Effect::SendAfter { milliseconds, .. } => {
                write!(f, "send a timer after {milliseconds} ms")
            }
        }
    }
}

/// Get the members. The current view comes at once, then each change. If
/// several views wait, only the newest comes.
pub fn subscribe_nodes() {
    host::subscribe_nodes();
}

/// Get what is published on a topic from now on.
///
/// # Errors
///
/// [`Error::BadTopic`], or [`Error::TooMany`] if the exchange would have more
/// than 32 topics.
pub fn subscribe(topic: &str) -> Result<(), Error> {
    host::subscribe(topic)
}

/// No longer get what is published on a topic. Messages that wait already still
/// come.
pub fn unsubscribe(topic: &str) {
    host::unsubscribe(topic);
}

/// Publish to every exchange, on every node, that has subscribed to the topic.
/// This exchange gets it too if it has subscribed. Each message arrives at most
/// once, and in order per publisher and topic.
///
/// # Errors
///
/// [`Error::BadTopic`], [`Error::PayloadTooLarge`], or [`Error::TooMany`] if
/// the callback publishes more than 32 messages.
pub fn publish(topic: &str, payload: &[u8]) -> Result<(), Error> {
    host::publish(topic, payload)
}

/// Get `Timer(token)` once, not sooner than after this many milliseconds.
///
/// # Errors
///
/// [`Error::TooMany`] if more than 32 timers would wait.
pub fn send_after(milliseconds: u64, token: u64) -> Result<(), Error> {
    host::send_after(milliseconds, token)
}

pub(crate) fn perform(effect: &Effect) -> Result<(), Error> {
    match effect {
        Effect::SubscribeNodes => {
            subscribe_nodes();
            Ok(())
        }
        Effect::Subscribe(topic) => subscribe(topic),
        Effect::Unsubscribe(topic) => {
            unsubscribe(topic);
            Ok(())
        }
        Effect::Publish { topic, payload } => publish(topic, payload),
        Effect::SendAfter {
            milliseconds,
            token,
        } => send_after(*milliseconds, *token),
    }
}

#[cfg(target_arch = "wasm32")]
use wire as host;

/// Without a host there is no mailbox: see [`crate::testing`].
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::mailbox as host;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_payloads_are_checked_at_their_limits() {
        let publish = |topic: usize, payload: usize| {
            let (topic, payload) = ("t".repeat(topic), vec![0; payload]);
            Effect::Publish { topic, payload }.check()
        };
        assert_eq!(publish(1, 0), Ok(()));
        assert_eq!(publish(256, 65536), Ok(()));
        assert_eq!(publish(0, 0), Err(Error::BadTopic));
        assert_eq!(publish(257, 0), Err(Error::BadTopic));
        assert_eq!(publish(1, 65537), Err(Error::PayloadTooLarge));
    }
}
