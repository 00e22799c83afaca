//! The record of one change, as one sequence of bytes. Nodes pass these bytes on unchanged, so the
//! signature stays valid.
//!
//! The signature covers the SHA-256 of the value, and not the value. So a record can be kept for the
//! history without the value that it once set.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::kind::SettingKind;
use crate::hash::mix;
use crate::release::{BY_MAX, ClusterName, DeployKey, Hlc, SIGNATURE_LEN, Unaccepted};
use crate::wire::Version;
use crate::{AppName, Digest, NodeId, NodeName, Refusal};

/// The longest name of a setting, in bytes.
pub(super) const KEY_MAX: usize = 512;

/// The longest name of a config entry, in bytes.
pub(super) const CONFIG_KEY_MAX: usize = 128;

/// The longest value, in bytes.
pub(super) const VALUE_MAX: usize = 64 * 1024;

/// What the signed bytes of a setting begin with. No record of a release begins so: its first byte
/// is a version, and there is no version 0.
const SIGNED_AS: &[u8] = b"\0setting";

/// What names one setting. Config and secrets share their names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SettingName {
    pub(super) app: AppName,
    space: u8,
    pub(super) key: String,
}

/// When and by whom a record was made: records with a greater one are newer.
pub(crate) type Place = (Hlc, NodeId, u64);

/// The parts of a record that a signature covers, in the order in which they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingParts {
    /// The app that it is for.
    pub app: AppName,
    /// The cluster that it is for, where settings are signed.
    pub cluster: Option<ClusterName>,
    /// What it is about.
    pub kind: SettingKind,
    /// The name.
    pub key: String,
    /// Random bytes. The hash in beacons depends on them, so nobody who hears it can try out values.
    pub salt: [u8; 16],
    /// The SHA-256 of the salt and the value; none if the name was removed.
    pub value: Option<Digest>,
    /// When it was changed.
    pub at: Hlc,
    /// The node on which it was changed.
    pub node: NodeName,
    /// Who changed it, as the tool gave it.
    pub by: String,
}

/// The parts of a record's bytes.
#[derive(Serialize, Deserialize)]
struct SealedSetting<'a> {
    body: &'a [u8],
    signature: Option<&'a [u8]>,
    value: Option<&'a str>,
}

/// One change of a setting. Checked when it is made, immutable.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    body: Arc<SettingParts>,
    bytes: Bytes,
    signed: Bytes,
    signature: Option<Bytes>,
    value: Option<Arc<str>>,
    fingerprint: u64,
}

/// Why a setting cannot be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingReadError {
    /// The bytes are no record.
    #[error("these bytes are no record of a setting")]
    Unreadable,
    /// It was written by a later program.
    #[error(
        "the record is of version {0} of the protocol, and this program speaks version {1}; update it"
    )]
    Version(u8, u8),
    /// The name is too long, empty, or has control characters.
    #[error(
        "the name has {0} bytes; it may have 1 to {KEY_MAX}, and no control characters; shorten it"
    )]
    Key(usize),
    /// The value is too long.
    #[error("the value of `{0}` has {1} bytes and may have {VALUE_MAX}; shorten it")]
    Value(String, usize),
    /// The name of who changed it is too long, or has control characters.
    #[error("the name of who changes it may have {BY_MAX} bytes and no control characters")]
    By,
    /// It contradicts itself.
    #[error("the record contradicts itself: {0}")]
    Contradiction(&'static str),
}

impl SettingReadError {
    /// Why a record that came from another node is refused.
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            SettingReadError::Version(..) => Refusal::Version,
            _ => Refusal::Content,
        }
    }
}

impl SettingParts {
    fn digest(&self, value: &str) -> Digest {
        Digest::of(&[&self.salt, value.as_bytes()].concat())
    }

    fn check(&self) -> Result<(), SettingReadError> {
        let key = self.key.len();
        if key == 0 || key > KEY_MAX || self.key.chars().any(char::is_control) {
            return Err(SettingReadError::Key(key));
        }
        if self.by.len() > BY_MAX || self.by.chars().any(char::is_control) {
            return Err(SettingReadError::By);
        }
        if !self.at.is_plausible() {
            let why = "it is from after the year 2199";
            return Err(SettingReadError::Contradiction(why));
        }
        Ok(())
    }
}

impl Setting {
    /// The record of a change, without a signature. `value` is none if the name is removed; the
    /// digest in the parts is set here.
    ///
    /// # Errors
    /// Says which part cannot be.
    pub fn new(
        mut parts: SettingParts,
        value: Option<&str>,
    ) -> Result<Arc<Self>, SettingReadError> {
        parts.value = value.map(|value| parts.digest(value));
        let body = postcard::to_extend(&parts, vec![Version::OURS.byte()]);
        Self::seal(
            &body.map_err(|_| SettingReadError::Unreadable)?,
            None,
            value,
        )
    }

    fn seal(
        body: &[u8],
        signature: Option<&[u8]>,
        value: Option<&str>,
    ) -> Result<Arc<Self>, SettingReadError> {
        let bytes = postcard::to_allocvec(&SealedSetting {
            body,
            signature,
            value,
        });
        Self::read(&bytes.map_err(|_| SettingReadError::Unreadable)?)
    }

    /// The same record with a signature, which must be made over [`Setting::signed_bytes`].
    ///
    /// # Errors
    /// None in practice.
    pub fn with_signature(
        &self,
        signature: &[u8; SIGNATURE_LEN],
    ) -> Result<Arc<Self>, SettingReadError> {
        Self::seal(self.body_bytes(), Some(signature), self.value())
    }

    /// The same record without its value, for the history.
    pub(super) fn without_value(&self) -> Arc<Self> {
        let sealed = SealedSetting {
            body: self.body_bytes(),
            signature: self.signature.as_deref(),
            value: None,
        };
        let bytes = postcard::to_allocvec(&sealed).unwrap_or_default();
        Arc::new(Self {
            bytes: bytes.into(),
            value: None,
            ..self.clone()
        })
    }

    /// Reads the bytes of a record, and checks what can be checked without other records.
    ///
    /// # Errors
    /// Says what is wrong with the record.
    pub fn read(bytes: &[u8]) -> Result<Arc<Self>, SettingReadError> {
        let sealed = match postcard::take_from_bytes::<SealedSetting<'_>>(bytes) {
            Ok((sealed, [])) => sealed,
            _ => return Err(SettingReadError::Unreadable),
        };
        let unreadable = || SettingReadError::Unreadable;
        let (&version, body) = sealed.body.split_first().ok_or_else(unreadable)?;
        let version = Version::from_byte(version);
        if !version.is_understood() {
            let (theirs, ours) = (version.major(), Version::OURS.major());
            return Err(SettingReadError::Version(theirs, ours));
        }
        let (body, rest) =
            postcard::take_from_bytes::<SettingParts>(body).map_err(|_| unreadable())?;
        let signature = sealed.signature;
        if signature.is_some_and(|signature| signature.len() != SIGNATURE_LEN)
            || !rest.is_empty() && !version.is_newer()
        {
            return Err(unreadable());
        }
        body.check()?;
        if let Some(value) = sealed.value {
            if value.len() > VALUE_MAX {
                return Err(SettingReadError::Value(body.key.clone(), value.len()));
            }
            if body.value != Some(body.digest(value)) {
                let why = "its value is not the one that was set";
                return Err(SettingReadError::Contradiction(why));
            }
        }
        let fingerprint = Digest::of(sealed.body).first_word();
        let signed_as = signature.map_or(0, |signature| Digest::of(signature).first_word());
        Ok(Arc::new(Self {
            bytes: Bytes::copy_from_slice(bytes),
            signed: [SIGNED_AS, sealed.body].concat().into(),
            signature: signature.map(Bytes::copy_from_slice),
            value: sealed.value.map(Arc::from),
            fingerprint: mix(fingerprint ^ signed_as),
            body: Arc::new(body),
        }))
    }

    /// The record as it is sent and stored.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes that a signature covers.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }

    fn body_bytes(&self) -> &[u8] {
        self.signed.get(SIGNED_AS.len()..).unwrap_or_default()
    }

    /// The signature, if there is one.
    pub fn signature(&self) -> Option<&[u8]> {
        self.signature.as_deref()
    }

    /// What it is about.
    pub fn kind(&self) -> SettingKind {
        self.body.kind
    }

    /// The name that was changed.
    pub fn key(&self) -> &str {
        &self.body.key
    }

    /// The value that was set. None if the name was removed, or if another change has followed.
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// Whether the name was removed.
    pub fn is_removal(&self) -> bool {
        self.body.value.is_none()
    }

    /// The app that it is for.
    pub fn app(&self) -> &AppName {
        &self.body.app
    }

    /// The cluster that it is for; none where settings are not signed.
    pub fn cluster(&self) -> Option<&ClusterName> {
        self.body.cluster.as_ref()
    }

    /// When it was changed.
    pub fn at(&self) -> Hlc {
        self.body.at
    }

    /// The node on which it was changed.
    pub fn node(&self) -> &NodeName {
        &self.body.node
    }

    /// Who changed it, as the tool gave it.
    pub fn by(&self) -> &str {
        &self.body.by
    }

    /// Whether it set a value that it does not have.
    pub(super) fn lacks_value(&self) -> bool {
        self.value.is_none() && !self.is_removal()
    }

    pub(super) fn name(&self) -> SettingName {
        let space = match self.body.kind {
            SettingKind::Secret => SettingKind::Config,
            kind => kind,
        };
        SettingName {
            app: self.body.app.clone(),
            space: space.into(),
            key: self.body.key.clone(),
        }
    }

    /// Its place in the order of all changes.
    pub(crate) fn place(&self) -> Place {
        (self.body.at, self.body.node.id(), self.fingerprint)
    }

    /// Its share in the hash of all that a node knows. It is another one if the value is there.
    pub(super) fn share(&self) -> u64 {
        mix(self.fingerprint ^ u64::from(self.value.is_some()))
    }

    /// How many bytes its name and its value take.
    pub(super) fn size(&self) -> usize {
        self.body.key.len() + self.value.as_ref().map_or(0, |value| value.len())
    }
}

impl DeployKey {
    /// Whether the setting is for this cluster, and signed by this key.
    ///
    /// # Errors
    /// Says why the setting is refused.
    pub fn check_setting(&self, setting: &Setting) -> Result<(), Unaccepted> {
        let signed = setting.signed_bytes();
        self.verify(setting.cluster(), signed, setting.signature())
    }
}

/// Without the value, which may be a secret.
impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            body,
            bytes: _,
            signed: _,
            signature: _,
            value: _,
            fingerprint,
        } = self;
        let SettingParts { kind, key, at, .. } = &**body;
        write!(f, "Setting({kind} {key} {at} {fingerprint:016x})")
    }
}
