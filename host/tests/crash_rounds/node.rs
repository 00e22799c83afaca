//! A node that serves one version of an app gets another one, and dies: at a
//! point of its own code, or by SIGKILL from outside at any moment, the start
//! included. Started again it serves one of the two, whole, and comes to serve
//! the one that its file has.

use std::net::UdpSocket;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cluster::release::{self, check_stored};
use cluster::{Digest, NodeName};
use fault::POINTS;
use lab::{Launch, Process, Programs};
use mesh::data_dir::DataDir;
use mesh::store::{Store, StoreLimits};
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::{Deaths, ROUNDS, moments, opening, seed, starting};

/// Nodes that go through it side by side.
const LANES: usize = 6;

/// Within this a node is up, has taken up a file, or has died.
const BOUND: Duration = Duration::from_secs(60);

/// What a counter of each version answers to `GET /`, and its package.
const VERSIONS: [(&str, &str); 2] = [("v1", "fixture-counter-v1"), ("v2", "fixture-counter-v2")];

/// How a process is to die.
#[derive(Clone, Debug)]
enum Death {
    /// At a point, when it comes there for the Nth time.
    Point(&'static str, u32),
    /// This long after it was started.
    Starting(Duration),
    /// This long after its file has changed.
    Changing(Duration),
}

impl Death {
    /// Each way of dying comes in turn, so that none is left out.
    fn of_round(round: usize, moments: &mut StdRng) -> Death {
        let points: Vec<&str> = points().collect();
        match points.get(round % (points.len() + 3)) {
            Some(point) => {
                // What is on its way once only has to come the first time.
                let once = point.starts_with("releases") || moments.random_bool(0.6);
                let times = if once { 1 } else { moments.random_range(2..=5) };
                Death::Point(point, times)
            }
            None if moments.random_bool(0.3) => {
                Death::Starting(Duration::from_micros(moments.random_range(0..500_000)))
            }
            None => Death::Changing(Duration::from_micros(moments.random_range(0..80_000))),
        }
    }

    /// How long after it serves the changed file it may come to its point. A
    /// node that has just started listens for two seconds before it releases
    /// its file, and writes that down.
    fn patience(&self) -> Duration {
        match self {
            Death::Point(point, _) if point.starts_with("data") || point.starts_with("release") => {
                Duration::from_secs(3)
            }
            _ => Duration::from_millis(20),
        }
    }
}

/// The points that a node comes to when its file changes. The others are of
/// apps that come from members, that are too many, or damaged, and of data that apps write.
fn points() -> impl Iterator<Item = &'static str> {
    let elsewhere = [
        "store: download",
        "store: chunk",
        "store: component collected",
        "store: component put aside",
        "key-value: ",
    ];
    POINTS
        .into_iter()
        .filter(move |point| !elsewhere.iter().any(|begin| point.starts_with(begin)))
}

/// One node: its folder, its file, and its address.
struct Lane {
    programs: Programs,
    dir: tempfile::TempDir,
    ip: String,
    port: u16,
    /// Which of [`VERSIONS`] its file has.
    version: usize,
}

impl Lane {
    fn new(number: usize) -> Result<Lane> {
        let ip = format!("127.0.77.{}", number + 1);
        Ok(Lane {
            programs: Programs::of_test(env!("CARGO_BIN_EXE_host"))?,
            dir: tempfile::tempdir()?,
            port: UdpSocket::bind((ip.as_str(), 0))?.local_addr()?.port(),
            ip,
            version: 0,
        })
    }

    fn app(&self) -> PathBuf {
        self.dir.path().join("app.wasm")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn bytes(&self, version: usize) -> Result<Vec<u8>> {
        let path = self.programs.component(VERSIONS[version].1);
        std::fs::read(&path).with_context(|| format!("{} is not built", path.display()))
    }

    /// The file gets this version, as an editor or a build would do it.
    fn write(&self, version: usize, by_rename: bool) -> Result<()> {
        let bytes = self.bytes(version)?;
        if !by_rename {
            return Ok(std::fs::write(self.app(), bytes)?);
        }
        let new = self.dir.path().join("app.wasm.new");
        std::fs::write(&new, bytes)?;
        Ok(std::fs::rename(new, self.app())?)
    }

    /// What was the target when the node last wrote it down.
    fn target(&self, releases: Option<&[u8]>) -> Result<Option<Digest>> {
        let me: NodeName = format!("example@{}", self.ip).parse()?;
        let known = release::at_start(&me, None, releases, None);
        Ok(known.target.map(|target| target.digest))
    }

    /// The store has this version no more, as if it had been one too many, so
    /// that it comes anew; unless it is the target.
    fn forget(&self, version: usize) -> Result<()> {
        let digest = Digest::of(&self.bytes(version)?);
        let releases = std::fs::read(self.data().join("releases")).ok();
        if self.target(releases.as_deref())? != Some(digest) {
            // It may not be there yet.
            let _ = std::fs::remove_file(self.data().join("components").join(digest.to_string()));
        }
        Ok(())
    }

    fn start(&self, death: Option<&Death>) -> Result<Process> {
        let launch = Launch::new(self.programs.host())
            .dir(self.dir.path())
            .flag("--name", format!("example@{}", self.ip))
            .flag("--http", format!("{}:0", self.ip))
            .flag("--cluster-port", self.port.to_string())
            .flag("--app", self.app())
            .flag("--data-dir", self.data())
            .args(["--smoke", "GET", "/"])
            .env("HOST_COOKIE", "a cookie of the tests");
        let _starting = starting();
        match death {
            Some(Death::Point(point, times)) => {
                launch.env("HOST_FAULT", format!("{point}:{times}")).spawn()
            }
            _ => launch.spawn(),
        }
    }

    /// One life of the node, to its end. Says where it ended.
    fn live(&mut self, death: &Death, moments: &mut StdRng) -> Result<String> {
        let node = self.start(Some(death))?;
        if let Death::Starting(after) = death {
            std::thread::sleep(*after);
            return kill(&node, death);
        }
        let Some(url) = url_of(&node)? else {
            return ended(&node, death);
        };
        if !self.comes_to_serve(&node, &url)? {
            return ended(&node, death);
        }
        let next = 1 - self.version;
        if matches!(death, Death::Point(point, _) if point.starts_with("store")) {
            self.forget(next)?;
        }
        self.write(next, moments.random_bool(0.5))?;
        self.version = next;
        if let Death::Changing(after) = death {
            std::thread::sleep(*after);
            return kill(&node, death);
        }
        if !self.comes_to_serve(&node, &url)? {
            return ended(&node, death);
        }
        // If it lives on, the point was not on its way, not so often.
        match node.wait_for_end(death.patience()) {
            Ok(_) => ended(&node, death),
            Err(_) => kill(&node, death),
        }
    }

    /// Waits until it serves what its file has. Until then it serves the
    /// other one, and nothing else. False if it died.
    fn comes_to_serve(&self, node: &Process, url: &str) -> Result<bool> {
        let wanted = VERSIONS[self.version].0;
        let due = Instant::now() + BOUND;
        loop {
            let answer = match lab::client::get(url, BOUND) {
                Ok(answer) => answer,
                Err(_) if node.wait_for_end(Duration::from_secs(5)).is_ok() => return Ok(false),
                Err(error) => return Err(error.context(node.output())),
            };
            let text = answer.text();
            let whole = VERSIONS.iter().any(|(version, _)| *version == text);
            ensure!(answer.status == 200 && whole, "it answered {answer:?}");
            if text == wanted {
                return Ok(true);
            }
            ensure!(
                Instant::now() < due,
                "it still serves {text}, and its file has {wanted}:\n{}",
                node.output()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What a death leaves in the data folder: nothing that is half.
    fn look(&self) -> Result<()> {
        let data = self.data();
        let _opening = opening();
        let folder = Arc::new(DataDir::open(&data)?);
        let releases = folder.read("releases")?;
        if let Some(releases) = &releases {
            check_stored(releases).context("the history of releases")?;
        }
        ensure!(
            !data.join("releases.unusable").exists(),
            "a history of releases could not be used"
        );
        if let Some(boot) = folder.read("boot")? {
            let boot = String::from_utf8(boot)?;
            let _: u64 = boot.trim().parse().context("the run number")?;
        }
        let store = Store::open(folder, StoreLimits::default())?;
        for digest in store.components() {
            ensure!(store.find(&digest)?.is_some(), "app {digest} is damaged");
        }
        ensure!(store.quarantined() == 0, "an app is damaged");
        if let Some(digest) = self.target(releases.as_deref())? {
            ensure!(store.has(&digest), "the target is not there");
        }
        ensure!(
            is_empty(&data.join("components/quarantine"))?,
            "an app was damaged"
        );
        // It dies as often as no good app lets it: that is not to count against this one.
        match std::fs::remove_file(data.join("trying")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        Ok(())
    }
}

fn is_empty(folder: &Path) -> Result<bool> {
    Ok(std::fs::read_dir(folder)?.next().is_none())
}

/// The address that a node says it is ready at; none if it died before.
fn url_of(node: &Process) -> Result<Option<String>> {
    let line = match node.wait_until_ready(BOUND) {
        Ok(line) => line.text,
        Err(_) if !node.is_running() => return Ok(None),
        Err(error) => return Err(error),
    };
    let at = line.find("http://").context("no address")?;
    let url = line[at..].split_whitespace().next().context("no address")?;
    Ok(Some(format!("{url}/")))
}

/// Kills it, unless it has died where it was to die.
fn kill(node: &Process, death: &Death) -> Result<String> {
    // That it has ended already is seen below.
    let _ = node.kill();
    let place = ended(node, death)?;
    Ok(match death {
        // It may have come there at the last moment; nobody can tell.
        Death::Point(..) => "from outside, past its point".to_owned(),
        _ => place,
    })
}

/// It died of SIGKILL, and of nothing else; and it complained of nothing.
fn ended(node: &Process, death: &Death) -> Result<String> {
    let (status, _) = node.wait_for_end(BOUND)?;
    let output = node.output();
    if status.signal() != Some(9) {
        bail!("it ended with {status}:\n{output}");
    }
    for complaint in ["panicked", "ERROR", "cannot be read"] {
        ensure!(!output.contains(complaint), "{output}");
    }
    Ok(match death {
        Death::Point(point, _) => (*point).to_owned(),
        Death::Starting(_) => "from outside, starting".to_owned(),
        Death::Changing(_) => "from outside, changing".to_owned(),
    })
}

fn lane(number: usize, seed: u64, deaths: &Deaths) -> Result<()> {
    let mut moments = moments(seed, number);
    let mut lane = Lane::new(number)?;
    lane.write(0, true)?;
    // Its code is compiled once, and its first release is made.
    let node = lane.start(None)?;
    node.wait_for_line(&["released the app file"], BOUND)?;
    drop(node);
    for round in (number..ROUNDS).step_by(LANES) {
        let death = Death::of_round(round / LANES, &mut moments);
        let told = || format!("CRASH_SEED={seed}, node {number}, round {round}: {death:?}");
        let place = lane.live(&death, &mut moments).with_context(told)?;
        deaths.count(&place);
        lane.look().with_context(told)?;
    }
    // And after the last one too it comes up.
    let node = lane.start(None)?;
    let url = url_of(&node)?.context("it died by itself")?;
    ensure!(lane.comes_to_serve(&node, &url)?, "it died by itself");
    // Without its file it serves what it has in its store.
    node.kill()?;
    node.wait_for_end(BOUND)?;
    std::fs::remove_file(lane.app())?;
    let node = lane.start(None)?;
    let url = url_of(&node)?.context("it died by itself")?;
    let answer = lab::client::get(&url, BOUND)?;
    let text = answer.text();
    let whole = VERSIONS.iter().any(|(version, _)| *version == text);
    ensure!(answer.status == 200 && whole, "it answered {answer:?}");
    Ok(())
}

#[test]
fn a_node_killed_at_any_step_serves_the_old_app_or_the_new_one_whole() -> Result<()> {
    let seed = seed();
    let deaths = Deaths::default();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let deaths = &deaths;
        let lanes: Vec<_> = (0..LANES)
            .map(|number| scope.spawn(move || lane(number, seed, deaths)))
            .collect();
        lanes
            .into_iter()
            .try_for_each(|lane| lane.join().expect("no panic"))
    })?;
    println!("{ROUNDS} rounds in {:.1} s", began.elapsed().as_secs_f32());
    deaths.at_each_of(points());
    Ok(())
}
