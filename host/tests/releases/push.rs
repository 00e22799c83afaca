//! `host push`, `host rollback` and what they do to the nodes of a cluster.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cluster::Digest;
use lab::client::{self, Sse};
use lab::components::custom_section;
use lab::targets::{REVERTED, SLACK};

use crate::place::{BOUND, Node, Place, counter};
use crate::support::components::read_built;

/// How many pushes are made under load.
const PUSHES: u8 = 20;

/// An app that the next push makes of an earlier one, so that each is new.
fn marked(app: &[u8], number: u8) -> Vec<u8> {
    [app, &custom_section(&[number])].concat()
}

#[test]
fn one_push_changes_every_node_and_a_rollback_goes_back() -> Result<()> {
    let place = Place::new()?;
    let nodes = place.three()?;
    let two = place.app("two.wasm", &counter(2))?;
    let began = Instant::now();
    let said = place.run(2, &["push", &two, "--note", "the second"])?;
    println!("push started -> all serve it: {:?}", began.elapsed());
    ensure!(said.code == Some(0), "{said:?}");
    for node in &nodes {
        ensure!(node.serves()? == "v2");
    }
    // The same again is nothing new.
    let again = place.run(3, &["push", &two])?;
    ensure!(again.text.contains("already"), "{again:?}");
    let listed = place.run(4, &["releases"])?;
    ensure!(listed.text.contains("the second"), "{listed:?}");
    let back = place.run(4, &["rollback"])?;
    ensure!(back.code == Some(0), "{back:?}");
    for node in &nodes {
        ensure!(node.serves()? == "v1");
    }
    Ok(())
}

#[test]
fn an_app_sees_one_release_id_on_all_nodes_and_a_new_one_after_a_rollback() -> Result<()> {
    let place = Place::new()?;
    let app = read_built("guest");
    place.write_all(&app)?;
    let nodes = place.together()?;
    // The page of the example names the release that made it.
    let seen_by = |node: &Node| -> Result<String> {
        let page = client::get(&node.url("/"), BOUND)?.text();
        let (_, id) = page.split_once("data-id=\"").context("no id in the page")?;
        Ok(id.split_once('"').context("no end of the id")?.0.to_owned())
    };
    let mut ids = vec![seen_by(&nodes[0])?];
    for command in [
        vec!["push", &place.app("a.wasm", &marked(&app, 1))?],
        vec!["push", &place.app("b.wasm", &marked(&app, 2))?],
        // The code of `a.wasm` again, as another release.
        vec!["rollback"],
    ] {
        let said = place.run(2, &command)?;
        ensure!(said.code == Some(0), "{said:?}");
        let id = seen_by(&nodes[0])?;
        ensure!(said.text.contains(&id[..10]), "{id} is not in: {said:?}");
        for node in &nodes[1..] {
            ensure!(seen_by(node)? == id, "another id on another node");
        }
        ensure!(!ids.contains(&id), "{id} came twice: {ids:?}");
        ids.push(id);
    }
    Ok(())
}

#[test]
fn twenty_pushes_under_load_lose_no_request_and_no_stream() -> Result<()> {
    let place = Place::new()?;
    let nodes = place.three()?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| -> Result<()> {
        let load: Vec<_> = nodes
            .iter()
            .flat_map(|node| [node, node])
            .map(|node| {
                let stop = || over.load(Relaxed);
                scope.spawn(move || client::get_repeatedly(&node.url("/"), BOUND, stop))
            })
            .collect();
        let streams = nodes
            .iter()
            .map(|node| Sse::open(&node.url("/count/tea"), BOUND));
        let streams = streams.collect::<Result<Vec<_>>>();
        let pushed = (1..=PUSHES).try_for_each(|number| {
            let app = counter(1 + number % 2);
            let app = place.app("next.wasm", &marked(&app, number))?;
            let said = place.run(2 + number % 3, &["push", &app])?;
            let logs = || {
                nodes
                    .each_ref()
                    .map(|node| node.process.output())
                    .join("\n")
            };
            ensure!(said.code == Some(0), "push {number}: {said:?}\n{}", logs());
            Ok(())
        });
        over.store(true, Relaxed);
        let mut requests = 0;
        for each in load {
            requests += each.join().ok().context("it panicked")??.len();
        }
        pushed?;
        println!("{requests} requests");
        ensure!(requests > 1000, "there was no load");
        for (stream, node) in streams?.iter().zip(&nodes) {
            client::get(&node.url("/tick"), BOUND)?;
            ensure!(stream.next(BOUND).is_some(), "a stream has ended");
        }
        Ok(())
    })
}

#[test]
fn a_release_that_traps_is_left_by_itself() -> Result<()> {
    let place = Place::new()?;
    let nodes = place.three()?;
    let bad = place.app("bad.wasm", &read_built("fixture-misbehave"))?;
    ensure!(place.run(2, &["push", &bad])?.code == Some(0));
    for _ in 0..30 {
        let answer = client::get(&nodes[1].url("/panic"), BOUND)?;
        ensure!(answer.status == 500, "{}", answer.status);
    }
    let over = Instant::now();
    nodes[1].says(&["requests trapped", "votes against the release"])?;
    for node in &nodes {
        node.comes_to_serve("v1")?;
    }
    let reverted = over.elapsed();
    println!("threshold -> the release before everywhere: {reverted:?}");
    ensure!(reverted <= REVERTED * SLACK, "{reverted:?}");
    let listed = place.run(4, &["releases"])?;
    ensure!(listed.text.contains("voted down"), "{listed:?}");
    // A newer one always wins.
    let two = place.app("two.wasm", &counter(2))?;
    ensure!(place.run(4, &["push", &two])?.code == Some(0));
    for node in &nodes {
        ensure!(node.serves()? == "v2");
    }
    Ok(())
}

#[test]
fn a_release_that_traps_on_the_streams_that_are_open_is_left_although_all_go_over_at_once()
-> Result<()> {
    let place = Place::new()?;
    place.write(2, &counter(1))?;
    let node = place.start(2)?;
    node.says(&["new target"])?;
    // Just as many as it is decided by: not one may be missed.
    let streams = (0..20).map(|_| Sse::open(&node.url("/count/tea"), BOUND));
    let _streams = streams.collect::<Result<Vec<_>>>()?;
    let bad = place.app("bad.wasm", &read_built("fixture-misbehave"))?;
    // It is tried on copies of their states first.
    let refused = place.run(2, &["push", &bad])?;
    let why = "cannot read the state of 20 of 20 open streams of /count/tea";
    ensure!(
        refused.code == Some(2) && refused.text.contains(why),
        "{refused:?}"
    );
    ensure!(refused.text.contains("--drop-streams"), "{refused:?}");
    ensure!(node.serves()? == "v1");
    place.run(2, &["push", &bad, "--drop-streams"])?;
    let why = "20 of 20 open streams that came over to it trapped";
    node.says(&[why, "votes against the release"])?;
    node.comes_to_serve("v1")?;
    Ok(())
}

/// What a node logs when it comes to serve this app.
fn changes_to(app: &[u8]) -> [String; 2] {
    let digest = Digest::of(app).to_string();
    ["the app changed".to_owned(), digest[..12].to_owned()]
}

/// A node that serves the first app, with a stream open which the second one does
/// not take over, and which is then pushed.
struct Left {
    node: Node,
    stream: Sse,
    first: Vec<u8>,
}

impl Left {
    fn start(place: &Place) -> Result<Left> {
        let first = read_built("fixture-misbehave");
        place.write(2, &first)?;
        let node = Node::start(&place.with_file(2).flag("--drain", "10m"))?;
        node.says(&["new target"])?;
        let stream = Sse::open(&node.url("/hold/tea"), BOUND)?;
        let second = place.app("second.wasm", &read_built("fixture-plain"))?;
        let refused = place.run(2, &["push", &second])?;
        ensure!(
            refused.text.contains("1 of 1 open streams of /hold/tea"),
            "{refused:?}"
        );
        ensure!(place.run(2, &["push", &second, "--drop-streams"])?.code == Some(0));
        Ok(Left {
            node,
            stream,
            first,
        })
    }

    /// Lets the second app trap until the node votes against it, and waits until the
    /// first one serves again.
    fn goes_back(&self) -> Result<()> {
        let since = Instant::now();
        for _ in 0..20 {
            let answer = client::get(&self.node.url("/panic"), BOUND)?;
            ensure!(answer.status == 500, "{}", answer.status);
        }
        let [changed, first] = &changes_to(&self.first);
        let words = [changed.as_str(), first.as_str()];
        self.node
            .process
            .wait_for_line_after(since, &words, BOUND)?;
        Ok(())
    }

    /// That the stream is open, where the first app serves.
    fn speaks(&self) -> Result<()> {
        let answer = client::get(&self.node.url("/publish/tea"), BOUND)?;
        ensure!(answer.text() == "published", "{}", answer.text());
        let event = self.stream.next(BOUND).context("the stream has ended")?;
        ensure!(event.event == "tea", "{event:?}");
        Ok(())
    }
}

#[test]
fn a_node_goes_back_at_once_while_a_changed_file_waits_for_room_and_then_takes_that_up()
-> Result<()> {
    let place = Place::new()?;
    let left = Left::start(&place)?;
    // It takes the stream over, which the second one does not.
    let third = marked(&left.first, 1);
    place.write(2, &third)?;
    let digest = Digest::of(&third).to_string();
    let began = Instant::now();
    while !place.run(2, &["status", "--json"])?.text.contains(&digest) {
        ensure!(began.elapsed() < BOUND, "it does not see the file");
    }
    left.goes_back()?;
    let [changed, third] = &changes_to(&third);
    left.node.says(&[changed, third])?;
    left.speaks()?;
    let output = left.node.process.output();
    ensure!(!output.contains("is ended"), "{output}");
    Ok(())
}

#[test]
fn a_node_goes_back_to_what_drains_although_its_store_has_lost_it() -> Result<()> {
    let place = Place::new()?;
    let left = Left::start(&place)?;
    std::fs::remove_dir_all(place.data(2).join("components"))?;
    left.goes_back()?;
    left.speaks()
}

#[test]
fn a_pusher_that_is_killed_while_it_uploads_leaves_nothing() -> Result<()> {
    let place = Place::new()?;
    let nodes = place.three()?;
    // An upload that is not finished: the head, and a part of the body.
    let socket = place.data(2).join("host.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(&socket)?;
    let digest = cluster::Digest::of(&counter(2));
    write!(
        stream,
        "PUT /v1/components/{digest} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        counter(2).len()
    )?;
    stream.write_all(&counter(2)[..10_000])?;
    drop(stream);
    let listed = place.run(2, &["status"])?;
    ensure!(listed.text.contains("1 component,"), "{listed:?}");
    ensure!(nodes[0].serves()? == "v1");
    // And one that goes as soon as it has released: the nodes go on alone.
    let two = place.app("two.wasm", &counter(2))?;
    let mut push = place
        .command(2, &["push", &two])
        .stderr(Stdio::piped())
        .spawn()?;
    nodes[0].says(&["new target: push"])?;
    push.kill()?;
    push.wait()?;
    for node in &nodes {
        node.comes_to_serve("v2")?;
    }
    Ok(())
}

#[test]
fn a_node_that_is_killed_while_it_gets_the_app_gets_it_after_its_restart() -> Result<()> {
    let place = Place::new()?;
    let [one, two, three] = place.three()?;
    // Large enough that it takes a while.
    let mut large = counter(2);
    let filling = (0..5_u32 << 20).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes());
    large.extend(custom_section(&filling.collect::<Vec<u8>>()));
    let app = place.app("large.wasm", &large)?;
    let mut push = place
        .command(2, &["push", &app])
        .stderr(Stdio::piped())
        .spawn()?;
    one.says(&["new target: push"])?;
    three.kill()?;
    one.comes_to_serve("v2")?;
    two.comes_to_serve("v2")?;
    push.wait()?;
    let three = place.start(4)?;
    three.comes_to_serve("v2")?;
    Ok(())
}

#[test]
fn only_what_the_deploy_key_has_signed_is_served() -> Result<()> {
    let place = Place::new()?;
    let (key, public) = place.deploy_key()?;
    let start = |node: u8| Node::start(&place.launch(node).flag("--deploy-key", &public));
    let nodes = [start(2)?, start(3)?];
    nodes[0].says(&["member up"])?;
    nodes[1].says(&["member up"])?;
    let two = place.app("two.wasm", &counter(2))?;
    let refused = place.run(2, &["push", &two])?;
    ensure!(refused.code == Some(2), "{refused:?}");
    ensure!(refused.text.contains("--sign-with"), "{refused:?}");
    ensure!(client::get(&nodes[0].url("/"), BOUND)?.status == 503);
    ensure!(place.run(2, &["push", &two, "--sign-with", &key])?.code == Some(0));
    for node in &nodes {
        ensure!(node.serves()? == "v2");
    }
    Ok(())
}

#[test]
fn an_upload_that_is_refused_leaves_nothing_and_what_one_left_is_gone_after_a_start() -> Result<()>
{
    let place = Place::new()?;
    place.write(2, &counter(1))?;
    let kept = |count: u64| -> Result<()> {
        let began = Instant::now();
        loop {
            let status = place.run(2, &["status", "--json"])?;
            let status: serde_json::Value = serde_json::from_str(&status.text)?;
            let there = &status["store"]["components"];
            if *there == count {
                return Ok(());
            }
            ensure!(began.elapsed() < BOUND, "{there} components");
        }
    };
    let node = place.start(2)?;
    node.says(&["new target"])?;
    kept(1)?;
    // A component that is whole, and no app.
    let bad = place.app("bad.wasm", b"\0asm\x0d\0\x01\0")?;
    let refused = place.run(2, &["push", &bad])?;
    ensure!(refused.text.contains("has no handler"), "{refused:?}");
    kept(1)?;
    node.kill()?;
    // As if it had died between an upload and its release.
    let left = counter(2);
    let store = place.data(2).join("components");
    ensure!(store.is_dir(), "the store is elsewhere");
    std::fs::write(store.join(Digest::of(&left).to_string()), &left)?;
    let node = place.start(2)?;
    node.says(&["removed 1 components that were never released"])?;
    kept(1)
}
