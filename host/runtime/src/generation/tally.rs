//! How the requests that reach a generation end, for the bake check.
//!
//! What counts is what a client saw that has sent a whole request: the status of its
//! answer and how long it took, a 500 in place of an answer, a response that was cut.
//! Ends that say nothing about the code are not counted: no instance or no memory was
//! free, the client went away or sent half a request, the node stops, a drain is over.
//!
//! [`Counts`](super::Counts) tells requests apart.

/// How a call into an app ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// It returned, with any result.
    Returned,
    /// It trapped, or asked for more memory than it may have.
    Trapped,
    /// It passed its deadline, of processor time or of time on the wall.
    Overran,
}

/// How a request ended, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestEnd {
    /// The app answered it with this status.
    Answered(u16),
    /// The app trapped.
    Trapped,
    /// The app passed its deadline.
    Overran,
    /// The app sent something that HTTP or the contract does not allow, or nothing.
    Broken,
}

impl RequestEnd {
    /// Whether the client saw a failure.
    pub fn is_failure(self) -> bool {
        match self {
            RequestEnd::Answered(status) => status >= 500,
            RequestEnd::Trapped | RequestEnd::Overran | RequestEnd::Broken => true,
        }
    }

    /// Whether the client was told that its request is wrong.
    pub(super) fn is_refusal(self) -> bool {
        matches!(self, RequestEnd::Answered(400..500))
    }
}

/// How many requests ended in each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All requests that were counted, failed ones included.
    pub requests: u64,
    /// Those that ended in a trap.
    pub trapped: u64,
    /// Those that ended at a deadline.
    pub overrun: u64,
    /// Those that were answered with 500 to 599, or not as HTTP demands.
    pub errors: u64,
}

impl Tally {
    /// Those that failed in any way.
    pub fn failed(&self) -> u64 {
        let failed = self.trapped.saturating_add(self.overrun);
        failed.saturating_add(self.errors)
    }

    /// What was counted since an earlier tally.
    pub fn since(&self, earlier: &Tally) -> Tally {
        Tally {
            requests: self.requests.saturating_sub(earlier.requests),
            trapped: self.trapped.saturating_sub(earlier.trapped),
            overrun: self.overrun.saturating_sub(earlier.overrun),
            errors: self.errors.saturating_sub(earlier.errors),
        }
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Tally) {
        self.requests = self.requests.saturating_add(other.requests);
        self.trapped = self.trapped.saturating_add(other.trapped);
        self.overrun = self.overrun.saturating_add(other.overrun);
        self.errors = self.errors.saturating_add(other.errors);
    }

    /// Adds so many failures of one kind.
    pub fn fail(&mut self, end: RequestEnd, failures: u64) {
        let count = match end {
            RequestEnd::Trapped => &mut self.trapped,
            RequestEnd::Overran => &mut self.overrun,
            RequestEnd::Answered(_) | RequestEnd::Broken => &mut self.errors,
        };
        *count = count.saturating_add(failures);
    }
}
