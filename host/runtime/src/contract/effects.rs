//! The effects of one callback, checked one by one against the limits of `mailbox.wit`.
//!
//! In version 0.2.0 of the contract they are returned with the step. In 0.1.0 the callback asks
//! for them by calls, and is told at once what is refused.

use std::sync::Arc;
use std::time::Duration;

use ::cluster::data::{DataKey, DataKeyError, DataStore, DataWrite, KeyRange};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::Subscribed;
use super::call_data::CallData;
use super::data;
use super::fetch::FetchRequest;
use super::http::Field;
use super::mailbox::Effect;

/// How many effects one callback may have. `mailbox.wit` names this limit.
const MAX_EFFECTS: usize = 1024;
/// How many topics an exchange may have at a time, and how many timers; and how many messages
/// one callback may publish. `mailbox.wit` names this limit.
const MAX_PER_EXCHANGE: usize = 32;
/// The longest topic, in bytes. `mailbox.wit` names this limit.
pub const MAX_TOPIC: usize = 256;
/// The largest payload, in bytes. `mailbox.wit` names this limit.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// How many fetches an exchange may wait for. `mailbox.wit` names this limit.
const MAX_FETCHES: usize = 8;
/// The longest URL of a fetch, in bytes. `fetch.wit` names this limit and the next three.
const MAX_URL: usize = 8 << 10;
/// The largest body of a fetch, in bytes.
const MAX_FETCH_BODY: usize = 1 << 20;
/// How many fields a fetch may have. `http.wit` names this limit.
const MAX_FETCH_FIELDS: usize = 512;
const MAX_FETCH_FIELD_BYTES: usize = 64 * 1024;
const MAX_FETCH_METHOD: usize = 32;
/// The longest time of a fetch, in milliseconds.
const MAX_FETCH_TIME: u32 = 300_000;
/// The largest body of the answer to a fetch, in bytes.
const MAX_FETCHED_BODY: u32 = 8 << 20;

/// Something that a callback asked for, and may have. It takes effect when the callback returns.
#[derive(Debug)]
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
    /// Send the request to another server.
    Fetch(FetchRequest),
    /// Write key-value data.
    Write(DataWrite),
    /// Send to this exchange what changes in a range of keys since this mark of the store.
    Watch(KeyRange, u64),
    /// Send no more of that range.
    Unwatch(KeyRange),
}

/// An effect that an app may not have. The text is for the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IllegalEffect {
    #[error(
        "asked for the effect {effect} with a topic of {bytes} bytes; 1 to {MAX_TOPIC} are allowed"
    )]
    Topic { effect: &'static str, bytes: usize },
    #[error("asked for the effect publish with {0} bytes, more than {MAX_PAYLOAD}")]
    Payload(usize),
    #[error("asked for the effect subscribe with {MAX_PER_EXCHANGE} topics subscribed to already")]
    Topics,
    #[error("asked for the effect publish more than {MAX_PER_EXCHANGE} times in one callback")]
    Publishes,
    #[error("asked for the effect send-after with {MAX_PER_EXCHANGE} timers waiting already")]
    Timers,
    #[error("asked for {0} effects in one callback, more than {MAX_EFFECTS}")]
    TooMany(usize),
    #[error("asked for the effect fetch with {MAX_FETCHES} fetches waiting already")]
    Fetches,
    #[error("asked for the effect fetch with {what} of {is}, more than {most}")]
    Fetch {
        what: &'static str,
        is: usize,
        most: usize,
    },
    #[error(
        "asked for the effect fetch with the field {0:?}, which has a name or a value that no field has"
    )]
    FetchField(String),
    #[error("asked for the effect {effect} with {why}")]
    Key {
        effect: &'static str,
        why: DataKeyError,
    },
    #[error("asked for the effect watch with {MAX_PER_EXCHANGE} ranges of keys watched already")]
    Watches,
}

/// The effects of one callback, in order.
#[derive(Debug, Default)]
pub(crate) struct CallEffects {
    effects: Vec<CallEffect>,
    /// The topics that the exchange will have if the callback returns now.
    topics: Vec<Arc<str>>,
    timers: usize,
    fetches: usize,
    publishes: usize,
    /// The ranges that the exchange will watch if the callback returns now.
    watches: Vec<KeyRange>,
    /// The key-value data as the callback sees it.
    pub(crate) data: CallData,
}

/// Counts one more of what there may be so many of.
fn one_more(count: &mut usize, most: usize, many: IllegalEffect) -> Result<(), IllegalEffect> {
    if *count >= most {
        return Err(many);
    }
    *count += 1;
    Ok(())
}

impl CallEffects {
    /// No effects of a callback of an exchange that has this already.
    pub(super) fn of(held: Subscribed<'_>, data: DataStore) -> CallEffects {
        CallEffects {
            effects: Vec::new(),
            topics: held.topics.to_vec(),
            timers: held.timers,
            fetches: held.fetches,
            publishes: 0,
            watches: held
                .watches
                .iter()
                .map(|(range, _)| range.clone())
                .collect(),
            data: CallData::new(data),
        }
    }

    /// Whether nothing was asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.effects.is_empty() && !self.data.was_used()
    }

    /// Adds the effects that a callback has returned.
    ///
    /// # Errors
    /// The first that is illegal. Then none of the callback may hold.
    pub(crate) fn with(mut self, effects: Vec<Effect>) -> Result<Vec<CallEffect>, IllegalEffect> {
        if effects.len() > MAX_EFFECTS {
            return Err(IllegalEffect::TooMany(effects.len()));
        }
        // What was written by calls comes first: the callback has seen it before it returned.
        let written = self.data.take_waiting();
        self.effects
            .extend(written.into_iter().map(CallEffect::Write));
        for effect in effects {
            self.add(effect)?;
        }
        Ok(self.effects)
    }

    fn add(&mut self, effect: Effect) -> Result<(), IllegalEffect> {
        match effect {
            Effect::SubscribeNodes => self.subscribe_nodes(),
            Effect::Subscribe(topic) => self.subscribe(topic)?,
            Effect::Unsubscribe(topic) => self.unsubscribe(&topic),
            Effect::Publish(message) => self.publish(message.topic, message.payload)?,
            Effect::SendAfter(timer) => self.send_after(timer.milliseconds, timer.token)?,
            Effect::Fetch(request) => self.fetch(request)?,
            Effect::Watch(range) => self.watch(&range)?,
            Effect::Unwatch(range) => self.unwatch(&range)?,
            Effect::Put(entry) => {
                let key = checked_key("put", &entry.key)?;
                self.write(DataWrite::Put(key, entry.value.into()));
            }
            Effect::PutWhileOpen(entry) => {
                let key = checked_key("put-while-open", &entry.key)?;
                self.write(DataWrite::PutWhileOpen(key, entry.value.into(), 0));
            }
            Effect::Increment(addition) => {
                let key = checked_key("increment", &addition.key)?;
                self.write(DataWrite::Increment(key, addition.amount));
            }
            Effect::Delete(key) => {
                self.write(DataWrite::Delete(checked_key("delete", &key)?));
            }
        }
        Ok(())
    }

    fn write(&mut self, write: DataWrite) {
        self.effects.push(CallEffect::Write(write));
    }

    fn watch(&mut self, range: &data::KeyRange) -> Result<(), IllegalEffect> {
        let range = checked_range("watch", range)?;
        if self.watches.contains(&range) {
            return Ok(());
        }
        if self.watches.len() >= MAX_PER_EXCHANGE {
            return Err(IllegalEffect::Watches);
        }
        self.watches.push(range.clone());
        self.effects
            .push(CallEffect::Watch(range, self.data.began()));
        Ok(())
    }

    fn unwatch(&mut self, range: &data::KeyRange) -> Result<(), IllegalEffect> {
        let range = checked_range("unwatch", range)?;
        self.watches.retain(|watched| *watched != range);
        self.effects.push(CallEffect::Unwatch(range));
        Ok(())
    }

    pub(super) fn subscribe_nodes(&mut self) {
        let is_asked = |effect: &CallEffect| matches!(effect, CallEffect::SubscribeNodes);
        if !self.effects.iter().any(is_asked) {
            self.effects.push(CallEffect::SubscribeNodes);
        }
    }

    pub(super) fn subscribe(&mut self, topic: String) -> Result<(), IllegalEffect> {
        let topic = checked_topic("subscribe", topic)?;
        if self.topics.contains(&topic) {
            return Ok(());
        }
        if self.topics.len() >= MAX_PER_EXCHANGE {
            return Err(IllegalEffect::Topics);
        }
        self.topics.push(topic.clone());
        // An effect is taken back instead of adding the opposite one. So the number of
        // effects is bounded, however often a guest changes its mind.
        let contrary = |it: &CallEffect| matches!(it, CallEffect::Unsubscribe(of) if *of == topic);
        if !self.take_back(contrary) {
            self.effects.push(CallEffect::Subscribe(topic));
        }
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, topic: &str) {
        let Some(at) = self.topics.iter().position(|held| **held == *topic) else {
            return;
        };
        let topic = self.topics.swap_remove(at);
        let contrary = |it: &CallEffect| matches!(it, CallEffect::Subscribe(to) if *to == topic);
        if !self.take_back(contrary) {
            self.effects.push(CallEffect::Unsubscribe(topic));
        }
    }

    /// Takes back an effect that nothing was published after: else it would be missed.
    fn take_back(&mut self, is_it: impl Fn(&CallEffect) -> bool) -> bool {
        let publishes = |effect: &CallEffect| matches!(effect, CallEffect::Publish { .. });
        let published = self.effects.iter().rposition(publishes);
        let since = published.map_or(0, |at| at + 1);
        let at = self.effects[since..].iter().position(is_it);
        at.map(|at| self.effects.remove(since + at)).is_some()
    }

    pub(super) fn publish(&mut self, topic: String, payload: Vec<u8>) -> Result<(), IllegalEffect> {
        let topic = checked_topic("publish", topic)?;
        if payload.len() > MAX_PAYLOAD {
            return Err(IllegalEffect::Payload(payload.len()));
        }
        one_more(
            &mut self.publishes,
            MAX_PER_EXCHANGE,
            IllegalEffect::Publishes,
        )?;
        self.effects.push(CallEffect::Publish {
            topic,
            payload: payload.into(),
        });
        Ok(())
    }

    pub(super) fn send_after(
        &mut self,
        milliseconds: u64,
        token: u64,
    ) -> Result<(), IllegalEffect> {
        one_more(&mut self.timers, MAX_PER_EXCHANGE, IllegalEffect::Timers)?;
        self.effects.push(CallEffect::SendAfter {
            delay: Duration::from_millis(milliseconds),
            token,
        });
        Ok(())
    }

    fn fetch(&mut self, request: FetchRequest) -> Result<(), IllegalEffect> {
        let sizes = [
            ("a URL", request.url.len(), MAX_URL),
            ("a body", request.body.len(), MAX_FETCH_BODY),
            (
                "a number of fields",
                request.headers.len(),
                MAX_FETCH_FIELDS,
            ),
            (
                "a number of bytes of fields",
                request
                    .headers
                    .iter()
                    .map(|(name, value)| name.len() + value.len())
                    .sum(),
                MAX_FETCH_FIELD_BYTES,
            ),
            (
                "a method",
                match &request.method {
                    super::http::Method::Other(name) => name.len(),
                    _ => 0,
                },
                MAX_FETCH_METHOD,
            ),
            (
                "a timeout",
                request.timeout.unwrap_or(0) as usize,
                MAX_FETCH_TIME as usize,
            ),
            (
                "a max-body",
                request.max_body.unwrap_or(0) as usize,
                MAX_FETCHED_BODY as usize,
            ),
        ];
        for (what, is, most) in sizes {
            if is > most {
                return Err(IllegalEffect::Fetch { what, is, most });
            }
        }
        if let Some((name, _)) = request.headers.iter().find(|field| !is_legal(field)) {
            return Err(IllegalEffect::FetchField(name.chars().take(80).collect()));
        }
        one_more(&mut self.fetches, MAX_FETCHES, IllegalEffect::Fetches)?;
        self.effects.push(CallEffect::Fetch(request));
        Ok(())
    }
}

/// Whether a field may go on the wire.
fn is_legal((name, value): &Field) -> bool {
    HeaderName::from_lowercase(name.as_bytes()).is_ok() && HeaderValue::from_bytes(value).is_ok()
}

fn checked_key(effect: &'static str, key: &data::Key) -> Result<DataKey, IllegalEffect> {
    DataKey::new(&key.bucket, &key.name).map_err(|why| IllegalEffect::Key { effect, why })
}

fn checked_range(effect: &'static str, range: &data::KeyRange) -> Result<KeyRange, IllegalEffect> {
    KeyRange::new(&range.bucket, &range.prefix).map_err(|why| IllegalEffect::Key { effect, why })
}

fn checked_topic(effect: &'static str, topic: String) -> Result<Arc<str>, IllegalEffect> {
    let bytes = topic.len();
    if bytes == 0 || bytes > MAX_TOPIC {
        return Err(IllegalEffect::Topic { effect, bytes });
    }
    Ok(topic.into())
}

#[cfg(test)]
mod tests;
