//! What a record must keep to, whoever made it.

use super::ReleaseKind;
use super::record::{BY_MAX, NOTE_MAX, Parts, RECORD_MAX, SIZE_MAX};
use crate::Refusal;

/// Why a release cannot be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// The bytes are no record.
    #[error("these bytes are no record of a release")]
    Unreadable,
    /// It was written by a later program.
    #[error(
        "the record is of version {0} of the protocol, and this program speaks version {1}; update it"
    )]
    Version(u8, u8),
    /// It is larger than a record may be.
    #[error(
        "the record has {0} bytes and may have {RECORD_MAX}; shorten the note, or name fewer canaries"
    )]
    TooLong(usize),
    /// The note is too long.
    #[error("the note has {0} bytes and may have {NOTE_MAX}; shorten it")]
    Note(usize),
    /// The name of the requester is too long.
    #[error("the name of who pushes has {0} bytes and may have {BY_MAX}; shorten it")]
    By(usize),
    /// A note or name has control characters, which could garble a terminal.
    #[error("a note and a name must have no control characters")]
    Control,
    /// The component is empty or too large.
    #[error("a component of {0} bytes cannot be released")]
    Size(u64),
    /// The plan cannot be carried out.
    #[error("the plan of the rollout cannot be: {0}")]
    Plan(&'static str),
    /// The parts contradict each other.
    #[error("the record contradicts itself: {0}")]
    Contradiction(&'static str),
}

impl ReleaseError {
    /// Why a record that came from another node is refused.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            ReleaseError::Version(..) => Refusal::Version,
            _ => Refusal::Content,
        }
    }
}

impl Parts {
    pub(super) fn check(&self) -> Result<(), ReleaseError> {
        let Self {
            kind,
            at,
            parent,
            component,
            by,
            note,
            plan,
            base,
            ..
        } = self;
        if note.len() > NOTE_MAX {
            return Err(ReleaseError::Note(note.len()));
        }
        if by.len() > BY_MAX {
            return Err(ReleaseError::By(by.len()));
        }
        if note.chars().chain(by.chars()).any(char::is_control) {
            return Err(ReleaseError::Control);
        }
        if component.size == 0 || component.size > SIZE_MAX {
            return Err(ReleaseError::Size(component.size));
        }
        if !at.is_plausible() {
            return Err(ReleaseError::Contradiction(
                "it is from after the year 2199",
            ));
        }
        if parent.is_some_and(|parent| parent.at >= *at) {
            return Err(ReleaseError::Contradiction(
                "it is not later than what it follows",
            ));
        }
        if let Some(base) = base {
            if parent.is_none_or(|parent| parent.id == base.id) {
                return Err(ReleaseError::Contradiction(
                    "what was the target before it is what it follows, or it follows nothing",
                ));
            }
            if base.at >= *at {
                return Err(ReleaseError::Contradiction(
                    "it is not later than what was the target before it",
                ));
            }
        }
        match (kind, parent) {
            (ReleaseKind::Bootstrap, Some(_)) => Err(ReleaseError::Contradiction(
                "a bootstrap follows another release",
            )),
            (ReleaseKind::Rollback, None) => {
                Err(ReleaseError::Contradiction("a rollback follows nothing"))
            }
            _ => plan.check(*kind, parent.is_some()),
        }
    }
}
