//! What identifies a release: its id, which says what it does (this digest after that release),
//! and its stamp, which says who decided it and when, and gives its place in the order of all
//! releases.

use std::cmp::{Ordering, Reverse};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Hlc;
use crate::{AppName, Digest, NodeName};

/// What a release does: the first 128 bits of SHA-256 over the name of its app, the id of its
/// parent and its digest. Two pushes of the same component after the same release make the same
/// release, wherever they are made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReleaseId([u8; 16]);

impl ReleaseId {
    /// The id of this digest of this app, as the follower of `parent`.
    pub fn new(app: &AppName, parent: Option<ReleaseId>, digest: &Digest) -> Self {
        let hash = Sha256::new()
            .chain_update(b"ace raxx release v2")
            .chain_update(app.as_str())
            .chain_update([0])
            .chain_update(parent.map_or([0; 16], |parent| parent.0))
            .chain_update(digest.as_bytes())
            .finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        Self(id)
    }

    /// Its 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Shown as the first 40 bits; people type as many as are needed.
impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(10).min(32);
        for at in 0..digits {
            let byte = self.0[at / 2];
            write!(f, "{:x}", if at % 2 == 0 { byte >> 4 } else { byte & 15 })?;
        }
        Ok(())
    }
}

impl fmt::Debug for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The beginning of an id in hex, as a person types it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPrefix(String);

/// Why a text cannot be the beginning of an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no release; one is named by at least 4 hex digits, as the list of releases shows"
)]
pub struct IdPrefixError(String);

impl FromStr for IdPrefix {
    type Err = IdPrefixError;

    fn from_str(text: &str) -> Result<Self, IdPrefixError> {
        let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hex && (4..=32).contains(&text.len()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(IdPrefixError(text.to_owned()))
        }
    }
}

impl IdPrefix {
    /// Whether this id begins with the prefix.
    pub fn matches(&self, id: &ReleaseId) -> bool {
        format!("{id:.32}").starts_with(&self.0)
    }
}

impl fmt::Display for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a release was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseKind {
    /// A node started with an app file for the first time. It counts only where nothing else
    /// was decided.
    Bootstrap,
    /// Somebody pushed a component, or changed a file.
    Push,
    /// Somebody went back to an earlier component.
    Rollback,
}

impl fmt::Display for ReleaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReleaseKind::Bootstrap => "bootstrap",
            ReleaseKind::Push => "push",
            ReleaseKind::Rollback => "rollback",
        })
    }
}

/// When and by whom a release was decided. The order is total: every push and rollback is above
/// every bootstrap. The earliest bootstrap is the greatest of its kind; among pushes and
/// rollbacks the latest is the greatest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseStamp {
    /// How it was made.
    pub kind: ReleaseKind,
    /// When it was decided.
    pub at: Hlc,
    /// The node that decided it.
    pub node: NodeName,
    /// The component's digest.
    pub digest: Digest,
}

impl Ord for ReleaseStamp {
    fn cmp(&self, other: &Self) -> Ordering {
        let decided = |stamp: &Self| stamp.kind != ReleaseKind::Bootstrap;
        let at = |stamp: &Self| (stamp.at, stamp.node.clone(), stamp.digest, stamp.kind as u8);
        decided(self)
            .cmp(&decided(other))
            .then_with(|| match self.kind {
                ReleaseKind::Bootstrap => Reverse(at(self)).cmp(&Reverse(at(other))),
                ReleaseKind::Push | ReleaseKind::Rollback => at(self).cmp(&at(other)),
            })
    }
}

impl PartialOrd for ReleaseStamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
