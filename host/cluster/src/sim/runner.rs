//! Runs a scenario: performs its operations, ends every fault, waits until all nodes agree, and
//! checks the invariants meanwhile and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::{Cidr, Effect, Time};

use super::agreement;
use super::audit::{Audit, Harmless};
use super::invariants::{self, Facts, Violation};
use super::ledger::{GRACE, Ledger, Touch};
use super::perform::Undo;
use super::scenario::Scenario;
use super::{Lan, PORT, secs};

/// How long a cluster is watched for changes after all agree.
const REST: Duration = Duration::from_secs(8);

/// The share of datagrams that is always lost in a lossy scenario.
const LOSS: f64 = 0.01;

/// The report of a run without violations.
#[derive(Clone, Debug)]
pub struct Report {
    /// How long the views took to converge after the last fault.
    pub converged: Duration,
    /// How long the run took, in virtual time.
    pub lasted: Duration,
    /// The most bytes per second that a node sent, over the whole run.
    pub sent: u64,
    /// The most bytes per second that a node sent after all agreed.
    pub rest: u64,
    /// How many datagrams changed nothing, by the reason why they must not.
    pub harmless: BTreeMap<Harmless, u64>,
}

/// A run that broke an invariant.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The scenario.
    pub scenario: Scenario,
    /// The violations; never empty.
    pub violations: Vec<Violation>,
    /// The last reports of the nodes.
    pub log: Vec<String>,
}

/// A scenario that is being run.
pub(super) struct Runner {
    pub(super) lan: Lan,
    /// How many machines are nodes of the scenario: the first ones.
    pub(super) nodes: usize,
    pub(super) ledger: Ledger,
    /// The machines whose name another machine had at some time.
    pub(super) shared: BTreeSet<usize>,
    /// The operations that end later, by time.
    pub(super) pending: BTreeMap<(Time, u64), Undo>,
    pub(super) order: u64,
    /// How many machines hold the cookie.
    pub(super) holders: usize,
    /// The share of datagrams that is lost while there is no fault.
    pub(super) loss: f64,
    /// Whether all faults have ended and all views have converged.
    pub(super) agreed: bool,
    /// How much of the log has been checked.
    judged: usize,
    violations: Vec<Violation>,
}

impl Scenario {
    /// Runs the scenario.
    ///
    /// # Errors
    /// The violations.
    pub fn run(&self) -> Result<Report, Box<Failure>> {
        let mut runner = Runner::new(self);
        for &op in &self.ops {
            runner.perform(op);
            runner.judge();
        }
        runner.finish(self)
    }
}

impl Runner {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let (nodes, far) = (
            usize::from(scenario.nodes.max(1)),
            usize::from(scenario.far),
        );
        let mut lan = Lan::new(scenario.seed);
        let loss = if scenario.lossy { LOSS } else { 0.0 };
        lan.loss = loss;
        lan.tape = Some(Vec::new());
        lan.audit = Some(Audit::of(nodes));
        let near = nodes - far.min(nodes - 1);
        let range = |text: [u8; 4]| Cidr::new(Ipv4Addr::from(text), 16).expect("a range");
        for node in 0..nodes {
            if node < near {
                let machine = lan.machine(&format!("10.10.10.{}", node + 2));
                if far > 0 {
                    lan.machines[machine].allow = vec![range([192, 168, 0, 0])];
                }
                continue;
            }
            let machine = lan.machine(&format!("192.168.{node}.2"));
            let its = &mut lan.machines[machine];
            (its.broadcasts, its.prefix, its.domain) = (false, 24, node as u32);
            its.allow = vec![range([192, 168, 0, 0]), range([10, 10, 0, 0])];
            its.join = (0..near.min(2) as u8)
                .map(|seed| SocketAddrV4::new(Ipv4Addr::new(10, 10, 10, seed + 2), PORT))
                .collect();
        }
        (0..nodes).for_each(|machine| lan.start(machine));
        Self {
            lan,
            nodes,
            ledger: Ledger::default(),
            shared: BTreeSet::new(),
            pending: BTreeMap::new(),
            order: 0,
            holders: nodes,
            loss,
            agreed: false,
            judged: 0,
            violations: Vec::new(),
        }
    }

    /// Lets time pass, and ends operations whose time is over.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.lan.now + time;
        while let Some(entry) = self.pending.first_entry()
            && entry.key().0 <= end
        {
            let ((at, _), undo) = entry.remove_entry();
            self.lan.run(at.since(self.lan.now));
            self.undo(undo);
        }
        self.lan.run(end.since(self.lan.now));
    }

    /// Checks the reports since the last call.
    pub(super) fn judge(&mut self) {
        for entry in self.lan.since(self.judged) {
            let ended = matches!(entry.effect, Effect::NameTaken { .. } | Effect::Departed);
            if ended && entry.machine < self.nodes {
                self.ledger.open(Touch::Of(entry.machine), entry.at);
            }
        }
        let facts = Facts {
            machines: self.nodes,
            ledger: &self.ledger,
            shared: &self.shared,
            agreed: self.agreed,
        };
        let entries = self.lan.since(self.judged);
        let of_nodes = entries.filter(|entry| entry.machine < self.nodes);
        let broken = of_nodes.filter_map(|entry| invariants::unexplained(&self.lan, entry, &facts));
        self.violations.extend(broken);
        self.judged = self.lan.log.len();
        for machine in 0..self.nodes {
            let sources = invariants::SOURCES;
            let grown = invariants::grown(&self.lan, machine, self.holders, sources);
            self.violations.extend(grown);
        }
        if let Some(audit) = &mut self.lan.audit {
            self.violations.append(&mut audit.found);
        }
    }

    /// Ends every fault, waits until all nodes agree, and returns the violations.
    pub(super) fn finish(mut self, scenario: &Scenario) -> Result<Report, Box<Failure>> {
        self.heal();
        let nodes = self.nodes;
        let converged = self.lan.within(invariants::CONVERGE, |lan| {
            invariants::diverged(lan, nodes).is_none()
        });
        self.judge();
        // Views may agree only because nobody has noticed a fault yet.
        self.pass(GRACE);
        self.lan.within(invariants::CONVERGE, |lan| {
            invariants::diverged(lan, nodes).is_none()
        });
        self.pass(secs(1));
        self.judge();
        let late = Violation::Late {
            within: invariants::CONVERGE,
        };
        let diverged = invariants::diverged(&self.lan, nodes);
        let late = converged.is_none().then_some(late);
        self.violations.extend(diverged.or(late));
        self.agreed = true;
        let before: Vec<u64> = self.sent().collect();
        self.pass(REST);
        self.judge();
        let rest: Vec<u64> = self.sent().zip(before).map(|(it, was)| it - was).collect();
        let how = agreement::disagreed(&self.lan, nodes);
        if let Some((machine, how)) = how.or_else(|| super::settings::disagreed(&self.lan, nodes)) {
            self.violations.push(Violation::Disagreed { machine, how });
        }
        let (at_once, per_second) = (invariants::BYTES_AT_ONCE, invariants::BYTES_PER_SECOND);
        let all = self.lan.now.since(Time::ZERO);
        for (machine, &at_rest) in rest.iter().enumerate() {
            let sent = invariants::sent(&self.lan, machine);
            let noisy = [
                invariants::noisy(machine, sent, all, at_once, per_second),
                invariants::noisy(machine, at_rest, REST, 0, invariants::BYTES_AT_REST),
            ];
            self.violations.extend(noisy.into_iter().flatten());
        }
        let rest = rest.into_iter().max().unwrap_or(0) / REST.as_secs();
        let lasted = self.lan.now.since(Time::ZERO);
        let sent = self.sent().max().unwrap_or(0) / lasted.as_secs().max(1);
        match converged {
            Some(converged) if self.violations.is_empty() => Ok(Report {
                converged,
                lasted,
                sent,
                rest,
                harmless: self
                    .lan
                    .audit
                    .take()
                    .map(|a| a.harmless)
                    .unwrap_or_default(),
            }),
            _ => Err(Box::new(Failure {
                scenario: scenario.clone(),
                violations: self.violations,
                log: self.lan.log_tail(60),
            })),
        }
    }
}

impl Runner {
    /// How many bytes each node has sent.
    fn sent(&self) -> impl Iterator<Item = u64> {
        let nodes = &self.lan.machines[..self.nodes];
        nodes
            .iter()
            .map(|machine| machine.sent.1 + machine.synced.1)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.log.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        self.violations
            .iter()
            .try_for_each(|violation| writeln!(f, "broken: {violation}"))?;
        write!(
            f,
            "repeat this run with\nCLUSTER_SCENARIO='{}' cargo test --release -p cluster \
             --test network scenario",
            self.scenario
        )
    }
}
