//! Hellos: how two nodes prove to each other that they are live, and how a
//! node learns that it has to go on under a higher boot number.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::Node;
use crate::admission::{HELLOS_AT_ONCE, HELLOS_EVERY, HOLD};
use crate::message::{Hello, KnownRun, Message};
use crate::{Boot, Effect, TakenEvidence, Time};

/// How many strangers are answered at once, and how often one more: enough for
/// a large cluster that starts together, and a bound for a storm.
pub(super) const ANSWERS_AT_ONCE: u32 = 1024;
const ANSWERS_EVERY: Duration = Duration::from_millis(1);

/// So often within so long may another run be ahead of this one before it is
/// clear that another machine has the same name.
const OVERTAKEN_MAX: usize = 3;
const OVERTAKEN_WITHIN: Duration = Duration::from_secs(60);

/// How many boot numbers of this process are remembered.
const BOOTS_MAX: usize = 64;

impl Node {
    /// Answers a node, or asks it for a proof that it is live.
    pub(super) fn hello(
        &mut self,
        now: Time,
        to: SocketAddrV4,
        boot: Boot,
        echo: u64,
        want_echo: bool,
    ) {
        let allowed = match self.contacts.contact(now, *to.ip()) {
            Some(contact) => contact.hellos.take(now, HELLOS_AT_ONCE, HELLOS_EVERY),
            None => false,
        };
        if !allowed || !self.hellos.take(now, ANSWERS_AT_ONCE, ANSWERS_EVERY) {
            self.refusals.counters.unanswered += 1;
            return;
        }
        let known = self.known(now, *to.ip(), boot);
        let hello = Hello {
            about: self.about(),
            echo,
            want_echo,
            known,
        };
        self.send(to, &Message::Hello(hello));
    }

    /// What a run of a node should be told of its standing, if anything.
    fn known(&self, now: Time, ip: Ipv4Addr, boot: Boot) -> Option<KnownRun> {
        if self.blocked_by_first(now, ip, boot) {
            // Two machines may have this name. A run that hears that another
            // one is ahead of it would overtake that one.
            return None;
        }
        let member = self.roster.get(ip);
        let admitted = self.contacts.admitted(ip).map(|a| KnownRun {
            boot: a.boot,
            down: false,
        });
        let known = match member {
            Some(entry) => Some(KnownRun {
                boot: entry.run.boot,
                down: !entry.is_up(),
            }),
            // SWIM also knows of runs that were never up here.
            None => self.swim.known(ip),
        };
        let highest = known
            .into_iter()
            .chain(admitted)
            .max_by_key(|known| (known.boot, known.down));
        highest.filter(|known| known.boot > boot || known.boot == boot && known.down)
    }

    /// Whether another run of this node is up and may still be there.
    pub(super) fn blocked_by_first(&self, now: Time, ip: Ipv4Addr, boot: Boot) -> bool {
        self.contacts.admitted(ip).is_some_and(|first| {
            first.boot != boot && now.since(first.heard) < HOLD && self.roster.is_up(ip, first.boot)
        })
    }

    /// A node said, under our nonce, what it knows of this one.
    pub(super) fn on_known_run(&mut self, now: Time, known: KnownRun) {
        let mine = self.me.run.boot;
        if known.boot > mine {
            self.me
                .overtaken
                .retain(|at| now.since(*at) < OVERTAKEN_WITHIN);
            self.me.overtaken.push_back(now);
            if self.me.overtaken.len() >= OVERTAKEN_MAX {
                return self.name_taken(TakenEvidence::Overtaken);
            }
            self.raise(now, known.boot);
        } else if known.boot == mine && known.down {
            self.raise(now, mine);
        }
    }

    /// Goes on under a boot number above this one.
    pub(super) fn raise(&mut self, now: Time, above: Boot) {
        self.me.run.boot = above.max(self.me.run.boot).next();
        let boot = self.me.run.boot;
        self.me.boots.insert(boot);
        if self.me.boots.len() > BOOTS_MAX {
            self.me.boots.pop_first();
        }
        self.effects.push_back(Effect::StoreBoot(boot));
        self.roster
            .update(self.me.run.ip(), |entry| entry.run.boot = boot);
        self.swim.rejoin(now, self.me.run.clone());
        self.apply_swim(now, false);
        self.announce(now);
    }
}
