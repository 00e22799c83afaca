//! Members coming and going: what the failure detector says, what others say,
//! and what this node makes sure of by itself.

use std::cell::RefCell;
use std::net::Ipv4Addr;

use super::Node;
use crate::membership::RosterEntry;
use crate::membership::hearsay::{HEARD, HearsayFilter, may_be_there};
use crate::membership::{CheckStep, Hint};
use crate::membership::{SwimEvent, Update};
use crate::message::{Down, Message};
use crate::run::{Advertised, Run};
use crate::{Boot, DownReason, Effect, Time, UpReason};

impl Node {
    /// Takes in a datagram of SWIM. False if it cannot be read.
    pub(super) fn gossip(&mut self, now: Time, from: (Ipv4Addr, Boot), bytes: &[u8]) -> bool {
        let mut filter = HearsayFilter::new(
            now,
            &self.config,
            &self.me.run,
            &self.contacts,
            &self.roster,
            self.swim.len(),
        );
        let read = self
            .swim
            .packet(now, from, bytes, &mut |update| filter.believes(update));
        let doubts = filter.doubts;
        self.apply_swim(now, false);
        self.doubt_all(now, doubts);
        read.is_ok()
    }

    /// Takes in updates that came in another way.
    pub(super) fn learn(&mut self, now: Time, mut updates: Vec<Update>) {
        let mut filter = HearsayFilter::new(
            now,
            &self.config,
            &self.me.run,
            &self.contacts,
            &self.roster,
            self.swim.len(),
        );
        updates.retain(|update| filter.believes(update));
        let doubts = filter.doubts;
        self.swim.learn(now, updates);
        self.apply_swim(now, false);
        self.doubt_all(now, doubts);
    }

    fn doubt_all(&mut self, now: Time, doubts: Vec<(Ipv4Addr, Boot)>) {
        for (ip, boot) in doubts {
            self.doubt(now, ip, Some(boot), Hint::Hearsay);
        }
    }

    /// Lets SWIM do what is due. A suspicion that has run out against somebody
    /// who may be there is made sure of first: its beacons may come although
    /// it hears nothing, and where it sends no broadcasts, silence means little.
    pub(super) fn run_swim(&mut self, now: Time) {
        let contacts = &self.contacts;
        let doubts = RefCell::new(Vec::new());
        self.swim.timer(now, &|run: &Run| {
            let (ip, boot) = (run.ip(), run.boot);
            let may_be_there = may_be_there(contacts, now, ip, boot, HEARD);
            if may_be_there {
                doubts.borrow_mut().push((ip, boot));
            }
            may_be_there
        });
        self.apply_swim(now, true);
        self.doubt_all(now, doubts.into_inner());
    }

    /// Carries out what SWIM wants, and takes in what it has found out.
    /// `decided`: by itself, so others are to be told.
    pub(super) fn apply_swim(&mut self, now: Time, decided: bool) {
        let events: Vec<SwimEvent> = std::iter::from_fn(|| self.swim.poll()).collect();
        let defunct = events
            .iter()
            .any(|event| matches!(event, SwimEvent::Defunct));
        for (at, event) in events.iter().enumerate() {
            match event {
                // Nobody listens to a run that is held for down.
                SwimEvent::Send { .. } if defunct => {}
                SwimEvent::Send { to, bytes } => self.send(to.address(), &Message::Swim(bytes)),
                SwimEvent::Up(run) => self.up(now, run),
                SwimEvent::Replaced { old, new } => {
                    let down =
                        |later: &SwimEvent| matches!(later, SwimEvent::Down(p, _) if p == new);
                    let goes_down = events[at..].iter().any(down);
                    self.replaced(now, old, new, goes_down);
                }
                SwimEvent::Down(run, reason) => self.down(now, run, *reason, decided),
                SwimEvent::Defunct => {}
            }
        }
        if defunct {
            self.raise(now, self.me.run.boot);
        }
    }

    fn up(&mut self, now: Time, run: &Run) {
        let ip = run.ip();
        let before = self.roster.get(ip);
        let reason = if before.is_some() {
            UpReason::Returned
        } else {
            UpReason::Joined
        };
        let same_process = before.filter(|entry| entry.run.process == run.process);
        let advertised = same_process.and_then(|entry| entry.advertised.clone());
        self.enter(run, advertised, reason);
        if self
            .contacts
            .admitted(ip)
            .is_none_or(|admitted| admitted.boot != run.boot)
        {
            self.hello(now, run.address(), run.boot, 0, true);
        }
    }

    /// Another run of a node has taken the place of one.
    fn replaced(&mut self, now: Time, old: &Run, new: &Run, goes_down: bool) {
        let Some(entry) = self.roster.get(new.ip()) else {
            return;
        };
        if !entry.is_up() || goes_down || old.process == new.process {
            // Nothing that anyone outside should hear of: it was down and may
            // come up next, or is the same process under a new number.
            self.roster.update(new.ip(), |entry| {
                if entry.run.process != new.process {
                    entry.advertised = None;
                }
                entry.run = new.clone();
            });
            return;
        }
        self.enter(new, None, UpReason::Restarted);
        self.promote(now, new.ip());
    }

    fn enter(&mut self, run: &Run, advertised: Option<Advertised>, reason: UpReason) {
        let entry = RosterEntry {
            run: run.clone(),
            advertised,
            since_ms: self.wall_ms,
            gone: None,
        };
        self.effects.push_back(Effect::Up {
            member: entry.member(),
            reason,
        });
        self.roster.put(entry);
    }

    fn down(&mut self, now: Time, run: &Run, reason: DownReason, decided: bool) {
        let (ip, boot) = (run.ip(), run.boot);
        self.checks.clear(ip);
        if let Some(entry) = self.roster.up(ip).filter(|entry| entry.run.boot == boot) {
            self.effects.push_back(Effect::Down {
                member: entry.member(),
                reason,
            });
            self.roster.update(ip, |entry| entry.gone = Some(now));
        }
        if decided {
            self.broadcast(&Message::Down(Down {
                ip,
                boot,
                why: reason.into(),
            }));
        }
        self.promote(now, ip);
    }

    /// Takes a run for down.
    pub(super) fn declare(
        &mut self,
        now: Time,
        ip: Ipv4Addr,
        boot: Boot,
        reason: DownReason,
        decided: bool,
    ) {
        let Some(entry) = self.roster.up(ip).filter(|entry| entry.run.boot == boot) else {
            return;
        };
        self.swim
            .learn(now, vec![Update::down(entry.run.clone(), reason)]);
        self.apply_swim(now, decided);
    }

    /// Takes in a hint that a node may be gone; the run that is up, if none is
    /// given.
    pub(super) fn doubt(&mut self, now: Time, ip: Ipv4Addr, boot: Option<Boot>, hint: Hint) {
        let Some(entry) = self.roster.up(ip) else {
            return;
        };
        let up = entry.run.boot;
        let waiting = self.contacts.conflict_mut(now, ip).is_some();
        // Where two machines have one IP, a probe may reach the wrong one: who
        // is there then shows in what is heard.
        if ip != self.me.run.ip() && boot.is_none_or(|boot| boot == up) && !waiting {
            self.checks.doubt(now, ip, up, hint);
            self.run_checks(now);
        }
    }

    /// Sends the probes that are due, and decides who is down.
    pub(super) fn run_checks(&mut self, now: Time) {
        while let Some(step) = self.checks.step(now) {
            match step {
                CheckStep::Probe { ip, boot } => {
                    if let Some(entry) = self.roster.up(ip).filter(|e| e.run.boot == boot) {
                        self.send(entry.run.address(), &Message::Probe { boot });
                    }
                }
                CheckStep::Down { ip, boot, reason } => {
                    self.declare(now, ip, boot, reason, true);
                }
            }
        }
    }
}
