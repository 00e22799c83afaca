//! The members that may have a component, and which of them is asked next. Only a few are asked
//! at a time, the partners, so a large cluster does not make a connection between every two
//! nodes. A partner that has nothing, or does not answer, is replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use super::{Answer, Asked};
use crate::admission::CONTACTS_MAX;
use crate::{NodeName, Time};

/// How many members are partners at a time.
const PARTNERS: usize = 16;

/// How often in a row a partner may give nothing before it is replaced.
const BARREN: u32 = 3;

/// How long a member is left alone after an answer of this kind: the first time, and at most.
/// The time doubles in between.
const BUSY: [Duration; 2] = [Duration::from_millis(4), Duration::from_millis(128)];
const NOTHING: [Duration; 2] = [Duration::from_millis(8), Duration::from_millis(256)];
const FAILED: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];

/// What a member is thought to have of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Perhaps a part of it: its target is the component too.
    Perhaps,
    /// All of it: it serves the component, or made the release.
    Whole,
}

#[derive(Debug)]
struct Source {
    holding: Holding,
    /// The member is not asked before this time.
    next: Time,
    /// The last pause; zero after the member gave something.
    wait: Duration,
    /// How often in a row the member gave nothing.
    barren: u32,
}

/// The members that may have a component.
#[derive(Debug, Default)]
pub(super) struct Sources {
    members: BTreeMap<NodeName, Source>,
    partners: Vec<NodeName>,
    liars: BTreeSet<NodeName>,
    /// Whether a partner was replaced because it had nothing.
    disappointed: bool,
}

impl Sources {
    pub(super) fn know(&mut self, member: &NodeName, holding: Holding) {
        if let Some(source) = self.members.get_mut(member) {
            if holding == Holding::Whole && source.holding == Holding::Perhaps {
                (source.next, source.wait) = (Time::ZERO, Duration::ZERO);
            }
            source.holding = holding;
        } else if self.members.len() < CONTACTS_MAX && !self.liars.contains(member) {
            let source = Source {
                holding,
                next: Time::ZERO,
                wait: Duration::ZERO,
                barren: 0,
            };
            self.members.insert(member.clone(), source);
        }
    }

    pub(super) fn forget(&mut self, member: &NodeName) {
        self.members.remove(member);
        self.partners.retain(|partner| partner != member);
    }

    pub(super) fn lied(&mut self, member: &NodeName) {
        self.forget(member);
        if self.liars.len() < CONTACTS_MAX {
            self.liars.insert(member.clone());
        }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn liars(&self) -> usize {
        self.liars.len()
    }

    /// The member to ask now. If there is none, the time when one may be asked, as far as that
    /// depends on time.
    pub(super) fn choose(
        &mut self,
        now: Time,
        asked: &BTreeMap<NodeName, Asked>,
        rng: &mut StdRng,
    ) -> Result<NodeName, Option<Time>> {
        while self.partners.len() < PARTNERS.min(self.members.len()) {
            self.draw(rng);
        }
        let idle = self.partners.iter().filter(|it| !asked.contains_key(*it));
        let next = |partner: &NodeName| self.members.get(partner).map(|source| source.next);
        let due = idle.clone().filter_map(next).min();
        let ready: Vec<_> = idle
            .filter(|it| next(it).is_some_and(|at| at <= now))
            .collect();
        if ready.is_empty() {
            return Err(due);
        }
        Ok(ready[rng.random_range(0..ready.len())].clone())
    }

    /// Takes one more partner, by chance: one that has all of it, if no partner does and an
    /// earlier partner had nothing.
    fn draw(&mut self, rng: &mut StdRng) {
        let is_whole = |source: &Source| source.holding == Holding::Whole;
        let mut partners = self.partners.iter().filter_map(|it| self.members.get(it));
        let has_whole = partners.any(is_whole);
        let others = || {
            self.members
                .iter()
                .filter(|(name, _)| !self.partners.contains(name))
        };
        let wholes = || others().filter(|(_, source)| is_whole(source));
        let name = match wholes().count() {
            count if count > 0 && self.disappointed && !has_whole => {
                wholes().nth(rng.random_range(0..count))
            }
            _ => match others().count() {
                0 => None,
                count => others().nth(rng.random_range(0..count)),
            },
        };
        if let Some(name) = name.map(|(name, _)| name.clone()) {
            self.partners.push(name);
        }
    }

    pub(super) fn answered(
        &mut self,
        now: Time,
        member: &NodeName,
        answer: Answer,
        rng: &mut StdRng,
    ) {
        let Some(source) = self.members.get_mut(member) else {
            return;
        };
        let [first, most] = match answer {
            Answer::Manifest | Answer::Chunk(_) => [Duration::ZERO; 2],
            Answer::Busy => BUSY,
            Answer::Nothing => NOTHING,
            Answer::Failed => FAILED,
            Answer::Wrong => return self.lied(member),
        };
        source.wait = (source.wait * 2).clamp(first, most);
        source.next = now + spread(source.wait, rng);
        source.barren = match answer {
            Answer::Nothing | Answer::Failed => source.barren + 1,
            _ => 0,
        };
        if source.barren >= BARREN {
            source.barren = 0;
            self.disappointed = true;
            self.partners.retain(|partner| partner != member);
        }
    }
}

/// A random time around `wait`, from half to one and a half of it, so that members that were
/// refused together do not come back together.
fn spread(wait: Duration, rng: &mut impl Rng) -> Duration {
    wait.mul_f64(rng.random_range(0.5..1.5))
}
