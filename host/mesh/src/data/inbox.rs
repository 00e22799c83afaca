//! Takes what members have written.

use std::fmt;
use std::sync::Arc;

use cluster::data::{DataStore, TOLD_MAX, passes_on};
use cluster::{NodeName, View};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::watch;

use super::wall_ms;
use crate::control::{self, Body, EXCHANGE};

/// Takes what members tell.
pub struct DataInbox {
    store: DataStore,
    members: watch::Receiver<Arc<View>>,
}

impl DataInbox {
    /// Puts what these members tell into this store.
    pub fn new(store: DataStore, members: watch::Receiver<Arc<View>>) -> Self {
        Self { store, members }
    }

    /// Answers a member that tells what was written.
    pub async fn answer(&self, from: &NodeName, body: Incoming) -> Response<Body> {
        let bytes = match control::read(body, TOLD_MAX, EXCHANGE).await {
            Ok(bytes) => bytes,
            Err(error) => return error.refusal(),
        };
        let view = self.members.borrow().clone();
        if view.member(from).is_none() {
            return control::refusal(StatusCode::FORBIDDEN, "you are no member here");
        }
        match self.store.take_told(&bytes, wall_ms()) {
            Ok(news) => {
                if let Some(news) = news.filter(|_| passes_on(&view)) {
                    self.store.pass_on(news);
                }
                control::answer("")
            }
            Err(_) => control::refusal(StatusCode::BAD_REQUEST, "these are no writes"),
        }
    }
}

impl fmt::Debug for DataInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataInbox").finish_non_exhaustive()
    }
}
