//! Rollouts on a LAN of network namespaces that falls apart meanwhile: two
//! decisions at once on two sides of it, a canary that is cut off while it is
//! tried out, and a push that comes while nodes go back.
//!
//! `cargo xtask lab schedules` does the first at length.

use anyhow::{Context, Result, ensure};
use lab::cluster::{ANSWER, START};
use lab::schedules::{Schedule, Session};
use lab::{Lan, Launch, Process, Programs, client};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What must come, comes within this.
const BOUND: Duration = Duration::from_secs(30);
/// How long a canary is tried out here: long enough that two commands follow it
/// and it is cut off meanwhile, however busy the machine is.
const BAKE: Duration = Duration::from_secs(15);
/// How long between two looks at what nothing tells of.
const LOOK: Duration = Duration::from_millis(20);
/// So many requests that trap are enough to be judged by.
const REQUESTS: usize = 30;

/// A LAN of so many machines, or none where there can be none.
fn lan(machines: u8) -> Result<Option<Lan>> {
    let programs = Programs::of_test(env!("CARGO_BIN_EXE_host"))?;
    Ok(Lan::or_skip(programs, machines))
}

/// Some nodes that serve this app, each on its machine.
struct Nodes<'lan> {
    lan: &'lan Lan,
    hosts: Vec<(u8, Process)>,
}

impl<'lan> Nodes<'lan> {
    fn start(lan: &'lan Lan, app: &Path, flags: &[&str]) -> Result<Self> {
        let mut nodes = Self {
            lan,
            hosts: Vec::new(),
        };
        for machine in lan.machines() {
            let number = machine.number();
            let launch = lan.host(number).flag("--app", app);
            let host = launch.args(flags.iter().copied()).spawn()?;
            nodes.hosts.push((number, host));
        }
        for (number, _) in &nodes.hosts {
            nodes.host(*number)?.wait_until_ready(START)?;
            for other in nodes.others(&[*number]) {
                let name = lan.machine(other).node_name();
                nodes.says(*number, &["member up", &name])?;
            }
            nodes.says(*number, &["release in force"])?;
        }
        Ok(nodes)
    }

    fn host(&self, number: u8) -> Result<&Process> {
        let host = self.hosts.iter().find(|(it, _)| *it == number);
        host.map(|(_, host)| host).context("no such node")
    }

    /// All but these.
    fn others(&self, but: &[u8]) -> Vec<u8> {
        let numbers = self.hosts.iter().map(|(number, _)| *number);
        numbers.filter(|number| !but.contains(number)).collect()
    }

    fn says(&self, number: u8, words: &[&str]) -> Result<Instant> {
        let line = self.host(number)?.wait_for_line(words, BOUND)?;
        Ok(line.at)
    }

    /// `host COMMAND …` on machine N.
    fn command(&self, number: u8, command: &[&str]) -> Launch {
        self.lan.tool(number, command)
    }

    /// Ask for what traps, until that is enough to be judged by.
    fn let_trap(&self, number: u8) -> Result<()> {
        let machine = self.lan.machine(number);
        for _ in 0..REQUESTS {
            // From the verdict on, the app before may answer.
            machine.get(&format!("{}/panic", machine.url()), ANSWER)?;
        }
        self.says(number, &["requests trapped", "votes against the release"])
            .map(drop)
    }

    /// What the node changed to, by its log: the beginnings of the digests.
    fn changes(&self, number: u8) -> Result<Vec<String>> {
        let lines = self.host(number)?.lines();
        let changes = lines
            .iter()
            .filter(|line| line.text.contains("the app changed"));
        let digest = |text: &str| {
            let (_, rest) = text.split_once("digest=\"")?;
            rest.split('"').next().map(str::to_owned)
        };
        Ok(changes.filter_map(|line| digest(&line.text)).collect())
    }

    /// How the newest release stands on a node, which can be asked wherever its
    /// cable is.
    fn standing(&self, number: u8) -> Result<Value> {
        let socket = self.lan.machine(number).data_dir().join("host.sock");
        let answer = client::get_over(&socket, "/v1/releases", ANSWER)?;
        let mut releases: Value = serde_json::from_slice(&answer.body)?;
        Ok(releases["releases"][0]["standing"].take())
    }

    /// Wait until the newest release stands like this on a node.
    fn stands(&self, number: u8, standing: &str) -> Result<()> {
        let deadline = Instant::now() + BOUND;
        loop {
            let stands = self.standing(number)?;
            if stands == standing {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "on .{number} it is {stands}");
            sleep(LOOK);
        }
    }

    /// Wait until a node serves this app.
    fn serves(&self, number: u8, digest: &str) -> Result<()> {
        let deadline = Instant::now() + BOUND;
        loop {
            let serving = self.lan.machine(number).status(ANSWER)?["serving"].take();
            if serving["digest"] == digest {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, ".{number} serves {serving:#}");
            sleep(LOOK);
        }
    }

    /// A request on machine N that goes on until the code that it began with is
    /// cut off.
    fn hold(&self, number: u8) -> Result<TcpStream> {
        let machine = self.lan.machine(number);
        machine.netns().run(|| {
            let mut stream = TcpStream::connect((machine.ip(), 8080))?;
            stream.set_read_timeout(Some(ANSWER))?;
            stream.write_all(b"GET /hold HTTP/1.1\r\nhost: lab\r\n\r\n")?;
            let mut said = Vec::new();
            while !said.ends_with(b"holding\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                said.extend(byte);
            }
            Ok(stream)
        })
    }
}

/// How a command ended, and its last line.
fn end(command: &Process) -> Result<(Option<i32>, String)> {
    let (status, _) = command.wait_for_end(BOUND)?;
    println!("{}", command.output());
    let last = command.lines().pop();
    Ok((status.code(), last.map(|it| it.text).unwrap_or_default()))
}

/// An app that the test program built, and its digest.
fn built(lan: &Lan, package: &str) -> Result<(PathBuf, String)> {
    let path = lan.programs().component(package);
    let digest = cluster::Digest::of(&std::fs::read(&path)?).to_string();
    Ok((path, digest))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

/// Where the schedules start: from `LAB_SEED`, or the clock; a failure prints it.
fn seed() -> u64 {
    let given = std::env::var("LAB_SEED").ok();
    given.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
        now.unwrap_or_default().as_secs()
    })
}

#[test]
fn of_two_decisions_at_once_on_two_sides_of_a_cut_one_holds_and_both_commands_tell_the_truth()
-> Result<()> {
    let Some(lan) = lan(4)? else { return Ok(()) };
    let seed = seed();
    println!("the schedules are those of LAB_SEED={seed}");
    let mut session = Session::start(&lan)?;
    for seed in (seed..).take(6) {
        let schedule = Schedule::draw(seed);
        let ran = session.run(&schedule)?;
        println!("{schedule}: {ran:?}");
    }
    Ok(())
}

#[test]
fn a_canary_that_is_cut_off_keeps_its_vote_until_it_is_back_and_nobody_else_serves_it_before()
-> Result<()> {
    let Some(lan) = lan(4)? else { return Ok(()) };
    let (old, _) = built(&lan, "fixture-counter-v1")?;
    let (new, digest) = built(&lan, "fixture-counter-v2")?;
    let nodes = Nodes::start(&lan, &old, &[])?;
    let bake = humantime::format_duration(BAKE).to_string();
    let staged = ["push", text(&new)?, "--canary", "1", "--bake", &bake];
    let push = nodes.command(3, &staged).spawn()?;
    nodes.says(4, &["release bakes"])?;
    nodes.says(2, &["the app changed"])?;
    // Others look on: one only for so long after that, one where the canary is.
    let short = nodes
        .command(4, &staged)
        .args(["--timeout", "5s"])
        .spawn()?;
    let alone = nodes.command(2, &staged).spawn()?;
    for follows in [&short, &alone] {
        follows.wait_for_line(&["already"], BOUND)?;
    }
    lan.cut(2)?;
    let away = lan.machine(2).node_name();
    for other in [3, 4, 5] {
        nodes.says(other, &["member down", &away])?;
    }
    // Where it is alone, its word is that of all canaries.
    nodes.says(2, &["release accepted by vote"])?;
    let (code, last) = end(&alone)?;
    ensure!(
        code == Some(0)
            && last.starts_with("done: 1 node serves it; gone before that: ")
            && last.ends_with("; a node that comes back gets it"),
        "{last}"
    );
    for other in [3, 4, 5] {
        ensure!(last.contains(&lan.machine(other).node_name()), "{last}");
    }
    let (code, last) = end(&short)?;
    ensure!(code == Some(5), "{code:?}");
    ensure!(
        last.contains("0 of 3 serve it; it waits for the votes of 10.10.10.2"),
        "{last}"
    );
    ensure!(push.is_running(), "{}", push.output());
    for other in [3, 4, 5] {
        ensure!(nodes.standing(other)? == "baking");
        ensure!(nodes.changes(other)?.is_empty(), ".{other} serves it");
    }
    lan.mend(2)?;
    let (code, last) = end(&push)?;
    ensure!(
        code == Some(0) && last == "done: 4 nodes serve it",
        "{last}"
    );
    for number in nodes.others(&[]) {
        nodes.serves(number, &digest)?;
        ensure!(nodes.standing(number)? == "in-force");
        ensure!(nodes.changes(number)?.len() == 1, "{number}");
    }
    Ok(())
}

#[test]
fn a_canary_that_fails_while_it_is_cut_off_has_served_it_alone_once_it_is_back() -> Result<()> {
    let Some(lan) = lan(4)? else { return Ok(()) };
    let (old, before) = built(&lan, "fixture-counter-v1")?;
    let (bad, _) = built(&lan, "fixture-misbehave")?;
    let nodes = Nodes::start(&lan, &old, &[])?;
    let staged = ["push", text(&bad)?, "--canary", "1", "--bake", "60s"];
    let push = nodes.command(3, &staged).spawn()?;
    nodes.says(2, &["the app changed"])?;
    lan.cut(2)?;
    nodes.says(3, &["member down", &lan.machine(2).node_name()])?;
    nodes.let_trap(2)?;
    nodes.serves(2, &before)?;
    // Nobody else can know.
    for other in [3, 4, 5] {
        ensure!(nodes.standing(other)? == "baking");
    }
    ensure!(push.is_running(), "{}", push.output());
    let mended = Instant::now();
    lan.mend(2)?;
    let (code, last) = end(&push)?;
    println!("cable plugged in -> told: {:?}", mended.elapsed());
    ensure!(code == Some(3), "{code:?}");
    // By its name and with its reason, if it was heard of before its vote.
    ensure!(
        last.starts_with("voted down by ")
            && last.contains("10.10.10.2")
            && last.contains("in force is release"),
        "{last}"
    );
    for number in nodes.others(&[]) {
        nodes.stands(number, "voted-down")?;
        nodes.serves(number, &before)?;
        let served = nodes.changes(number)?.len();
        ensure!(served == if number == 2 { 2 } else { 0 }, ".{number}");
    }
    Ok(())
}

#[test]
fn a_push_that_comes_while_nodes_go_back_wins_and_none_of_them_goes_back() -> Result<()> {
    let Some(lan) = lan(3)? else { return Ok(()) };
    let (old, before) = built(&lan, "fixture-misbehave")?;
    let (bad, _) = built(&lan, "fixture-plain")?;
    let (new, digest) = built(&lan, "fixture-counter-v1")?;
    let nodes = Nodes::start(&lan, &old, &["--drain", "10m"])?;
    // What the bad release does not take over holds the old code on two nodes,
    // so that there is no room to go back to it before it has drained.
    let held = [nodes.hold(3)?, nodes.hold(4)?];
    let push = nodes.command(2, &["push", text(&bad)?]).spawn()?;
    ensure!(end(&push)?.0 == Some(0));
    nodes.let_trap(3)?;
    nodes.serves(2, &before)?;
    for number in [3, 4] {
        nodes.stands(number, "voted-down")?;
        ensure!(
            nodes.changes(number)?.len() == 1,
            ".{number} is back already"
        );
    }
    let push = nodes.command(2, &["push", text(&new)?]).spawn()?;
    push.wait_for_line(&["released "], BOUND)?;
    for number in [3, 4] {
        nodes.stands(number, "in-force")?;
    }
    // Now there may be room, for the newer one.
    drop(held);
    let (code, last) = end(&push)?;
    ensure!(
        code == Some(0) && last == "done: 3 nodes serve it",
        "{last}"
    );
    for number in nodes.others(&[]) {
        ensure!(nodes.standing(number)? == "in-force");
        nodes.serves(number, &digest)?;
    }
    for number in [3, 4] {
        let changes = nodes.changes(number)?;
        let back = changes.iter().any(|it| before.starts_with(it.as_str()));
        ensure!(!back && changes.len() == 2, ".{number}: {changes:?}");
    }
    Ok(())
}
