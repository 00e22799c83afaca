//! How components travel between machines. If a machine's target is a component that it lacks,
//! it fetches the component by the rules of `fetch`, and gives what it has to others. Questions
//! go over connections that are dialled once. Chunks take the time of their bytes on the wires
//! of both machines. The bytes themselves are left out: a chunk is its index, and whether it is
//! right.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;

use super::control::{AGAIN, BYTE, ROUND_TRIPS, SEGMENT, TLS};
use super::{Event, Lan};
use crate::fetch::{
    ANSWER_WAIT, Answer, Chunks, Fetch, FetchError, FetchStep, Holding, UPLOADS, Want,
};
use crate::release::{CHUNK, Target};
use crate::{Digest, NodeName, Time};

/// The segments at the end of a chunk whose loss only a timer reveals.
const TAIL: usize = 3;

/// How many segments a chunk has, and how long its bytes take on a wire.
const SEGMENTS: i32 = (CHUNK / SEGMENT) as i32;
const ON_WIRE: Duration = Duration::from_nanos(CHUNK as u64 * BYTE.as_nanos() as u64);

/// What a machine has of one component.
pub struct Held {
    /// The digest of the component.
    pub digest: Digest,
    /// The chunks that are there.
    pub have: Chunks,
    /// Whether the manifest is there.
    pub manifest: bool,
    /// When all of it was there.
    pub whole_at: Option<Time>,
    /// Why the fetch has failed.
    pub failed: Option<FetchError>,
    /// How many members gave wrong bytes.
    pub liars: usize,
    fetch: Option<Fetch>,
    /// The node that made the release.
    origin: NodeName,
    members: BTreeSet<NodeName>,
}

/// The fetching of components on one machine.
#[derive(Default)]
pub(super) struct Depot {
    held: Option<Held>,
    /// The end of each upload that is under way.
    uploads: Vec<Time>,
    /// How many chunks its processes have given.
    given: usize,
    /// The machines to which it has a connection.
    dialled: BTreeSet<usize>,
    /// When its wire will have carried what is on its way to it.
    down: Time,
    timer: Option<Time>,
}

/// An answer on its way.
#[derive(Clone)]
pub(super) struct Reply {
    member: NodeName,
    question: u64,
    answer: Answer,
    /// The machine and process that answered; none if none did.
    of: Option<(usize, u32)>,
}

impl Depot {
    /// The process has ended, and with it its connections. Its components on disk do not matter
    /// here.
    pub(super) fn close(&mut self) {
        let given = self.given;
        *self = Self {
            given,
            ..Self::default()
        };
    }

    pub(super) fn hang_up(&mut self, other: usize) {
        self.dialled.remove(&other);
    }
}

impl Lan {
    /// Puts a component on a machine, or its first chunks.
    pub fn put_app(&mut self, machine: usize, digest: Digest, have: Chunks) {
        let held = Held {
            digest,
            whole_at: have.is_full().then_some(self.now),
            have,
            manifest: true,
            failed: None,
            liars: 0,
            fetch: None,
            origin: self.machines[machine].name.clone(),
            members: BTreeSet::new(),
        };
        self.machines[machine].depot.held = Some(held);
    }

    /// What a machine has of its target's component.
    pub fn held(&self, machine: usize) -> Option<&Held> {
        self.machines[machine].depot.held.as_ref()
    }

    /// How many chunks a machine has given to others.
    pub fn given(&self, machine: usize) -> usize {
        self.machines[machine].depot.given
    }

    /// A machine has another target.
    pub(super) fn serve_other(&mut self, machine: usize, target: &Target) {
        let Some(release) = target.release.as_ref().filter(|_| self.fetches) else {
            return;
        };
        let (now, seed) = (self.now, self.rng.random());
        let depot = &mut self.machines[machine].depot;
        let of_this = depot.held.take().filter(|it| it.digest == target.digest);
        let mut held = of_this.unwrap_or_else(|| Held {
            digest: target.digest,
            have: Chunks::none_of(&release.component()),
            manifest: false,
            whole_at: None,
            failed: None,
            liars: 0,
            fetch: None,
            origin: release.stamp().node.clone(),
            members: BTreeSet::new(),
        });
        if !held.have.is_full() {
            held.fetch = Some(Fetch::new(now, seed, held.have.clone(), held.manifest));
        }
        depot.held = Some(held);
        self.members_changed(machine);
    }

    /// Tells the fetch of a machine which members there are now.
    pub(super) fn members_changed(&mut self, machine: usize) {
        let its = &mut self.machines[machine];
        let (Some(node), Some(held)) = (&its.node, &mut its.depot.held) else {
            return;
        };
        let Some(fetch) = &mut held.fetch else {
            return;
        };
        let view = node.view();
        let others = view.members.iter().map(|member| &member.name);
        let members: BTreeSet<_> = others.filter(|name| **name != its.name).cloned().collect();
        for gone in held.members.difference(&members) {
            fetch.forget(gone);
        }
        for new in members.difference(&held.members) {
            let holding = match *new == held.origin {
                true => Holding::Whole,
                false => Holding::Perhaps,
            };
            fetch.know(new, holding);
        }
        held.members = members;
        self.go_on_fetching(machine);
    }

    /// Does what the fetch of a machine wants.
    fn go_on_fetching(&mut self, machine: usize) {
        let now = self.now;
        loop {
            let depot = &mut self.machines[machine].depot;
            let Some(held) = &mut depot.held else { return };
            let Some(fetch) = &mut held.fetch else { return };
            match fetch.next(now) {
                FetchStep::Ask {
                    question,
                    member,
                    want,
                } => self.ask(machine, question, member, want),
                FetchStep::Wait(until) => {
                    if depot
                        .timer
                        .is_none_or(|armed| until < armed || armed <= now)
                    {
                        depot.timer = Some(until);
                        let life = self.machines[machine].life;
                        self.post(machine, until.since(now), Event::FetchTimer { life });
                    }
                    return;
                }
                FetchStep::Done => {
                    held.whole_at = Some(now);
                    held.fetch = None;
                }
                FetchStep::Failed(error) => {
                    held.failed = Some(error);
                    held.fetch = None;
                }
            }
        }
    }

    pub(super) fn fetch_timer(&mut self, machine: usize) {
        let depot = &mut self.machines[machine].depot;
        if depot.timer.is_some_and(|at| at <= self.now) {
            depot.timer = None;
        }
        self.go_on_fetching(machine);
    }

    fn ask(&mut self, from: usize, number: u64, member: NodeName, want: Want) {
        let to = self.machines.iter().position(|it| it.name == member);
        let reached = to.filter(|&to| self.hears(from, to) && !self.happens(self.unanswered));
        let Some(to) = reached else {
            let reply = Reply {
                member,
                question: number,
                answer: Answer::Failed,
                of: None,
            };
            return self.reply(from, ANSWER_WAIT, reply);
        };
        let mut took = Duration::ZERO;
        if self.machines[from].depot.dialled.insert(to) {
            let desk = &mut self.machines[to].desk;
            let computed = desk.tls.max(self.now) + TLS;
            desk.tls = computed;
            took = computed.since(self.now) + TLS;
            for _ in 0..2 * ROUND_TRIPS {
                took += self.leg(from, to, 1);
            }
        }
        took += self.leg(from, to, 1);
        self.post(to, took, Event::Question { from, number, want });
    }

    /// A machine is asked for a part of a component.
    pub(super) fn question(&mut self, machine: usize, from: usize, number: u64, want: Want) {
        let now = self.now;
        let answer = self.find(machine, from, &want);
        let is_chunk = matches!(answer, Answer::Chunk(_));
        let arrives = match is_chunk {
            true => self.send_chunk(machine, from),
            false => now + self.leg(machine, from, 1),
        };
        let its = &self.machines[machine];
        let reply = Reply {
            member: its.name.clone(),
            question: number,
            answer: if its.lies && is_chunk {
                Answer::Wrong
            } else {
                answer
            },
            of: Some((machine, its.life)),
        };
        self.reply(from, arrives.since(now), reply);
    }

    /// Sends a chunk; returns when it has arrived.
    fn send_chunk(&mut self, from: usize, to: usize) -> Time {
        let wire = &mut self.machines[from].desk.wire;
        let begins = (*wire).max(self.now);
        *wire = begins + ON_WIRE;
        let until = *wire;
        let depot = &mut self.machines[from].depot;
        depot.uploads.push(until);
        depot.given += 1;
        // It arrives as it is sent, after all that the receiver's wire still carries.
        let begins = begins + self.leg(from, to, 0);
        let down = &mut self.machines[to].depot.down;
        *down = (*down).max(begins) + ON_WIRE;
        let mut there = *down;
        // Loss before the end is repaired a round trip later; only a timer reveals loss at the
        // end.
        if self.happens(1.0 - (1.0 - self.loss).powi(SEGMENTS)) {
            there = there + self.leg(from, to, 0) + self.leg(to, from, 0);
        }
        let end = self.leg(from, to, TAIL);
        if end >= AGAIN { there + end } else { there }
    }

    fn reply(&mut self, to: usize, wait: Duration, reply: Reply) {
        let life = self.machines[to].life;
        self.post(to, wait, Event::Answer { life, reply });
    }

    /// The answer of a machine.
    fn find(&mut self, machine: usize, from: usize, want: &Want) -> Answer {
        let now = self.now;
        let digest = self.held(from).map(|held| held.digest);
        let its = &mut self.machines[machine];
        if its.node.is_none() {
            return Answer::Failed;
        }
        its.depot.uploads.retain(|&until| until > now);
        let held = its.depot.held.as_ref();
        let Some(held) = held.filter(|held| Some(held.digest) == digest) else {
            return Answer::Nothing;
        };
        match want {
            Want::Manifest if held.manifest => Answer::Manifest,
            Want::Manifest => Answer::Nothing,
            Want::OneOf(_) if its.depot.uploads.len() >= UPLOADS => Answer::Busy,
            Want::OneOf(wanted) => match held.have.choose(wanted, &mut self.rng) {
                Some(index) => Answer::Chunk(index),
                None => Answer::Nothing,
            },
        }
    }

    /// An answer arrives, or the end of a connection whose process has ended.
    pub(super) fn fetched(&mut self, machine: usize, reply: &Reply) {
        let now = self.now;
        let same =
            |(of, life): (usize, u32)| self.machines[of].life == life && self.hears(of, machine);
        let answer = match reply.of.is_some_and(same) {
            true => reply.answer,
            false => Answer::Failed,
        };
        let Some(held) = &mut self.machines[machine].depot.held else {
            return;
        };
        let Some(fetch) = &mut held.fetch else { return };
        fetch.answered(now, &reply.member, reply.question, answer);
        held.have = fetch.have().clone();
        held.manifest |= answer == Answer::Manifest;
        held.liars = fetch.liars();
        self.go_on_fetching(machine);
    }
}
