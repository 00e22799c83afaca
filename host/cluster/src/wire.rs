//! The envelope of every datagram. It is sealed here, and it is opened and checked here before
//! anything else of the datagram is read.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version: major in the high four bits, minor in the low four |
//! | 1 | the first byte of the key id |
//! | 2..10 | node id of the sender |
//! | 10..18 | node id of the receiver, zeros for a broadcast |
//! | 18..26 | boot number of the sender |
//! | 26..34 | sequence number, counted over all that the sender sends |
//! | 34..n-16 | one message |
//! | n-16..n | HMAC-SHA256 over all before it, cut to 128 bits |
//!
//! Numbers are big-endian.

use std::fmt;
use std::net::Ipv4Addr;

use bytes::Bytes;

use crate::keys::TAG_LEN;
use crate::message::Message;
use crate::{Boot, DATAGRAM_MAX, Keys, NodeId, Refusal};

/// A version of the protocol. Programs of one major version understand each other. A minor
/// version only adds messages, and fields at the end of messages; programs that do not know
/// them ignore them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u8);

impl Version {
    /// The version of this program.
    pub const OURS: Version = Version(2 << 4);

    pub(crate) const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    pub(crate) const fn byte(self) -> u8 {
        self.0
    }

    /// A different major version is a different protocol.
    pub const fn major(self) -> u8 {
        self.0 >> 4
    }

    /// A later minor version has additions.
    pub const fn minor(self) -> u8 {
        self.0 & 15
    }

    /// Whether this program can read it.
    pub const fn is_understood(self) -> bool {
        self.major() == Self::OURS.major()
    }

    /// Whether it may have additions that this program does not know.
    pub const fn is_newer(self) -> bool {
        self.is_understood() && self.minor() > Self::OURS.minor()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())
    }
}

const HEAD_LEN: usize = 34;

/// The receiver of a broadcast.
const EVERYONE: [u8; 8] = [0; 8];

/// What the envelope and the enum around it add to a datagram of SWIM.
pub(crate) const SWIM_OVERHEAD: usize = HEAD_LEN + TAG_LEN + 4;

/// The envelope's fields: who sends what to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: Version,
    pub(crate) source: NodeId,
    /// None for a broadcast.
    pub(crate) receiver: Option<NodeId>,
    pub(crate) boot: Boot,
    pub(crate) sequence: u64,
}

/// Puts a message into its envelope. None if it does not fit a datagram.
pub(crate) fn seal(keys: &Keys, head: &Head, message: &Message<'_>) -> Option<Bytes> {
    finish(keys, postcard::to_extend(message, begin(keys, head)).ok()?)
}

/// Like `seal`, with a payload that was written already, or that is no message: tests send it.
#[cfg(any(test, feature = "sim"))]
pub(crate) fn seal_bytes(keys: &Keys, head: &Head, message: &[u8]) -> Option<Bytes> {
    let mut frame = begin(keys, head);
    frame.extend_from_slice(message);
    finish(keys, frame)
}

fn begin(keys: &Keys, head: &Head) -> Vec<u8> {
    let mut frame = Vec::with_capacity(256);
    frame.push(head.version.byte());
    frame.push(keys.key_id().first_byte());
    frame.extend_from_slice(head.source.as_bytes());
    let receiver = head.receiver.map_or(EVERYONE, |it| *it.as_bytes());
    frame.extend_from_slice(&receiver);
    frame.extend_from_slice(&head.boot.number().to_be_bytes());
    frame.extend_from_slice(&head.sequence.to_be_bytes());
    frame
}

fn finish(keys: &Keys, mut frame: Vec<u8>) -> Option<Bytes> {
    frame.extend_from_slice(&keys.tag(&frame));
    (frame.len() <= DATAGRAM_MAX).then(|| frame.into())
}

/// Checks an envelope and returns the message, unread. `from` is the source address as the
/// system gives it, `me` is this node.
///
/// # Errors
/// Says why the datagram is refused. The cheapest check comes first.
pub(crate) fn open<'a>(
    keys: &Keys,
    allows: impl Fn(Ipv4Addr) -> bool,
    me: NodeId,
    from: Ipv4Addr,
    frame: &'a [u8],
) -> Result<(Head, &'a [u8]), Refusal> {
    if frame.len() <= HEAD_LEN + TAG_LEN || frame.len() > DATAGRAM_MAX {
        return Err(Refusal::Size);
    }
    let version = Version::from_byte(frame[0]);
    if !version.is_understood() {
        return Err(Refusal::Version);
    }
    if !allows(from) {
        return Err(Refusal::Source);
    }
    let (signed, tag) = frame.split_at(frame.len() - TAG_LEN);
    if keys.verify(frame[1], signed, tag) != Some(true) {
        return Err(Refusal::Cookie);
    }
    let source = NodeId::from_bytes(part(frame, 2));
    if source != NodeId::of(from) {
        return Err(Refusal::Address);
    }
    let receiver = part(frame, 10);
    let to_all = receiver == EVERYONE;
    if !to_all && NodeId::from_bytes(receiver) != me {
        return Err(Refusal::Receiver);
    }
    let head = Head {
        version,
        source,
        receiver: (!to_all).then_some(me),
        boot: Boot::from_number(u64::from_be_bytes(part(frame, 18))),
        sequence: u64::from_be_bytes(part(frame, 26)),
    };
    Ok((head, &signed[HEAD_LEN..]))
}

/// The part of a head that begins at `at`.
fn part<const N: usize>(frame: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&frame[at..at + N]);
    part
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::Content;

    const ME: Ipv4Addr = Ipv4Addr::new(10, 10, 10, 2);
    const THEM: Ipv4Addr = Ipv4Addr::new(10, 10, 10, 3);

    fn keys() -> Keys {
        Keys::from_master(&[7; 32])
    }

    fn head(receiver: Option<Ipv4Addr>) -> Head {
        Head {
            version: Version::OURS,
            source: NodeId::of(THEM),
            receiver: receiver.map(NodeId::of),
            boot: Boot::from_number(9),
            sequence: 4,
        }
    }

    fn sealed(receiver: Option<Ipv4Addr>) -> Bytes {
        seal(&keys(), &head(receiver), &Message::Leave).expect("it fits")
    }

    fn opened(frame: &[u8]) -> Result<Head, Refusal> {
        let lan = |ip: Ipv4Addr| ip.octets()[..3] == [10, 10, 10];
        open(&keys(), lan, NodeId::of(ME), THEM, frame).map(|(head, _)| head)
    }

    #[test]
    fn what_was_sealed_opens_for_its_receiver() {
        assert_eq!(opened(&sealed(None)), Ok(head(None)));
        assert_eq!(opened(&sealed(Some(ME))), Ok(head(Some(ME))));
        assert_eq!(opened(&sealed(Some(THEM))), Err(Refusal::Receiver));
    }

    #[test]
    fn each_wrong_envelope_is_refused_for_its_own_reason() {
        let frame = sealed(None);
        let all = |_| true;
        let open_from =
            |from| open(&keys(), all, NodeId::of(ME), from, &frame).map(|(head, _)| head);
        assert_eq!(
            open_from(Ipv4Addr::new(10, 10, 10, 4)),
            Err(Refusal::Address)
        );
        let other = Keys::from_master(&[8; 32]);
        assert_eq!(
            open(&other, all, NodeId::of(ME), THEM, &frame).err(),
            Some(Refusal::Cookie)
        );
        assert_eq!(
            open(&keys(), |_| false, NodeId::of(ME), THEM, &frame).err(),
            Some(Refusal::Source)
        );
        assert_eq!(opened(b""), Err(Refusal::Size));
        assert_eq!(opened(&[0; DATAGRAM_MAX + 1]), Err(Refusal::Size));
        assert_eq!(opened(&[0; 100]), Err(Refusal::Version));
    }

    #[test]
    fn a_newer_minor_version_opens_and_another_major_one_does_not() {
        let sealed_as = |version| {
            let head = Head {
                version,
                ..head(None)
            };
            seal(&keys(), &head, &Message::Leave).expect("it fits")
        };
        let newer = Version::from_byte(Version::OURS.byte() + 1);
        assert_eq!(
            opened(&sealed_as(newer)).map(|head| head.version),
            Ok(newer)
        );
        for major in [0, 1, 3, 15] {
            let other = sealed_as(Version::from_byte(major << 4));
            assert_eq!(opened(&other), Err(Refusal::Version));
        }
    }

    #[test]
    fn what_does_not_fit_a_datagram_is_not_sent() {
        let head = head(None);
        let most = DATAGRAM_MAX - SWIM_OVERHEAD;
        assert!(seal(&keys(), &head, &Message::Swim(&vec![0; most])).is_some());
        assert!(seal(&keys(), &head, &Message::Swim(&vec![0; most + 5])).is_none());
    }

    proptest! {
        #[test]
        fn no_changed_or_cut_frame_opens(at in 0usize..51, bit in 0u8..8, cut in 1usize..51) {
            let frame = sealed(Some(ME));
            let mut changed = frame.to_vec();
            changed[at] ^= 1 << bit;
            prop_assert!(opened(&changed).is_err());
            prop_assert!(opened(&frame[..frame.len() - cut]).is_err());
        }

        #[test]
        fn garbage_is_refused(garbage: Vec<u8>) {
            prop_assert!(opened(&garbage).is_err());
        }

        #[test]
        fn an_unreadable_message_is_no_message(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Content::Message(message) = Message::read(Version::OURS, &garbage) {
                // Every message that can be read can be written again.
                prop_assert!(seal(&keys(), &head(None), &message).is_some());
            }
        }
    }
}
