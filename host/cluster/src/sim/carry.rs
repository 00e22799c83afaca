//! How the network works: a sent datagram reaches the others after a while, or is lost; the
//! effects of a node are carried out.

use std::cmp::Reverse;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::release::News;
use crate::{Effect, Input, Node};
use bytes::Bytes;

use super::{BUFFER, Event, Lan, LogEntry, PORT, Queued, Taped, WALL_MS};

impl Lan {
    pub(super) fn step(&mut self) {
        if let Some(Reverse(Queued {
            at, machine, event, ..
        })) = self.queue.pop()
        {
            self.now = at;
            self.deliver(machine, event);
        }
    }

    pub(super) fn deliver(&mut self, machine: usize, event: Event) {
        let its = &mut self.machines[machine];
        if let Some(buffer) = &mut its.frozen {
            // A timer is no datagram, so there is always room for it.
            let is_timer = matches!(event, Event::Timer { .. } | Event::Save { .. });
            if is_timer || buffer.len() < BUFFER {
                buffer.push(event);
            }
            return;
        }
        match event {
            Event::Timer { life } if life == its.life => {
                its.timer = None;
                let due = its.node.as_ref().and_then(Node::next_timer);
                if due.is_some_and(|due| due <= self.now) {
                    self.give(machine, Input::Timer);
                } else {
                    self.settle(machine);
                }
            }
            Event::Timer { .. } => {}
            Event::Datagram { from, bytes } => {
                if its.node.is_none() {
                    self.report_closed(machine, *from.ip());
                } else if !its.deaf {
                    its.received.0 += 1;
                    its.received.1 += bytes.len() as u64;
                    self.hear(machine, from, &bytes);
                }
            }
            Event::Unreachable { ip } => self.give(machine, Input::Unreachable { ip }),
            Event::SyncRequest { from, bytes } => {
                let member = self.machines[from].name.clone();
                self.give(
                    machine,
                    Input::SyncRequest {
                        member,
                        bytes: &bytes,
                    },
                );
            }
            Event::SyncReply { from, bytes } => {
                let member = self.machines[from].name.clone();
                self.give(
                    machine,
                    Input::SyncReply {
                        member,
                        bytes: &bytes,
                    },
                );
                self.next_request(machine, from);
            }
            Event::Connected { to } => self.connected(machine, to),
            Event::Question { from, number, want } => self.question(machine, from, number, want),
            Event::Answer { life, reply } if life == its.life => self.fetched(machine, &reply),
            Event::Answer { .. } => {}
            Event::FetchTimer { life } if life == its.life => self.fetch_timer(machine),
            Event::FetchTimer { .. } => {}
            Event::Told { from, bytes } => self.told(machine, from, &bytes),
            Event::Save { life } if life == its.life => self.save(machine),
            Event::Save { .. } => {}
        }
    }

    /// The machine reports that no process listens. (It does so for a broadcast too, where a
    /// real one is silent: here only a frozen process's machine hears one.)
    fn report_closed(&mut self, machine: usize, to: Ipv4Addr) {
        let ip = self.machines[machine].name.ip();
        let sender = self
            .at_address
            .get(&to)
            .and_then(|all| all.first())
            .copied();
        if let Some(sender) = sender
            && self.hints
            && self.hears(machine, sender)
        {
            self.post(
                sender,
                Duration::from_micros(200),
                Event::Unreachable { ip },
            );
        }
    }

    /// Carries out the effects of a node.
    pub(super) fn settle(&mut self, machine: usize) {
        while let Some(effect) = self.machines[machine]
            .node
            .as_mut()
            .and_then(Node::poll_effect)
        {
            match effect {
                Effect::Send { to, bytes } => self.transmit(machine, Some(to), bytes),
                Effect::Broadcast { bytes } => self.transmit(machine, None, bytes),
                Effect::Sync { with, bytes, .. } => {
                    if let Some(to) = self.reach(*with.ip()) {
                        self.call(machine, to, bytes);
                    }
                }
                Effect::SyncReply { member, bytes } => {
                    if let Some(to) = self.reach(member.ip()) {
                        self.answer(machine, to, bytes);
                    }
                }
                // The view is not kept: a thousand nodes would keep a million views.
                Effect::View(_) => {
                    self.report(machine, Effect::View(Default::default()));
                    self.members_changed(machine);
                }
                Effect::StoreReleases { bytes, .. } => {
                    self.machines[machine].disk.releases = Some(bytes)
                }
                Effect::StoreSettings { bytes, .. } => {
                    self.machines[machine].disk.settings = Some(bytes)
                }
                effect => {
                    match &effect {
                        Effect::StoreBoot(boot) => self.machines[machine].disk.boot = Some(*boot),
                        Effect::Release(News::Target(target)) => self.serve_other(machine, target),
                        Effect::Release(News::File {
                            outcome: Ok(Some(release)),
                            ..
                        }) => self.made.release(machine, release),
                        _ => {}
                    }
                    let ends = matches!(effect, Effect::NameTaken { .. } | Effect::Departed);
                    self.report(machine, effect);
                    if ends {
                        self.machines[machine].node = None;
                        self.machines[machine].life += 1;
                    }
                }
            }
        }
        self.save_later(machine);
        let its = &mut self.machines[machine];
        if let Some(due) = its.node.as_ref().and_then(Node::next_timer)
            && its.timer.is_none_or(|armed| due < armed)
        {
            its.timer = Some(due);
            let (life, wait) = (its.life, due.since(self.now));
            self.post(machine, wait, Event::Timer { life });
        }
    }

    fn report(&mut self, machine: usize, effect: Effect) {
        self.log.push(LogEntry {
            at: self.now,
            machine,
            effect,
        });
    }

    fn transmit(&mut self, machine: usize, to: Option<SocketAddrV4>, bytes: Bytes) {
        self.sent.0 += 1;
        self.sent.1 += bytes.len() as u64;
        let sent = &mut self.machines[machine].sent;
        (sent.0, sent.1) = (sent.0 + 1, sent.1 + bytes.len() as u64);
        let from = SocketAddrV4::new(self.machines[machine].name.ip(), PORT);
        if let Some(tape) = &mut self.tape {
            tape.push(Taped {
                from,
                bytes: bytes.clone(),
            });
        }
        match to {
            Some(to) => {
                if let Some(receiver) = self.reach(*to.ip()) {
                    self.carry(machine, receiver, from, bytes);
                }
            }
            None => {
                let its_domain = self.machines[machine].domain;
                for receiver in 0..self.machines.len() {
                    let domain = self.machines[receiver].domain;
                    if self.machines[receiver].node.is_some() && domain == its_domain {
                        self.carry(machine, receiver, from, bytes.clone());
                    }
                }
            }
        }
    }

    fn reach(&self, ip: Ipv4Addr) -> Option<usize> {
        let all = self.at_address.get(&ip)?;
        self.arp.get(&ip).or(all.first()).copied()
    }

    pub(super) fn post(&mut self, machine: usize, wait: Duration, event: Event) {
        self.order += 1;
        let queued = Queued {
            at: self.now + wait,
            order: self.order,
            machine,
            event,
        };
        self.queue.push(Reverse(queued));
    }

    /// What the wall clock of a machine shows, in milliseconds since 1970.
    pub fn wall_ms(&self, machine: usize) -> u64 {
        let elapsed = self.now.since_start().as_millis() as u64;
        (WALL_MS + elapsed).saturating_add_signed(self.machines[machine].clock_off)
    }
}
