//! Runs that are not admitted. A run that has echoed a nonce of ours is admitted; every other run
//! is asked to echo one. This module also decides what a node is told of its own run.

use std::time::Duration;

use super::contacts::{HELLOS_AT_ONCE, HELLOS_EVERY, HOLD, Pass};
use super::{Admission, Greeting, Opened, Received, Refusal};
use crate::membership::Roster;
use crate::message::{Hello, KnownRun, Message};
use crate::outbox::Outbox;
use crate::run::Run;
use crate::stall::Moment;
use crate::{Boot, NodeId, Time};

/// How many nodes are answered at once, and the time until one more: enough for a large cluster
/// that starts together, and a bound in a storm.
pub(super) const ANSWERS_AT_ONCE: u32 = 1024;
pub(super) const ANSWERS_EVERY: Duration = Duration::from_millis(1);

/// How many members that were never heard are asked at once whether they are there.
const ASK_UNHEARD: usize = 8;

impl Admission {
    /// A datagram with a valid envelope that is of a run which is not admitted, or that was seen
    /// before.
    pub(super) fn not_admitted<'a>(
        &mut self,
        at: Moment<'_>,
        roster: &Roster,
        opened: &Opened<'a>,
        pass: Pass,
        out: &mut Outbox,
    ) -> Received<'a> {
        let Opened { from, head, .. } = *opened;
        let Some(message) = opened.read(at, out) else {
            return Received::Nothing;
        };
        match pass {
            // Refused all the same, but not worth a report.
            Pass::Replay if self.contacts.was_overtaken(at.now, &head) => {
                out.count().refused.count(Refusal::Replay);
            }
            Pass::Replay => out.refuse(at.now, from, Refusal::Replay),
            Pass::Stale => out.refuse(at.now, from, Refusal::Stale),
            Pass::Probation | Pass::Accepted => out.count().probation += 1,
        }
        match message {
            Message::Hello(hello) if self.nonces.accepts(hello.echo) => {
                self.proven(at.now, roster, opened, hello, pass)
            }
            Message::Taken { node, boot, echo } => self.taken(at.me, opened.from, node, boot, echo),
            _ if pass == Pass::Replay => Received::Nothing,
            message => Received::Greet(Greeting {
                to: from,
                boot: head.boot,
                echo: message.about().map_or(0, |about| about.nonce),
                want_echo: true,
            }),
        }
    }

    /// A run has proven that it is live.
    fn proven<'a>(
        &mut self,
        now: Time,
        roster: &Roster,
        opened: &Opened<'a>,
        hello: Hello,
        pass: Pass,
    ) -> Received<'a> {
        let Opened { from, head, .. } = *opened;
        let (id, about) = (head.source, &hello.about);
        let first = self.contacts.admitted(id);
        let first = first.map(|first| (first.boot(), first.process()));
        if first == Some((head.boot, about.run.process)) {
            return Received::Nothing;
        }
        // The same process with a new boot number is no second run.
        let same_process = first.is_some_and(|(_, process)| process == about.run.process);
        // The nonce does not recognise a recording of the last few seconds.
        if !same_process && !self.contacts.proves(now, &head, about.run.process) {
            return Received::Nothing;
        }
        let is_there = |boot| roster.is_up(id, boot) && self.contacts.heard(now, id, boot, HOLD);
        if !same_process && first.is_some_and(|(boot, _)| is_there(boot)) {
            self.contacts.note_conflict(now, head, hello.about);
            return Received::Conflict(id);
        }
        if pass != Pass::Probation {
            // The node had a higher boot number before.
            return Received::Greet(Greeting {
                to: from,
                boot: head.boot,
                echo: about.nonce,
                want_echo: false,
            });
        }
        let patience = self.patience();
        if self.contacts.admit(now, &head, about, patience) {
            Received::Admitted(hello)
        } else {
            Received::Nothing
        }
    }

    /// Whether the node with this IP may be sent a hello now.
    pub(crate) fn may_answer(&mut self, now: Time, id: NodeId) -> bool {
        let allowed = match self.contacts.contact(now, id) {
            Some(contact) => contact.hellos.take(now, HELLOS_AT_ONCE, HELLOS_EVERY),
            None => false,
        };
        allowed && self.answers.take(now, ANSWERS_AT_ONCE, ANSWERS_EVERY)
    }

    /// What to tell a run of a node about itself, if anything: that another run is ahead of it, or
    /// that it is down. `known` is what membership knows of the node.
    pub(crate) fn news_for(
        &self,
        now: Time,
        roster: &Roster,
        (id, boot): (NodeId, Boot),
        known: Option<KnownRun>,
    ) -> Option<KnownRun> {
        if self.is_blocked(now, roster, id, boot) {
            // Two machines may have this name. A run that hears that another one is ahead would
            // overtake that one.
            return None;
        }
        let admitted = self.contacts.admitted(id).map(|admitted| KnownRun {
            boot: admitted.boot(),
            down: false,
        });
        let highest = known
            .into_iter()
            .chain(admitted)
            .max_by_key(|known| (known.boot, known.down));
        highest.filter(|known| known.boot > boot || known.boot == boot && known.down)
    }

    /// Whether another run of this node is up and may still be there.
    fn is_blocked(&self, now: Time, roster: &Roster, id: NodeId, boot: Boot) -> bool {
        self.contacts.admitted(id).is_some_and(|first| {
            first.boot() != boot && first.silence(now) < HOLD && roster.is_up(id, first.boot())
        })
    }

    /// Hellos for members that are only known from others.
    pub(crate) fn unheard(&self, at: Moment<'_>, roster: &Roster) -> Vec<Greeting> {
        let unheard = roster.others(at.me.id()).filter(|run| {
            let admitted = self.contacts.admitted(run.id());
            admitted.is_none_or(|admitted| admitted.boot() != run.boot)
        });
        let hello = |run: &Run| Greeting {
            to: run.address(),
            boot: run.boot,
            echo: 0,
            want_echo: true,
        };
        unheard.take(ASK_UNHEARD).map(hello).collect()
    }
}
