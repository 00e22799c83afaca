//! How a node gets a component from the other members, chunk by chunk: which member it asks,
//! when, and for what. The members that may have the component flow in, and their answers;
//! questions flow out. A node that has a part of the component gives it to others, so the
//! component spreads like an epidemic, and no node sends it to all.
//!
//! The caller asks over the network, checks the answers against the manifest and stores them;
//! bytes never come in here. The caller runs a loop:
//!
//! ```text
//! loop match fetch.next(now) {
//!     Ask { member, .. }   => begin the request, with a limit of ANSWER_WAIT
//!     Wait(until)          => until then, or an answer    -> fetch.answered(..)
//!                             or a change of the members  -> fetch.know(..), forget(..)
//!     Done | Failed        => end
//! }
//! ```

mod answer;
mod chunks;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

pub use answer::{HEAD_LEN, head, split};
pub use chunks::{CHUNKS_MAX, Chunks, ChunksError};
pub use sources::Holding;

use self::sources::Sources;
use crate::{NodeName, Time};

/// How many chunks a node sends at a time, to all members together. A member that asks for one
/// more gets the answer "busy".
pub const UPLOADS: usize = 4;

/// How long the caller waits for a member's answer. A member that was cut off can hold a
/// question for the same time.
pub const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// How many members are asked at a time, each for a different chunk.
const PARALLEL: usize = 4;

/// How many times the recent duration of a chunk a question may wait until it is slow. A slow
/// question's answer is not counted on, and another member may be asked for the same.
const SLOW_TIMES: u32 = 4;

/// The least and the most for that duration. Until a chunk has come, the most holds.
const SLOW_LEAST: Duration = Duration::from_millis(100);
const SLOW_MOST: Duration = Duration::from_secs(1);

/// The most questions without an answer, slow ones included.
const ASKED_MAX: usize = 2 * PARALLEL;

/// The fetch fails if no member gives anything for this long.
const GIVE_UP: Duration = Duration::from_secs(30);

/// What to ask a member for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// The manifest of the component.
    Manifest,
    /// One of these chunks.
    OneOf(Chunks),
}

/// A member's answer, as the caller has checked it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The manifest. It is that of the component, and the caller has stored it.
    Manifest,
    /// This chunk. It matches the manifest, and the caller has stored it.
    Chunk(usize),
    /// Bytes that do not match the question.
    Wrong,
    /// The member already sends as many chunks as it may.
    Busy,
    /// The member has nothing of what was asked for.
    Nothing,
    /// No answer in time, or an error.
    Failed,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchStep {
    /// Ask this member. The caller calls [`Fetch::answered`] exactly once for the question,
    /// unless the member is forgotten.
    Ask {
        /// The number of the question. A member that was gone and came back may answer a
        /// question from before.
        question: u64,
        /// The member to ask.
        member: NodeName,
        /// What to ask for.
        want: Want,
    },
    /// Wait until then, or until something happens.
    Wait(Time),
    /// All chunks are there.
    Done,
    /// The fetch has ended without the component.
    Failed(FetchError),
}

/// Why a fetch has ended without the component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No member gave anything for a long time.
    #[error(
        "{missing} of {of} chunks of the component are missing, and none of {members} members has given one \
         for {} s ({liars} gave wrong bytes); start a node that has it, or push it again",
        GIVE_UP.as_secs()
    )]
    Stalled {
        /// How many chunks are missing.
        missing: usize,
        /// How many chunks there are in all.
        of: usize,
        /// How many members could be asked.
        members: usize,
        /// How many members gave wrong bytes.
        liars: usize,
    },
}

/// A component on its way to this node.
#[derive(Debug)]
pub struct Fetch {
    have: Chunks,
    has_manifest: bool,
    sources: Sources,
    asked: BTreeMap<NodeName, Asked>,
    /// How many questions were asked.
    questions: u64,
    /// When something last came.
    progress: Time,
    /// How long chunks have taken recently, a moving average.
    usual: Option<Duration>,
    rng: StdRng,
}

#[derive(Debug)]
struct Asked {
    question: u64,
    at: Time,
    want: Want,
}

impl Fetch {
    /// Begins to fetch a component, or continues with one of which these chunks are there, and
    /// perhaps the manifest. [`Fetch::know`] says which members to ask.
    pub fn new(now: Time, seed: u64, have: Chunks, has_manifest: bool) -> Self {
        Self {
            have,
            has_manifest,
            sources: Sources::default(),
            asked: BTreeMap::new(),
            questions: 0,
            progress: now,
            usual: None,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// A member may have the component. A repeated call changes only what it is thought to
    /// have. At most as many members are kept as a node knows.
    pub fn know(&mut self, member: &NodeName, holding: Holding) {
        self.sources.know(member, holding);
    }

    /// A member is gone. Its answers are not waited for. If it gave wrong bytes, that is not
    /// forgotten.
    pub fn forget(&mut self, member: &NodeName) {
        self.sources.forget(member);
        self.asked.remove(member);
    }

    /// The chunks that are there.
    pub fn have(&self) -> &Chunks {
        &self.have
    }

    /// How many members gave wrong bytes. They are never asked again.
    pub fn liars(&self) -> usize {
        self.sources.liars()
    }

    /// The next step. After [`FetchStep::Ask`], call it again at once.
    pub fn next(&mut self, now: Time) -> FetchStep {
        if self.have.is_full() {
            return FetchStep::Done;
        }
        let end = self.progress + GIVE_UP;
        if now >= end {
            return FetchStep::Failed(FetchError::Stalled {
                missing: self.have.count() - self.have.len(),
                of: self.have.count(),
                members: self.sources.len(),
                liars: self.sources.liars(),
            });
        }
        let patience = self.patience();
        let slow = self.asked.values().map(|asked| asked.at + patience);
        let slow = slow.filter(|&at| at > now).min();
        let mut until = slow.map_or(end, |slow| slow.min(end));
        if let Some(want) = self.want(now) {
            match self.sources.choose(now, &self.asked, &mut self.rng) {
                Ok(member) => {
                    self.questions += 1;
                    let question = self.questions;
                    let asked = Asked {
                        question,
                        at: now,
                        want: want.clone(),
                    };
                    self.asked.insert(member.clone(), asked);
                    return FetchStep::Ask {
                        question,
                        member,
                        want,
                    };
                }
                Err(Some(due)) => until = until.min(due),
                Err(None) => {}
            }
        }
        FetchStep::Wait(until)
    }

    /// How long a question may wait before it is slow.
    fn patience(&self) -> Duration {
        self.usual.map_or(SLOW_MOST, |usual| {
            (usual * SLOW_TIMES).clamp(SLOW_LEAST, SLOW_MOST)
        })
    }

    /// What one more member can be asked for now. Prompt questions never overlap, so no chunk
    /// comes twice while all goes well. No question is for more than its share, so one without
    /// an answer delays no more than that share.
    fn want(&mut self, now: Time) -> Option<Want> {
        if self.asked.len() >= ASKED_MAX {
            return None;
        }
        let patience = self.patience();
        let prompt = self.asked.values();
        let prompt = prompt.filter(|asked| now.since(asked.at) < patience);
        let prompt: Vec<&Want> = prompt.map(|asked| &asked.want).collect();
        if !self.has_manifest {
            return (prompt.len() < PARALLEL).then_some(Want::Manifest);
        }
        let mut free = self.have.missing();
        let part = free.len().div_ceil(PARALLEL);
        let mut parallel = 0;
        for want in prompt {
            if let Want::OneOf(chunks) = want {
                free.subtract(chunks);
                parallel += 1;
            }
        }
        let some = free.some(part, &mut self.rng);
        (parallel < PARALLEL && !some.is_empty()).then_some(Want::OneOf(some))
    }

    /// A member has answered this question. Questions from before the member was gone are
    /// forgotten: nobody can tell whether their answers fit, but a chunk that came is useful.
    pub fn answered(&mut self, now: Time, member: &NodeName, question: u64, answer: Answer) {
        let is_this = |asked: &Asked| asked.question == question;
        let asked = match self.asked.get(member).is_some_and(is_this) {
            true => self.asked.remove(member),
            false => None,
        };
        let fits = match (&answer, asked.as_ref().map(|asked| &asked.want)) {
            (Answer::Chunk(index), Some(Want::OneOf(chunks))) => chunks.has(*index),
            (Answer::Chunk(_) | Answer::Manifest, None) => true,
            (Answer::Chunk(_), Some(Want::Manifest)) => false,
            (Answer::Manifest, Some(want)) => *want == Want::Manifest,
            _ => true,
        };
        if !fits {
            self.sources.lied(member);
            return;
        }
        let came = match answer {
            Answer::Manifest => !std::mem::replace(&mut self.has_manifest, true),
            Answer::Chunk(index) => self.have.insert(index),
            _ => false,
        };
        if came {
            self.progress = now;
        }
        if let (Answer::Chunk(_), Some(asked)) = (answer, &asked) {
            let took = now.since(asked.at);
            self.usual = Some(self.usual.map_or(took, |usual| (usual * 7 + took) / 8));
        }
        if asked.is_some() {
            self.sources.answered(now, member, answer, &mut self.rng);
        }
    }
}
