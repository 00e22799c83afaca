//! The events that an exchange waits for between two callbacks. Each is a future
//! that may be dropped at any time without losing anything. Those that most streams
//! do not wait for are boxed, so that an idle stream does not hold memory for them.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::answer::ResponseHead;
use super::mailbox::Mailbox;
use crate::contract::mailbox::Message;
use crate::generation::{Lease, Slot};
use crate::http::OutputQueue;
use crate::http::request::BodyRefusal;

/// A future for an event that cannot come yet.
pub(super) async fn never<T>() -> T {
    std::future::pending().await
}

pub(super) async fn client_gone(output: Option<&OutputQueue>, answer: &mut ResponseHead) {
    match (output, answer) {
        (Some(output), _) => output.gone().await,
        (None, ResponseHead::Sent(sender)) => sender.closed().await,
        (None, _) => never().await,
    }
}

pub(super) async fn stopping(stopping: Option<&mut watch::Receiver<bool>>) {
    match stopping {
        Some(stopping) => {
            if stopping.wait_for(|stopping| *stopping).await.is_err() {
                never().await
            }
        }
        None => never().await,
    }
}

pub(super) async fn changed(
    views: Option<&mut watch::Receiver<Arc<cluster::View>>>,
) -> Arc<cluster::View> {
    match views {
        Some(views) => match views.changed().await {
            Ok(()) => views.borrow_and_update().clone(),
            Err(_) => never().await,
        },
        None => never().await,
    }
}

pub(super) async fn published(mailbox: Option<&Mailbox>) -> Message {
    match mailbox {
        Some(mailbox) => mailbox.next().await,
        None => never().await,
    }
}

/// Waits until there is newer code than that of this lease, and it is this
/// exchange's turn to migrate. Returns at once if the code was there before.
pub(super) async fn code_changed(follows: bool, lease: &Lease, slot: &Slot) {
    if !follows {
        return never().await;
    }
    // Registered before the check, so that no change is missed between the two.
    let mut left = pin!(lease.signals.left());
    left.as_mut().enable();
    if slot.is_current(lease) {
        left.await;
    }
}

/// Waits until an exchange that was left on old code must end (`true`), or until
/// that code is current again (`false`). The exchange must end at its time, or
/// sooner if a next generation waits to be loaded. An exchange that was not left on
/// old code is woken by the change of code instead.
pub(super) async fn drained(due: Option<Instant>, lease: &Lease, slot: &Slot) -> bool {
    let Some(due) = due else {
        return never().await;
    };
    let ended = async {
        // Registered before the check, so that no change is missed between the two.
        let mut back = pin!(lease.signals.back());
        back.as_mut().enable();
        if slot.is_current(lease) {
            return false;
        }
        tokio::select! {
            biased;
            () = back => false,
            () = lease.signals.over() => true,
            () = sleep_until(due) => true,
        }
    };
    Box::pin(ended).await
}

pub(super) async fn due(timer: Option<(usize, Instant)>) -> usize {
    match timer {
        Some((number, at)) => {
            Box::pin(sleep_until(at)).await;
            number
        }
        None => never().await,
    }
}

/// What was read of the body of a request.
pub(super) enum Read {
    Data(Bytes),
    End(HeaderMap),
}

pub(super) async fn read(body: Option<&mut Incoming>, due: Instant) -> Result<Read, BodyRefusal> {
    let Some(body) = body else {
        return never().await;
    };
    let piece = async {
        loop {
            return match timeout_at(due, body.frame()).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    // Empty frames do not count as progress.
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => Ok(Read::Data(data)),
                    Err(frame) => Ok(Read::End(frame.into_trailers().unwrap_or_default())),
                },
                Ok(None) => Ok(Read::End(HeaderMap::new())),
                Ok(Some(Err(_))) => Err(BodyRefusal::Broken),
                Err(_) => Err(BodyRefusal::TooSlow),
            };
        }
    };
    Box::pin(piece).await
}
