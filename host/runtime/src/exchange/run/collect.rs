//! The step `collect`: the rest of the request's body is gathered, outside of the state, and the
//! next callback gets it whole.
//!
//! ```text
//! take -> gather: room for it, then all of it, then the output that holds back -> handle-body
//! ```
//!
//! Messages wait meanwhile. Code may change: what was gathered stays with the exchange. Code that
//! has no `handle-body` takes the exchange over after that callback.

use http::HeaderMap;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::next::{Instead, left};
use super::{Ended, Exchange};
use crate::capacity::{NoPlace, PATIENCE};
use crate::exchange::call::Call;
use crate::exchange::event::{client_gone, code_changed, drained};
use crate::exchange::sequence::Illegal;
use crate::exchange::{BodyLimits, Exchanges, NO_ROOM};
use crate::generation::CallFailure;
use crate::http::request::{self, BodyRefusal, WholeBody};

/// The body of a request while it is gathered.
pub(super) struct Gathering {
    /// How many bytes it may have.
    limit: usize,
    /// When there must be room for it.
    room_due: Instant,
    /// What has come of it; none until there is room.
    body: Option<(WholeBody, OwnedSemaphorePermit)>,
    has_ended: bool,
}

/// A body that was gathered, with its share of the memory for whole bodies.
pub(in crate::exchange) struct Gathered {
    pub(in crate::exchange) bytes: Vec<u8>,
    pub(in crate::exchange) trailers: HeaderMap,
    _room: OwnedSemaphorePermit,
}

/// Why a body could not be gathered.
enum NotGathered {
    Refused(BodyRefusal),
    NoRoom(NoPlace),
}

impl From<BodyRefusal> for NotGathered {
    fn from(refusal: BodyRefusal) -> NotGathered {
        NotGathered::Refused(refusal)
    }
}

impl Gathering {
    /// Waits for room, then for the whole body. May be dropped at any time without losing what
    /// has come, and called again.
    async fn all(
        &mut self,
        body: &mut Incoming,
        shared: &Exchanges,
        limits: &BodyLimits,
    ) -> Result<(), NotGathered> {
        if self.has_ended {
            return Ok(());
        }
        let (whole, _room) = match &mut self.body {
            Some(whole) => whole,
            None => {
                // A length that is too large is refused before anything waits.
                request::check_length(body, self.limit)?;
                let room = shared.room_for(body, self.limit);
                let room = timeout_at(self.room_due, room).await;
                let room = room.map_err(|_| NotGathered::NoRoom(NO_ROOM))?;
                self.body.insert((WholeBody::begin(body, self.limit), room))
            }
        };
        whole.rest(body, limits).await?;
        self.has_ended = true;
        Ok(())
    }
}

impl Exchange {
    /// Begins to gather what is left of the body, up to so many bytes.
    pub(super) fn begin_gathering(&mut self, limit: u64) {
        // A client that waits for a head gets 503 soon. A stream has the time of a callback.
        let patience = match self.answer.is_given() {
            true => self.lease.runtime.limits.wall,
            false => PATIENCE,
        };
        let most = self.shared.limits.whole;
        self.gathering = Some(Box::new(Gathering {
            limit: usize::try_from(limit).map_or(most, |limit| limit.min(most)),
            room_due: Instant::now() + patience,
            body: None,
            has_ended: false,
        }));
    }

    /// Waits until the body was gathered, and the callback for it may run.
    pub(super) async fn gather(&mut self) -> Result<Call, Instead> {
        let (Some(gathering), Some(body)) = (&mut self.gathering, &mut self.body) else {
            return Err(Instead::End(Illegal::Collect.into()));
        };
        let limit = gathering.limit;
        let limits = &self.shared.limits;
        let gathered = tokio::select! {
            () = client_gone(self.output.as_ref(), &mut self.answer) => return Err(Instead::Gone),
            () = code_changed(self.follows, &self.lease, &self.shared.slot) => return Err(Instead::CodeChange),
            is_over = drained(self.drain_due, &self.lease, &self.shared.slot) => return Err(left(is_over)),
            () = self.lease.signals.over() => return Err(Instead::End(Ended::Drained)),
            // A client may read nothing before it has sent all.
            gathered = gathering.all(body, &self.shared, limits) => gathered,
        };
        match gathered {
            Ok(()) => {}
            Err(NotGathered::Refused(refusal)) => {
                self.body = None;
                self.refusal = Some(Box::new(refusal.response(limit)));
                return Err(Instead::Gone);
            }
            Err(NotGathered::NoRoom(why)) => {
                self.lease.runtime.places.turn_away(&why);
                return Err(Instead::End(CallFailure::NoPlace(why).into()));
            }
        }
        if let (true, Some(output)) = (self.held_back, &self.output) {
            // The time in which it sent does not count.
            self.unread = output.waiting();
            self.stall_due = Instant::now() + self.shared.limits.stall;
            self.output_gone().await?;
            // This message waits for the callback that gets the body.
            self.writable = true;
        }
        self.gathered()
    }

    fn gathered(&mut self) -> Result<Call, Instead> {
        let gathering = self.gathering.take();
        let Some((whole, room)) = gathering.and_then(|gathering| gathering.body) else {
            return Err(Instead::End(Illegal::Collect.into()));
        };
        self.body = None;
        let (bytes, trailers) = whole.into_parts();
        Ok(Call::Body(Gathered {
            bytes,
            trailers,
            _room: room,
        }))
    }
}
