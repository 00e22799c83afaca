//! The deploy key: where one is set, only releases that are signed by it are
//! taken, so that whoever has the cookie alone cannot deploy.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use ring::signature::{ED25519, UnparsedPublicKey};

use super::Release;

/// The bytes of an Ed25519 signature (RFC 8032).
pub const SIGNATURE_LEN: usize = 64;

/// The public half of a deploy key: Ed25519, shown as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DeployKey([u8; 32]);

/// Why a text is no deploy key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a deploy key is 64 hex digits, the public half of an Ed25519 key")]
pub struct DeployKeyError;

impl DeployKey {
    /// The key of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Whether the release is signed by this key.
    pub fn signed(&self, release: &Release) -> bool {
        release.signature().is_some_and(|signature| {
            UnparsedPublicKey::new(&ED25519, self.0)
                .verify(release.signed_bytes(), signature)
                .is_ok()
        })
    }
}

impl FromStr for DeployKey {
    type Err = DeployKeyError;

    fn from_str(text: &str) -> Result<Self, DeployKeyError> {
        let digest: crate::Digest = text.parse().map_err(|_| DeployKeyError)?;
        Ok(Self(*digest.as_bytes()))
    }
}

impl fmt::Display for DeployKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for DeployKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeployKey({self})")
    }
}
