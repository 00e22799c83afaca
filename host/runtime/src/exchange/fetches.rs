//! The requests of one exchange to other servers.
//!
//! ```text
//! effect fetch -> begin -> next -> message fetched
//! ```
//!
//! No request is sent yet: each is answered at once, with the error `unsupported`. What sends one
//! begins in [`Fetches::begin`] and ends in [`Fetches::next`], and nothing else knows of it.

use std::collections::VecDeque;

use super::event::never;
use crate::contract::fetch::{FetchError, FetchRequest, Fetched};

/// The fetches of one exchange. Their number has a limit when they are asked for. They end when
/// this is dropped.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    answered: VecDeque<Fetched>,
}

impl Fetches {
    /// How many there are whose answer the exchange has not been told.
    pub(super) fn waiting(&self) -> usize {
        self.answered.len()
    }

    /// Begins one.
    pub(super) fn begin(&mut self, request: FetchRequest) {
        self.answered.push_back(Fetched {
            token: request.token,
            outcome: Err(FetchError::Unsupported),
        });
    }

    /// Waits for the next answer. It may be dropped at any time without losing one.
    pub(super) async fn next(&mut self) -> Fetched {
        match self.answered.pop_front() {
            Some(fetched) => fetched,
            None => never().await,
        }
    }

    /// Ends all of them, for code that does not know their answers. Returns how many there were.
    pub(super) fn end(&mut self) -> u64 {
        let ended = self.waiting();
        self.answered.clear();
        ended as u64
    }
}
