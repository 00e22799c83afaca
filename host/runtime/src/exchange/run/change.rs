//! Going over to newer code, and what becomes of an exchange that cannot.

use tokio::time::Instant;

use super::{Ended, Exchange};
use crate::contract::mailbox::ClosingReason;
use crate::exchange::carry::carry;
use crate::generation::Seat;

impl Exchange {
    /// Goes over to the code that is current now, if that is another. Returns
    /// whether the exchange goes on.
    pub(super) async fn change_code(&mut self) -> bool {
        let Some(new) = self.shared.slot.current() else {
            return true;
        };
        if self.seat.is_on(&new) {
            self.is_not_left();
            return true;
        }
        let carried = tokio::select! {
            carried = carry(&self.seat, &new, &self.state) => carried,
            () = self.seat.life.over() => {
                self.end(&Ended::Drained);
                return false;
            }
        };
        match carried {
            Ok(state) => {
                self.seat.life.count_carried();
                self.state = state;
                self.seat = Seat::take(new);
                self.is_not_left();
            }
            Err(cause) => {
                self.shared.complaints.not_carried(&new, &self.path, &cause);
                // While it was asked, its own code may have come back.
                if self.shared.slot.is_current(&self.seat) {
                    self.is_not_left();
                    return true;
                }
                self.seat.life.count_refused();
                self.follows = false;
                self.drain_due = Some(Instant::now() + self.shared.slot.drain());
                self.closing = Some(ClosingReason::CodeChange);
            }
        }
        true
    }

    /// The code that it is on is current, whatever has refused it before: it has no
    /// end to meet, and goes over to what comes next.
    fn is_not_left(&mut self) {
        self.follows = true;
        self.drain_due = None;
        self.closing = None;
    }
}
