//! Handles a datagram: admission decides about it, and each message goes to the part that it
//! concerns.

use std::net::SocketAddrV4;

use super::Node;
use crate::admission::{Greeting, Received};
use crate::message::{Beacon, Hello, KnownRun, Message};
use crate::run::Run;
use crate::wire::Head;
use crate::{Boot, NodeId, Refusal, TakenEvidence};

impl Node {
    pub(super) fn datagram(&mut self, from: SocketAddrV4, bytes: &[u8]) {
        let at = self.clock.at(&self.me);
        let (roster, out) = (self.membership.roster(), &mut self.outbox);
        match self.admission.receive(at, roster, from, bytes, out) {
            Received::Nothing => {}
            Received::Accepted(head, message) => {
                self.membership.heard(head.source);
                if let Some(message) = message {
                    self.accepted(from, &head, message);
                }
            }
            Received::Admitted(hello) => self.greeted(from, hello),
            Received::Conflict(id) => self.membership.heard(id),
            Received::Greet(greeting) => self.hello(greeting),
            Received::Namesake(nonce) => self.ask_namesake(nonce),
            Received::NameTaken(evidence) => self.name_taken(evidence),
        }
    }

    /// A new message of an admitted run.
    fn accepted(&mut self, from: SocketAddrV4, head: &Head, message: Message<'_>) {
        let at = self.clock.at(&self.me);
        let (id, boot) = (head.source, head.boot);
        let heard = self.admission.heard();
        let out = &mut self.outbox;
        match message {
            Message::Beacon(about) => self.beacon(from, about),
            Message::Hello(hello) => self.greeted(from, hello),
            Message::Swim(bytes) => {
                let read = self.membership.gossip(at, heard, (id, boot), bytes, out);
                if read.is_err() {
                    out.refuse(at.now, from, Refusal::Content);
                }
            }
            Message::Down(down) if down.node == at.me.id() => self.told_that_down(down.boot),
            Message::Down(down) => self.membership.told_down(at, heard, down, out),
            Message::Leave => self.membership.left(at, id, boot, out),
            Message::Probe { boot } => self.probed(from, head, boot),
            // Admission has already noted that an answer to a probe came.
            Message::Ack => {}
            Message::Taken {
                node: id,
                boot,
                echo,
            } => {
                let taken = self.admission.taken(&self.me, from, id, boot, echo);
                if let Received::NameTaken(evidence) = taken {
                    self.name_taken(evidence);
                }
            }
            Message::Release(record) => {
                let roster = self.membership.roster();
                self.agreement.record(at, roster, from, record, out);
            }
            Message::Want(id) => self.agreement.wanted(at, from, id, out),
            Message::Votes(votes) => {
                let roster = self.membership.roster();
                self.agreement.voted(at, roster, from, votes, out);
            }
        }
    }

    /// An admitted node says who it is and what it knows.
    fn beacon(&mut self, from: SocketAddrV4, about: Beacon) {
        let at = self.clock.at(&self.me);
        let out = &mut self.outbox;
        self.admission.note_beacon(at, &about);
        self.agreement.note_beacon(at, from, &about, out);
        self.settings.note_beacon(&about);
        if !self.membership.alive(at, &about, out) {
            // It counts as down, or as an earlier run, and has to know that.
            self.hello(Greeting {
                to: from,
                boot: about.run.boot,
                echo: about.nonce,
                want_echo: false,
            });
        }
        self.compare(&about);
    }

    /// An admitted node answered, or asks for an answer.
    fn greeted(&mut self, from: SocketAddrV4, hello: Hello) {
        let greeting = Greeting {
            to: from,
            boot: hello.about.run.boot,
            echo: hello.about.nonce,
            want_echo: false,
        };
        self.beacon(from, hello.about);
        if hello.want_echo {
            self.hello(greeting);
        }
        if let Some(known) = hello.known
            && self.admission.accepts(hello.echo)
        {
            self.on_known_run(known);
        }
    }

    /// A node said, with our nonce, what it knows of this one.
    fn on_known_run(&mut self, known: KnownRun) {
        let mine = self.me.run.boot;
        if known.boot > mine {
            if self.me.is_overtaken(self.clock.now()) {
                return self.name_taken(TakenEvidence::Overtaken);
            }
            self.raise(known.boot);
        } else if known.boot == mine && known.down {
            self.raise(mine);
        }
    }

    /// A node says that this run of this node is down; this node contradicts.
    fn told_that_down(&mut self, boot: Boot) {
        if boot == self.me.run.boot && self.presence.may_protest(self.clock.now()) {
            self.announce();
        }
    }

    /// A node asks whether a run of this node is there.
    fn probed(&mut self, from: SocketAddrV4, head: &Head, boot: Boot) {
        if boot == self.me.run.boot {
            self.outbox.send(&self.me, from, &Message::Ack);
        } else if self.me.has_had(boot) {
            // This process had that number until just now, and the sender has not admitted it
            // with the new one.
            let admitted = self.admission.heard().admitted(head.source);
            self.hello(Greeting {
                to: from,
                boot: head.boot,
                echo: admitted.map_or(0, |them| them.nonce()),
                want_echo: false,
            });
        }
    }

    /// Answers a node, or asks it for a proof that it is live.
    pub(super) fn hello(&mut self, greeting: Greeting) {
        let (now, id) = (self.clock.now(), NodeId::of(*greeting.to.ip()));
        if !self.admission.may_answer(now, id) {
            self.outbox.count().unanswered += 1;
            return;
        }
        let (roster, known) = (self.membership.roster(), self.membership.known(id));
        let known = self
            .admission
            .news_for(now, roster, (id, greeting.boot), known);
        let hello = Hello {
            echo: greeting.echo,
            want_echo: greeting.want_echo,
            known,
            about: self.about(),
        };
        self.outbox
            .send(&self.me, greeting.to, &Message::Hello(hello));
    }

    /// Asks a run that is up to prove that it is live, unless it has.
    pub(super) fn ask_to_prove(&mut self, run: &Run) {
        let admitted = self.admission.heard().admitted(run.id());
        if admitted.is_none_or(|admitted| admitted.boot() != run.boot) {
            self.hello(Greeting {
                to: run.address(),
                boot: run.boot,
                echo: 0,
                want_echo: true,
            });
        }
    }

    /// Asks another user of this node's name to show that it is live. By broadcast, since the
    /// system would give a datagram to the own IP back to this node.
    fn ask_namesake(&mut self, nonce: u64) {
        let hello = Hello {
            echo: nonce,
            want_echo: true,
            known: None,
            about: self.about(),
        };
        self.outbox.broadcast(&self.me, &Message::Hello(hello));
    }

    /// The first run of a node is gone: if a second one waits, it is admitted.
    pub(super) fn promote(&mut self, id: NodeId) {
        let Some((greeting, about)) = self.admission.promote(self.clock.now(), id) else {
            return;
        };
        if let Some(about) = about {
            self.beacon(greeting.to, about);
        }
        self.hello(greeting);
    }

    /// What this node says of itself.
    pub(super) fn about(&mut self) -> Beacon {
        let summaries = self.summaries();
        let at = self.clock.at(&self.me);
        Beacon {
            run: at.me.run.clone(),
            uptime_ms: at.me.uptime_ms(at.clock),
            advertised: at.me.advertised.clone(),
            nonce: self.admission.nonce(),
            wall_ms: at.wall_ms,
            ahead_ms: self.hybrid_clock().ms_beyond(at.wall_ms),
            summaries,
        }
    }
}
