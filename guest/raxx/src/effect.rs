//! What a callback may ask of the host, and what the host would refuse.

use crate::bindings::streaming::ace::raxx::data::{Addition, Entry};
use crate::bindings::streaming::ace::raxx::mailbox as wire;
use crate::data::{Key, KeyRange, MAX_BUCKET, MAX_KEY, MAX_VALUE};
use crate::fetch::{FetchRequest, MAX_ANSWER, MAX_BODY, MAX_FIELDS, MAX_TIMEOUT_MS, MAX_URL};

/// The longest topic, in bytes.
pub const MAX_TOPIC: usize = 256;
/// The longest payload of a publication, in bytes.
pub const MAX_PAYLOAD: usize = 65536;

/// Something that an exchange asks of its host. It is returned with a step, and
/// holds only if the callback returns.
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
    /// Ask another server. The answer comes as `Fetched`.
    Fetch(FetchRequest),
    /// Get every change of these keys from now on, as `KeyChanged`.
    Watch(KeyRange),
    /// No longer get the changes of these keys.
    Unwatch(KeyRange),
    /// Set a key.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: Vec<u8>,
    },
    /// Set a key until this exchange ends.
    PutWhileOpen {
        /// The key.
        key: Key,
        /// Its value until then.
        value: Vec<u8>,
    },
    /// Add to a counter.
    Increment {
        /// The key. One that is not there counts from 0.
        key: Key,
        /// What to add. It may be negative.
        amount: i64,
    },
    /// Delete a key.
    Delete(Key),
}

/// Why a host would refuse an effect. The number is the size that it has, in bytes
/// or milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EffectError {
    /// The topic is empty or too long.
    #[error("a topic has 1 to 256 bytes, not {0}: shorten it, or take a hash of it")]
    Topic(usize),
    /// The payload is too large.
    #[error(
        "a publication has at most 65536 bytes, not {0}: put the value under a key, and publish the key"
    )]
    Payload(usize),
    /// The name of the bucket is empty or too long.
    #[error("the name of a bucket has 1 to 64 bytes, not {0}: shorten it")]
    Bucket(usize),
    /// The name of the key is empty or too long.
    #[error("the name of a key has 1 to 1024 bytes, not {0}: shorten it, or take a hash of it")]
    Key(usize),
    /// The value is too large.
    #[error("a value has at most 1048576 bytes, not {0}: put it in pieces, each under a key")]
    Value(usize),
    /// The URL is too long.
    #[error("the URL of a fetch has at most 8192 bytes, not {0}: send what is long in the body")]
    Url(usize),
    /// The body of the request is too large.
    #[error("the body of a fetch has at most 1048576 bytes, not {0}: send it in several fetches")]
    Body(usize),
    /// There are too many header fields.
    #[error("a fetch has at most 512 header fields, not {0}: send what they say in the body")]
    Fields(usize),
    /// The timeout is too long.
    #[error("a fetch may take at most 300000 ms, not {0}: ask for less")]
    Timeout(u32),
    /// The body of the answer would be too large.
    #[error("the answer to a fetch may have at most 8388608 bytes, not {0}: ask for a part of it")]
    Answer(u32),
}

impl Effect {
    /// Checks the sizes as the host does. Call it before text from outside becomes a
    /// topic or a key: an effect that is refused ends the exchange.
    ///
    /// ```
    /// use raxx::mailbox::Effect;
    ///
    /// assert!(Effect::Subscribe("room/tea".into()).check().is_ok());
    /// assert!(Effect::Delete("".into()).check().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// The reason for which the host would refuse it. The host may still refuse it if
    /// there are too many: 32 topics, timers, watches or publications, 8 fetches, 1024
    /// effects in all. A fetch may still be answered with an error.
    pub fn check(&self) -> Result<(), EffectError> {
        match self {
            Effect::SubscribeNodes | Effect::Unsubscribe(_) | Effect::SendAfter { .. } => Ok(()),
            Effect::Subscribe(topic) => check_topic(topic),
            Effect::Publish { topic, payload } => {
                check_topic(topic)?;
                at_most(payload.len(), MAX_PAYLOAD, EffectError::Payload)
            }
            Effect::Fetch(request) => check_fetch(request),
            Effect::Watch(range) | Effect::Unwatch(range) => {
                check_bucket(&range.bucket)?;
                at_most(range.prefix.len(), MAX_KEY, EffectError::Key)
            }
            Effect::Put { key, value } | Effect::PutWhileOpen { key, value } => {
                check_key(key)?;
                at_most(value.len(), MAX_VALUE, EffectError::Value)
            }
            Effect::Increment { key, .. } | Effect::Delete(key) => check_key(key),
        }
    }

    pub(crate) fn into_wire(self) -> wire::Effect {
        match self {
            Effect::SubscribeNodes => wire::Effect::SubscribeNodes,
            Effect::Subscribe(topic) => wire::Effect::Subscribe(topic),
            Effect::Unsubscribe(topic) => wire::Effect::Unsubscribe(topic),
            Effect::Publish { topic, payload } => {
                wire::Effect::Publish(wire::MessageToTopic { topic, payload })
            }
            Effect::SendAfter {
                milliseconds,
                token,
            } => wire::Effect::SendAfter(wire::TimerRequest {
                milliseconds,
                token,
            }),
            Effect::Fetch(request) => wire::Effect::Fetch(request.into_wire()),
            Effect::Watch(range) => wire::Effect::Watch(range),
            Effect::Unwatch(range) => wire::Effect::Unwatch(range),
            Effect::Put { key, value } => wire::Effect::Put(Entry { key, value }),
            Effect::PutWhileOpen { key, value } => wire::Effect::PutWhileOpen(Entry { key, value }),
            Effect::Increment { key, amount } => wire::Effect::Increment(Addition { key, amount }),
            Effect::Delete(key) => wire::Effect::Delete(key),
        }
    }
}

fn at_most<N: PartialOrd>(
    size: N,
    most: N,
    error: impl FnOnce(N) -> EffectError,
) -> Result<(), EffectError> {
    if size > most {
        Err(error(size))
    } else {
        Ok(())
    }
}

fn check_topic(topic: &str) -> Result<(), EffectError> {
    match topic.len() {
        1..=MAX_TOPIC => Ok(()),
        length => Err(EffectError::Topic(length)),
    }
}

fn check_bucket(bucket: &str) -> Result<(), EffectError> {
    match bucket.len() {
        1..=MAX_BUCKET => Ok(()),
        length => Err(EffectError::Bucket(length)),
    }
}

fn check_key(key: &Key) -> Result<(), EffectError> {
    check_bucket(&key.bucket)?;
    match key.name.len() {
        1..=MAX_KEY => Ok(()),
        length => Err(EffectError::Key(length)),
    }
}

fn check_fetch(request: &FetchRequest) -> Result<(), EffectError> {
    at_most(request.url.len(), MAX_URL, EffectError::Url)?;
    at_most(request.headers.len(), MAX_FIELDS, EffectError::Fields)?;
    at_most(request.body.len(), MAX_BODY, EffectError::Body)?;
    at_most(
        request.timeout.unwrap_or(0),
        MAX_TIMEOUT_MS,
        EffectError::Timeout,
    )?;
    at_most(
        request.max_body.unwrap_or(0),
        MAX_ANSWER,
        EffectError::Answer,
    )
}

#[cfg(test)]
mod tests;
