//! Leaving: said a few times, since nobody is there afterwards to say it again.

use std::time::Duration;

use super::Node;
use crate::message::Message;
use crate::{Effect, TakenEvidence, Time};

/// How often it is said, and how far apart.
const TIMES: u8 = 3;
const APART: Duration = Duration::from_millis(20);

/// How many members are told one by one, each time. The others hear it by
/// broadcast or from these.
const ONE_BY_ONE: usize = 64;

/// Whether a node takes part.
#[derive(Debug)]
pub(super) enum Stage {
    Running,
    /// It says that it leaves, and listens to nobody any more.
    Leaving {
        said: u8,
        next: Time,
    },
    /// It has left, or was told that another machine has its name.
    Ended,
}

impl Node {
    pub(super) fn leave(&mut self, now: Time) {
        self.stage = Stage::Leaving { said: 0, next: now };
        self.say_leave(now);
    }

    pub(super) fn say_leave(&mut self, now: Time) {
        let Stage::Leaving { said, next } = &mut self.stage else {
            return;
        };
        if *next > now {
            return;
        }
        *said += 1;
        *next = now + APART;
        let last = *said == TIMES;
        self.broadcast(&Message::Leave);
        let mine = self.me.run.ip();
        let up = self
            .roster
            .entries()
            .filter(|e| e.is_up() && e.run.ip() != mine);
        let to: Vec<_> = up
            .take(ONE_BY_ONE)
            .map(|entry| entry.run.address())
            .collect();
        for to in to {
            self.send(to, &Message::Leave);
        }
        if last {
            self.stage = Stage::Ended;
            self.effects.push_back(Effect::Departed);
        }
    }

    /// Another machine has this name: stop taking part, without a word that
    /// could be taken for the other's.
    pub(super) fn name_taken(&mut self, evidence: TakenEvidence) {
        self.stage = Stage::Ended;
        self.effects.push_back(Effect::NameTaken { evidence });
    }
}
