//! Releases that bake on a canary: which of them the others come to serve.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lab::client::{self, Sse};
use lab::targets::{REVERTED, SLACK};

use crate::place::{BOUND, Node, Place, counter};
use crate::support::components::read_built;

/// Three nodes, and a release that bakes on the first of them for longer than it takes to
/// be voted down.
struct Baking {
    nodes: [Node; 3],
    /// The file of the app.
    bad: String,
    /// The command that follows it.
    push: Child,
}

impl Baking {
    fn begin(place: &Place) -> Result<Baking> {
        let nodes = place.three()?;
        let bad = place.app("bad.wasm", &read_built("fixture-misbehave"))?;
        let push = ["push", &bad, "--canary", "1", "--bake", "60s"];
        let push = place.command(3, &push).stderr(Stdio::piped()).spawn()?;
        // The lowest address is the canary.
        nodes[0].says(&["the app changed"])?;
        Ok(Baking { nodes, bad, push })
    }

    /// Asks the canary for what fails, until there is enough to judge by.
    fn fails_at(&self, path: &str) -> Result<()> {
        for _ in 0..30 {
            let answer = client::get(&self.nodes[0].url(path), BOUND)?;
            ensure!(answer.status == 500, "{}", answer.status);
        }
        Ok(())
    }

    /// Waits until the canary has voted against the release for this reason, and the
    /// command has ended. No other node has served the release. Returns the nodes, and what
    /// the command said.
    fn ends_voted_down(self, why: &str) -> Result<([Node; 3], String)> {
        let over = Instant::now();
        self.nodes[0].says(&[why, "votes against the release"])?;
        self.nodes[0].comes_to_serve("v1")?;
        let reverted = over.elapsed();
        println!("threshold -> the release before: {reverted:?}");
        ensure!(reverted <= REVERTED * SLACK, "{reverted:?}");
        let said = self.push.wait_with_output()?;
        let text = String::from_utf8(said.stderr)?;
        ensure!(said.status.code() == Some(3), "{:?}: {text}", said.status);
        ensure!(text.contains("127.0.0.2"), "{text}");
        for node in &self.nodes[1..] {
            ensure!(node.serves()? == "v1");
            let output = node.process.output();
            ensure!(!output.contains("the app changed"), "{output}");
        }
        Ok((self.nodes, text))
    }
}

#[test]
fn a_canary_that_traps_keeps_the_release_from_the_others() -> Result<()> {
    let place = Place::new()?;
    let baking = Baking::begin(&place)?;
    baking.fails_at("/panic")?;
    let (_nodes, said) = baking.ends_voted_down("requests trapped")?;
    ensure!(said.contains("trapped"), "{said}");
    Ok(())
}

#[test]
fn a_canary_that_answers_every_request_with_500_keeps_the_release_from_the_others() -> Result<()> {
    let place = Place::new()?;
    let baking = Baking::begin(&place)?;
    // It is no stranger among the members, on none of them.
    for asked in [2, 3] {
        let shown = place.run(asked, &["nodes"])?;
        let is = |what: &str| shown.text.matches(what).count();
        ensure!(
            is("  canary") == 1 && is("waiting for the canaries") == 2,
            "{shown:?}"
        );
    }
    let bad = baking.bad.clone();
    baking.fails_at("/status/500")?;
    let _left = baking.ends_voted_down("were answered with an error (5xx)")?;
    // It is not released again by mistake.
    let again = place.run(4, &["push", &bad])?;
    ensure!(
        again.code == Some(2) && again.text.contains("--again"),
        "{again:?}"
    );
    Ok(())
}

#[test]
fn a_canary_that_cannot_take_over_its_open_streams_keeps_the_release_from_the_others() -> Result<()>
{
    let place = Place::new()?;
    let nodes = place.three()?;
    let stream = Sse::open(&nodes[0].url("/count/tea"), BOUND)?;
    let bad = place.app("bad.wasm", &read_built("fixture-misbehave"))?;
    // The node that is asked has no stream open.
    let push = ["push", &bad, "--canary", "1", "--bake", "60s"];
    let push = place.run(3, &push)?;
    let why = "cannot read the state of 1 of 1 open streams of /count/tea";
    ensure!(push.code == Some(3) && push.text.contains(why), "{push:?}");
    for node in &nodes {
        ensure!(node.serves()? == "v1");
        let output = node.process.output();
        ensure!(!output.contains("the app changed"), "{output}");
    }
    client::get(&nodes[0].url("/tick"), BOUND)?;
    ensure!(stream.next(BOUND).is_some(), "the stream has ended");
    Ok(())
}

#[test]
fn a_push_that_waits_for_the_verdict_ends_well_when_all_nodes_are_for_it() -> Result<()> {
    let place = Place::new()?;
    let nodes = place.three()?;
    let two = place.app("two.wasm", &counter(2))?;
    let said = place.run(2, &["push", &two, "--bake", "2s", "--timeout", "1s"])?;
    ensure!(said.code == Some(0), "{said:?}");
    ensure!(said.text.contains("serving, baking"), "{said:?}");
    ensure!(!said.text.contains("it bakes"), "{said:?}");
    let listed = place.run(2, &["releases"])?;
    ensure!(listed.text.contains("+3 -0"), "{listed:?}");
    for node in &nodes {
        ensure!(node.serves()? == "v2");
    }
    Ok(())
}

#[test]
fn a_release_that_its_canaries_bear_is_served_by_all() -> Result<()> {
    let place = Place::new()?;
    let nodes = place.three()?;
    let two = place.app("two.wasm", &counter(2))?;
    let push = ["push", &two, "--canary", "30%", "--bake", "1s"];
    ensure!(place.run(4, &push)?.code == Some(0));
    for node in &nodes {
        ensure!(node.serves()? == "v2");
    }
    Ok(())
}

#[test]
fn a_canary_that_dies_decides_nothing_and_a_newer_push_wins() -> Result<()> {
    let place = Place::new()?;
    let [canary, one, other] = place.three()?;
    let two = place.app("two.wasm", &counter(2))?;
    let staged = ["push", &two, "--canary", "1", "--bake", "15s"];
    let push = place.command(3, &staged).stderr(Stdio::piped()).spawn()?;
    canary.comes_to_serve("v2")?;
    // Somebody else follows it, until a second after the canary was to vote.
    let late = [&staged[..], &["--timeout", "1s"]].concat();
    let mut late = place.command(4, &late).stderr(Stdio::piped()).spawn()?;
    let said = late.stderr.take().context("no standard error")?;
    let mut said = BufReader::new(said).lines();
    let mut follows = said.by_ref().map_while(Result::ok);
    ensure!(follows.any(|line| line.contains("already")));
    canary.kill()?;
    one.says(&["member down", "127.0.0.2"])?;
    let said = said.map_while(Result::ok).last().unwrap_or_default();
    let code = late.wait()?.code();
    ensure!(
        code == Some(5) && said.contains("0 of 2 serve it; it waits for the votes of 127.0.0.2"),
        "{code:?}: {said}"
    );
    let listed = place.run(4, &["releases"])?;
    ensure!(listed.text.contains("baking"), "{listed:?}");
    ensure!(one.serves()? == "v1" && other.serves()? == "v1");
    let three = place.app("three.wasm", &counter(3))?;
    ensure!(place.run(4, &["push", &three])?.code == Some(0));
    ensure!(one.serves()? == "v3" && other.serves()? == "v3");
    let said = push.wait_with_output()?;
    let text = String::from_utf8(said.stderr)?;
    ensure!(said.status.code() == Some(4), "{:?}: {text}", said.status);
    let canary = place.start(2)?;
    canary.comes_to_serve("v3")?;
    Ok(())
}
