//! What each operation of a scenario does, how it ends, and which fault it causes.

use std::time::Duration;

use crate::{Digest, Input, Serving, Time};

use super::attack::{Attack, other_keys};
use super::ledger::Touch;
use super::runner::Runner;
use super::scenario::Op;
use super::{Disk, LATENCY, ms, secs};

/// A part of the network with nobody else in it.
const NOWHERE: u32 = u32::MAX;

/// The longest latency that is no fault, in milliseconds: a probe has more than twice that
/// time.
const DELAY_OF_NO_FAULT: u16 = 20;

/// The largest share of lost datagrams that is no fault, in thousandths.
const LOSS_OF_NO_FAULT: u16 = 10;

/// How long a starved process does not run, and how long it then runs.
const STARVED: Duration = ms(900);
const FED: Duration = ms(2);

/// How long a second machine with a name is remembered, in milliseconds.
const CONFLICT_LIFE: u32 = crate::admission::HOLD.as_millis() as u32;

/// How an operation ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Undo {
    Start(usize),
    Thaw(usize),
    /// A frozen process runs for a moment; a running one is frozen.
    Starve {
        machine: usize,
        until: Time,
        frozen: bool,
    },
    Hear(usize),
    Link(usize),
    Join,
    Loss,
    LossBetween(usize, usize),
    Duplication,
    Latency,
    Control,
    Hints,
    Remove(usize),
}

/// One of the few names that scenarios set.
fn setting_key(number: u8) -> String {
    format!("KEY_{}", number % 4)
}

impl Runner {
    /// Begins an operation. One that only waits is over when this returns.
    pub(super) fn perform(&mut self, op: Op) {
        let nodes = self.nodes;
        let node = |node: u8| usize::from(node) % nodes;
        match op {
            Op::Wait(time) => self.pass(ms(time.into())),
            Op::Kill(it) => self.kill(node(it)),
            Op::Start(it) => self.start(node(it)),
            Op::Restart(it, time) => {
                self.kill(node(it));
                self.later(time, Undo::Start(node(it)));
            }
            // A process that does not run receives nothing.
            Op::Leave(it)
            | Op::Hint(it, _)
            | Op::Serve(it, _)
            | Op::Push(it, _)
            | Op::Stage(it, ..)
            | Op::File(it, _)
            | Op::Rollback(it)
            | Op::Vote(it, ..)
            | Op::Set(it, ..)
            | Op::Unset(it, _)
                if self.lan.is_frozen(node(it)) => {}
            Op::Leave(it) => self.leave(node(it)),
            Op::Wipe(it) => self.wipe(node(it)),
            Op::Clock(it, off) => self.lan.machines[node(it)].clock_off = off,
            Op::Freeze(it, time) => self.freeze(node(it), time),
            Op::Starve(it, time) => self.starve(node(it), time),
            Op::Deafen(it, time) => self.deafen(node(it), time),
            Op::Cut(it, time) => self.cut(node(it), time),
            Op::Part(bits, time) => self.part(bits, time),
            Op::Lose(share, time) => self.lose(share, time),
            Op::LoseBetween(from, to, share, time) => {
                self.lose_between(node(from), node(to), share, time);
            }
            Op::Double(share, time) => {
                self.lan.duplication = f64::from(share.min(1000)) / 1000.0;
                self.later(time, Undo::Duplication);
            }
            Op::Delay(most, time) => self.delay(most, time),
            Op::NoControl(time) => self.no_control(time),
            Op::NoHints(time) => self.no_hints(time),
            Op::Hint(it, about) => {
                let ip = self.lan.machines[node(about)].name.ip();
                self.lan.give(node(it), Input::Unreachable { ip });
            }
            Op::Serve(it, app) => {
                self.lan.give(
                    node(it),
                    Input::Serving(Serving::bootstrap(Digest::of(&[app]))),
                );
            }
            Op::Push(it, app) => self.lan.push(node(it), app, None),
            Op::Stage(it, app, canary) => self.lan.push(node(it), app, Some(node(canary))),
            Op::File(it, app) => self.lan.app_file(node(it), app),
            Op::Rollback(it) => self.lan.roll_back(node(it)),
            Op::Vote(it, back, ok) => self.lan.vote(node(it), back, ok),
            Op::Set(it, key, value) => {
                let (key, value) = (setting_key(key), value.to_string());
                self.lan.set(node(it), &key, Some(&value));
            }
            Op::Unset(it, key) => {
                self.lan.set(node(it), &setting_key(key), None);
            }
            Op::Twin(it, time, reached) => self.twin(node(it), time, reached),
            Op::Alien(time) => self.alien(time),
            Op::Liar(time) => self.liar(time),
            Op::Replay(it, count) => self.lan.attack(node(it), Attack::Replay, count),
            Op::Misdirect(it, count) => self.lan.attack(node(it), Attack::Misdirect, count),
            Op::Forge(it, count) => self.lan.attack(node(it), Attack::Forge, count),
            Op::Spoof(it, count) => self.lan.attack(node(it), Attack::Spoof, count),
            Op::Flood(it, count) => self.lan.attack(node(it), Attack::Flood, count),
        }
    }

    fn leave(&mut self, machine: usize) {
        self.lan.leave(machine);
        self.ledger.open(Touch::Of(machine), self.lan.now);
    }

    fn wipe(&mut self, machine: usize) {
        self.lan.machines[machine].disk = Disk::default();
        self.lan.made.wiped(machine);
        self.lan.made_settings.wiped(machine);
    }

    fn no_control(&mut self, time: u32) {
        self.lan.control = false;
        self.later(time, Undo::Control);
    }

    fn no_hints(&mut self, time: u32) {
        self.lan.hints = false;
        self.later(time, Undo::Hints);
    }

    fn freeze(&mut self, machine: usize, time: u32) {
        self.lan.freeze(machine);
        self.fault(Touch::Of(machine), time);
        self.fault(Touch::Held(machine), time);
        self.later(time, Undo::Thaw(machine));
    }

    fn starve(&mut self, machine: usize, time: u32) {
        self.fault(Touch::Of(machine), time);
        self.fault(Touch::Held(machine), time);
        self.undo(Undo::Starve {
            machine,
            until: self.lan.now + ms(time.into()),
            frozen: false,
        });
    }

    fn deafen(&mut self, machine: usize, time: u32) {
        self.lan.machines[machine].deaf = true;
        self.fault(Touch::Of(machine), time);
        self.fault(Touch::By(machine), time);
        self.later(time, Undo::Hear(machine));
    }

    fn cut(&mut self, machine: usize, time: u32) {
        self.lan.set_linked(machine, false);
        self.fault(Touch::Of(machine), time);
        self.fault(Touch::By(machine), time);
        self.later(time, Undo::Link(machine));
    }

    fn lose(&mut self, share: u16, time: u32) {
        self.lan.loss = self.loss.max(f64::from(share.min(1000)) / 1000.0);
        if share > LOSS_OF_NO_FAULT {
            self.fault(Touch::Everyone, time);
        }
        self.later(time, Undo::Loss);
    }

    fn lose_between(&mut self, of: usize, by: usize, share: u16, time: u32) {
        let share = f64::from(share.min(1000)) / 1000.0;
        self.lan.loss_between.insert((of, by), share);
        // The question or the answer may be lost.
        self.fault(Touch::Between { by, of }, time);
        self.fault(Touch::Between { by: of, of: by }, time);
        self.later(time, Undo::LossBetween(of, by));
    }

    fn delay(&mut self, most: u16, time: u32) {
        let most_micros = u64::from(most) * 1000;
        self.lan.latency = LATENCY.start..most_micros.max(LATENCY.end);
        if most > DELAY_OF_NO_FAULT {
            self.fault(Touch::Everyone, time);
        }
        self.later(time, Undo::Latency);
    }

    /// A node of another cluster.
    fn alien(&mut self, time: u32) {
        let machine = self.extra();
        self.lan.machines[machine].keys = other_keys();
        self.lan.start(machine);
        self.later(time, Undo::Remove(machine));
    }

    /// A node whose name has the address of another machine.
    fn liar(&mut self, time: u32) {
        let machine = self.extra();
        self.lan.machines[machine].adjust =
            |config| config.name = "example@10.10.200.200".parse().expect("a name");
        self.lan.start(machine);
        self.later(time, Undo::Remove(machine));
    }

    /// Ends an operation.
    pub(super) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Start(machine) => self.start(machine),
            Undo::Thaw(machine) => self.lan.thaw(machine),
            Undo::Starve {
                machine,
                until,
                frozen,
            } => {
                let over = self.lan.now >= until;
                let wait = if frozen || over { FED } else { STARVED };
                if frozen || over {
                    self.lan.thaw(machine);
                } else {
                    self.lan.freeze(machine);
                }
                if !over {
                    let again = Undo::Starve {
                        machine,
                        until,
                        frozen: !frozen,
                    };
                    self.at(self.lan.now + wait, again);
                }
            }
            Undo::Hear(machine) => self.lan.machines[machine].deaf = false,
            Undo::Link(machine) => self.lan.set_linked(machine, true),
            Undo::Join => (0..self.nodes).for_each(|machine| self.lan.machines[machine].part = 0),
            Undo::Loss => self.lan.loss = self.loss,
            Undo::LossBetween(of, by) => {
                self.lan.loss_between.remove(&(of, by));
            }
            Undo::Duplication => self.lan.duplication = 0.0,
            Undo::Latency => self.lan.latency = LATENCY,
            Undo::Control => self.lan.control = true,
            Undo::Hints => self.lan.hints = true,
            Undo::Remove(machine) => self.remove(machine),
        }
    }

    /// Ends every fault. Afterwards the first node is running, so that the far ones can join
    /// it.
    pub(super) fn heal(&mut self) {
        for undo in std::mem::take(&mut self.pending).into_values() {
            match undo {
                Undo::Starve { machine, .. } => self.lan.thaw(machine),
                undo => self.undo(undo),
            }
        }
        // Leaving nodes are gone after this.
        self.pass(ms(100));
        self.start(0);
        self.ledger.close_all(self.lan.now);
        // A node that is not there is rightly declared down.
        for machine in 0..self.nodes {
            if self.lan.machines[machine].node.is_none() {
                self.ledger.open(Touch::Of(machine), self.lan.now);
            }
        }
    }

    fn kill(&mut self, machine: usize) {
        self.lan.kill(machine);
        self.ledger.open(Touch::Of(machine), self.lan.now);
    }

    fn start(&mut self, machine: usize) {
        if self.lan.machines[machine].node.is_none() {
            // Reports so far are checked before the ledger ends this fault.
            self.judge();
            self.lan.start(machine);
            self.ledger.close(Touch::Of(machine), self.lan.now);
        }
    }

    fn part(&mut self, bits: u16, time: u32) {
        let side = |machine: usize| u32::from(bits >> machine & 1);
        for machine in 0..self.nodes {
            self.lan.machines[machine].part = side(machine);
            for other in (0..self.nodes).filter(|&other| side(other) != side(machine)) {
                let touch = Touch::Between {
                    by: machine,
                    of: other,
                };
                self.fault(touch, time);
            }
        }
        self.later(time, Undo::Join);
    }

    /// A second machine with the name of this one starts, and ends later.
    fn twin(&mut self, first: usize, time: u32, reached: bool) {
        let its = &self.lan.machines[first];
        let (ip, its_clock) = (its.name.ip(), its.clock_off);
        let (part, domain, prefix) = (its.part, its.domain, its.prefix);
        let (broadcasts, join, allow) = (its.broadcasts, its.join.clone(), its.allow.clone());
        // Two machines that start in one millisecond would have one boot number, and the audit
        // could not tell their datagrams apart.
        let behind = self.lan.chance(secs(100)).as_millis() as i64;
        let clock_off = its_clock + 50_000 - behind;
        let second = self.lan.machine(&ip.to_string());
        let its = &mut self.lan.machines[second];
        (its.part, its.domain, its.prefix) = (part, domain, prefix);
        (its.broadcasts, its.join, its.allow) = (broadcasts, join, allow);
        its.clock_off = clock_off;
        if reached {
            self.lan.arp.insert(ip, second);
        }
        self.shared.insert(first);
        // As long as there may be two, members do not probe.
        self.fault(Touch::Of(first), time + CONFLICT_LIFE);
        self.fault(Touch::By(first), time);
        self.lan.start(second);
        self.later(time, Undo::Remove(second));
    }

    /// A machine that is no node of the scenario.
    fn extra(&mut self) -> usize {
        let last = self.lan.machines.len();
        self.lan.machine(&format!("10.10.20.{}", last % 250 + 2))
    }

    fn remove(&mut self, machine: usize) {
        if self.lan.machines[machine].node.is_some() {
            self.lan.kill(machine);
        }
        self.lan.machines[machine].part = NOWHERE;
        let ip = self.lan.machines[machine].name.ip();
        if self.lan.arp.get(&ip) == Some(&machine) {
            self.lan.arp.remove(&ip);
        }
    }

    fn fault(&mut self, touch: Touch, time: u32) {
        self.ledger.note(touch, self.lan.now, ms(time.into()));
    }

    fn later(&mut self, time: u32, undo: Undo) {
        self.at(self.lan.now + ms(time.into()), undo);
    }

    fn at(&mut self, at: Time, undo: Undo) {
        self.order += 1;
        self.pending.insert((at, self.order), undo);
    }
}
