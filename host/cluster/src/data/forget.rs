//! When deletions may be forgotten. A deletion that a member has not heard of must be kept, or what
//! was deleted would come back with that member. So a node remembers whom it has ever seen as a
//! member, and forgets deletions only while all of them are there and hold the same as it does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::NodeId;
use crate::admission::CONTACTS_MAX;
use crate::release::Hlc;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How old a deletion is that may be forgotten.
const FORGET_MS: u64 = 7 * DAY_MS;

/// For how long a node counts that is no member any more.
const KNOWN_MS: u64 = 90 * DAY_MS;

/// Deletions are forgotten an hour at a time, so that the members do so together.
const STEP_MS: u64 = 60 * 60 * 1000;

/// Who was ever a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownMembers(BTreeMap<NodeId, KnownMember>);

/// A node that is or was a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct KnownMember {
    /// When it was last a member, in milliseconds since 1970.
    seen_ms: u64,
    /// Whether it is a member now.
    #[serde(skip)]
    is_up: bool,
    /// Whether it last said that it holds the same as this node.
    #[serde(skip)]
    agrees: bool,
    /// Up to when it may forget deletions itself, as it last said.
    #[serde(skip)]
    may_forget: Hlc,
}

impl KnownMembers {
    /// These nodes are the other members now. Returns whether one of them is new.
    pub(crate) fn see(&mut self, up: impl Iterator<Item = NodeId>, now_ms: u64) -> bool {
        self.0.values_mut().for_each(|it| it.is_up = false);
        let mut is_new = false;
        for id in up {
            is_new |= !self.0.contains_key(&id);
            let known = self.0.entry(id).or_default();
            (known.is_up, known.seen_ms) = (true, now_ms);
        }
        self.0.values_mut().for_each(|it| it.agrees &= it.is_up);
        self.0
            .retain(|_, it| it.is_up || now_ms.saturating_sub(it.seen_ms) < KNOWN_MS);
        while self.0.len() > CONTACTS_MAX {
            let longest = self.0.iter().min_by_key(|(_, it)| (it.is_up, it.seen_ms));
            let Some((&id, _)) = longest else {
                break;
            };
            self.0.remove(&id);
        }
        is_new
    }

    /// A member said what it holds, and up to when it may forget deletions.
    pub(crate) fn note(&mut self, id: NodeId, agrees: bool, may_forget: Hlc) {
        if let Some(known) = self.0.get_mut(&id) {
            known.agrees = agrees && known.is_up;
            known.may_forget = may_forget;
        }
    }

    /// Up to when all of them may forget deletions. One of them may know of a node that is away, and
    /// that this node has never seen.
    pub(crate) fn may_forget(&self) -> Hlc {
        let all = self.0.values().map(|it| it.may_forget);
        all.min().unwrap_or_default()
    }

    /// Whether no other node was ever a member.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all are there and hold the same as this node.
    pub(crate) fn all_agree(&self) -> bool {
        self.0.values().all(|it| it.is_up && it.agrees)
    }
}

/// Up to when deletions may be forgotten at this time.
pub(crate) fn forgettable(now_ms: u64) -> Hlc {
    let ms = now_ms.saturating_sub(FORGET_MS);
    Hlc::from_ms(ms - ms % STEP_MS)
}

/// Whether a member can have forgotten deletions up to then at this time.
pub(crate) fn is_forgettable(stamp: Hlc, now_ms: u64) -> bool {
    stamp.ms() <= now_ms.saturating_sub(FORGET_MS - DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_was_a_member_within_ninety_days_must_be_there_and_agree() {
        let ids = [1, 2].map(|n| NodeId::from_bytes([n; 8]));
        let mut known = KnownMembers::default();
        known.see(ids.into_iter(), 1000);
        assert!(!known.all_agree());
        ids.iter()
            .for_each(|&id| known.note(id, true, Hlc::from_ms(9)));
        assert_eq!(known.may_forget(), Hlc::from_ms(9));
        assert!(known.all_agree());
        known.see([ids[0]].into_iter(), 2000);
        assert!(!known.all_agree(), "one is away");
        known.note(ids[1], true, Hlc::from_ms(9));
        assert!(!known.all_agree(), "it is no member");
        known.see([ids[0]].into_iter(), 1000 + KNOWN_MS);
        assert!(known.all_agree(), "it will not come back");
    }
}
