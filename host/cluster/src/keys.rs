//! The keys of a cluster, derived from its cookie. Argon2id makes guessing expensive, HKDF gives each use a
//! key of its own.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::Cookie;

/// The bytes of a tag: HMAC-SHA256 cut to 128 bits, as RFC 2104 section 5
/// allows.
pub(crate) const TAG_LEN: usize = 16;

/// The bytes of a fingerprint of a secret.
const FINGERPRINT_LEN: usize = 6;

/// Memory of the key derivation in KiB, and its passes: 152 ms at start on a
/// 2-core machine (RFC 9106 section 4, second recommended option).
const ARGON2_KIB: u32 = 64 * 1024;
const ARGON2_PASSES: u32 = 3;

/// The nodes of a cluster share only the cookie, so there is no real salt. This one only keeps the keys apart
/// from those of other programs.
const SALT: &[u8] = b"ace raxx cluster cookie v1";

/// Names a key, and so a cookie. A part of it goes over the network in clear, and people may see it: to learn
/// the cookie from it one has to guess, as from any datagram. Shown as 8 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId([u8; 4]);

/// The keys that a node uses, as it tells the other nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyIds {
    /// The key that it sends with. It accepts this key too.
    pub sends: KeyId,
    /// The second key that it accepts, while the cluster changes its cookie.
    pub accepts: Option<KeyId>,
}

/// The keys that are derived from one cookie.
#[derive(Clone)]
struct KeySet {
    id: KeyId,
    mac: Hmac<Sha256>,
    /// Makes the fingerprints of secrets.
    fingerprints: Hmac<Sha256>,
    tls_seed: Zeroizing<[u8; 32]>,
}

/// The keys of a cluster. Wiped from memory when dropped, never shown.
#[derive(Clone)]
pub struct Keys {
    current: KeySet,
    /// Also accepted, while a cluster changes its cookie.
    other: Option<KeySet>,
}

/// Why no keys could be derived.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Argon2 failed; in practice because it could not get memory.
    #[error("could not derive keys from the cookie ({0}); it takes 64 MiB of memory for a moment")]
    Argon2(String),
}

impl Keys {
    /// Derives the keys from the cookie. Takes about 150 ms and 64 MiB.
    ///
    /// # Errors
    /// [`KeysError::Argon2`].
    pub fn derive(cookie: &Cookie) -> Result<Self, KeysError> {
        let failed = |error: argon2::Error| KeysError::Argon2(error.to_string());
        let params = Params::new(ARGON2_KIB, ARGON2_PASSES, 1, Some(32)).map_err(failed)?;
        let mut master = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(cookie.reveal(), SALT, master.as_mut())
            .map_err(failed)?;
        Ok(Self::from_master(&master))
    }

    /// The keys from a master secret, without the cost of [`Keys::derive`]: for tests, and for a caller that
    /// has the result of Argon2.
    pub fn from_master(master: &[u8; 32]) -> Self {
        Self {
            current: KeySet::expand(master),
            other: None,
        }
    }

    /// Accepts datagrams with the other keys too, so that a cluster can change its cookie node by node.
    /// Sending uses its own keys.
    pub fn accepting(mut self, other: &Keys) -> Self {
        self.other = Some(other.current.clone());
        self
    }

    /// The other accepted keys, as keys of their own.
    pub fn other(&self) -> Option<Keys> {
        let other = self.other.clone()?;
        Some(Self {
            current: other,
            other: None,
        })
    }

    /// The key that this node sends with. Its first byte is in every datagram.
    pub fn key_id(&self) -> KeyId {
        self.current.id
    }

    /// The ids of these keys.
    pub fn ids(&self) -> KeyIds {
        KeyIds {
            sends: self.current.id,
            accepts: self.other.as_ref().map(|other| other.id),
        }
    }

    /// The seed of the Ed25519 key by which the nodes of a cluster know each
    /// other in TLS.
    pub fn tls_seed(&self) -> Zeroizing<[u8; 32]> {
        self.current.tls_seed.clone()
    }

    /// The tag over these bytes.
    pub(crate) fn tag(&self, bytes: &[u8]) -> [u8; TAG_LEN] {
        self.current.tag(bytes)
    }

    /// A short text that stands for a secret. Nobody can try out values without the cookie.
    pub(crate) fn fingerprint(&self, secret: &[u8]) -> String {
        let key = &self.current.fingerprints;
        let full = key.clone().chain_update(secret).finalize().into_bytes();
        HEXLOWER.encode(full.get(..FINGERPRINT_LEN).unwrap_or_default())
    }

    /// Whether the tag over these bytes is right, in constant time. None if no id of our keys begins with
    /// this byte.
    pub(crate) fn verify(&self, id: u8, bytes: &[u8], tag: &[u8]) -> Option<bool> {
        // Two ids may begin with the same byte, so every matching key is tried.
        let keys = std::iter::once(&self.current).chain(&self.other);
        keys.filter(|key| key.id.first_byte() == id)
            .map(|key| bool::from(key.tag(bytes)[..].ct_eq(tag)))
            .reduce(|one, other| one | other)
    }
}

impl KeySet {
    fn expand(master: &[u8; 32]) -> Self {
        let mac_key = label::<32>(master, b"datagram mac v1");
        Self {
            id: KeyId(*label(master, b"datagram key id v2")),
            mac: keyed(&mac_key),
            fingerprints: keyed(&label(master, b"secret fingerprint v1")),
            tls_seed: label(master, b"tls ed25519 seed v1"),
        }
    }

    fn tag(&self, bytes: &[u8]) -> [u8; TAG_LEN] {
        // The keyed state is cloned, which saves two of the four compressions.
        let full = self.mac.clone().chain_update(bytes).finalize().into_bytes();
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&full[..TAG_LEN]);
        tag
    }
}

#[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[allow(
    clippy::expect_used,
    reason = "N is at most 32, HKDF-SHA256 gives up to 8160 bytes"
)]
fn label<const N: usize>(master: &[u8; 32], info: &[u8]) -> Zeroizing<[u8; N]> {
    let mut out = Zeroizing::new([0; N]);
    Hkdf::<Sha256>::new(None, master)
        .expand(info, out.as_mut())
        .expect("HKDF-SHA256 gives up to 8160 bytes");
    out
}

impl KeyIds {
    /// Whether a datagram under this key is accepted.
    pub fn accept(&self, key: KeyId) -> bool {
        self.sends == key || self.accepts == Some(key)
    }
}

impl KeyId {
    /// Its 4 bytes.
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }

    /// The part of it that a datagram has, so that datagrams are short.
    pub(crate) const fn first_byte(&self) -> u8 {
        self.0[0]
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derive(cookie: &str) -> Keys {
        Keys::derive(&Cookie::parse(cookie.as_bytes()).expect("a cookie")).expect("keys")
    }

    #[test]
    fn one_cookie_gives_the_same_keys_everywhere_and_another_gives_others() {
        let (one, same, other) = (derive("ace"), derive("ace\n"), derive("acf"));
        let tag = one.tag(b"datagram");
        assert_eq!(
            same.verify(one.key_id().first_byte(), b"datagram", &tag),
            Some(true)
        );
        assert_ne!(
            other.verify(one.key_id().first_byte(), b"datagram", &tag),
            Some(true)
        );
        assert_eq!(one.tls_seed(), same.tls_seed());
        assert_ne!(one.tls_seed(), other.tls_seed());
    }

    #[test]
    fn while_a_cookie_is_changed_both_are_accepted() {
        let (old, new) = (Keys::from_master(&[1; 32]), Keys::from_master(&[2; 32]));
        let both = new.clone().accepting(&old);
        assert_eq!(
            both.verify(old.key_id().first_byte(), b"x", &old.tag(b"x")),
            Some(true)
        );
        assert_eq!(
            both.verify(new.key_id().first_byte(), b"x", &new.tag(b"x")),
            Some(true)
        );
        assert_eq!(both.tag(b"x"), new.tag(b"x"));
        assert_eq!(both.other().map(|keys| keys.tag(b"x")), Some(old.tag(b"x")));
        assert_ne!(
            new.verify(old.key_id().first_byte(), b"x", &old.tag(b"x")),
            Some(true)
        );
        let ids = KeyIds {
            sends: new.key_id(),
            accepts: Some(old.key_id()),
        };
        assert_eq!(both.ids(), ids);
        assert!(ids.accept(old.key_id()) && ids.accept(new.key_id()));
        assert!(!new.ids().accept(old.key_id()));
    }

    #[test]
    fn a_changed_byte_or_a_short_tag_is_refused() {
        let keys = Keys::from_master(&[1; 32]);
        let (id, tag) = (keys.key_id().first_byte(), keys.tag(b"datagram"));
        assert_eq!(keys.verify(id, b"datagraM", &tag), Some(false));
        assert_eq!(keys.verify(id, b"datagram", &tag[..15]), Some(false));
        assert_eq!(keys.verify(id.wrapping_add(1), b"datagram", &tag), None);
    }

    #[test]
    fn nothing_shows_the_keys() {
        assert_eq!(format!("{:?}", Keys::from_master(&[1; 32])), "Keys(secret)");
    }
}
