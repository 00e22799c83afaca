//! Random schedules: two decisions about the app at once, on two sides of a LAN
//! that falls apart and heals. A seed goes in; that there is one release
//! everywhere in the end, the other one in the history, and that both commands
//! told the truth, is checked; how long it took comes out.
//!
//! ```text
//! seed -> draw -> Session::run -> facts, said -> truth -> Ran
//! ```

mod draw;
mod facts;
mod nodes;
mod pulse;
mod said;
mod truth;

use crate::components::marked;
use crate::lan::Lan;
use crate::process::{Launch, Process};
use anyhow::{Context, Result, ensure};
use facts::{Facts, Log};
use nodes::{Nodes, Release, Releases};
use pulse::Pulse;
use said::Said;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use truth::Two;

pub use draw::{HALVES, Heal, Schedule, Split, What};

/// What must come, comes within this.
const BOUND: Duration = Duration::from_secs(30);

/// Who makes the releases of a schedule.
const BY: &str = "ann";

/// How the two decisions came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// Neither knew the other: one of them lost.
    Conflict,
    /// The second one was made on top of the first.
    Sequence,
    /// Both made the same release.
    Same,
}

/// What a schedule came to.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// How the two came out.
    pub relation: Relation,
    /// The exit status of each command.
    pub exits: [i32; 2],
    /// From when the LAN was whole and both were released, until all nodes
    /// served one release and listed the same ones.
    pub agreed: Duration,
    /// All of it.
    pub took: Duration,
    /// For how long of that the machine stood still.
    pub stood_still: Duration,
    /// How old what the commands said at their ends was allowed to be: the
    /// usual, and what the machine stood still just then.
    pub leeway: Duration,
}

/// Four nodes that stay up for many schedules, one after the other.
#[derive(Debug)]
pub struct Session<'lan> {
    lan: &'lan Lan,
    nodes: Nodes,
    /// How many schedules they have gone through.
    count: u32,
}

/// A command that was started.
struct Command {
    process: Process,
    on: u8,
    timeout: Duration,
}

/// When the cables were moved.
#[derive(Clone, Copy)]
struct Apart {
    cut: Instant,
    healed: Instant,
}

impl<'lan> Session<'lan> {
    /// Start the nodes.
    ///
    /// # Errors
    ///
    /// If the LAN has other machines than [`HALVES`], or they do not come up.
    pub fn start(lan: &'lan Lan) -> Result<Self> {
        let machines = lan.machines().iter().map(|machine| machine.number());
        ensure!(
            machines.eq(HALVES.into_iter().flatten()),
            "schedules want the machines {HALVES:?}"
        );
        Ok(Self {
            lan,
            nodes: Nodes::start(lan)?,
            count: 0,
        })
    }

    /// Carry out a schedule, and check all that follows from it.
    ///
    /// # Errors
    ///
    /// What was not as it has to be, with all that was said. The nodes may be
    /// in any state then.
    pub fn run(&mut self, schedule: &Schedule) -> Result<Ran> {
        let began = Instant::now();
        let mut commands = Vec::new();
        let ran = self.carry_out(schedule, began, &mut commands);
        ran.with_context(|| {
            let mut text = format!("{schedule}\n");
            for command in &commands {
                let said = command.process.output();
                text += &format!("the command on .{} said:\n{said}", command.on);
            }
            for node in self.nodes.all() {
                text += &format!("node .{} logged:\n", node.number);
                for line in node.log_since(began) {
                    text += &format!("  {}\n", line.text);
                }
            }
            text
        })
    }

    fn carry_out(
        &mut self,
        schedule: &Schedule,
        began: Instant,
        commands: &mut Vec<Command>,
    ) -> Result<Ran> {
        self.count += 1;
        let pulse = Pulse::start();
        self.nodes.wait_until_settled(BOUND)?;
        let before = match schedule.goes_back() {
            true => Some(self.something_to_go_back_from(schedule)?),
            false => None,
        };
        let launches = self.launches(schedule, before.as_deref())?;
        let since = Instant::now();
        let mut served = BTreeMap::new();
        for node in self.nodes.all() {
            let status = node.status()?;
            served.insert(
                node.number,
                status.serves().context("it serves nothing")?.to_owned(),
            );
        }

        let apart = self.happen(schedule, launches, commands)?;
        let released = commands.iter().map(Command::released);
        let released = released.collect::<Result<Vec<_>>>()?;
        let [(first_at, first), (second_at, second)] = &released[..] else {
            anyhow::bail!("there are {} commands", released.len());
        };
        let ids = [first.as_str(), second.as_str()];
        let (agreed, listed) = self.nodes.wait_until_agreed(ids, BOUND)?;
        let said = commands.iter().map(Command::said);
        let said = said.collect::<Result<Vec<_>>>()?;

        let facts = self.facts(&served, since, apart);
        let [winner, loser] = truth::check_order(&listed, ids)?;
        self.shown_alike(&listed)?;
        let relation = match loser.status.as_str() {
            _ if winner.id == loser.id => Relation::Same,
            "superseded" => Relation::Conflict,
            _ => Relation::Sequence,
        };
        if relation == Relation::Conflict {
            self.all_log_the_conflict(&facts, loser, winner)?;
        }
        let pauses = pulse.pauses();
        let mut leeway = Duration::ZERO;
        for said in &said {
            let own = match facts::begins(&winner.id, &said.id) {
                true => winner,
                false => loser,
            };
            let checked = truth::check(said, Two { own, winner }, &facts, &pauses);
            let given =
                checked.with_context(|| format!("untrue on .{}: {}", said.on, said.last))?;
            leeway = leeway.max(given);
        }
        let possible = (*first_at).max(*second_at).max(apart.healed);
        Ok(Ran {
            relation,
            exits: [0, 1].map(|at| said.get(at).and_then(|said| said.exit).unwrap_or(-1)),
            agreed: agreed.saturating_duration_since(possible),
            took: began.elapsed(),
            stood_still: pauses.sum(),
            leeway,
        })
    }

    fn all_log_the_conflict(&self, facts: &Facts, loser: &Release, winner: &Release) -> Result<()> {
        for node in self.nodes.all() {
            let told = facts.superseded(node.number, &loser.id, &winner.id);
            ensure!(
                told.is_some(),
                ".{} does not log by whom {} is superseded",
                node.number,
                loser.id
            );
        }
        Ok(())
    }

    /// A release more, so that going back is possible whatever was decided
    /// before. Returns the id of the release that it follows.
    fn something_to_go_back_from(&self, schedule: &Schedule) -> Result<String> {
        let on = schedule.on[0];
        let push = self
            .lan
            .tool(on, &["push"])
            .arg(self.app(schedule, "base")?)
            .args(["--by", BY, "--note", "base"]);
        let push = push.spawn()?;
        let (status, _) = push.wait_for_end(BOUND)?;
        ensure!(status.code() == Some(0), "the base: {}", push.output());
        self.nodes.wait_until_settled(BOUND)?;
        let first = self.nodes.all().first().context("there are no nodes")?;
        let head = first.releases()?.into_iter().next();
        let head = head.context("the base is not listed")?;
        ensure!(head.note == "base", "the base is not the newest: {head:?}");
        head.parent.context("the base follows nothing")
    }

    /// An app that was never there before.
    fn app(&self, schedule: &Schedule, which: &str) -> Result<PathBuf> {
        let app = std::fs::read(self.lan.programs().app()).context("cannot read the app")?;
        let mark = format!("{} {} {which}", schedule.seed, self.count);
        let path = self.lan.scratch().join(format!("{which}.wasm"));
        std::fs::write(&path, marked(&app, mark.as_bytes()))?;
        Ok(path)
    }

    /// The two commands. `before`: the release before the target.
    fn launches(&self, schedule: &Schedule, before: Option<&str>) -> Result<[Launch; 2]> {
        let push = |which: &str| -> Result<Vec<String>> {
            let path = self.app(schedule, which)?.into_os_string().into_string();
            let path = path.map_err(|path| anyhow::anyhow!("{} is no text", path.display()))?;
            Ok(vec!["push".to_owned(), path])
        };
        let rollback = || vec!["rollback".to_owned()];
        let rollback_to = || -> Result<Vec<String>> {
            let before = before.context("there is nothing to go back to")?;
            Ok(vec!["rollback".to_owned(), before.to_owned()])
        };
        let commands = match schedule.what {
            What::TwoApps => [push("one")?, push("other")?],
            What::SameApp => [push("one")?, push("one")?],
            What::RollbackThenPush => [rollback(), push("other")?],
            What::PushThenRollback => [push("one")?, rollback()],
            What::TwoRollbacks => [rollback_to()?, rollback_to()?],
        };
        let [first, second] = commands;
        let launch = |at: usize, command: Vec<String>, note: &str| -> Result<Launch> {
            let timeout = humantime::format_duration(schedule.timeout[at]).to_string();
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            let launch = self.lan.tool(schedule.on[at], &command);
            Ok(launch
                .args(["--by", BY, "--note", note])
                .args(["--timeout", &timeout]))
        };
        Ok([launch(0, first, "first")?, launch(1, second, "second")?])
    }

    /// Let it all happen, until the LAN is whole again.
    fn happen(
        &self,
        schedule: &Schedule,
        launches: [Launch; 2],
        commands: &mut Vec<Command>,
    ) -> Result<Apart> {
        let away = &HALVES[1];
        let split = || -> Result<Instant> {
            let at = Instant::now();
            self.lan.split_off(away)?;
            Ok(at)
        };
        let mut cut = None;
        match schedule.split {
            Split::Noticed => {
                cut = Some(split()?);
                self.nodes.wait_until_apart(BOUND)?;
            }
            Split::Before(long) => {
                cut = Some(split()?);
                wait_until(Instant::now() + long);
            }
            Split::Between(_) | Split::After(_) => {}
        }
        let [first, second] = launches;
        let began = Instant::now();
        let start = |at: usize, launch: Launch| -> Result<Command> {
            Ok(Command {
                process: launch.spawn()?,
                on: schedule.on[at],
                timeout: schedule.timeout[at],
            })
        };
        commands.push(start(0, first)?);
        if let Split::Between(after) = schedule.split {
            wait_until(began + after);
            cut = Some(split()?);
        }
        wait_until(began + schedule.delay);
        commands.push(start(1, second)?);
        if let Split::After(after) = schedule.split {
            wait_until(Instant::now() + after);
            cut = Some(split()?);
        }
        match schedule.heal {
            Heal::Meanwhile(after) => wait_until(Instant::now() + after),
            Heal::Ended(after) => {
                for command in &*commands {
                    command.process.wait_for_end(command.timeout + BOUND)?;
                }
                wait_until(Instant::now() + after);
            }
        }
        self.lan.reunite(away)?;
        Ok(Apart {
            cut: cut.context("the LAN never fell apart")?,
            healed: Instant::now(),
        })
    }

    fn facts(&self, served: &BTreeMap<u8, String>, since: Instant, apart: Apart) -> Facts {
        let logs = self.nodes.all().iter().map(|node| {
            let served = served.get(&node.number).map_or("", String::as_str);
            let log = Log::read(&node.log_since(since), (since, served));
            (node.number, log)
        });
        Facts::new((apart.cut, apart.healed), logs.collect())
    }

    /// Every node shows people the same history.
    fn shown_alike(&self, listed: &[Release]) -> Result<()> {
        for node in self.nodes.all() {
            let show = self
                .lan
                .tool(node.number, &["releases", "--json"])
                .spawn()?;
            let (status, _) = show.wait_for_end(BOUND)?;
            ensure!(status.success(), "host releases: {}", show.output());
            let lines = show.lines();
            let line = lines.first().context("host releases says nothing")?;
            let shown: Releases = serde_json::from_str(&line.text).context("host releases")?;
            ensure!(
                shown.releases == listed,
                ".{} shows another history: {:#?}",
                node.number,
                shown.releases.iter().take(4).collect::<Vec<_>>()
            );
        }
        Ok(())
    }
}

impl Command {
    /// When it said which release it follows, and which.
    fn released(&self) -> Result<(Instant, String)> {
        let deadline = Instant::now() + BOUND;
        loop {
            let ended = !self.process.is_running();
            if ended {
                // What it said is read to its end.
                self.process.wait_for_end(BOUND)?;
            }
            if let Some(released) = said::released(&self.process.lines()) {
                return Ok(released);
            }
            ensure!(
                !ended && Instant::now() < deadline,
                "the command on .{} released nothing",
                self.on
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All that it says, once it has ended.
    fn said(&self) -> Result<Said> {
        let (status, ended) = self.process.wait_for_end(self.timeout + BOUND)?;
        let lines = self.process.lines();
        Said::read(&lines, (self.on, self.timeout), (status.code(), ended))
    }
}

fn wait_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}
