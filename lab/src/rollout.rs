//! A release on its way to some nodes, each on its machine, that may serve any
//! app: what each of them does about it, by its log, its status and its page.
//!
//! ```text
//! app files -> trap_after_push, canary_traps, …      (left):   a release that is left
//!              canary_killed, pusher_killed, …       (killed): somebody dies on the way
//!           -> when what was seen on which node
//! ```

mod apps;
mod killed;
mod left;
mod seen;

use crate::client::Sse;
use crate::cluster::{ANSWER, START};
use crate::lan::Lan;
use crate::process::{Launch, Process};
use crate::push::{Push, Pushed};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

pub use apps::LONG;
pub use killed::{KilledCanary, KilledFetch, KilledUpload};
pub use left::{Apart, KeptOff, Overtaken, Reverted, StillOpen};

/// So many requests that trap are enough to be judged by, and one less is not:
/// so it is where `--revert-on-errors` is not given.
const ENOUGH: usize = 20;
/// Longer than anything here takes: a canary bakes until it is decided in
/// another way.
const LONG_BAKE: Duration = Duration::from_secs(600);
/// How long nodes drain whose open requests are to outlive it: so long that a release
/// is left within it however busy the machine is.
pub const DRAIN: Duration = Duration::from_secs(5);
/// How long between two looks at what nothing tells of.
const LOOK: Duration = Duration::from_millis(5);

/// Some nodes that serve this app, each on its machine.
#[derive(Debug)]
pub struct Nodes<'lan> {
    lan: &'lan Lan,
    nodes: BTreeMap<u8, Node>,
    bound: Duration,
}

#[derive(Debug)]
struct Node {
    launch: Launch,
    process: Process,
}

impl<'lan> Nodes<'lan> {
    /// Start a node that serves this app on each of these machines, with these
    /// flags besides the usual ones, and wait until they are of one mind. What
    /// must come later comes within the bound, or is an error.
    ///
    /// # Errors
    ///
    /// If they are not within [`START`].
    pub fn start(
        lan: &'lan Lan,
        numbers: &[u8],
        app: &Path,
        flags: &[&str],
        bound: Duration,
    ) -> Result<Self> {
        let mut nodes = BTreeMap::new();
        for number in numbers {
            let launch = lan.host(*number).flag("--app", app);
            let launch = launch.args(flags.iter().copied());
            let process = launch.spawn()?;
            nodes.insert(*number, Node { launch, process });
        }
        let nodes = Self { lan, nodes, bound };
        for node in nodes.nodes.values() {
            node.process.wait_until_ready(START)?;
        }
        nodes.list_each_other()?;
        for node in nodes.nodes.values() {
            node.process.wait_for_line(&["new target"], START)?;
        }
        Ok(nodes)
    }

    /// Start node N again, as it was started before; kill it first if it runs.
    /// Returns when it was started, once it is ready.
    ///
    /// # Errors
    ///
    /// If it is not ready within [`START`] or the bound.
    pub fn restart(&mut self, number: u8) -> Result<Instant> {
        self.restart_with(number, &[])
    }

    /// The same, this time with these flags besides.
    ///
    /// # Errors
    ///
    /// As [`Nodes::restart`].
    pub fn restart_with(&mut self, number: u8, flags: &[&str]) -> Result<Instant> {
        let node = self.nodes.get_mut(&number).context("no such node")?;
        if node.process.is_running() {
            node.process.kill()?;
        }
        // Its ports are free once it is gone.
        node.process.wait_for_end(self.bound)?;
        let launch = node.launch.clone().args(flags.iter().copied());
        node.process = launch.spawn()?;
        node.process.wait_until_ready(START.max(self.bound))?;
        Ok(node.process.started())
    }

    /// The LAN they are on.
    pub fn lan(&self) -> &'lan Lan {
        self.lan
    }

    /// The machines of all but these.
    pub fn others(&self, but: &[u8]) -> Vec<u8> {
        let numbers = self.nodes.keys().copied();
        numbers.filter(|number| !but.contains(number)).collect()
    }

    /// The host on machine N.
    ///
    /// # Panics
    ///
    /// If there is none: the test is wrong.
    pub fn host(&self, number: u8) -> &Process {
        let node = self.nodes.get(&number);
        let node = node.unwrap_or_else(|| panic!("no node on machine {number}"));
        &node.process
    }

    /// `host COMMAND …` on machine N, about the node there.
    pub fn command(&self, number: u8, command: &[&str]) -> Launch {
        self.lan.tool(number, command)
    }

    /// Wait until node N has logged a line with all of these words. Returns when.
    ///
    /// # Errors
    ///
    /// If it has not within the bound.
    pub fn says(&self, number: u8, words: &[&str]) -> Result<Instant> {
        self.says_after(self.host(number).started(), number, words)
    }

    /// The same, after this moment.
    pub(crate) fn says_after(&self, after: Instant, number: u8, words: &[&str]) -> Result<Instant> {
        let host = self.host(number);
        let line = host.wait_for_line_after(after, words, self.bound);
        Ok(line.with_context(|| format!("node {number}"))?.at)
    }

    /// Wait until all list all.
    pub(crate) fn list_each_other(&self) -> Result<()> {
        for number in self.others(&[]) {
            let all = self.nodes.len() as u64;
            let whole = |status: &serde_json::Value| status["members"].as_u64() == Some(all);
            self.wait_until_status(number, |status| whole(status).then_some(()))?;
        }
        Ok(())
    }

    /// The command that pushes an app at node N, at first to the canary alone, for
    /// so long.
    fn staged(&self, number: u8, app: &Path, bake: Duration) -> Launch {
        let bake = humantime::format_duration(bake).to_string();
        let push = ["push", "--canary", "1", "--bake", &bake];
        self.command(number, &push).arg(app)
    }

    /// Push an app at node N to all, and wait until the command has ended and said
    /// that all serve it.
    fn push(&self, number: u8, app: &Path) -> Result<Pushed> {
        let push = Push::start(self.lan, number, Some(app), self.bound)?;
        self.ends_well(&push)
    }

    /// The command that pushes an app at node N although it cannot take over open
    /// streams.
    fn dropping(&self, number: u8, app: &Path) -> Launch {
        self.command(number, &["push", "--drop-streams"]).arg(app)
    }

    /// Push such an app to all, and wait until the command has ended and said that all
    /// serve it.
    fn push_dropping(&self, number: u8, app: &Path) -> Result<Pushed> {
        let push = Push::of(&self.dropping(number, app), self.bound)?;
        self.ends_well(&push)
    }

    /// Wait until a push has ended and said that all serve it.
    fn ends_well(&self, push: &Push) -> Result<Pushed> {
        let pushed = push.end(self.bound)?;
        ensure!(pushed.code == Some(0), "{pushed:#?}\n{}", self.output());
        Ok(pushed)
    }

    /// The node that a single canary is: the one with the lowest address.
    pub(crate) fn canary(&self) -> Result<u8> {
        let lowest = self.nodes.keys().next();
        lowest.copied().context("there are no nodes")
    }

    /// Ask node N for what traps, as often as is enough to be judged by, and wait
    /// until it has judged. Returns when the last of these requests was answered,
    /// and when the node had logged its judgement.
    ///
    /// # Errors
    ///
    /// If a request does anything else than trap; if the node does not judge
    /// within the bound.
    pub fn let_trap(&self, number: u8) -> Result<(Instant, Instant)> {
        let began = Instant::now();
        let machine = self.lan.machine(number);
        for _ in 0..ENOUGH {
            let answer = machine.get(&format!("{}/panic", machine.url()), ANSWER)?;
            ensure!(answer.status == 500, "{}: {}", answer.status, answer.text());
        }
        let crossed = Instant::now();
        let words = ["requests trapped", "votes against the release"];
        Ok((crossed, self.says_after(began, number, &words)?))
    }

    /// A request on each machine that goes on, and says something when
    /// [`Nodes::let_speak`] wants it, until the code that it is on is cut off: the app
    /// is the fixture `misbehave`.
    ///
    /// # Errors
    ///
    /// If the app does not begin to answer.
    pub fn hold(&self) -> Result<BTreeMap<u8, Sse>> {
        let hold = |number: u8| {
            let machine = self.lan.machine(number);
            let url = format!("{}/hold/{}", machine.url(), topic(number));
            let held = machine.netns().run(|| Sse::open(&url, ANSWER))?;
            Ok((number, held))
        };
        self.others(&[]).into_iter().map(hold).collect()
    }

    /// Let the request that is held on machine N say something, which goes on or has
    /// been ended. Its app must serve there. Returns whether it did.
    ///
    /// # Errors
    ///
    /// If the app does not serve.
    pub fn let_speak(&self, number: u8, held: &Sse) -> Result<bool> {
        let machine = self.lan.machine(number);
        let answer = machine.get(
            &format!("{}/publish/{}", machine.url(), topic(number)),
            ANSWER,
        )?;
        ensure!(answer.text() == "published", "{}", answer.text());
        let said = held.next(self.bound);
        Ok(said.is_some_and(|said| said.event == topic(number)))
    }

    /// What all nodes have printed, for a failure to show.
    pub fn output(&self) -> String {
        let printed = |(number, node): (&u8, &Node)| {
            format!("node {number} printed:\n{}", node.process.output())
        };
        self.nodes.iter().map(printed).collect()
    }
}

/// What a request that is held on machine N listens to. Others do not: what is
/// published is told on every node.
fn topic(number: u8) -> String {
    format!("held-{number}")
}
