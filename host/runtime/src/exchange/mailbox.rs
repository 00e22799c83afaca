//! Takes what is published on topics to the exchanges that subscribed. Exchanges
//! of this node get it at once; exchanges of other nodes get it by way of a queue.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, broadcast};

use crate::contract::mailbox::{Message, Publication};

/// How many messages one mailbox holds. If more come, the oldest are dropped.
/// `mailbox.wit` names this limit.
pub(super) const CAPACITY: usize = 64;

/// How many messages wait for the slowest of the other nodes. If more come, the
/// oldest are dropped for that node. All nodes share one queue, so it holds at
/// most this number of payloads, however many nodes there are: 16 MiB of the
/// largest.
pub const OUTGOING: usize = 256;

/// One message published on a topic, shared by all who get it.
#[derive(Debug)]
pub struct Published {
    /// Its place in the order of all that was published on this node; 0 if another
    /// node published it.
    pub number: u64,
    /// The topic.
    pub topic: Arc<str>,
    /// What was published.
    pub payload: Bytes,
    /// The name of the node that published it.
    pub from: Arc<str>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Arc<Published>>,
    lagged: u64,
}

/// The mailbox of one exchange.
#[derive(Debug, Default)]
pub struct Mailbox {
    queue: Mutex<Queue>,
    arrived: Notify,
}

impl Mailbox {
    fn put(&self, message: Arc<Published>) {
        let mut queue = self.queue.lock();
        if queue.waiting.len() == CAPACITY {
            queue.waiting.pop_front();
            queue.lagged += 1;
        }
        queue.waiting.push_back(message);
        drop(queue);
        self.arrived.notify_one();
    }

    /// Waits for the next message. If messages were dropped, their number comes
    /// first.
    pub async fn next(&self) -> Message {
        loop {
            if let Some(message) = self.take() {
                return message;
            }
            self.arrived.notified().await;
        }
    }

    fn take(&self) -> Option<Message> {
        let mut queue = self.queue.lock();
        if queue.lagged > 0 {
            return Some(Message::Lagged(std::mem::take(&mut queue.lagged)));
        }
        let published = queue.waiting.pop_front()?;
        Some(Message::Published(Publication {
            topic: published.topic.to_string(),
            payload: published.payload.to_vec(),
            from: published.from.to_string(),
        }))
    }
}

/// The mailboxes that have subscribed to each topic, by the number of the
/// subscription.
type Subscribers = HashMap<Arc<str>, BTreeMap<u64, Arc<Mailbox>>>;

/// The topics of a node, and who has subscribed to each.
#[derive(Debug)]
pub struct Topics {
    subscribers: Mutex<Subscribers>,
    next: AtomicU64,
    /// The number of the message that was published last.
    published: Mutex<u64>,
    /// Messages that were published here, for the other nodes.
    outgoing: broadcast::Sender<Arc<Published>>,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            subscribers: Mutex::default(),
            next: AtomicU64::default(),
            published: Mutex::default(),
            outgoing: broadcast::Sender::new(OUTGOING),
        }
    }
}

/// The subscriptions of one exchange. They end when this is dropped.
#[derive(Debug)]
pub struct Subscriptions {
    topics: Arc<Topics>,
    id: u64,
    mailbox: Arc<Mailbox>,
    names: Vec<Arc<str>>,
}

impl Topics {
    fn lock(&self) -> MutexGuard<'_, Subscribers> {
        self.subscribers.lock()
    }

    /// Publishes to every exchange that has subscribed: on this node at once, and
    /// on other nodes as fast as those take it. Waits for nobody.
    pub fn publish(&self, topic: Arc<str>, payload: Bytes, from: Arc<str>) {
        let mut last = self.published.lock();
        *last += 1;
        let message = Arc::new(Published {
            number: *last,
            topic,
            payload,
            from,
        });
        // In the order of the numbers. An error means that there is no other node.
        let _ = self.outgoing.send(message.clone());
        drop(last);
        self.put(&message);
    }

    /// Gives a message of another node to every exchange of this node that has
    /// subscribed.
    pub fn deliver(&self, topic: Arc<str>, payload: Bytes, from: Arc<str>) {
        self.put(&Arc::new(Published {
            number: 0,
            topic,
            payload,
            from,
        }));
    }

    /// What is published here from now on, for one other node.
    pub fn outgoing(&self) -> broadcast::Receiver<Arc<Published>> {
        self.outgoing.subscribe()
    }

    /// How many other nodes get what is published here.
    pub fn lines(&self) -> usize {
        self.outgoing.receiver_count()
    }

    fn put(&self, message: &Arc<Published>) {
        let mailboxes: Vec<Arc<Mailbox>> = match self.lock().get(&message.topic) {
            Some(subscribers) => subscribers.values().cloned().collect(),
            None => return,
        };
        for mailbox in mailboxes {
            mailbox.put(message.clone());
        }
    }
}

impl Subscriptions {
    /// An exchange without subscriptions.
    pub fn new(topics: Arc<Topics>) -> Subscriptions {
        let id = topics.next.fetch_add(1, Relaxed);
        Subscriptions {
            topics,
            id,
            mailbox: Arc::default(),
            names: Vec::new(),
        }
    }

    /// The topics that are subscribed to.
    pub(super) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Whether anything is subscribed to.
    pub(super) fn any(&self) -> bool {
        !self.names.is_empty()
    }

    /// The mailbox that gets the messages.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Subscribes. A second time changes nothing.
    pub fn add(&mut self, topic: Arc<str>) {
        if self.names.contains(&topic) {
            return;
        }
        self.names.push(topic.clone());
        self.topics
            .lock()
            .entry(topic)
            .or_default()
            .insert(self.id, self.mailbox.clone());
    }

    /// Unsubscribes. Messages that wait already stay.
    pub(super) fn remove(&mut self, topic: &str) {
        if let Some(at) = self.names.iter().position(|name| &**name == topic) {
            self.names.swap_remove(at);
            self.forget(topic);
        }
    }

    fn forget(&self, topic: &str) {
        let mut topics = self.topics.lock();
        if let Some(subscribers) = topics.get_mut(topic) {
            subscribers.remove(&self.id);
            if subscribers.is_empty() {
                topics.remove(topic);
            }
        }
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        for name in std::mem::take(&mut self.names) {
            self.forget(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(topics: &Topics, topic: &str, payload: &str) {
        topics.publish(
            topic.into(),
            Bytes::copy_from_slice(payload.as_bytes()),
            "a@10.0.0.1".into(),
        );
    }

    fn payloads(mailbox: &Mailbox) -> Vec<String> {
        std::iter::from_fn(|| mailbox.take())
            .map(|message| match message {
                Message::Published(publication) => String::from_utf8(publication.payload).unwrap(),
                Message::Lagged(n) => format!("lagged {n}"),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn subscribers_get_what_is_published_on_their_topic_in_order_and_once() {
        let topics = Arc::new(Topics::default());
        let mut one = Subscriptions::new(topics.clone());
        let mut two = Subscriptions::new(topics.clone());
        one.add("t".into());
        one.add("t".into());
        two.add("u".into());
        publish(&topics, "t", "1");
        publish(&topics, "t", "2");
        publish(&topics, "nobody", "3");
        assert_eq!(payloads(one.mailbox()), ["1", "2"]);
        assert!(payloads(two.mailbox()).is_empty());
    }

    #[test]
    fn a_full_mailbox_drops_the_oldest_and_says_how_many_first() {
        let topics = Arc::new(Topics::default());
        let mut one = Subscriptions::new(topics.clone());
        one.add("t".into());
        for n in 0..CAPACITY + 3 {
            publish(&topics, "t", &n.to_string());
        }
        let got = payloads(one.mailbox());
        assert_eq!(got.len(), CAPACITY + 1);
        assert_eq!((got[0].as_str(), got[1].as_str()), ("lagged 3", "3"));
    }

    #[test]
    fn nothing_is_left_of_subscriptions_that_ended() {
        let topics = Arc::new(Topics::default());
        let mut one = Subscriptions::new(topics.clone());
        one.add("t".into());
        one.add("u".into());
        one.remove("u");
        assert_eq!(topics.lock().len(), 1);
        drop(one);
        assert!(topics.lock().is_empty());
    }
}
