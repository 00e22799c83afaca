//! What nodes do with releases in a scenario, and what must hold in the end: all know the same,
//! and the target follows from it.

use std::sync::Arc;

use crate::release::{
    AppFile, Component, History, PathId, Plan, Release, ReleaseId, ReleaseKind, Request,
    RollbackTo, Verdict, VoteState, What,
};
use crate::{Input, Node, NodeId};

use super::Lan;

/// How nodes disagree on releases or settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disagreement {
    /// Two nodes know different records or votes.
    Known,
    /// Two nodes serve different releases, and the reason is not that only one of them is a
    /// canary.
    Target {
        /// The release that the first one serves.
        one: ReleaseId,
        /// The release that the second one serves.
        other: ReleaseId,
    },
    /// A node serves a release that bakes, and is none of its canaries.
    NoCanary(ReleaseId),
    /// A node knows a release that nobody made.
    Invented(ReleaseId),
    /// A node serves nothing, or a release without a record.
    Nothing,
    /// The target was rolled back.
    RolledBack(ReleaseId),
    /// The target was voted down.
    VotedDown(ReleaseId),
    /// The head is not the greatest release that was ever made.
    Head(ReleaseId),
    /// Two nodes know different settings.
    Settings,
    /// A node knows a setting that nobody made, or not the newest one.
    Setting(String),
}

/// All releases and votes that nodes ever made.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// The releases, each with the machine that has it on its disk, unless that was wiped.
    releases: Vec<(Arc<Release>, Option<usize>)>,
    /// How many votes were cast.
    votes: usize,
}

impl Made {
    pub(super) fn release(&mut self, machine: usize, release: &Arc<Release>) {
        self.releases.push((release.clone(), Some(machine)));
    }

    /// Releases that only this machine knew may be lost.
    pub(super) fn wiped(&mut self, machine: usize) {
        for (_, on) in &mut self.releases {
            *on = on.filter(|on| *on != machine);
        }
    }

    /// How many releases and votes a node can know.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.releases.len(), self.votes)
    }
}

/// One of the few components that scenarios release.
fn component(number: u8) -> Component {
    Component::of(&[number % 6])
}

impl Lan {
    /// Makes a release on a node, unless the node refuses.
    fn release(&mut self, machine: usize, what: What) {
        let (now, wall_ms) = (self.now, self.wall_ms(machine));
        let request = Request {
            what,
            by: String::new(),
            note: String::new(),
            expect: None,
            again: true,
        };
        let node = self.machines[machine].node.as_ref();
        let draft = node.and_then(|node| node.draft(now, wall_ms, request).ok());
        if let Some(release) = draft {
            self.give(machine, Input::Publish(release.clone()));
            // A node that is about to leave decides nothing any more.
            let node = self.machines[machine].node.as_ref();
            if node.is_some_and(|node| node.releases().any(|it| *it == release)) {
                self.made.release(machine, &release);
            }
        }
    }

    /// Pushes a component, at first to one canary if there is one.
    pub(super) fn push(&mut self, machine: usize, number: u8, canary: Option<usize>) {
        let canary = canary.map(|canary| self.machines[canary].name.id());
        let plan = Plan {
            canaries: canary.into_iter().collect(),
            bake_ms: 1000,
            drop_streams: false,
        };
        let component = component(number);
        self.release(machine, What::Push { component, plan });
    }

    /// Goes back to the target before.
    pub(super) fn roll_back(&mut self, machine: usize) {
        self.release(machine, What::Rollback(RollbackTo::Previous));
    }

    /// The app file of a node is there, or has changed.
    pub(super) fn app_file(&mut self, machine: usize, number: u8) {
        let path = PathId::of(b"app");
        let component = component(number);
        self.give(machine, Input::AppFile(AppFile { path, component }));
    }

    /// A node votes on one of the newest releases that it knows.
    pub(super) fn vote(&mut self, machine: usize, back: u8, ok: bool) {
        let node = self.machines[machine].node.as_ref();
        let release = node.and_then(|node| node.releases().nth(usize::from(back % 3)));
        if let Some(id) = release.map(|release| release.id()) {
            let verdict = if ok { Verdict::Ok } else { Verdict::Failed };
            self.made.votes += 1;
            self.give(machine, Input::Vote(id, verdict));
        }
    }
}

/// What a node knows of releases.
fn known(node: &Node) -> Vec<(&Release, Vec<(NodeId, Verdict)>)> {
    let releases = node.releases();
    let votes = |release: &Release| node.votes(&release.id()).collect();
    releases
        .map(|release| (&**release, votes(release)))
        .collect()
}

/// How the first machines disagree, if they do.
pub(super) fn disagreed(lan: &Lan, machines: usize) -> Option<(usize, Disagreement)> {
    let node = |at: usize| Some((at, lan.machines[at].node.as_ref()?));
    let nodes: Vec<(usize, &Node)> = (0..machines).filter_map(node).collect();
    // Who alone decided something at a time that cannot be agrees with nobody until then.
    let is_ahead = nodes.iter().any(|(_, node)| node.has_set_aside());
    let alone = |&(at, node): &(usize, &Node)| {
        let id = lan.machines[at].name.id();
        let misses = || misses(node, &nodes, &lan.made).filter(|_| !is_ahead);
        Some((at, wrong(node, id).or_else(misses)?))
    };
    if let Some(wrong) = nodes.iter().find_map(alone) {
        return Some(wrong);
    }
    if is_ahead {
        return None;
    }
    let pairs = nodes.iter().enumerate();
    let mut pairs = pairs.flat_map(|(i, one)| nodes[i + 1..].iter().map(move |other| (one, other)));
    pairs.find_map(|((one_at, one), (at, other))| {
        let ids = [*one_at, *at].map(|at| lan.machines[at].name.id());
        Some((*at, differs([one, other], ids)?))
    })
}

fn differs([one, other]: [&Node; 2], ids: [NodeId; 2]) -> Option<Disagreement> {
    if known(one) != known(other) {
        return Some(Disagreement::Known);
    }
    let serves = [one.target()?, other.target()?];
    if serves[0].id == serves[1].id {
        return None;
    }
    // A canary may serve a release that bakes, and only a node that is no canary may differ
    // from it.
    let for_canary = |which: usize| {
        let release = serves[which].release.as_ref();
        release.is_some_and(|release| {
            let is_canary = ids.map(|id| release.plan().canaries.contains(&id));
            bakes(one, release) && is_canary[which] && !is_canary[1 - which]
        })
    };
    let [one, other] = [&serves[0], &serves[1]].map(|target| target.id);
    (!for_canary(0) && !for_canary(1)).then_some(Disagreement::Target { one, other })
}

/// Whether canaries of a release have not voted for it yet.
fn bakes(node: &Node, release: &Release) -> bool {
    let votes: Vec<_> = node.votes(&release.id()).collect();
    let mut canaries = release.plan().canaries.iter();
    !canaries.all(|&id| votes.contains(&(id, Verdict::Ok)))
}

/// What a node lacks of all that was ever made, or knows beyond that.
fn misses(node: &Node, nodes: &[(usize, &Node)], made: &Made) -> Option<Disagreement> {
    let is_made = |release: &&Arc<Release>| made.releases.iter().any(|(made, _)| made == *release);
    if let Some(invented) = node.releases().find(|release| !is_made(release)) {
        return Some(Disagreement::Invented(invented.id()));
    }
    let lives = |on: &usize| nodes.iter().any(|(at, _)| at == on);
    let mut all = History::default();
    for release in node.releases() {
        all.add(release.clone());
    }
    for (release, on) in &made.releases {
        if on.as_ref().is_some_and(lives) {
            all.add(release.clone());
        }
    }
    let (greatest, head) = (all.head()?, node.releases().next());
    (head != Some(greatest)).then(|| Disagreement::Head(greatest.id()))
}

/// What is wrong with the release that a node serves, by all that it knows.
fn wrong(node: &Node, id: NodeId) -> Option<Disagreement> {
    let greatest = node.releases().map(|release| release.stamp()).max()?;
    let Some(target) = node.target() else {
        return Some(Disagreement::Nothing);
    };
    if target.head.stamp() != greatest {
        return Some(Disagreement::Head(target.head.id()));
    }
    let Some(release) = &target.release else {
        return Some(Disagreement::Nothing);
    };
    let canaries = &release.plan().canaries;
    if release.kind() != ReleaseKind::Rollback && bakes(node, release) && !canaries.contains(&id) {
        return Some(Disagreement::NoCanary(target.id));
    }
    let undoes = |it: &&Arc<Release>| it.leaves().any(|left| left.id == target.id);
    if node.releases().any(|it| undoes(&it)) {
        return Some(Disagreement::RolledBack(target.id));
    }
    // Counted here independently of the code under test.
    let votes: Vec<_> = node.votes(&target.id).collect();
    let failed = votes
        .iter()
        .filter(|(_, verdict)| *verdict == Verdict::Failed);
    let by_canary = failed.clone().any(|(ip, _)| canaries.contains(ip));
    let by_most = canaries.is_empty() && 2 * failed.count() > votes.len();
    let votable = release.kind() != ReleaseKind::Rollback && release.parent().is_some();
    let down = votable && (by_canary || by_most);
    (down || target.id == target.head.id() && target.head_state == VoteState::VotedDown)
        .then_some(Disagreement::VotedDown(target.id))
}
