//! What nodes say to each other, inside the envelope that `wire` seals.

use serde::{Deserialize, Serialize};

use crate::release::{ReleaseId, Vote};
use crate::replicate::KindSummary;
use crate::run::{Advertised, Run};
use crate::wire::Version;
use crate::{Boot, DownReason, NodeId};

/// The content of a datagram.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Message<'a> {
    /// "I am here", to everyone or to a node that may not hear broadcasts.
    Beacon(Beacon),
    /// Like a beacon, but to one node, in answer to something that it sent.
    Hello(Hello),
    /// A datagram of the SWIM engine.
    Swim(#[serde(borrow)] &'a [u8]),
    /// "This run is down", by a node that has checked it.
    Down(Down),
    /// "I leave."
    Leave,
    /// "Are you, of this boot number, there?"
    Probe { boot: Boot },
    /// "I am."
    Ack,
    /// "The machine with this boot number uses a name that was in use already." The nonce is
    /// one of that machine, so an old notice does nothing.
    Taken { node: NodeId, boot: Boot, echo: u64 },
    /// The record of a release.
    Release(#[serde(borrow)] &'a [u8]),
    /// "Send me the record of this release."
    Want(ReleaseId),
    /// Votes about releases.
    Votes(Vec<Vote>),
}

/// How many kinds of messages there are. A kind that a later minor version adds has at least
/// this number.
pub(crate) const KINDS: u32 = 11;

/// What a payload is.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is looked into at once, and not kept"
)]
pub(crate) enum Content<'a> {
    Message(Message<'a>),
    /// A kind of message that a later minor version has added.
    Unknown,
    Unreadable,
}

/// What a node says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Beacon {
    pub(crate) run: Run,
    /// How long its process has run.
    pub(crate) uptime_ms: u64,
    pub(crate) advertised: Advertised,
    /// The nonce that a node echoes to show that it is live.
    #[serde(with = "postcard::fixint::le")]
    pub(crate) nonce: u64,
    /// Its wall clock, in milliseconds since 1970-01-01 UTC.
    pub(crate) wall_ms: u64,
    /// How many milliseconds its hybrid clock is ahead of its wall clock.
    pub(crate) ahead_ms: u64,
    /// What it holds of each kind of data.
    pub(crate) summaries: Vec<KindSummary>,
}

/// A beacon to one node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The receiver's nonce.
    #[serde(with = "postcard::fixint::le")]
    pub(crate) echo: u64,
    /// The receiver is on probation with the sender, and has to echo the nonce.
    pub(crate) want_echo: bool,
    /// The latest run of the receiver that the sender knows of.
    pub(crate) known: Option<KnownRun>,
    /// Last, so that a later minor version can add to it.
    pub(crate) about: Beacon,
}

/// What a node knows of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownRun {
    pub(crate) boot: Boot,
    /// That run is down for ever: the receiver needs a new boot number.
    pub(crate) down: bool,
}

/// A run that is down, and why.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Down {
    pub(crate) node: NodeId,
    pub(crate) boot: Boot,
    pub(crate) why: Cause,
}

/// [`DownReason`], in the form that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    Left,
    Failed,
    Refused,
}

impl From<Cause> for DownReason {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Left => DownReason::Left,
            Cause::Failed => DownReason::Failed,
            Cause::Refused => DownReason::Refused,
        }
    }
}

impl From<DownReason> for Cause {
    fn from(reason: DownReason) -> Self {
        match reason {
            DownReason::Left => Cause::Left,
            DownReason::Failed => Cause::Failed,
            DownReason::Refused => Cause::Refused,
        }
    }
}

impl Message<'_> {
    /// Reads the payload that [`wire::open`](crate::wire::open) returned: exactly one message,
    /// or one with additions of a later minor version.
    pub(crate) fn read(version: Version, payload: &[u8]) -> Content<'_> {
        let newer = version.is_newer();
        match postcard::take_from_bytes(payload) {
            Ok((message, rest)) if rest.is_empty() || newer => Content::Message(message),
            Err(_) if newer && kind(payload).is_some_and(|kind| kind >= KINDS) => Content::Unknown,
            _ => Content::Unreadable,
        }
    }

    /// What the sender says of itself, if the message has it.
    pub(crate) fn about(&self) -> Option<&Beacon> {
        match self {
            Message::Beacon(about) | Message::Hello(Hello { about, .. }) => Some(about),
            _ => None,
        }
    }
}

/// The number of a message's kind, with which the message begins.
fn kind(payload: &[u8]) -> Option<u32> {
    postcard::take_from_bytes(payload)
        .ok()
        .map(|(kind, _)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWER: Version = Version::from_byte(Version::OURS.byte() + 1);

    fn bytes(message: &Message<'_>) -> Vec<u8> {
        postcard::to_allocvec(message).expect("it can be written")
    }

    #[test]
    fn there_are_as_many_kinds_as_this_program_knows() {
        let last = bytes(&Message::Votes(Vec::new()));
        assert_eq!(kind(&last), Some(KINDS - 1));
        let next = [u8::try_from(KINDS).expect("small")];
        assert!(postcard::take_from_bytes::<Message<'_>>(&next).is_err());
    }

    #[test]
    fn additions_are_left_out_if_the_version_is_newer_and_refused_if_not() {
        let mut longer = bytes(&Message::Leave);
        longer.push(9);
        let read = |version| Message::read(version, &longer);
        assert!(matches!(read(NEWER), Content::Message(Message::Leave)));
        assert!(matches!(read(Version::OURS), Content::Unreadable));
    }

    #[test]
    fn a_kind_that_is_not_known_is_told_apart_from_garbage() {
        let unknown = [u8::try_from(KINDS).expect("small"), 1, 2, 3];
        assert!(matches!(Message::read(NEWER, &unknown), Content::Unknown));
        assert!(matches!(
            Message::read(Version::OURS, &unknown),
            Content::Unreadable
        ));
        let cut = &bytes(&Message::Probe {
            boot: Boot::from_number(300),
        })[..1];
        assert!(matches!(Message::read(NEWER, cut), Content::Unreadable));
    }
}
