//! Takes publications of members: checks them, keeps their order, and gives
//! them to the exchanges of this node.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use cluster::{AppName, Counted, NodeName, View};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::batch::{self, BATCH_MAX};
use mesh::control;
use mesh::control::{Body, EXCHANGE};
use mesh::counts::Publications;
use runtime::exchange::Topics;

/// For how many nodes that are no members any more the last number is kept.
const GONE_MAX: usize = 1024;

/// Takes what members publish.
pub struct Inbox {
    topics: Arc<Topics>,
    members: watch::Receiver<Arc<View>>,
    counters: Arc<Counted<Publications>>,
    /// The boot number of the run, and the number of the last publication, of
    /// each node.
    last: Mutex<HashMap<NodeName, (u64, u64)>>,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

impl Inbox {
    /// Gives publications of these members to these topics.
    pub fn new(
        topics: Arc<Topics>,
        members: watch::Receiver<Arc<View>>,
        counters: Arc<Counted<Publications>>,
    ) -> Self {
        Self {
            topics,
            members,
            counters,
            last: Mutex::default(),
        }
    }

    /// Answers a member that publishes.
    pub async fn answer(&self, from: &NodeName, body: Incoming) -> Response<Body> {
        match control::read(body, BATCH_MAX, EXCHANGE).await {
            Ok(bytes) => self.take(from, &bytes),
            Err(error) => error.refusal(),
        }
    }

    fn take(&self, from: &NodeName, bytes: &[u8]) -> Response<Body> {
        let is_member = |name: &NodeName| {
            let view = self.members.borrow();
            view.members.iter().any(|member| member.name == *name)
        };
        if !is_member(from) {
            return control::refusal(StatusCode::FORBIDDEN, "you are no member here");
        }
        let Some(batch) = batch::read(bytes) else {
            self.counters.count(|counts| counts.unreadable += 1);
            return control::refusal(StatusCode::BAD_REQUEST, "this is no batch");
        };
        if batch.app != AppName::the_only() {
            return control::refusal(StatusCode::NOT_FOUND, "there is no such app here");
        }
        let name: Arc<str> = from.to_string().into();
        // Held until all are delivered, so that a later batch of the same node
        // cannot overtake this one.
        let mut all = self.last.lock();
        if all.len() >= GONE_MAX && !all.contains_key(from) {
            all.retain(|name, _| is_member(name));
        }
        let last = all.entry(from.clone()).or_default();
        for message in batch.messages {
            let place = (batch.boot, message.number);
            if place <= *last {
                self.counters.count(|counts| counts.stale += 1);
                continue;
            }
            *last = place;
            self.counters.count(|counts| counts.received += 1);
            let payload = Bytes::copy_from_slice(message.payload);
            self.topics
                .deliver(message.topic.into(), payload, name.clone());
        }
        control::answer(Bytes::new())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use cluster::{Boot, Member};

    use super::*;
    use runtime::contract::mailbox::Message;
    use runtime::exchange::{Published, Subscriptions};

    fn node(last: u8) -> NodeName {
        NodeName::new("example", Ipv4Addr::new(10, 0, 0, last)).expect("a name")
    }

    /// An inbox that knows one member, and an exchange that has subscribed.
    fn inbox() -> (Inbox, Subscriptions) {
        let topics = Arc::new(Topics::default());
        let mut subscribed = Subscriptions::new(topics.clone());
        subscribed.add("t".into());
        let view = View {
            version: 1,
            members: vec![Member {
                name: node(2),
                boot: Boot::from_number(1),
                url: cluster::HttpUrl::plain((node(2).ip(), 8080)),
                since_ms: 0,
                serving: None,
                keys: None,
            }],
        };
        // The sender may be dropped: the receiver keeps this view for ever.
        let members = watch::channel(Arc::new(view)).1;
        let inbox = Inbox::new(topics, members, Arc::default());
        (inbox, subscribed)
    }

    fn batch(boot: u64, numbers: &[u64]) -> Bytes {
        let published = numbers.iter().map(|&number| {
            Arc::new(Published {
                number,
                topic: "t".into(),
                payload: format!("{boot}.{number}").into_bytes().into(),
                from: "whatever it says".into(),
            })
        });
        batch::write(boot, &published.collect::<Vec<_>>()).expect("written")
    }

    async fn next(subscribed: &Subscriptions) -> (String, String) {
        match subscribed.mailbox().next().await {
            Message::Published(it) => (String::from_utf8(it.payload).expect("text"), it.from),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_comes_again_or_late_is_dropped_and_a_later_run_begins_anew() {
        let (inbox, subscribed) = inbox();
        for (boot, numbers) in [
            (5, &[1, 2][..]),
            (5, &[2, 3]),
            (5, &[1]),
            (9, &[1]),
            (5, &[4]),
        ] {
            let answer = inbox.take(&node(2), &batch(boot, numbers));
            assert_eq!(answer.status(), StatusCode::OK);
        }
        for expected in ["5.1", "5.2", "5.3", "9.1"] {
            let from = "example@10.0.0.2".to_owned();
            assert_eq!(next(&subscribed).await, (expected.to_owned(), from));
        }
        let counted = inbox.counters.now();
        assert_eq!((counted.received, counted.stale), (4, 3));
    }

    #[tokio::test]
    async fn who_is_no_member_and_what_is_no_batch_are_refused() {
        let (inbox, subscribed) = inbox();
        let answer = inbox.take(&node(3), &batch(1, &[1]));
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        let answer = inbox.take(&node(2), b"garbage");
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert_eq!(inbox.counters.now().unreadable, 1);
        inbox.take(&node(2), &batch(1, &[2]));
        assert_eq!(next(&subscribed).await.0, "1.2");
    }
}
