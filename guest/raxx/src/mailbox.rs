//! What an exchange asks to be told, and what it is told.
//!
//! A callback asks by returning [`Effect`]s in its [`Step`](crate::Step). The
//! functions of this module ask at once instead, for apps that want to deal
//! with a refusal. Either way it holds only if the callback returns.

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
    /// Be told of the members: the current view at once, then each change.
    SubscribeNodes,
    /// Be told what is published on a topic.
    Subscribe(String),
    /// No longer be told.
    Unsubscribe(String),
    /// Tell every exchange, on every node, that has subscribed to the topic.
    Publish {
        /// What they have subscribed to.
        topic: String,
        /// What they get.
        payload: Vec<u8>,
    },
    /// Get `Timer(token)` once.
    SendAfter {
        /// Not sooner than after so long.
        milliseconds: u64,
        /// What comes back, so that timers can be told apart.
        token: u64,
    },
}

impl Effect {
    /// Whether the host will take a topic and payload of this size, to be
    /// asked before text from outside becomes a topic.
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
    /// As the host would refuse it. It may still refuse one too many.
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

/// As in "the host refused to …".
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

/// Be told of the members. The current view comes at once, then each change.
/// Views that wait coalesce into the newest.
pub fn subscribe_nodes() {
    host::subscribe_nodes();
}

/// Be told what is published on a topic from now on.
///
/// # Errors
///
/// [`Error::BadTopic`], or [`Error::TooMany`] at more than 32 topics.
pub fn subscribe(topic: &str) -> Result<(), Error> {
    host::subscribe(topic)
}

/// No longer be told. Messages that wait already still come.
pub fn unsubscribe(topic: &str) {
    host::unsubscribe(topic);
}

/// Tell every exchange, on every node, that has subscribed to the topic, this
/// one too if it has. At most once, in order per publisher and topic.
///
/// # Errors
///
/// [`Error::BadTopic`], [`Error::PayloadTooLarge`], or [`Error::TooMany`] at
/// more than 32 in one callback.
pub fn publish(topic: &str, payload: &[u8]) -> Result<(), Error> {
    host::publish(topic, payload)
}

/// Get `Timer(token)` once, not sooner than after so many milliseconds.
///
/// # Errors
///
/// [`Error::TooMany`] at more than 32 timers waiting.
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

/// Outside of a host there is no mailbox: see [`crate::testing`].
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
