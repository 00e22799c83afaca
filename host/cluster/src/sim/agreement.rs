//! What nodes do with releases in a scenario, and what must hold of it in the
//! end: all know the same, and what is in force follows from it.

use crate::release::{
    App, AppFile, Kind, PathId, Plan, Release, ReleaseKey, Request, RollbackTo, Standing, Verdict,
    What,
};
use crate::{Input, Node};

use super::Lan;

/// How nodes disagree on releases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disagreement {
    /// Two know other records or votes.
    Known,
    /// Two serve other releases, although no canaries bake.
    InForce {
        /// What the first node serves.
        first: ReleaseKey,
        /// What the other one serves.
        other: ReleaseKey,
    },
    /// A node serves nothing, or what it has no record of.
    Nothing,
    /// What is in force was rolled back.
    RolledBack(ReleaseKey),
    /// What is in force was voted down.
    VotedDown(ReleaseKey),
    /// The head is not the greatest release.
    Head(ReleaseKey),
}

/// One of the few apps that scenarios release.
fn app(number: u8) -> App {
    App::of(&[number % 6])
}

impl Lan {
    /// Releases something on a node, unless it refuses to.
    fn release(&mut self, machine: usize, what: What) {
        let (now, wall_ms) = (self.now, self.wall_ms(machine));
        let request = Request {
            what,
            by: String::new(),
            note: String::new(),
            expect: None,
        };
        let node = self.machines[machine].node.as_ref();
        let draft = node.and_then(|node| node.draft(now, wall_ms, request).ok());
        if let Some(release) = draft {
            self.give(machine, Input::Publish(release));
        }
    }

    /// Pushes an app, at first to one canary only if there is one.
    pub(super) fn push(&mut self, machine: usize, number: u8, canary: Option<usize>) {
        let canary = canary.map(|canary| self.machines[canary].name.ip());
        let plan = Plan {
            canaries: canary.into_iter().collect(),
            bake_ms: 1000,
        };
        let app = app(number);
        self.release(machine, What::Push { app, plan });
    }

    /// Goes back to what was in force before.
    pub(super) fn roll_back(&mut self, machine: usize) {
        self.release(machine, What::Rollback(RollbackTo::Previous));
    }

    /// The app file of a node is there, or has changed.
    pub(super) fn app_file(&mut self, machine: usize, number: u8) {
        let path = PathId::of(b"app");
        let app = app(number);
        self.give(machine, Input::AppFile(AppFile { path, app }));
    }

    /// A node votes on one of the newest releases that it knows.
    pub(super) fn vote(&mut self, machine: usize, back: u8, ok: bool) {
        let node = self.machines[machine].node.as_ref();
        let release = node.and_then(|node| node.releases().nth(usize::from(back % 3)));
        if let Some(key) = release.map(|release| release.key()) {
            let verdict = if ok { Verdict::Ok } else { Verdict::Failed };
            self.give(machine, Input::Vote(key, verdict));
        }
    }
}

/// What a node knows of releases.
fn known(node: &Node) -> Vec<(&Release, Vec<(std::net::Ipv4Addr, Verdict)>)> {
    let releases = node.releases();
    let votes = |release: &Release| node.votes(&release.key()).collect();
    releases
        .map(|release| (&**release, votes(release)))
        .collect()
}

/// How the first so many machines disagree, if they do.
pub(super) fn disagreed(lan: &Lan, machines: usize) -> Option<(usize, Disagreement)> {
    let mut nodes = (0..machines).filter_map(|at| Some((at, lan.machines[at].node.as_ref()?)));
    let (at, first) = nodes.next()?;
    if let Some(wrong) = wrong(first) {
        return Some((at, wrong));
    }
    nodes.find_map(|(at, node)| Some((at, differs(first, node)?)))
}

fn differs(first: &Node, other: &Node) -> Option<Disagreement> {
    if known(first) != known(other) {
        return Some(Disagreement::Known);
    }
    if let Some(wrong) = wrong(other) {
        return Some(wrong);
    }
    let (first_serves, other_serves) = (first.in_force()?, other.in_force()?);
    let bakes = |release: &Release| {
        let mut canaries = release.plan().canaries.iter();
        let ok = |ip| {
            first
                .votes(&release.key())
                .any(|vote| vote == (ip, Verdict::Ok))
        };
        !canaries.all(|&ip| ok(ip))
    };
    let records = [&first_serves, &other_serves].map(|force| force.release.as_deref());
    let baking = records.into_iter().flatten().any(bakes);
    (!baking && first_serves.key != other_serves.key).then_some(Disagreement::InForce {
        first: first_serves.key,
        other: other_serves.key,
    })
}

/// What is wrong with what a node serves, by all that it knows.
fn wrong(node: &Node) -> Option<Disagreement> {
    let greatest = node.releases().map(|release| release.id()).max()?;
    let Some(force) = node.in_force() else {
        return Some(Disagreement::Nothing);
    };
    if force.head.id() != greatest {
        return Some(Disagreement::Head(force.head.key()));
    }
    let Some(release) = &force.release else {
        return Some(Disagreement::Nothing);
    };
    let undoes = |it: &&std::sync::Arc<Release>| {
        it.kind() == Kind::Rollback && it.parent().is_some_and(|parent| parent.key == force.key)
    };
    if node.releases().any(|it| undoes(&it)) {
        return Some(Disagreement::RolledBack(force.key));
    }
    // Counted here by itself, not by what it is to check.
    let votes: Vec<_> = node.votes(&force.key).collect();
    let canaries = &release.plan().canaries;
    let failed = votes
        .iter()
        .filter(|(_, verdict)| *verdict == Verdict::Failed);
    let by_canary = failed.clone().any(|(ip, _)| canaries.contains(ip));
    let by_most = canaries.is_empty() && 2 * failed.count() > votes.len();
    let votable = release.kind() != Kind::Rollback && release.parent().is_some();
    let down = votable && (by_canary || by_most);
    (down || force.key == force.head.key() && force.head_standing == Standing::VotedDown)
        .then_some(Disagreement::VotedDown(force.key))
}
