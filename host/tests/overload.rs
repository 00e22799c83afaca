//! A node that has too little of something: what it turns away, what it says of it, and
//! what it still does.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::little_memory::LittleMemory;
use lab::{Answer, Launch, Process, Programs, client, components, skip};
use serde_json::Value;

/// What must come, comes within this. Reached only by a test that fails.
const BOUND: Duration = Duration::from_secs(60);
/// How long the largest component here may compile, on a busy machine.
const LONG: Duration = Duration::from_secs(300);
/// How long between two looks at what nothing tells of.
const LOOK: Duration = Duration::from_millis(5);

struct Place {
    programs: Programs,
    dir: tempfile::TempDir,
}

struct Node {
    process: Process,
    url: String,
}

impl Place {
    fn new() -> Result<Place> {
        Ok(Place {
            programs: Programs::of_test(env!("CARGO_BIN_EXE_host"))?,
            dir: tempfile::tempdir()?,
        })
    }

    fn launch(&self) -> Launch {
        Launch::new(self.programs.host())
            .dir(self.dir.path())
            .flag("--name", "example@127.0.0.1")
            .flag("--http", "127.0.0.1:0")
            .flag("--cluster-port", "0")
            .flag("--app", self.programs.component("fixture-misbehave"))
            .flag("--data-dir", self.dir.path().join("data"))
            .env("HOST_COOKIE", "a cookie of the tests")
    }

    /// Starts a node, and waits until it has released its app file: what is pushed then
    /// follows that.
    fn start(launch: &Launch) -> Result<Node> {
        let process = launch.spawn()?;
        let ready = process.wait_until_ready(BOUND)?.text;
        let mut words = ready.split_whitespace();
        let url = words.find(|it| it.starts_with("http://"));
        process.wait_for_line(&["released the app file"], BOUND)?;
        Ok(Node {
            url: url.context("no URL")?.to_owned(),
            process,
        })
    }

    fn file(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }

    /// What a command about the node says, and how it ends.
    fn host(&self, words: &[&str], app: Option<&Path>) -> Result<(Option<i32>, String)> {
        let output = Command::new(self.programs.host())
            .args(words)
            .args(app)
            .arg("--data-dir")
            .arg(self.dir.path().join("data"))
            .stdin(Stdio::null())
            .output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8(said)?))
    }

    fn push(&self, app: &Path) -> Result<()> {
        let (code, said) = self.host(&["push", "--drop-streams"], Some(app))?;
        ensure!(code == Some(0), "{code:?}: {said}");
        Ok(())
    }

    fn status(&self) -> Result<Value> {
        let (_, said) = self.host(&["status", "--json"], None)?;
        serde_json::from_str(&said).context(said)
    }

    /// Waits until this holds of the load of the node.
    fn load(&self, holds: impl Fn(&Value) -> bool) -> Result<()> {
        let due = Instant::now() + BOUND;
        loop {
            let load = self.status()?["load"].take();
            if holds(&load) {
                return Ok(());
            }
            ensure!(Instant::now() < due, "{load}");
            std::thread::sleep(LOOK);
        }
    }
}

impl Node {
    fn get(&self, path: &str) -> Result<Answer> {
        client::get(&format!("{}{path}", self.url), BOUND)
    }

    /// A request whose answer nobody waits for.
    fn ask(&self, path: &str) -> Result<TcpStream> {
        let address = self.url.strip_prefix("http://").context("no address")?;
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        )?;
        Ok(stream)
    }

    /// Asks for this until it is answered with this status.
    fn comes_to_answer(&self, path: &str, status: u16) -> Result<Answer> {
        let due = Instant::now() + BOUND;
        loop {
            let answer = self.get(path)?;
            if answer.status == status {
                return Ok(answer);
            }
            ensure!(Instant::now() < due, "{answer:?}");
            std::thread::sleep(LOOK);
        }
    }
}

/// That a request was turned away as one that may come again.
fn is_turned_away(answer: &Answer) -> Result<()> {
    let again = answer
        .headers
        .get("retry-after")
        .context("no retry-after")?;
    ensure!(answer.status == 503 && again == "1", "{answer:?}");
    Ok(())
}

#[test]
fn a_node_with_1_gb_refuses_what_takes_more_to_compile_with_figures_and_lives_on() -> Result<()> {
    let group = match LittleMemory::new(1 << 30) {
        Ok(group) => group,
        Err(why) => {
            skip::skip(&format!("no control group can be made: {why}"));
            return Ok(());
        }
    };
    let place = Place::new()?;
    let node = Place::start(&group.around(place.launch(), place.programs.host()))?;
    // What it has set apart for itself and for the compiler fits in what it has.
    let status = place.status()?;
    let budget = status["load"]["memory_max"].as_u64().context("no budget")?;
    ensure!(budget <= 384 << 20, "{budget}");
    let huge = place.file("huge.wasm", &components::huge())?;
    let began = Instant::now();
    let (code, said) = place.host(&["push", "--timeout", "10m"], Some(&huge))?;
    println!("refused after {:?}: {said}", began.elapsed());
    ensure!(
        began.elapsed() < LONG && code == Some(2),
        "{code:?}: {said}"
    );
    for word in [
        "its 37 MiB takes more than the 640 MiB of memory",
        "--compile-memory",
    ] {
        ensure!(said.contains(word), "no `{word}` in: {said}");
    }
    // The kernel has killed nobody, and the next one is served.
    ensure!(node.get("/ok")?.status == 200 && node.process.is_running());
    let output = node.process.output();
    ensure!(!output.contains("was killed"), "{output}");
    place.push(&place.programs.component("fixture-plain"))?;
    ensure!(node.get("/")?.text().starts_with("hello"));
    Ok(())
}

#[test]
fn a_node_whose_places_are_used_up_takes_the_release_that_repairs_it() -> Result<()> {
    /// So few addresses, in KiB, that there are few places.
    const ADDRESSES: u64 = 200 << 20;
    let place = Place::new()?;
    let script = format!("ulimit -v {ADDRESSES} && exec \"$0\" \"$@\"");
    let launch = place.launch().flag("--wall-limit", "10m").through(
        Path::new("/bin/sh"),
        &["-c", &script],
        place.programs.host(),
    );
    let node = Place::start(&launch)?;
    let places = place.status()?["load"]["requests_max"].take();
    let places = places.as_u64().context("no places")?;
    ensure!(places < 200, "{places} places");
    let held = (0..places).map(|_| node.ask("/sleep/600000"));
    let held = held.collect::<Result<Vec<_>>>()?;
    place.load(|load| load["requests"] == places)?;
    let began = Instant::now();
    let answer = node.get("/ok")?;
    is_turned_away(&answer)?;
    println!("turned away after {:?}", began.elapsed());
    ensure!(began.elapsed() < Duration::from_secs(10), "{began:?}");
    let words = ["answered with 503", "places for requests are taken"];
    node.process.wait_for_line(&words, BOUND)?;
    // It is tried out beside them, and has their places once they have gone.
    place.push(&place.programs.component("fixture-plain"))?;
    node.process.wait_for_line(&["the app changed"], BOUND)?;
    place.load(|load| load["requests"] == places)?;
    drop(held);
    ensure!(node.comes_to_answer("/", 200)?.text().starts_with("hello"));
    Ok(())
}

#[test]
fn a_node_whose_memory_is_used_up_says_so_and_answers_again_once_it_is_free() -> Result<()> {
    /// The least that can be given.
    const BUDGET: &str = "64MiB";
    /// More requests than fit in it, each of which keeps a MiB.
    const MANY: usize = 100;
    let place = Place::new()?;
    let launch = place.launch().flag("--memory-budget", BUDGET);
    let node = Place::start(&launch.flag("--wall-limit", "10m"))?;
    ensure!(place.status()?["load"]["memory_max"] == 64 << 20);
    ensure!(node.get("/ok")?.status == 200);
    let mut held = Vec::new();
    let turned_away = loop {
        ensure!(held.len() < MANY, "{}", place.status()?["load"]);
        held.push(node.ask("/keep/1/600000")?);
        let running = held.len();
        place.load(|load| load["requests"] == running || load["turned_away"]["memory"] != 0)?;
        let answer = node.get("/ok")?;
        if answer.status != 200 {
            break answer;
        }
    };
    println!("{} requests fit in {BUDGET}", held.len());
    is_turned_away(&turned_away)?;
    let words = [
        "answered with 503",
        "of a budget of 64 MiB; --memory-budget",
    ];
    node.process.wait_for_line(&words, BOUND)?;
    let (_, said) = place.host(&["status"], None)?;
    ensure!(said.contains("for want of memory"), "{said}");
    // Whoever waited has gone.
    drop(held);
    node.comes_to_answer("/ok", 200)?;
    place.load(|load| load["requests"] == 0)?;
    for _ in 0..20 {
        ensure!(node.get("/ok")?.status == 200);
    }
    Ok(())
}
