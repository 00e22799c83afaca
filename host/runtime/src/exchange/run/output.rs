//! What a callback has returned: checks it, sends it, and carries out the effects.

use std::time::Duration;

use bytes::Bytes;
use cluster::data::DataWrite;
use http::HeaderMap;
use tokio::time::Instant;

use super::{Ended, Exchange};
use crate::contract::http::{Part, ResponseBody};
use crate::contract::{CallEffect, Next, Step};
use crate::exchange::headless;
use crate::exchange::mailbox::Subscriptions;
use crate::exchange::sequence::{Illegal, Sequence};
use crate::http::{HIGH_WATER, OutgoingBody, OutputQueue, output_queue, response};

/// A part that may be sent.
enum Checked {
    Head((http::Response<OutgoingBody>, ResponseBody)),
    Data(Bytes),
    Tail(HeaderMap),
}

/// The writes among these effects, and the others.
fn writes_and_rest(effects: Vec<CallEffect>) -> (Vec<DataWrite>, Vec<CallEffect>) {
    let (mut writes, mut rest) = (Vec::new(), Vec::new());
    for effect in effects {
        match effect {
            CallEffect::Write(write) => writes.push(write),
            effect => rest.push(effect),
        }
    }
    (writes, rest)
}

impl Exchange {
    /// Checks and sends what a callback returned, keeps its state, and carries out
    /// what it asked for.
    pub(super) fn take(&mut self, step: Step, effects: Vec<CallEffect>) -> Result<(), Ended> {
        let (writes, effects) = writes_and_rest(effects);
        if self.is_over {
            // The client has gone: parts are dropped, effects are not.
            self.keys.write(writes)?;
            for effect in effects {
                self.put_into_effect(effect);
            }
            return Ok(());
        }
        match step {
            Step::Done(complete) => {
                self.sequence.done(&complete.response)?;
                let head = response::head(complete.response, self.is_head)?;
                self.keys.write(writes)?;
                self.send(Checked::Head(head));
            }
            Step::Continue(next) => self.go_on_with(next, writes)?,
            Step::Collect((next, limit)) => {
                if self.body.is_none() {
                    return Err(Illegal::Collect.into());
                }
                self.go_on_with(next, writes)?;
                self.begin_gathering(limit);
            }
        }
        for effect in effects {
            self.put_into_effect(effect);
        }
        Ok(())
    }

    /// Writes, sends the parts, and keeps the state.
    fn go_on_with(&mut self, next: Next, writes: Vec<DataWrite>) -> Result<(), Ended> {
        let limit = self.lease.runtime.limits.state;
        if next.state.len() > limit {
            return Err(Ended::State(next.state.len(), limit));
        }
        // All parts are checked before any is sent. If one breaks a rule,
        // nothing of the callback goes out. So a client that has no head yet
        // gets a 500, and not half an answer.
        let checked = self.check(next.parts)?;
        // Once this holds, nothing can fail any more.
        self.keys.write(writes)?;
        // What the connection takes meanwhile is not subtracted, so that an
        // app that fills the queue can rely on `writable`.
        let mut waiting = self.output.as_ref().map_or(0, OutputQueue::waiting);
        for part in checked {
            if let Checked::Data(data) = &part {
                waiting = waiting.saturating_add(data.len());
            }
            self.send(part);
        }
        self.held_back = waiting >= HIGH_WATER;
        if self.held_back {
            self.unread = waiting;
            self.stall_due = Instant::now() + self.shared.limits.stall;
        }
        self.state = next.state.into();
        Ok(())
    }

    fn check(&mut self, parts: Vec<Part>) -> Result<Vec<Checked>, Ended> {
        let mut checked = Vec::with_capacity(parts.len());
        for part in parts {
            let promised = match &part {
                Part::Head(head) => response::content_length(head)?,
                _ => None,
            };
            self.sequence.part(&part, promised)?;
            checked.push(match part {
                Part::Head(head) => Checked::Head(response::head(head, self.is_head)?),
                Part::Data(data) => Checked::Data(data.into()),
                Part::Tail(fields) => Checked::Tail(response::trailers(&fields)?),
                // The sequence accepts no frame as long as no host serves
                // WebSockets.
                Part::Frame(_) => return Err(Illegal::Frame.into()),
            });
        }
        Ok(checked)
    }

    fn send(&mut self, part: Checked) {
        match part {
            Checked::Head((head, body)) => self.send_head(head, body),
            Checked::Data(data) => {
                if let Some(output) = &self.output {
                    output.data(data);
                }
            }
            Checked::Tail(trailers) => {
                if let Some(output) = self.output.take() {
                    output.finish(trailers);
                }
            }
        }
    }

    fn send_head(&mut self, head: http::Response<OutgoingBody>, body: ResponseBody) {
        let response = match body {
            ResponseBody::Whole(whole) if self.is_head => headless(head, Some(whole.len())),
            ResponseBody::Whole(whole) => head.map(|_| OutgoingBody::whole(whole.into())),
            // A HEAD request needs no stream: the head is the whole answer.
            ResponseBody::Streamed if self.is_head => {
                self.sequence = Sequence::Complete;
                head
            }
            ResponseBody::Streamed => {
                let (output, body) = output_queue();
                self.output = Some(output);
                head.map(|_| OutgoingBody::stream(body))
            }
            // The sequence has refused a WebSocket.
            ResponseBody::None | ResponseBody::Websocket => head,
        };
        self.status = Some(response.status().as_u16());
        self.head_made = Some(self.watch.time());
        self.answer.give(response);
    }

    fn put_into_effect(&mut self, effect: CallEffect) {
        match effect {
            CallEffect::SubscribeNodes => {
                if self.views.is_none() {
                    self.views = Some(self.shared.views.subscribe());
                }
            }
            CallEffect::Subscribe(topic) => {
                let topics = &self.shared.topics;
                self.subscriptions
                    .get_or_insert_with(|| Subscriptions::new(topics.clone()))
                    .add(topic);
            }
            CallEffect::Unsubscribe(topic) => {
                if let Some(subscriptions) = &mut self.subscriptions {
                    subscriptions.remove(&topic);
                }
            }
            CallEffect::Publish { topic, payload } => {
                self.shared
                    .topics
                    .publish(topic, payload, self.shared.own_name.clone());
            }
            CallEffect::SendAfter { delay, token } => {
                // Longer than any exchange lives; a longer delay would overflow the
                // clock.
                let delay = delay.min(Duration::from_secs(365 * 24 * 3600));
                self.timers.push((Instant::now() + delay, token));
            }
            CallEffect::Fetch(request) => self.fetches.begin(request, &self.lease),
            CallEffect::Watch(range, since) => self.keys.watch(range, since),
            CallEffect::Unwatch(range) => self.keys.unwatch(&range),
            // They were taken out before.
            CallEffect::Write(_) => {}
        }
    }
}
