//! Leaving. It is announced a few times, since the node cannot repeat it afterwards.

use std::time::Duration;

use super::Presence;
use crate::membership::Roster;
use crate::message::Message;
use crate::outbox::Outbox;
use crate::stall::Moment;
use crate::{Effect, TakenEvidence, Time};

/// How often the leave is announced, and how far apart.
const TIMES: u8 = 3;
const APART: Duration = Duration::from_millis(20);

/// How many members are told one by one, each time. The others hear it by broadcast or from
/// these members.
const ONE_BY_ONE: usize = 64;

/// Whether a node takes part in the cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    Running,
    /// It announces its leave, and ignores all datagrams.
    Leaving {
        said: u8,
        next: Time,
    },
    /// It has left, or was told that another machine has its name.
    Ended,
}

impl Presence {
    /// Begins to leave.
    pub(crate) fn leave(&mut self, at: Moment<'_>, roster: &Roster, out: &mut Outbox) {
        self.stage = Stage::Leaving {
            said: 0,
            next: at.now,
        };
        self.say_leave(at, roster, out);
    }

    /// Announces the leave once more, if that is due.
    pub(crate) fn say_leave(&mut self, at: Moment<'_>, roster: &Roster, out: &mut Outbox) {
        let Stage::Leaving { said, next } = &mut self.stage else {
            return;
        };
        if *next > at.now {
            return;
        }
        *said += 1;
        *next = at.now + APART;
        let last = *said == TIMES;
        out.broadcast(at.me, &Message::Leave);
        for run in roster.others(at.me.id()).take(ONE_BY_ONE) {
            out.send(at.me, run.address(), &Message::Leave);
        }
        if last {
            self.stage = Stage::Ended;
            out.push(Effect::Departed);
        }
    }

    /// Another machine has this name: stops taking part, without a farewell, which could be
    /// taken for the other machine's.
    pub(crate) fn end(&mut self, evidence: TakenEvidence, out: &mut Outbox) {
        self.stage = Stage::Ended;
        out.push(Effect::NameTaken { evidence });
    }
}
