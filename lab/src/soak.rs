//! A soak: three nodes under load, to which components are pushed all along, and
//! every few seconds a random trouble. A seed goes in. That all serve one release
//! in the end, that no request was lost which no trouble explains, and that
//! memory, handles and disk are back where they were, is checked; how much there
//! was of everything comes out.
//!
//! ```text
//! seed -> trouble -> Excuse ─┐
//!         load    -> Loss  ──┴> unexplained
//!         pushes  -> Pushes
//!         rest    -> Rest before, after
//! ```

mod ask;
mod excuse;
mod load;
mod pushes;
mod releases;
mod rest;
mod shortage;
mod trouble;

use crate::lan::Lan;
use crate::programs::Programs;
use crate::push::Push;
use crate::rollout::Nodes;
use anyhow::{Context, Result, ensure};
use excuse::{Excuse, Loss, unexplained};
use load::Load;
use pushes::{Pusher, Pushes};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rest::Rest;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use trouble::Trouble;

/// The machines of the nodes.
const NODES: [u8; 3] = [2, 3, 4];
/// What must come, comes within this, also while all of it goes on.
const BOUND: Duration = Duration::from_secs(60);
/// How long a node may take that is asked to stop: what is open drains.
const STOPPED: Duration = Duration::from_secs(60);
/// Between two troubles, in milliseconds.
const CALM_MS: std::ops::RangeInclusive<u64> = 1_000..=4_000;
/// So many components are pushed before what is used is measured first: as many as
/// a store keeps, so that it is full both times.
const FIRST: usize = 6;
/// How many losses are shown.
const SHOWN: usize = 10;

/// What is done, and for how long.
#[derive(Clone, Debug)]
pub struct SoakPlan {
    /// The programs.
    pub programs: Programs,
    /// Components that are pushed besides the app.
    pub apps: Vec<PathBuf>,
    /// For how long troubles come.
    pub lasting: Duration,
    /// What the dice begin with.
    pub seed: u64,
}

/// What a soak came to.
#[derive(Debug)]
pub struct Soaked {
    /// How often each trouble came.
    pub troubles: BTreeMap<&'static str, u32>,
    /// How many requests were answered.
    pub answered: u64,
    /// The requests that were lost, and that a trouble explains.
    pub explained: usize,
    /// What became of the pushes.
    pub pushes: Pushes,
    /// What each node used before and after.
    pub rest: BTreeMap<u8, [Rest; 2]>,
}

/// Soak three nodes, and print what came of it.
///
/// # Errors
///
/// What was not as it has to be.
pub fn print(plan: &SoakPlan) -> Result<()> {
    let machines = u8::try_from(NODES.len())?;
    let lan = Lan::new(plan.programs.clone(), machines)?;
    println!(
        "3 nodes, a network namespace each; {}; seed {}, {}",
        crate::figures::machine(),
        plan.seed,
        humantime::format_duration(plan.lasting),
    );
    let soaked = run(&lan, plan)?;
    println!("{soaked}");
    Ok(())
}

/// Soak three nodes on this LAN.
///
/// # Errors
///
/// What was not as it has to be, with what every node has logged.
pub fn run(lan: &Lan, plan: &SoakPlan) -> Result<Soaked> {
    let mut nodes = Nodes::start(lan, &NODES, plan.programs.app(), &[], BOUND)?;
    let mut apps = vec![plan.programs.app().to_owned()];
    apps.extend(plan.apps.iter().cloned());
    let soaked = soak(&mut nodes, plan, &apps);
    soaked.with_context(|| format!("seed {}\n{}", plan.seed, nodes.output()))
}

fn soak(nodes: &mut Nodes<'_>, plan: &SoakPlan, apps: &[PathBuf]) -> Result<Soaked> {
    let lan = nodes.lan();
    let pusher = Pusher::new(lan, apps, plan.seed);
    for round in 0..FIRST {
        pusher.push_one(round)?;
    }
    let before = rest_of(nodes)?;
    let began = Instant::now();
    let (troubles, excuses, pushes, (answered, losses)) = thread::scope(|scope| -> Result<_> {
        let load = Load::begin(scope, lan, &NODES);
        let pushing = pusher.begin(scope);
        let troubled = troubles(nodes, plan, &pusher);
        let pushes = pushing.end()?;
        let asked = load.end()?;
        let (troubles, excuses) = troubled?;
        Ok((troubles, excuses, pushes, asked))
    })?;
    let lost = losses.len();
    let unexplained = unexplained(losses, &excuses);
    ensure!(
        unexplained.is_empty(),
        "{} requests were lost that no trouble explains, of {answered}; the first:\n{}",
        unexplained.len(),
        shown(&unexplained, began)
    );
    ensure!(answered > 0, "there was no load");
    ensure!(pushes.served > 0, "no push was served: {pushes:?}");
    agree(nodes, plan.programs.app(), &pusher)?;
    Ok(Soaked {
        troubles,
        answered,
        explained: lost,
        pushes,
        rest: settle(nodes, &before)?,
    })
}

/// Let one trouble after the other come. Returns how often each came, and what
/// each explains.
fn troubles(
    nodes: &mut Nodes<'_>,
    plan: &SoakPlan,
    pusher: &Pusher<'_>,
) -> Result<(BTreeMap<&'static str, u32>, Vec<Excuse>)> {
    let mut dice = StdRng::seed_from_u64(plan.seed);
    let end = Instant::now() + plan.lasting;
    let mut came = BTreeMap::new();
    let mut deck = Vec::new();
    let mut excuses = Vec::new();
    while Instant::now() < end {
        let trouble = Trouble::draw(&mut deck, &mut dice)?;
        let number = NODES[dice.random_range(0..NODES.len())];
        let nothing_else = trouble.is_alone().then(|| pusher.pause());
        eprintln!("lab: node {number}: {trouble:?}");
        let done = trouble.inflict(nodes, number, &mut dice);
        excuses.extend(done.with_context(|| format!("{trouble:?} on node {number}"))?);
        *came.entry(trouble.name()).or_default() += 1;
        drop(nothing_else);
        thread::sleep(Duration::from_millis(dice.random_range(CALM_MS)));
    }
    Ok((came, excuses))
}

/// Push one more component, and wait until all nodes serve it and list the same
/// releases.
fn agree(nodes: &Nodes<'_>, app: &Path, pusher: &Pusher<'_>) -> Result<()> {
    let last = pusher.marked(app, "last")?;
    let pushed = Push::start(nodes.lan(), NODES[0], Some(&last), BOUND)?.end(BOUND)?;
    ensure!(pushed.code == Some(0), "the last push: {pushed:#?}");
    let digest = pushed.digest().context("it released nothing")?;
    for number in NODES {
        nodes.serves(number, digest)?;
        nodes.stands(number, "target")?;
    }
    let first = nodes.releases(NODES[0])?;
    for number in NODES {
        let ids = |releases: &[serde_json::Value]| -> Vec<String> {
            releases.iter().map(|it| it["id"].to_string()).collect()
        };
        let listed = nodes.releases(number)?;
        ensure!(
            ids(&listed) == ids(&first),
            "node {number} lists other releases than node {}: {listed:#?}",
            NODES[0]
        );
    }
    Ok(())
}

fn rest_of(nodes: &Nodes<'_>) -> Result<BTreeMap<u8, Rest>> {
    let lan = nodes.lan();
    let of = |number: u8| {
        let folder = lan.machine(number).data_dir();
        Ok((number, Rest::of(nodes.host(number), folder)?))
    };
    NODES.into_iter().map(of).collect()
}

/// Wait until all nodes use about as much as before.
fn settle(nodes: &Nodes<'_>, before: &BTreeMap<u8, Rest>) -> Result<BTreeMap<u8, [Rest; 2]>> {
    let deadline = Instant::now() + BOUND;
    loop {
        let now = rest_of(nodes)?;
        let pairs: BTreeMap<u8, [Rest; 2]> = now
            .into_iter()
            .filter_map(|(number, now)| Some((number, [*before.get(&number)?, now])))
            .collect();
        let over = pairs.iter().find_map(|(number, [before, now])| {
            let what = now.is_more_than(before)?;
            Some(format!("node {number} has not given back {what}"))
        });
        let Some(over) = over else { return Ok(pairs) };
        ensure!(Instant::now() < deadline, "{over}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn shown(losses: &[Loss], began: Instant) -> String {
    let line = |loss: &Loss| {
        let [from, to] =
            [loss.began, loss.ended].map(|at| at.saturating_duration_since(began).as_secs_f64());
        format!("  node {}, {from:.2}-{to:.2} s: {}\n", loss.node, loss.why)
    };
    losses.iter().take(SHOWN).map(line).collect()
}

impl fmt::Display for Soaked {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in &self.troubles {
            writeln!(to, "{count:>6} x {name}")?;
        }
        writeln!(
            to,
            "{} requests answered, {} lost in a trouble that explains it",
            self.answered, self.explained
        )?;
        writeln!(to, "{}", self.pushes)?;
        for (number, [before, after]) in &self.rest {
            writeln!(to, "node {number}: {before}; after it: {after}")?;
        }
        Ok(())
    }
}
