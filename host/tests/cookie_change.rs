//! The cookie of a cluster is changed as docs/operations.md says: with files and SIGHUP, on real nodes on
//! this machine's loopback, while they run.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::{Launch, Process, Programs};

/// A node is up, or has taken note of something, within this.
const BOUND: Duration = Duration::from_secs(60);

const NODES: [u8; 3] = [2, 3, 4];

struct Place {
    programs: Programs,
    dir: tempfile::TempDir,
    port: u16,
}

impl Place {
    fn new() -> Result<Self> {
        Ok(Self {
            programs: Programs::of_test(env!("CARGO_BIN_EXE_host"))?,
            dir: tempfile::tempdir()?,
            port: free_port()?,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn data(&self, node: u8) -> PathBuf {
        self.path(&format!("data-{node}"))
    }

    /// A node with a cookie file of its own, or what else it is given.
    fn node(&self, node: u8) -> Launch {
        Launch::new(self.programs.host())
            .dir(self.dir.path())
            .flag("--name", format!("example@127.0.0.{node}"))
            .flag("--http", format!("127.0.0.{node}:0"))
            .flag("--cluster-port", self.port.to_string())
            .flag("--app", self.programs.app())
            .flag("--data-dir", self.data(node))
    }

    /// `host cookie …`: whether it went well, and all that it said.
    fn cookie(&self, args: &[&str]) -> Result<(bool, String)> {
        let output = Command::new(self.programs.host())
            .arg("cookie")
            .args(args)
            .current_dir(self.dir.path())
            .output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8(said)?))
    }

    /// `host nodes` of a node, as it is printed.
    fn nodes(&self, node: u8) -> Result<String> {
        let output = Command::new(self.programs.host())
            .args(["nodes", "--data-dir"])
            .arg(self.data(node))
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// For each member that a node shows: the cookie that it sends with, and the second one.
    fn shown(&self, node: u8) -> Result<Vec<(String, String)>> {
        let text = self.nodes(node)?;
        let rows = text.lines().filter(|line| line.starts_with("example@"));
        Ok(rows
            .map(|row| {
                let mut words = row.split_whitespace().rev().map(ToOwned::to_owned);
                let also = words.next().unwrap_or_default();
                (words.next().unwrap_or_default(), also)
            })
            .collect())
    }

    /// Waits until every node shows these cookies for every node, and no warning.
    fn until_all_show(&self, sends: &str, also: &str) -> Result<()> {
        let wanted = vec![(sends.to_owned(), also.to_owned()); NODES.len()];
        let until = Instant::now() + BOUND;
        for node in NODES {
            while self.shown(node)? != wanted {
                ensure!(Instant::now() < until, "{}", self.nodes(node)?);
                std::thread::sleep(Duration::from_millis(100));
            }
            let shown = self.nodes(node)?;
            ensure!(!shown.contains("warning"), "{shown}");
        }
        Ok(())
    }

    /// The cookie file of a node.
    fn file(&self, node: u8) -> PathBuf {
        self.path(&format!("cookie-{node}"))
    }

    /// The file of its second cookie.
    fn also(&self, node: u8) -> PathBuf {
        self.path(&format!("cookie-{node}.also"))
    }

    /// Tells a node to read its cookies again, as `kill -HUP` does.
    fn hang_up(&self, node: u8) -> Result<()> {
        let pid = std::fs::read_to_string(self.data(node).join("lock"))?;
        let status = Command::new("kill").args(["-HUP", pid.trim()]).status()?;
        ensure!(status.success(), "cannot signal process {pid}");
        Ok(())
    }

    /// Step 1 on a node: it accepts the new cookie too.
    fn accept(&self, node: u8) -> Result<()> {
        std::fs::copy(self.path("new.cookie"), self.also(node))?;
        self.hang_up(node)
    }

    /// Step 2 on a node: it sends with the new cookie.
    fn swap(&self, node: u8) -> Result<()> {
        let old = self.path(&format!("cookie-{node}.old"));
        std::fs::copy(self.file(node), &old)?;
        std::fs::rename(self.also(node), self.file(node))?;
        std::fs::rename(old, self.also(node))?;
        self.hang_up(node)
    }

    /// Step 3 on a node: it accepts the old cookie no more.
    fn drop_old(&self, node: u8) -> Result<()> {
        std::fs::remove_file(self.also(node))?;
        self.hang_up(node)
    }
}

/// A port that is free for both protocols on the addresses of the nodes.
fn free_port() -> Result<u16> {
    loop {
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let ip = |node| Ipv4Addr::new(127, 0, 0, node);
        let free = (2..=5).all(|node| {
            TcpListener::bind((ip(node), port)).is_ok() && UdpSocket::bind((ip(node), port)).is_ok()
        });
        if free {
            return Ok(port);
        }
    }
}

/// Nodes with one cookie, each in its own file, that know each other.
fn cluster(place: &Place) -> Result<Vec<Process>> {
    let (well, said) = place.cookie(&["new", "old.cookie"])?;
    ensure!(well, "{said}");
    let mut nodes = Vec::new();
    for node in NODES {
        let file = place.file(node);
        std::fs::copy(place.path("old.cookie"), &file)?;
        nodes.push(place.node(node).flag("--cookie-file", file).spawn()?);
    }
    for (process, me) in nodes.iter().zip(NODES) {
        process.wait_until_ready(BOUND)?;
        for other in NODES.into_iter().filter(|other| *other != me) {
            let member = format!("member=example@127.0.0.{other}");
            process.wait_for_line(&["member up", &member], BOUND)?;
        }
    }
    Ok(nodes)
}

/// None was missed, and none refused another.
fn undisturbed(nodes: &[Process]) -> Result<()> {
    for node in nodes {
        let output = node.output();
        for word in ["member down", "datagrams refused", "ERROR", "panicked"] {
            ensure!(!output.contains(word), "`{word}` in:\n{output}");
        }
    }
    Ok(())
}

#[test]
fn three_nodes_that_run_change_their_cookie_and_none_is_missed() -> Result<()> {
    let place = Place::new()?;
    let nodes = cluster(&place)?;
    let (well, said) = place.cookie(&["new", "new.cookie"])?;
    ensure!(well && said.contains("host cookie --help"), "{said}");
    let (old, _) = place.shown(2)?[0].clone();
    for (node, process) in NODES.into_iter().zip(&nodes) {
        place.accept(node)?;
        process.wait_for_line(&["a second cookie is accepted"], BOUND)?;
    }
    // Each node knows of each other that it has taken the step.
    let new = place.shown(2)?[0].1.clone();
    ensure!(new != old && new.len() == 8, "{new}");
    place.until_all_show(&old, &new)?;
    for (node, process) in NODES.into_iter().zip(&nodes) {
        let since = Instant::now();
        place.swap(node)?;
        process.wait_for_line_after(since, &["a second cookie is accepted"], BOUND)?;
    }
    place.until_all_show(&new, &old)?;
    for (node, process) in NODES.into_iter().zip(&nodes) {
        place.drop_old(node)?;
        process.wait_for_line(&["no other cookie is accepted"], BOUND)?;
    }
    place.until_all_show(&new, "-")?;
    undisturbed(&nodes)?;
    let (old, new) = (place.path("old.cookie"), place.path("new.cookie"));
    for node in NODES {
        let file = std::fs::read(place.file(node))?;
        ensure!(file == std::fs::read(&new)?, "not the new one");
        ensure!(!place.also(node).exists());
    }

    // One that comes with the new cookie is let in, one with the old is not.
    let late = place.node(5).flag("--cookie-file", &old).spawn()?;
    late.wait_until_ready(BOUND)?;
    nodes[0].wait_for_line(&["refused", "127.0.0.5"], BOUND)?;
    ensure!(!late.output().contains("member up"), "{}", late.output());
    late.kill()?;
    late.wait_for_end(BOUND)?;
    let late = place.node(5).flag("--cookie-file", &new).spawn()?;
    late.wait_for_line(&["member up", "127.0.0.2"], BOUND)?;
    for node in &nodes {
        let output = node.output();
        ensure!(!output.contains("member down"), "{output}");
    }
    Ok(())
}

#[test]
fn a_node_that_has_not_taken_the_first_step_is_warned_of_and_is_back_once_it_has() -> Result<()> {
    let place = Place::new()?;
    let nodes = cluster(&place)?;
    let (well, said) = place.cookie(&["new", "new.cookie"])?;
    ensure!(well, "{said}");
    for (node, process) in [2, 3].into_iter().zip(&nodes) {
        place.accept(node)?;
        process.wait_for_line(&["a second cookie is accepted"], BOUND)?;
    }
    place.swap(2)?;
    nodes[0].wait_for_line(&["WARN", "do not accept", "example@127.0.0.4"], BOUND)?;
    let shown = place.nodes(2)?;
    let told = [
        "is not accepted by example@127.0.0.4",
        "by example@127.0.0.2",
    ];
    ensure!(told.iter().all(|word| shown.contains(word)), "{shown}");
    // It is dropped by the one that it does not hear, until it takes the step.
    let late = &nodes[2];
    late.wait_for_line(&["member down", "127.0.0.2"], BOUND)?;
    let since = Instant::now();
    place.accept(4)?;
    late.wait_for_line_after(since, &["member up", "127.0.0.2"], BOUND)?;
    Ok(())
}

#[test]
fn what_is_wrong_with_a_cookie_file_is_said_and_loses_nothing() -> Result<()> {
    let place = Place::new()?;
    let nodes = cluster(&place)?;
    let wrong = |node: &Process, words: [&str; 2]| {
        let since = Instant::now();
        place.hang_up(2)?;
        let [one, other] = words;
        let line = ["ERROR", "goes on with the cookies it has", one, other];
        node.wait_for_line_after(since, &line, BOUND)
    };
    for (content, why) in [
        (b"\n".to_vec(), "the cookie is empty"),
        (vec![b'x'; 5000], "bytes"),
        (std::fs::read(place.path("old.cookie"))?, "are the same"),
    ] {
        std::fs::write(place.also(2), content)?;
        wrong(&nodes[0], ["cookie-2.also", why])?;
    }
    std::fs::remove_file(place.also(2))?;
    std::fs::rename(place.file(2), place.path("aside"))?;
    wrong(&nodes[0], ["cannot read", "cookie-2"])?;
    std::fs::rename(place.path("aside"), place.file(2))?;
    place.hang_up(2)?;
    nodes[0].wait_for_line(&["nothing has changed"], BOUND)?;
    undisturbed(&nodes[1..])?;
    ensure!(
        !nodes[0].output().contains("member down"),
        "a node was dropped"
    );

    // A file is made once, for its owner, and shows nothing.
    let (well, said) = place.cookie(&["new", "old.cookie"])?;
    ensure!(!well && said.contains("left alone"), "{said}");
    let old = std::fs::read_to_string(place.path("old.cookie"))?;
    let mode = std::fs::metadata(place.path("old.cookie"))?.permissions();
    ensure!(mode.mode() & 0o777 == 0o600);
    for node in &nodes {
        ensure!(!node.output().contains(old.trim()), "a cookie is shown");
    }
    let (well, said) = place.cookie(&["new", "--print"])?;
    ensure!(well && said.trim().len() == 40, "{said}");
    let (well, said) = place.cookie(&["generate", "--print"])?;
    ensure!(
        well && said.contains("`generate` is now called `new`"),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_node_is_restarted_with_a_second_cookie_and_the_same_one_twice_is_refused() -> Result<()> {
    let place = Place::new()?;
    std::fs::write(place.path("old"), "the old one of the tests\n")?;
    std::fs::write(place.path("new"), "the new one of the tests\n")?;
    let old = place.node(2).flag("--cookie-file", "old").spawn()?;
    old.wait_until_ready(BOUND)?;
    let both = place
        .node(3)
        .flag("--cookie-file", "new")
        .flag("--also-cookie-file", "old");
    let twice = both.clone().flag("--also-cookie-file", "new").spawn()?;
    twice.wait_for_end(BOUND)?;
    twice.wait_for_line(&["error: ", "are the same"], BOUND)?;
    let unreadable = both.clone().flag("--also-cookie-file", "none").spawn()?;
    unreadable.wait_for_end(BOUND)?;
    unreadable.wait_for_line(&["error: ", "--also-cookie-file", "none"], BOUND)?;

    // By the environment too: it hears the one with the old cookie.
    let by_environment = place
        .node(3)
        .env("HOST_COOKIE", "the new one of the tests")
        .env("HOST_ALSO_COOKIE", "the old one of the tests")
        .spawn()?;
    by_environment.wait_until_ready(BOUND)?;
    by_environment.wait_for_line(&["a second cookie is accepted"], BOUND)?;
    old.wait_for_line(&["refused", "127.0.0.3"], BOUND)?;
    by_environment.terminate()?;
    by_environment.wait_for_end(BOUND)?;
    // The other way round both hear each other.
    let between = place
        .node(3)
        .flag("--cookie-file", "old")
        .flag("--also-cookie-file", "new")
        .spawn()?;
    between.wait_for_line(&["member up", "127.0.0.2"], BOUND)?;
    Ok(())
}
