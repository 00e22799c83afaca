//! The record of a release: all that is agreed on about it, as one sequence of bytes. Nodes
//! pass these bytes on unchanged, so the signature stays valid, and fields that a newer node
//! wrote are kept.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::check::ReleaseError;
use super::{ClusterName, Hlc, ReleaseId, ReleaseKind, ReleaseStamp, SIGNATURE_LEN};
use crate::wire::Version;
use crate::{AppName, Digest, NodeId, NodeName};

/// The size of the chunks in which nodes fetch a component from each other, in bytes. The
/// manifest has the SHA-256 of each chunk.
pub const CHUNK: usize = 256 * 1024;

/// The longest note, in bytes.
pub const NOTE_MAX: usize = 200;

/// The longest name of a requester, in bytes.
pub const BY_MAX: usize = 64;

/// The most canaries of a staged release.
pub const CANARIES_MAX: usize = 64;

/// The longest bake.
pub const BAKE_MAX: Duration = Duration::from_secs(60 * 60);

/// The longest record, in bytes: it goes into one datagram.
pub(crate) const RECORD_MAX: usize = 1300;

/// The largest component, in bytes. A host sets its own, smaller limit.
pub(crate) const SIZE_MAX: u64 = 1 << 32;

/// A component, as its bytes determine it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// The SHA-256 of all its bytes.
    pub digest: Digest,
    /// The number of its bytes.
    pub size: u64,
    /// The SHA-256 of its manifest. The manifest is the SHA-256 of each [`CHUNK`] in turn.
    pub manifest: Digest,
}

impl Component {
    /// Computes the digests of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let manifest = Self::manifest(bytes);
        Self {
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            manifest: Digest::of(&manifest),
        }
    }

    /// The number of its chunks.
    pub fn chunks(&self) -> usize {
        let chunks = self.size.min(SIZE_MAX).div_ceil(CHUNK as u64);
        usize::try_from(chunks).unwrap_or(usize::MAX)
    }

    /// The manifest of these bytes: 32 bytes for each chunk.
    pub fn manifest(bytes: &[u8]) -> Vec<u8> {
        let chunks = bytes.chunks(CHUNK);
        chunks
            .flat_map(|chunk| *Digest::of(chunk).as_bytes())
            .collect()
    }
}

/// The release that another one follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The id of that release.
    pub id: ReleaseId,
    /// When it was decided.
    pub at: Hlc,
    /// The digest that it serves: enough to go back to it.
    pub digest: Digest,
}

/// How a release is rolled out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The nodes that serve it first, in order. If there are none, all nodes serve it at once.
    pub canaries: Vec<NodeId>,
    /// How long a node serves it without fault before the node votes for it, in milliseconds.
    pub bake_ms: u32,
    /// Whether nodes serve it even if it cannot take over their open streams, which end then.
    pub drop_streams: bool,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, others)) = self.canaries.split_first() else {
            return f.write_str("all nodes at once");
        };
        write!(f, "{first}")?;
        others.iter().try_for_each(|node| write!(f, ", {node}"))?;
        write!(
            f,
            " first, for {:?}",
            Duration::from_millis(self.bake_ms.into())
        )
    }
}

/// The parts of a release, in the order in which they are written.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Parts {
    pub(crate) app: AppName,
    /// The cluster of the release, where releases are signed.
    pub(crate) cluster: Option<ClusterName>,
    pub(crate) kind: ReleaseKind,
    pub(crate) at: Hlc,
    pub(crate) node: NodeName,
    pub(crate) parent: Option<Parent>,
    pub(crate) component: Component,
    pub(crate) by: String,
    pub(crate) note: String,
    pub(crate) plan: Plan,
    /// The target on the node that decided it, if that is not its parent.
    pub(crate) base: Option<Parent>,
}

/// The two parts of a record's bytes.
#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    body: &'a [u8],
    signature: Option<&'a [u8]>,
}

/// A release, as all nodes agree on it. Checked when it is made, immutable.
#[derive(Debug)]
pub struct Release {
    body: Parts,
    stamp: ReleaseStamp,
    id: ReleaseId,
    bytes: Bytes,
    signed: Bytes,
    signature: Option<Bytes>,
    fingerprint: u64,
}

impl Release {
    pub(crate) fn new(parts: &Parts) -> Result<Arc<Self>, ReleaseError> {
        let body = postcard::to_extend(parts, vec![Version::OURS.byte()]);
        Self::seal(&body.map_err(|_| ReleaseError::Unreadable)?, None)
    }

    fn seal(body: &[u8], signature: Option<&[u8]>) -> Result<Arc<Self>, ReleaseError> {
        let bytes = postcard::to_allocvec(&Sealed { body, signature });
        Self::read(&bytes.map_err(|_| ReleaseError::Unreadable)?)
    }

    /// The same release with a signature, which must be made over [`Release::signed_bytes`].
    ///
    /// # Errors
    /// The signature makes the record too long.
    pub fn with_signature(
        &self,
        signature: &[u8; SIGNATURE_LEN],
    ) -> Result<Arc<Self>, ReleaseError> {
        Self::seal(&self.signed, Some(signature))
    }

    /// Reads the bytes of a record, and checks what can be checked without other records.
    ///
    /// # Errors
    /// Says what is wrong with the record.
    pub fn read(bytes: &[u8]) -> Result<Arc<Self>, ReleaseError> {
        if bytes.len() > RECORD_MAX {
            return Err(ReleaseError::TooLong(bytes.len()));
        }
        let sealed = match postcard::take_from_bytes::<Sealed<'_>>(bytes) {
            Ok((sealed, [])) => sealed,
            _ => return Err(ReleaseError::Unreadable),
        };
        let (&version, body) = sealed.body.split_first().ok_or(ReleaseError::Unreadable)?;
        let version = Version::from_byte(version);
        if !version.is_understood() {
            let (theirs, ours) = (version.major(), Version::OURS.major());
            return Err(ReleaseError::Version(theirs, ours));
        }
        let (body, rest) =
            postcard::take_from_bytes::<Parts>(body).map_err(|_| ReleaseError::Unreadable)?;
        let signature = sealed.signature;
        if signature.is_some_and(|signature| signature.len() != SIGNATURE_LEN)
            || !rest.is_empty() && !version.is_newer()
        {
            return Err(ReleaseError::Unreadable);
        }
        body.check()?;
        let parent = body.parent.map(|parent| parent.id);
        let id = ReleaseId::new(&body.app, parent, &body.component.digest);
        if body.base.is_some_and(|base| base.id == id) {
            return Err(ReleaseError::Contradiction(
                "what was the target before it is itself",
            ));
        }
        Ok(Arc::new(Self {
            stamp: ReleaseStamp {
                kind: body.kind,
                at: body.at,
                node: body.node.clone(),
                digest: body.component.digest,
            },
            id,
            bytes: Bytes::copy_from_slice(bytes),
            signed: Bytes::copy_from_slice(sealed.body),
            signature: signature.map(Bytes::copy_from_slice),
            fingerprint: Digest::of(bytes).first_word(),
            body,
        }))
    }

    /// The record as it is sent and stored.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes that a signature covers: everything else.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }

    /// The signature, if there is one.
    pub fn signature(&self) -> Option<&[u8]> {
        self.signature.as_deref()
    }

    /// The id of the release.
    pub fn id(&self) -> ReleaseId {
        self.id
    }

    /// Its place in the order: when and by whom it was decided.
    pub fn stamp(&self) -> &ReleaseStamp {
        &self.stamp
    }

    /// How it was made.
    pub fn kind(&self) -> ReleaseKind {
        self.body.kind
    }

    /// The release that it follows; none for the first.
    pub fn parent(&self) -> Option<Parent> {
        self.body.parent
    }

    /// The target on the node that decided it, and the target again if it is voted down. This
    /// is its parent, unless the parent was left or still baked.
    pub fn base(&self) -> Option<Parent> {
        self.body.base.or(self.body.parent)
    }

    /// The target on the node that decided it, if that is not its parent.
    pub(crate) fn other_base(&self) -> Option<Parent> {
        self.body.base
    }

    /// The releases that it goes back from, if it is a rollback.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = Parent> {
        let left = [self.body.parent, self.body.base];
        let is_rollback = self.kind() == ReleaseKind::Rollback;
        left.into_iter().flatten().filter(move |_| is_rollback)
    }

    /// The name of the app.
    pub fn app(&self) -> &AppName {
        &self.body.app
    }

    /// The cluster of the release; none where releases are not signed.
    pub fn cluster(&self) -> Option<&ClusterName> {
        self.body.cluster.as_ref()
    }

    /// The component.
    pub fn component(&self) -> Component {
        self.body.component
    }

    /// The requester's name, as the tool gave it. Empty if the release came from a file.
    pub fn by(&self) -> &str {
        &self.body.by
    }

    /// The requester's note.
    pub fn note(&self) -> &str {
        &self.body.note
    }

    /// The plan of its rollout.
    pub fn plan(&self) -> &Plan {
        &self.body.plan
    }

    /// Its share in the hash of all that a node knows.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// What another release says of this one as its parent.
    pub(crate) fn as_parent(&self) -> Parent {
        Parent {
            id: self.id,
            at: self.stamp.at,
            digest: self.stamp.digest,
        }
    }

    /// Decides which of two records with one id stays: a rollback before a push, a decision
    /// before a bootstrap, a signed record before an unsigned one, otherwise the earlier one.
    pub(crate) fn stays_before(&self, other: &Self) -> bool {
        let rank = |release: &Self| match release.body.kind {
            ReleaseKind::Rollback => 0,
            ReleaseKind::Push => 1,
            ReleaseKind::Bootstrap => 2,
        };
        let order = |it: &Self| {
            let unsigned = it.signature.is_none();
            (
                rank(it),
                unsigned,
                it.stamp.at,
                it.stamp.node.clone(),
                it.bytes.clone(),
            )
        };
        order(self) < order(other)
    }
}

/// Two records are equal if their bytes are.
impl PartialEq for Release {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Release {}

impl Plan {
    pub(super) fn check(&self, kind: ReleaseKind, has_parent: bool) -> Result<(), ReleaseError> {
        if u128::from(self.bake_ms) > BAKE_MAX.as_millis() {
            return Err(ReleaseError::Plan("it bakes for more than an hour"));
        }
        if self.canaries.is_empty() {
            return Ok(());
        }
        if kind != ReleaseKind::Push {
            return Err(ReleaseError::Plan("only a push can have canaries"));
        }
        if !has_parent {
            return Err(ReleaseError::Plan(
                "the first release has nothing that the others could serve meanwhile",
            ));
        }
        if self.canaries.len() > CANARIES_MAX {
            return Err(ReleaseError::Plan("it has more than 64 canaries"));
        }
        if !self.canaries.is_sorted_by(|one, next| one < next) {
            return Err(ReleaseError::Plan(
                "its canaries are not in order, or twice",
            ));
        }
        Ok(())
    }

    /// Whether only some nodes serve the release at first.
    pub fn is_staged(&self) -> bool {
        !self.canaries.is_empty()
    }

    /// Whether this node is one of the canaries.
    pub fn has_canary(&self, node: NodeId) -> bool {
        self.canaries.binary_search(&node).is_ok()
    }
}
