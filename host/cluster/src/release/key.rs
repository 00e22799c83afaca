//! The deploy key. Where one is set, only releases and settings that it has signed are accepted, so
//! the cookie alone does not allow a deploy. The name of the cluster is part of the key, so a
//! record of one cluster is worth nothing in another.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::Release;
use crate::AppName;

/// The bytes of an Ed25519 signature (RFC 8032).
pub const SIGNATURE_LEN: usize = 64;

/// The name of a cluster, with the same rules as an app's name. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterName(AppName);

/// Why a text is not the name of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot be the name of a cluster; use 1 to 32 lower-case letters, digits and `-`")]
pub struct ClusterNameError(String);

impl FromStr for ClusterName {
    type Err = ClusterNameError;

    fn from_str(text: &str) -> Result<Self, ClusterNameError> {
        let name = text.parse().map_err(|_| ClusterNameError(text.to_owned()));
        name.map(Self)
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The public half of a deploy key, Ed25519, and its cluster: shown as `CLUSTER:` and 64 hex
/// digits.
#[derive(Clone, PartialEq, Eq)]
pub struct DeployKey {
    cluster: ClusterName,
    public: [u8; 32],
}

/// Why a text is no deploy key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a deploy key is the name of a cluster, a colon and 64 hex digits, the public half of an \
     Ed25519 key"
)]
pub struct DeployKeyError;

/// Why a release or a setting is refused where there is a deploy key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unaccepted {
    /// It has no signature.
    #[error("it is not signed")]
    Unsigned,
    /// It is for another cluster.
    #[error("it is for {}, and this is cluster {ours}", named(.theirs))]
    Cluster {
        /// The cluster that it names; none if it names none.
        theirs: Option<ClusterName>,
        /// The cluster of the key.
        ours: ClusterName,
    },
    /// The signature was not made with the key.
    #[error("it is signed with another key")]
    Forged,
}

fn named(name: &Option<ClusterName>) -> String {
    match name {
        Some(name) => format!("cluster {name}"),
        None => "no cluster".to_owned(),
    }
}

impl DeployKey {
    /// The key with these bytes, for this cluster.
    pub const fn new(cluster: ClusterName, public: [u8; 32]) -> Self {
        Self { cluster, public }
    }

    /// The cluster of the key.
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// Whether the release is for this cluster, and signed by this key.
    ///
    /// # Errors
    /// Says why the release is refused.
    pub fn check(&self, release: &Release) -> Result<(), Unaccepted> {
        let signed = release.signed_bytes();
        self.verify(release.cluster(), signed, release.signature())
    }

    /// Whether what was signed is for this cluster, and signed by this key.
    pub(crate) fn verify(
        &self,
        cluster: Option<&ClusterName>,
        signed: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<(), Unaccepted> {
        let signature = signature.ok_or(Unaccepted::Unsigned)?;
        if cluster != Some(&self.cluster) {
            return Err(Unaccepted::Cluster {
                theirs: cluster.cloned(),
                ours: self.cluster.clone(),
            });
        }
        let public = UnparsedPublicKey::new(&ED25519, self.public);
        let holds = public.verify(signed, signature);
        holds.map_err(|_| Unaccepted::Forged)
    }
}

impl FromStr for DeployKey {
    type Err = DeployKeyError;

    fn from_str(text: &str) -> Result<Self, DeployKeyError> {
        let (cluster, public) = text.split_once(':').ok_or(DeployKeyError)?;
        let cluster = cluster.parse().map_err(|_| DeployKeyError)?;
        let public: crate::Digest = public.parse().map_err(|_| DeployKeyError)?;
        Ok(Self::new(cluster, *public.as_bytes()))
    }
}

impl fmt::Display for DeployKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            self.cluster,
            HEXLOWER.encode_display(&self.public)
        )
    }
}

impl fmt::Debug for DeployKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeployKey({self})")
    }
}
