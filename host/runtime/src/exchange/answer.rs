//! The head of a response on its way from the exchange to the connection.

use tokio::sync::oneshot;

use crate::http::OutgoingBody;

/// What becomes of the head of a response.
pub(super) enum ResponseHead {
    /// There is none yet; the first callback runs.
    Awaited,
    /// The first callback gave it.
    Ready(Box<http::Response<OutgoingBody>>),
    /// It will be sent from the exchange's own task.
    Sent(oneshot::Sender<http::Response<OutgoingBody>>),
    /// The connection has it.
    Given,
}

impl ResponseHead {
    pub(super) fn is_given(&self) -> bool {
        matches!(self, ResponseHead::Ready(_) | ResponseHead::Given)
    }

    /// Gives the head, if it was not given before.
    pub(super) fn give(&mut self, response: http::Response<OutgoingBody>) {
        *self = match std::mem::replace(self, ResponseHead::Given) {
            ResponseHead::Awaited => ResponseHead::Ready(Box::new(response)),
            ResponseHead::Sent(sender) => {
                // It is refused only if the client has gone; the output will tell.
                let _ = sender.send(response);
                ResponseHead::Given
            }
            given @ (ResponseHead::Ready(_) | ResponseHead::Given) => given,
        };
    }
}
