//! What a callback of a streaming app returns: parts to send, effects, and the state to
//! keep; or a complete response. All of it is plain values, so tests compare it and need
//! no socket.

use crate::bindings::streaming::ace::raxx::http as wire;
use crate::bindings::streaming::exports::ace::raxx::server as exports;
use crate::data::{Key, KeyRange};
use crate::fetch::FetchRequest;
use crate::mailbox::Effect;
use crate::{Headers, Response, ResponseBody, State};

pub use wire::Frame;

/// A piece of the output of an exchange.
///
/// The output of one exchange, over all of its callbacks together, has one of three
/// forms:
///
/// - a head whose body is none or whole, and nothing else;
/// - a streamed head, then data any number of times, then a tail;
/// - a WebSocket head, then frames, the last of them a close.
///
/// The host checks this, and ends the exchange if the output breaks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Status and header fields, and perhaps a whole body.
    Head(Response),
    /// A piece of the body.
    Data(Vec<u8>),
    /// The end of the body, with the trailers.
    Tail(Headers),
    /// A WebSocket message.
    Frame(Frame),
}

impl Part {
    fn into_wire(self) -> wire::Part {
        match self {
            Part::Head(response) => wire::Part::Head(response.into_wire()),
            Part::Data(bytes) => wire::Part::Data(bytes),
            Part::Tail(trailers) => wire::Part::Tail(trailers.into_wire()),
            Part::Frame(frame) => wire::Part::Frame(frame),
        }
    }
}

/// What a callback returns. Make one from a [`Response`], a [`Complete`] or a
/// [`Continue`] with `into()`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a step does nothing until it is returned"]
pub enum Step<S> {
    /// The complete response, and what else is to happen. It ends the exchange. Allowed
    /// only before a head was sent.
    Done(Complete),
    /// Parts to send, effects, and the state to keep.
    Continue(Continue<S>),
    /// The same, and the rest of the body of the request is to come in one piece of at
    /// most so many bytes, to [`Server::handle_body`](crate::Server::handle_body).
    Collect(Continue<S>, u64),
}

/// End with this response. Chain which effects to ask for. Without effects, the
/// response itself is enough.
///
/// ```
/// use raxx::{Step, complete, response};
///
/// let saved: Step<()> = complete(response(303).header("location", "/"))
///     .publish("news", "somebody saved")
///     .increment("saved", 1)
///     .into();
/// # drop(saved);
/// ```
pub fn complete(response: Response) -> Complete {
    Complete {
        response,
        effects: Vec::new(),
    }
}

/// A step that ends the exchange. Begin with [`complete`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it does nothing until it is returned as a step"]
pub struct Complete {
    /// The response. Its body is none or whole.
    pub response: Response,
    /// What else is to happen.
    pub effects: Vec<Effect>,
}

/// Go on with this state. Chain what to send and which effects to ask for.
///
/// ```
/// use raxx::{Step, continue_with, sse};
///
/// let step: Step<u64> = continue_with(1)
///     .head(sse::head())
///     .data(sse::retry(1000))
///     .subscribe_nodes()
///     .send_after(15_000, 0)
///     .into();
/// ```
pub fn continue_with<S>(state: S) -> Continue<S> {
    Continue {
        parts: Vec::new(),
        effects: Vec::new(),
        state,
    }
}

/// A step that goes on: the parts and effects, each in order, and the state. Begin with
/// [`continue_with`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it does nothing until it is returned as a step"]
pub struct Continue<S> {
    /// What to send.
    pub parts: Vec<Part>,
    /// What else is to happen.
    pub effects: Vec<Effect>,
    /// What to keep for the next callback.
    pub state: S,
}

impl<S> Continue<S> {
    /// Send the head.
    pub fn head(self, head: Response) -> Self {
        self.part(Part::Head(head))
    }

    /// Send a piece of the body.
    pub fn data(self, data: impl Into<Vec<u8>>) -> Self {
        self.part(Part::Data(data.into()))
    }

    /// End the body, without trailers. This ends the exchange.
    pub fn tail(self) -> Self {
        self.part(Part::Tail(Headers::new()))
    }

    /// Send a WebSocket message.
    pub fn frame(self, frame: Frame) -> Self {
        self.part(Part::Frame(frame))
    }

    /// Send any part.
    pub fn part(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// Get the rest of the body of the request in one piece, at most so many bytes. The
    /// host gathers it outside of the state, and answers a larger one with 413.
    /// [`Server::handle_body`](crate::Server::handle_body) comes next; messages wait.
    ///
    /// ```
    /// use raxx::{Step, continue_with};
    ///
    /// let step: Step<u64> = continue_with(7).collect(64 * 1024);
    /// assert_eq!(step, Step::Collect(continue_with(7), 64 * 1024));
    /// ```
    pub fn collect(self, limit: u64) -> Step<S> {
        Step::Collect(self, limit)
    }

    /// The same step with another state, made from this one.
    pub fn map_state<T>(self, map: impl FnOnce(S) -> T) -> Continue<T> {
        Continue {
            parts: self.parts,
            effects: self.effects,
            state: map(self.state),
        }
    }
}

/// The effects, as methods to chain.
macro_rules! effects {
    () => {
        /// Get the members: the current view at once, then each change.
        pub fn subscribe_nodes(self) -> Self {
            self.effect(Effect::SubscribeNodes)
        }

        /// Get what is published on a topic from now on.
        pub fn subscribe(self, topic: impl Into<String>) -> Self {
            self.effect(Effect::Subscribe(topic.into()))
        }

        /// No longer get what is published on a topic.
        pub fn unsubscribe(self, topic: impl Into<String>) -> Self {
            self.effect(Effect::Unsubscribe(topic.into()))
        }

        /// Get the message `Timer(token)` once, not sooner than after this many
        /// milliseconds.
        pub fn send_after(self, milliseconds: u64, token: u64) -> Self {
            self.effect(Effect::SendAfter {
                milliseconds,
                token,
            })
        }

        /// Ask another server. The answer comes as the message `Fetched`.
        pub fn fetch(self, request: FetchRequest) -> Self {
            self.effect(Effect::Fetch(request))
        }

        /// Get every change of these keys from now on, as the message `KeyChanged`.
        pub fn watch(self, range: impl Into<KeyRange>) -> Self {
            self.effect(Effect::Watch(range.into()))
        }

        /// No longer get the changes of these keys.
        pub fn unwatch(self, range: impl Into<KeyRange>) -> Self {
            self.effect(Effect::Unwatch(range.into()))
        }

        /// Set a key until this exchange ends. Then it is deleted.
        pub fn put_while_open(self, key: impl Into<Key>, value: impl Into<Vec<u8>>) -> Self {
            self.effect(Effect::PutWhileOpen {
                key: key.into(),
                value: value.into(),
            })
        }
    };
}

/// The effects that are of use at the end of an exchange as well.
macro_rules! effects_at_the_end {
    () => {
        /// Publish to every exchange, on every node, that has subscribed to the topic.
        pub fn publish(self, topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
            self.effect(Effect::Publish {
                topic: topic.into(),
                payload: payload.into(),
            })
        }

        /// Set a key of the data that all nodes share.
        pub fn put(self, key: impl Into<Key>, value: impl Into<Vec<u8>>) -> Self {
            self.effect(Effect::Put {
                key: key.into(),
                value: value.into(),
            })
        }

        /// Add to a counter. One that is not there counts from 0.
        pub fn increment(self, key: impl Into<Key>, amount: i64) -> Self {
            self.effect(Effect::Increment {
                key: key.into(),
                amount,
            })
        }

        /// Delete a key. One that is not there is no error.
        pub fn delete(self, key: impl Into<Key>) -> Self {
            self.effect(Effect::Delete(key.into()))
        }

        /// Ask for any effect. If the host refuses it, the exchange ends: check what
        /// comes from outside with [`Effect::check`] first.
        pub fn effect(mut self, effect: Effect) -> Self {
            self.effects.push(effect);
            self
        }
    };
}

impl<S> Continue<S> {
    effects!();
    effects_at_the_end!();
}

impl Complete {
    effects_at_the_end!();
}

impl<S> From<Response> for Step<S> {
    fn from(response: Response) -> Self {
        Step::Done(complete(response))
    }
}

impl<S> From<Complete> for Step<S> {
    fn from(done: Complete) -> Self {
        Step::Done(done)
    }
}

impl<S> From<Continue<S>> for Step<S> {
    fn from(next: Continue<S>) -> Self {
        Step::Continue(next)
    }
}

impl<S> Step<S> {
    /// The same step with another state, made from this one.
    ///
    /// ```
    /// use raxx::{Step, continue_with};
    ///
    /// let step: Step<u64> = continue_with(7).data("x").into();
    /// assert_eq!(step.map_state(Some), continue_with(Some(7)).data("x").into());
    /// ```
    pub fn map_state<T>(self, map: impl FnOnce(S) -> T) -> Step<T> {
        match self {
            Step::Done(done) => Step::Done(done),
            Step::Continue(next) => Step::Continue(next.map_state(map)),
            Step::Collect(next, limit) => Step::Collect(next.map_state(map), limit),
        }
    }

    /// Turns the answer to GET into the answer to HEAD: only the head that would be
    /// sent. A whole body is kept, because the host sends its length. A stream does not
    /// begin, and its effects are dropped.
    ///
    /// A step that sends no head, because the head comes later, does not change.
    ///
    /// ```
    /// use raxx::{Step, continue_with, response, sse};
    ///
    /// let get: Step<()> = continue_with(()).head(sse::head()).subscribe_nodes().into();
    /// assert_eq!(get.head_only(), sse::head().without_body().into());
    /// ```
    pub fn head_only(self) -> Self {
        let parts = match &self {
            Step::Done(_) => return self,
            Step::Continue(next) | Step::Collect(next, _) => &next.parts,
        };
        let head = parts.iter().find_map(|part| match part {
            Part::Head(response) => Some(response.clone()),
            _ => None,
        });
        match head {
            Some(head) if matches!(head.body_kind(), ResponseBody::Whole(_)) => head.into(),
            Some(head) => head.without_body().into(),
            None => self,
        }
    }
}

impl<S: State> Step<S> {
    /// What goes to the host.
    pub(crate) fn into_wire(self) -> exports::Step {
        match self {
            Step::Done(done) => exports::Step::Done(exports::Complete {
                response: done.response.into_wire(),
                effects: effects_into_wire(done.effects),
            }),
            Step::Continue(next) => exports::Step::Continue(next.into_wire()),
            Step::Collect(next, limit) => exports::Step::Collect((next.into_wire(), limit)),
        }
    }
}

impl<S: State> Continue<S> {
    fn into_wire(self) -> exports::Next {
        exports::Next {
            parts: self.parts.into_iter().map(Part::into_wire).collect(),
            effects: effects_into_wire(self.effects),
            state: self.state.encode(),
        }
    }
}

fn effects_into_wire(effects: Vec<Effect>) -> Vec<exports::Effect> {
    effects.into_iter().map(Effect::into_wire).collect()
}

#[cfg(test)]
mod tests;
