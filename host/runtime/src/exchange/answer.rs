//! The head of a response on its way from the exchange to the connection.

use tokio::sync::oneshot;

use crate::http::OutgoingBody;

/// Where the head of a response is.
pub(super) enum ResponseHead {
    /// There is no head yet; the first callback runs.
    Awaited,
    /// The first callback returned it.
    Ready(Box<http::Response<OutgoingBody>>),
    /// The exchange's own task will send it.
    Sent(oneshot::Sender<http::Response<OutgoingBody>>),
    /// The connection has it.
    Given,
}

impl ResponseHead {
    pub(super) fn is_given(&self) -> bool {
        matches!(self, ResponseHead::Ready(_) | ResponseHead::Given)
    }

    /// Whether the client has gone before it.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, ResponseHead::Sent(sender) if sender.is_closed())
    }

    /// Sends the head, if it was not sent before.
    pub(super) fn give(&mut self, response: http::Response<OutgoingBody>) {
        *self = match std::mem::replace(self, ResponseHead::Given) {
            ResponseHead::Awaited => ResponseHead::Ready(Box::new(response)),
            ResponseHead::Sent(sender) => {
                // Sending fails only if the client has gone; the output will tell.
                let _ = sender.send(response);
                ResponseHead::Given
            }
            given @ (ResponseHead::Ready(_) | ResponseHead::Given) => given,
        };
    }
}
