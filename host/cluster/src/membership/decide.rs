//! Members that come and go. What SWIM finds out is passed on to everyone, and unanswered
//! probes become a down decision.

use super::{CheckStep, MemberChange, Members, RosterEntry, SwimEvent, Update};
use crate::message::{Down, Message};
use crate::outbox::Outbox;
use crate::run::{Advertised, Run};
use crate::stall::Moment;
use crate::{Boot, DownReason, Effect, NodeId, UpReason};

/// The decision that a run is down.
#[derive(Clone, Copy)]
pub(super) struct DownDecision {
    pub(super) reason: DownReason,
    /// This node has decided it, so it has to tell the others.
    pub(super) ours: bool,
}

impl DownDecision {
    /// Another node has decided it.
    pub(super) fn theirs(reason: DownReason) -> Self {
        let ours = false;
        Self { reason, ours }
    }
}

impl Members {
    /// Carries out what SWIM wants, and takes in what it has found out. `ours` says that it was
    /// found out here, so the others are to be told.
    pub(super) fn apply_swim(&mut self, at: Moment<'_>, ours: bool, out: &mut Outbox) {
        let events: Vec<SwimEvent> = std::iter::from_fn(|| self.swim.poll()).collect();
        let is_defunct = |event: &SwimEvent| matches!(event, SwimEvent::Defunct);
        let defunct = events.iter().any(is_defunct);
        for (number, event) in events.iter().enumerate() {
            match event {
                // Nobody listens to a run that counts as down.
                SwimEvent::Send { .. } if defunct => {}
                SwimEvent::Send { to, bytes } => {
                    out.send(at.me, to.address(), &Message::Swim(bytes));
                }
                SwimEvent::Up(run) => self.up(at, run, out),
                SwimEvent::Replaced { old, new } => {
                    let down =
                        |later: &SwimEvent| matches!(later, SwimEvent::Down(run, _) if run == new);
                    let goes_down = events[number..].iter().any(down);
                    self.replaced(at, old, new, goes_down, out);
                }
                SwimEvent::Down(run, reason) => self.down(
                    at,
                    run,
                    DownDecision {
                        reason: *reason,
                        ours,
                    },
                    out,
                ),
                SwimEvent::Defunct => {}
            }
        }
        if defunct {
            self.changes
                .push_back(MemberChange::Defunct(at.me.run.boot));
        }
    }

    fn up(&mut self, at: Moment<'_>, run: &Run, out: &mut Outbox) {
        let before = self.roster.get(run.id());
        let reason = if before.is_some() {
            UpReason::Returned
        } else {
            UpReason::Joined
        };
        let same_process = before.filter(|entry| entry.run.process == run.process);
        let advertised = same_process.and_then(|entry| entry.advertised.clone());
        self.enter(at, run, advertised, reason, out);
        self.changes.push_back(MemberChange::Up(run.clone()));
    }

    /// Another run of a node has taken the place of `old`.
    fn replaced(
        &mut self,
        at: Moment<'_>,
        old: &Run,
        new: &Run,
        goes_down: bool,
        out: &mut Outbox,
    ) {
        let Some(entry) = self.roster.get(new.id()) else {
            return;
        };
        if !entry.is_up() || goes_down || old.process == new.process {
            // Nobody outside should hear of this: the old run was down and the new one may come
            // up next, or it is the same process under a new number.
            self.roster.update(new.id(), |entry| {
                if entry.run.process != new.process {
                    entry.advertised = None;
                }
                entry.run = new.clone();
            });
            return;
        }
        self.enter(at, new, None, UpReason::Restarted, out);
        self.changes.push_back(MemberChange::Gone(new.id()));
    }

    fn enter(
        &mut self,
        at: Moment<'_>,
        run: &Run,
        advertised: Option<Advertised>,
        reason: UpReason,
        out: &mut Outbox,
    ) {
        let entry = RosterEntry {
            run: run.clone(),
            advertised,
            since_ms: at.wall_ms,
            gone: None,
        };
        let member = entry.member();
        out.push(Effect::Up { member, reason });
        self.roster.put(entry);
    }

    fn down(&mut self, at: Moment<'_>, run: &Run, decision: DownDecision, out: &mut Outbox) {
        let (id, boot) = (run.id(), run.boot);
        self.checks.clear(id);
        if let Some(entry) = self.roster.up(id).filter(|entry| entry.run.boot == boot) {
            let member = entry.member();
            let reason = decision.reason;
            out.push(Effect::Down { member, reason });
            self.roster.update(id, |entry| entry.gone = Some(at.now));
        }
        if decision.ours {
            let why = decision.reason.into();
            out.broadcast(
                at.me,
                &Message::Down(Down {
                    node: id,
                    boot,
                    why,
                }),
            );
        }
        self.changes.push_back(MemberChange::Gone(id));
    }

    /// Declares a run down.
    pub(super) fn declare(
        &mut self,
        at: Moment<'_>,
        id: NodeId,
        boot: Boot,
        decision: DownDecision,
        out: &mut Outbox,
    ) {
        let Some(entry) = self.roster.up(id).filter(|entry| entry.run.boot == boot) else {
            return;
        };
        let down = Update::down(entry.run.clone(), decision.reason);
        self.swim.learn(at.now, vec![down]);
        self.apply_swim(at, decision.ours, out);
    }

    /// Sends the probes that are due, and decides which runs are down.
    pub(super) fn run_checks(&mut self, at: Moment<'_>, out: &mut Outbox) {
        while let Some(step) = self.checks.step(at.now) {
            match step {
                CheckStep::Probe { id, boot } => {
                    if let Some(entry) = self.roster.up(id).filter(|e| e.run.boot == boot) {
                        out.send(at.me, entry.run.address(), &Message::Probe { boot });
                    }
                }
                CheckStep::Down { id, boot, reason } => {
                    self.declare(at, id, boot, DownDecision { reason, ours: true }, out);
                }
            }
        }
    }
}
