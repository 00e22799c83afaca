//! Several publications of one node, as the bytes of one message in postcard:
//! the app, the boot number of the node, and the publications in their order.

use bytes::Bytes;
use cluster::{APP_NAME_MAX, AppName};
use serde::{Deserialize, Serialize};

use mesh::control::routes::PUBLISH;
use runtime::contract::{MAX_PAYLOAD, MAX_TOPIC};
use runtime::exchange::{OUTGOING, Published};

/// How many bytes of topics and payloads a batch may have. A node with more
/// sends one batch after the other.
pub(super) const BATCH_BYTES: usize = 128 * 1024;

/// How many bytes a batch may have when it is sent, with its numbers and
/// lengths.
pub(super) const BATCH_MAX: usize = PUBLISH.message_max;
const _: () = assert!(BATCH_MAX == BATCH_BYTES + 16 * (OUTGOING + 1) + APP_NAME_MAX);

/// A batch.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Batch<'a> {
    /// The app whose exchanges published.
    pub(super) app: AppName,
    /// The boot number of the run that published. Later runs have greater
    /// numbers.
    pub(super) boot: u64,
    #[serde(borrow)]
    pub(super) messages: Vec<SentMessage<'a>>,
}

/// One publication.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SentMessage<'a> {
    /// Its place among all publications of the run.
    pub(super) number: u64,
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
}

/// How many bytes of a batch a publication takes.
pub(super) fn weight(published: &Published) -> usize {
    published.topic.len() + published.payload.len()
}

/// Writes a batch as bytes.
pub(super) fn write(
    boot: u64,
    published: &[std::sync::Arc<Published>],
) -> Result<Bytes, postcard::Error> {
    let messages = published.iter().map(|published| SentMessage {
        number: published.number,
        topic: &published.topic,
        payload: &published.payload,
    });
    let batch = Batch {
        app: AppName::the_only(),
        boot,
        messages: messages.collect(),
    };
    postcard::to_stdvec(&batch).map(Bytes::from)
}

/// Reads a batch. None if the bytes are no batch, or break the limits of the
/// contract.
pub(super) fn read(bytes: &[u8]) -> Option<Batch<'_>> {
    let (batch, rest) = postcard::take_from_bytes::<Batch<'_>>(bytes).ok()?;
    let fits = |message: &SentMessage<'_>| {
        (1..=MAX_TOPIC).contains(&message.topic.len()) && message.payload.len() <= MAX_PAYLOAD
    };
    let is_one = rest.is_empty() && batch.messages.iter().all(fits);
    is_one.then_some(batch)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn published(number: u64, topic: &str, payload: Vec<u8>) -> Arc<Published> {
        Arc::new(Published {
            number,
            topic: topic.into(),
            payload: payload.into(),
            from: "example@10.0.0.1".into(),
        })
    }

    #[test]
    fn a_batch_is_read_as_it_was_written() {
        let all = [
            published(7, "t", vec![1, 2]),
            published(8, &"u".repeat(MAX_TOPIC), vec![0; MAX_PAYLOAD]),
        ];
        let bytes = write(3, &all).expect("written");
        assert!(bytes.len() <= BATCH_MAX);
        let batch = read(&bytes).expect("a batch");
        assert_eq!((batch.app.as_str(), batch.boot), ("app", 3));
        let read: Vec<_> = batch
            .messages
            .iter()
            .map(|it| (it.number, it.topic.len(), it.payload.len()))
            .collect();
        assert_eq!(read, [(7, 1, 2), (8, MAX_TOPIC, MAX_PAYLOAD)]);
    }

    #[test]
    fn what_breaks_the_contract_or_is_cut_or_longer_is_no_batch() {
        for broken in [
            published(1, "", vec![]),
            published(1, &"t".repeat(MAX_TOPIC + 1), vec![]),
            published(1, "t", vec![0; MAX_PAYLOAD + 1]),
        ] {
            assert_eq!(read(&write(1, &[broken]).expect("written")), None);
        }
        let bytes = write(1, &[published(1, "t", vec![1])]).expect("written");
        assert!(read(&bytes).is_some());
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(read(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn the_largest_batch_fits_its_limit() {
        // As many publications as may wait, each as small as possible.
        let all: Vec<_> = (0..OUTGOING as u64)
            .map(|n| published(u64::MAX - n, "t", vec![0; BATCH_BYTES / OUTGOING - 1]))
            .collect();
        assert!(write(u64::MAX, &all).expect("written").len() <= BATCH_MAX);
    }
}
