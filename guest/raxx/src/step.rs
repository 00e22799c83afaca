//! What a callback of a streaming app returns: parts to send, effects, and the state to
//! keep; or a complete response. All of it is plain values, so tests compare it and need
//! no socket.

use crate::bindings::streaming::ace::raxx::http as wire;
use crate::bindings::streaming::exports::ace::raxx::server as exports;
use crate::mailbox::{self, Effect};
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

/// What a callback returns. Make one from a [`Response`] or a [`Continue`]
/// with `into()`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a step does nothing until it is returned"]
pub enum Step<S> {
    /// The complete response, whose body is none or whole. It ends the exchange. Allowed
    /// only before a head was sent.
    Done(Response),
    /// Parts to send, effects, and the state to keep.
    Continue(Continue<S>),
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
    /// What the exchange asks of its mailbox.
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

    /// Publish to every exchange, on every node, that has subscribed to the topic.
    pub fn publish(self, topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        self.effect(Effect::Publish {
            topic: topic.into(),
            payload: payload.into(),
        })
    }

    /// Get the message `Timer(token)` once, not sooner than after this many
    /// milliseconds.
    pub fn send_after(self, milliseconds: u64, token: u64) -> Self {
        self.effect(Effect::SendAfter {
            milliseconds,
            token,
        })
    }

    /// Ask for any effect. If the host refuses it, the exchange ends: check what comes
    /// from outside with [`Effect::check`] first.
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }
}

impl<S> From<Response> for Step<S> {
    fn from(response: Response) -> Self {
        Step::Done(response)
    }
}

impl<S> From<Continue<S>> for Step<S> {
    fn from(next: Continue<S>) -> Self {
        Step::Continue(next)
    }
}

impl<S> Step<S> {
    /// Turns the answer to GET into the answer to HEAD: only the head that would be
    /// sent. A whole body is kept, because the host sends its length. A stream does not
    /// begin, and its effects are dropped.
    ///
    /// A step that sends no head, because the head comes later, does not change.
    ///
    /// ```
    /// use raxx::{ResponseBody, Step, continue_with, sse};
    ///
    /// let get: Step<()> = continue_with(()).head(sse::head()).subscribe_nodes().into();
    /// let Step::Done(head) = get.head_only() else { panic!() };
    /// assert_eq!(head.body_kind(), &ResponseBody::None);
    /// ```
    pub fn head_only(self) -> Self {
        let next = match self {
            Step::Done(response) => return Step::Done(response),
            Step::Continue(next) => next,
        };
        let head = next.parts.iter().find_map(|part| match part {
            Part::Head(response) => Some(response),
            _ => None,
        });
        match head {
            Some(head) if matches!(head.body_kind(), ResponseBody::Whole(_)) => {
                Step::Done(head.clone())
            }
            Some(head) => Step::Done(head.clone().without_body()),
            None => Step::Continue(next),
        }
    }
}

impl<S: State> Step<S> {
    /// Asks the host for the effects, and returns the rest.
    ///
    /// # Panics
    ///
    /// If the host refuses an effect. That ends the exchange, and the log of
    /// the node has the reason.
    pub(crate) fn perform(self) -> exports::Step {
        match self {
            Step::Done(response) => exports::Step::Done(response.into_wire()),
            Step::Continue(next) => {
                for effect in next.effects {
                    if let Err(error) = mailbox::perform(&effect) {
                        panic!("the host refused to {effect}: {error}");
                    }
                }
                let parts = next.parts.into_iter().map(Part::into_wire).collect();
                exports::Step::Continue((parts, next.state.encode()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response;

    #[test]
    fn a_step_is_a_value_that_tests_can_compare() {
        let step: Step<u64> = continue_with(7).data("a").send_after(10, 1).tail().into();
        let expected = Continue {
            parts: vec![Part::Data(b"a".to_vec()), Part::Tail(Headers::new())],
            effects: vec![Effect::SendAfter {
                milliseconds: 10,
                token: 1,
            }],
            state: 7,
        };
        assert_eq!(step, Step::Continue(expected));
    }

    #[test]
    fn what_goes_to_the_host_has_the_parts_in_order_and_the_state_as_bytes() {
        let step: Step<u64> = continue_with(1)
            .head(response(200).streamed())
            .data("x")
            .into();
        let exports::Step::Continue((parts, state)) = step.perform() else {
            panic!("it goes on");
        };
        assert!(matches!(parts[0], wire::Part::Head(_)));
        assert_eq!(parts[1], wire::Part::Data(b"x".to_vec()));
        assert_eq!(state, 1u64.to_le_bytes());
    }

    #[test]
    fn the_answer_to_head_keeps_a_whole_body_and_begins_no_stream() {
        let whole: Step<()> = continue_with(()).head(response(200).body("abc")).into();
        assert_eq!(whole.head_only(), Step::Done(response(200).body("abc")));
        let stream: Step<()> = continue_with(())
            .head(response(200).streamed())
            .data("x")
            .subscribe_nodes()
            .into();
        assert_eq!(stream.head_only(), Step::Done(response(200)));
        let later: Step<()> = continue_with(()).into();
        assert_eq!(later.clone().head_only(), later);
    }
}
