//! The head of a response on its way from the exchange to the connection.

use tokio::sync::oneshot;

use crate::http::Body;

/// What becomes of the head of a response.
pub(super) enum Answer {
    /// There is none yet; the first callback runs.
    Awaited,
    /// The first callback gave it.
    Ready(Box<http::Response<Body>>),
    /// It will be sent from the exchange's own task.
    Sent(oneshot::Sender<http::Response<Body>>),
    /// The connection has it.
    Given,
}

impl Answer {
    pub(super) fn is_given(&self) -> bool {
        matches!(self, Answer::Ready(_) | Answer::Given)
    }

    /// Gives the head, if it was not given before.
    pub(super) fn give(&mut self, response: http::Response<Body>) {
        *self = match std::mem::replace(self, Answer::Given) {
            Answer::Awaited => Answer::Ready(Box::new(response)),
            Answer::Sent(sender) => {
                // It is refused only if the client has gone; the outlet will tell.
                let _ = sender.send(response);
                Answer::Given
            }
            given @ (Answer::Ready(_) | Answer::Given) => given,
        };
    }
}
