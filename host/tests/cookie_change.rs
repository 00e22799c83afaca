//! The cookie of a cluster is changed as a person does it: with `host cookie`,
//! on real nodes on this machine's loopback, while they run.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
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

    fn rotate(&self, node: u8, step: &[&str]) -> Result<(bool, String)> {
        let data = self.data(node);
        let data = data.to_str().context("a path")?;
        self.cookie(&[&["rotate"], step, &["--data-dir", data]].concat())
    }

    /// Tells a node to read its cookies again, as `kill -HUP` does.
    fn hang_up(&self, node: u8) -> Result<()> {
        let pid = std::fs::read_to_string(self.data(node).join("lock"))?;
        let status = Command::new("kill").args(["-HUP", pid.trim()]).status()?;
        ensure!(status.success(), "cannot signal process {pid}");
        Ok(())
    }

    /// A step that has to go well, and to be told with all of these words.
    fn rotated(&self, node: u8, step: &[&str], words: &[&str]) -> Result<()> {
        let (well, said) = self.rotate(node, step)?;
        ensure!(well, "{step:?}: {said}");
        println!("$ host cookie rotate {}\n{said}", step.join(" "));
        for word in words {
            ensure!(said.contains(word), "no `{word}` in: {said}");
        }
        Ok(())
    }

    /// A step that must not go well.
    fn refused(&self, node: u8, step: &[&str], words: &[&str]) -> Result<()> {
        let (well, said) = self.rotate(node, step)?;
        ensure!(!well, "{step:?}: {said}");
        println!("$ host cookie rotate {}\n{said}", step.join(" "));
        for word in words {
            ensure!(said.contains(word), "no `{word}` in: {said}");
        }
        Ok(())
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
        let file = place.path(&format!("cookie-{node}"));
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
    ensure!(well && said.contains("rotate accept new.cookie"), "{said}");
    for (node, lack) in [
        (
            2,
            "2 members do not accept the new # yet: example@127.0.0.3, example@127.0.0.4",
        ),
        (
            3,
            "1 member does not accept the new # yet: example@127.0.0.4",
        ),
        (4, "every member accepts the new one"),
    ] {
        place.rotated(node, &["accept", "new.cookie"], &["step 1 of 3", "switch"])?;
        let data = format!("data-{node}");
        let (well, said) = place.cookie(&["status", "--data-dir", &data])?;
        ensure!(well && said.contains(&lack.replace('#', "one")), "{said}");
        // Those that were left out would be dropped.
        if node != 4 {
            let lack = lack.replace('#', "cookie");
            let told = [&lack, "take step 1 there first", "switch --force"];
            place.refused(node, &["switch"], &told)?;
        }
    }
    place.refused(2, &["finish"], &["step 2 first"])?;
    place.rotated(2, &["switch"], &["step 2 of 3"])?;
    place.refused(2, &["finish"], &["127.0.0.3", "127.0.0.4", "--force"])?;
    for node in NODES {
        // On one of them for the second time, which changes nothing.
        place.rotated(node, &["switch"], &["step 2 of 3", "finish"])?;
    }
    for node in &nodes {
        node.wait_for_line(&["every member sends with the new cookie"], BOUND)?;
    }
    for node in NODES {
        place.rotated(node, &["finish"], &["accepts no other"])?;
    }
    undisturbed(&nodes)?;
    let (old, new) = (place.path("old.cookie"), place.path("new.cookie"));
    for node in NODES {
        let file = std::fs::read(place.path(&format!("cookie-{node}")))?;
        ensure!(file == std::fs::read(&new)?, "not the new one");
        ensure!(!place.path(&format!("cookie-{node}.previous")).exists());
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
fn a_step_that_nobody_can_be_asked_about_is_taken_by_force_only() -> Result<()> {
    let place = Place::new()?;
    let mut nodes = cluster(&place)?;
    let (well, said) = place.cookie(&["new", "new.cookie"])?;
    ensure!(well, "{said}");
    place.rotated(2, &["accept", "new.cookie"], &["step 1 of 3"])?;
    place.rotated(3, &["accept", "new.cookie"], &["step 1 of 3"])?;
    // A member that is there and does not answer.
    let silent = nodes.pop().context("no node")?;
    silent.freeze()?;
    let told = ["1 member does not accept", "example@127.0.0.4 (", "--force"];
    place.refused(2, &["switch"], &told)?;
    silent.thaw()?;
    // One that would be dropped, and is, until it takes the first step too.
    place.rotated(2, &["switch", "--force"], &["step 2 of 3"])?;
    silent.wait_for_line(&["member down", "127.0.0.2"], BOUND)?;
    let since = std::time::Instant::now();
    place.rotated(4, &["accept", "new.cookie"], &["step 1 of 3"])?;
    silent.wait_for_line_after(since, &["member up", "127.0.0.2"], BOUND)?;
    // Where the node does not run, nobody knows the members.
    silent.terminate()?;
    silent.wait_for_end(BOUND)?;
    let told = [
        "does not run, so nobody knows whether every member accepts",
        "--force",
    ];
    place.refused(4, &["switch"], &told)?;
    place.rotated(4, &["switch", "--force"], &["does not run", "step 2 of 3"])?;
    Ok(())
}

#[test]
fn what_is_wrong_with_a_cookie_file_is_said_and_loses_nothing() -> Result<()> {
    let place = Place::new()?;
    let nodes = cluster(&place)?;
    std::fs::write(place.path("empty"), "\n")?;
    std::fs::write(place.path("long"), vec![b'x'; 5000])?;
    place.refused(2, &["accept", "none"], &["none", "cannot read"])?;
    place.refused(2, &["accept", "empty"], &["empty", "the cookie is empty"])?;
    place.refused(2, &["accept", "long"], &["long", "bytes"])?;
    place.refused(
        2,
        &["accept", "old.cookie"],
        &["in use already", "host cookie new"],
    )?;
    place.refused(2, &["switch"], &["step 1 first"])?;
    place.refused(2, &["back"], &["nothing to take back"])?;
    undisturbed(&nodes)?;

    std::fs::write(place.path("cookie-2.next"), "")?;
    place.refused(2, &["switch"], &["cookie-2.next", "empty"])?;
    // What the node itself finds wrong when it is told.
    place.hang_up(2)?;
    let left = "left as they were";
    nodes[0].wait_for_line(&["ERROR", left, "cookie-2.next", "empty"], BOUND)?;
    std::fs::remove_file(place.path("cookie-2.next"))?;
    std::fs::rename(place.path("cookie-2"), place.path("aside"))?;
    place.refused(2, &["switch"], &["cannot read", "cookie-2"])?;
    place.hang_up(2)?;
    nodes[0].wait_for_line(&["ERROR", left, "cannot read"], BOUND)?;
    std::fs::rename(place.path("aside"), place.path("cookie-2"))?;
    place.hang_up(2)?;
    nodes[0].wait_for_line(&["nothing has changed"], BOUND)?;
    let (well, said) = place.cookie(&["status", "--data-dir", "data-2"])?;
    ensure!(well && said.contains("no change is under way"), "{said}");
    undisturbed(&nodes[1..])?;

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
    place.refused(3, &["switch"], &["--also-cookie-file", "restarts"])
}
