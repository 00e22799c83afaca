//! Migration to newer code, and what happens to an exchange that cannot migrate.

use tokio::time::Instant;

use super::{Ended, Exchange};
use crate::contract::mailbox::ClosingReason;
use crate::exchange::migrate::migrate;
use crate::generation::Lease;

impl Exchange {
    /// Migrates to the code that is current now, if it is other code. Returns whether
    /// the exchange goes on.
    pub(super) async fn change_code(&mut self) -> bool {
        let Some(new) = self.shared.slot.current() else {
            return true;
        };
        if self.lease.is_on(&new) {
            self.is_not_left();
            return true;
        }
        if self.gathering.is_some() && !new.kind.can_collect() {
            // The new code has no `handle-body`. It waits until the old code was called.
            self.follows = false;
            return true;
        }
        let migrated = tokio::select! {
            migrated = migrate(&self.lease, &new, &self.state) => migrated,
            () = self.lease.signals.over() => {
                self.end(&Ended::Drained);
                return false;
            }
        };
        match migrated {
            Ok(state) => {
                self.lease.stats.count_left(|left| left.migrated += 1);
                self.state = state;
                if !new.kind.knows_answers() {
                    self.lagged += self.fetches.end();
                }
                self.lease = Lease::take(new);
                self.is_not_left();
            }
            Err(cause) => {
                self.shared
                    .complaints
                    .not_migrated(&new, &self.path, &cause);
                // The exchange's own code may have come back meanwhile.
                if self.shared.slot.is_current(&self.lease) {
                    self.is_not_left();
                    return true;
                }
                self.lease.stats.count_left(|left| left.refused += 1);
                self.follows = false;
                self.drain_due = Some(Instant::now() + self.shared.slot.drain());
                self.closing = Some(ClosingReason::CodeChange);
            }
        }
        true
    }

    /// Notes that the exchange's own code is current. An earlier refusal does not
    /// count any more: the exchange need not end, and migrates when other code comes.
    fn is_not_left(&mut self) {
        self.follows = true;
        self.drain_due = None;
        self.closing = None;
    }
}
