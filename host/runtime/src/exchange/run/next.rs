//! What comes next in an exchange: a callback for an event, or something else.

use std::time::Duration;

use tokio::time::Instant;

use super::{Ended, Exchange};
use crate::contract::mailbox::{ClosingReason, Message};
use crate::contract::members;
use crate::exchange::call::Call;
use crate::exchange::event::{
    Read, changed, client_gone, code_changed, drained, due, published, read, stopping,
};
use crate::exchange::mailbox::Subscriptions;
use crate::http::{OutputQueue, response};

/// What comes next in an exchange if it is no callback.
pub(super) enum Instead {
    /// The client has gone, or its body broke off.
    Gone,
    /// Newer code may have come.
    CodeChange,
    /// The exchange is ended.
    End(Ended),
}

/// The next step of an exchange that was left on old code: its time is over, or
/// that code is current again.
pub(super) fn left(is_over: bool) -> Instead {
    match is_over {
        true => Instead::End(Ended::Drained),
        false => Instead::CodeChange,
    }
}

/// Waits until nothing of this output has gone for so long. By `due`, less than `unread` must be
/// left of it.
async fn stalled(output: &OutputQueue, mut unread: usize, mut due: Instant, stall: Duration) {
    loop {
        tokio::time::sleep_until(due).await;
        let left = output.waiting();
        if left >= unread {
            return;
        }
        unread = left;
        due = Instant::now() + stall;
    }
}

impl Exchange {
    /// Waits for the next event.
    pub(super) async fn next(&mut self) -> Result<Call, Instead> {
        if self.gathering.is_some() {
            // Boxed, so that a waiting stream does not hold the memory that this needs.
            return Box::pin(self.gather()).await;
        }
        if self.held_back && self.output.is_some() {
            self.writable = false;
            return self.output_gone().await;
        }
        if self.drain_due.is_some() && self.shared.slot.is_current(&self.lease) {
            return Err(Instead::CodeChange);
        }
        if let Some(message) = self.waiting_message() {
            return Ok(Call::Info(message));
        }
        if !self.can_answer() {
            return Err(Instead::End(Ended::Stuck));
        }
        let timer = self
            .timers
            .iter()
            .enumerate()
            .min_by_key(|(_, (at, _))| *at)
            .map(|(n, (at, _))| (n, *at));
        let call = tokio::select! {
            () = client_gone(self.output.as_ref(), &mut self.answer) => None,
            () = code_changed(self.follows, &self.lease, &self.shared.slot) => return Err(Instead::CodeChange),
            is_over = drained(self.drain_due, &self.lease, &self.shared.slot) => return Err(left(is_over)),
            () = stopping(self.stopping.as_mut()) => {
                self.stopping = None;
                Some(Call::Info(Message::Closing(ClosingReason::Shutdown)))
            }
            view = changed(self.views.as_mut()) => {
                Some(Call::Info(Message::Nodes(members::view(&view))))
            }
            message = published(self.subscriptions.as_ref().map(Subscriptions::mailbox)) => {
                Some(Call::Info(message))
            }
            message = self.keys.next() => Some(Call::Info(message)),
            fetched = self.fetches.next() => Some(Call::Info(Message::Fetched(fetched))),
            number = due(timer) => {
                let (_, token) = self.timers.swap_remove(number);
                Some(Call::Info(Message::Timer(token)))
            }
            read = read(self.body.as_mut(), self.body_due) => match read {
                Ok(Read::Data(data)) => {
                    self.body_due = Instant::now() + self.shared.limits.idle;
                    Some(Call::Data(data.into()))
                }
                Ok(Read::End(trailers)) => {
                    self.body = None;
                    Some(Call::Tail(response::fields(&trailers)))
                }
                Err(refusal) => {
                    self.body = None;
                    self.refusal = Some(Box::new(refusal.response(self.shared.limits.whole)));
                    None
                }
            },
        };
        call.ok_or(Instead::Gone)
    }

    /// A message that comes before all events.
    fn waiting_message(&mut self) -> Option<Message> {
        if std::mem::take(&mut self.writable) && self.output.is_some() {
            return Some(Message::Writable);
        }
        match std::mem::take(&mut self.lagged) {
            0 => self.closing.take().map(Message::Closing),
            dropped => Some(Message::Lagged(dropped)),
        }
    }

    /// Whether there is a head, or anything to wait for that may make one.
    fn can_answer(&self) -> bool {
        self.answer.is_given()
            || self.body.is_some()
            || self.views.is_some()
            || self.subscriptions.as_ref().is_some_and(Subscriptions::any)
            || !self.timers.is_empty()
            || self.fetches.waiting() > 0
            || !self.keys.watches().is_empty()
    }

    /// Waits until enough output has gone for callbacks to run again.
    pub(super) async fn output_gone(&mut self) -> Result<Call, Instead> {
        let Some(output) = &self.output else {
            return Err(Instead::Gone);
        };
        tokio::select! {
            is_there = output.drained() => {
                self.held_back = false;
                match is_there {
                    true => Ok(Call::Info(Message::Writable)),
                    false => Err(Instead::Gone),
                }
            }
            // This needs no callback, so it need not wait.
            () = code_changed(self.follows, &self.lease, &self.shared.slot) => Err(Instead::CodeChange),
            is_over = drained(self.drain_due, &self.lease, &self.shared.slot) => Err(left(is_over)),
            // One that gathers a body for old code has no time of its own for that.
            () = self.lease.signals.over(), if !self.follows => Err(Instead::End(Ended::Drained)),
            // A client that reads nothing for so long is as good as gone.
            () = stalled(output, self.unread, self.stall_due, self.shared.limits.stall) => Err(Instead::Gone),
        }
    }
}
