//! One node and its app file: what is taken up and released, what is refused.

use std::fs;
use std::time::Instant;

use anyhow::{Result, ensure};
use lab::client::{self, Sse};
use serde_json::Value;

use crate::place::{BOUND, Node, Place, counter};
use crate::support::components::{read_built, starts_with, wants_memory, written};

#[test]
fn a_changed_file_is_released_and_served_and_open_streams_go_over() -> Result<()> {
    let place = Place::new()?;
    place.write(2, &counter(1))?;
    let node = place.start(2)?;
    ensure!(node.serves()? == "v1");
    node.says(&["released the app file", "the first of this node"])?;
    let stream = Sse::open(&node.url("/count/tea"), BOUND)?;
    place.write(2, &counter(2))?;
    let took = node.comes_to_serve("v2")?;
    println!("from the last write to the new code: {took:?}");
    node.says(&["the app changed", "swapped_us", "compiled_ms"])?;
    let status = place.run(2, &["status"])?;
    ensure!(status.text.contains("last swap seen "), "{status:?}");
    client::get(&node.url("/tick"), BOUND)?;
    let event = stream.next(BOUND).map(|event| event.data);
    ensure!(event.as_deref() == Some("v2 unnamed 1"), "{event:?}");
    node.says(&["the app before is gone", "migrated=1", "refused=0", "cut=0"])
}

#[test]
fn a_changed_file_that_cannot_take_over_an_open_stream_is_not_taken_up_and_the_log_says_what_to_do()
-> Result<()> {
    let place = Place::new()?;
    place.write(2, &counter(1))?;
    let node = place.start(2)?;
    node.says(&["new target"])?;
    let stream = Sse::open(&node.url("/count/tea"), BOUND)?;
    place.write(2, &read_built("fixture-misbehave"))?;
    let why = "cannot read the state of 1 of 1 open streams of /count/tea";
    node.says(&[
        why,
        "push it with --drop-streams",
        "the app before goes on serving",
    ])?;
    ensure!(node.serves()? == "v1");
    client::get(&node.url("/tick"), BOUND)?;
    ensure!(stream.next(BOUND).is_some(), "the stream has ended");
    // Once nobody has it open, the next change is taken up.
    drop(stream);
    place.write(2, &counter(2))?;
    node.comes_to_serve("v2")?;
    Ok(())
}

#[test]
fn what_is_no_app_is_refused_with_a_sentence_and_released_nowhere() -> Result<()> {
    let place = Place::new()?;
    place.write(2, &counter(1))?;
    let node = Node::start(
        &place
            .with_file(2)
            .flag("--cpu-limit", "300ms")
            .flag("--memory-limit", "16MiB"),
    )?;
    node.says(&["released the app file"])?;
    let whole = counter(2);
    let random = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    let bad = [
        (whole[..whole.len() / 2].to_vec(), "cannot be compiled"),
        (random.collect(), "is not WebAssembly"),
        (written("core-module.wat"), "is a core module"),
        (
            written("wants-more.wat"),
            "imports what this host does not give",
        ),
        (written("no-handler.wat"), "has no handler"),
        (starts_with("unreachable"), "unreachable"),
        (starts_with("(loop br 0)"), "processor time"),
        (wants_memory(65_536), "memory"),
    ];
    for (app, sentence) in bad {
        place.write(2, &app)?;
        node.says(&[sentence, "goes on serving"])?;
        ensure!(node.serves()? == "v1", "{sentence}");
    }
    // What is not even read.
    let path = place.file(2);
    let big = fs::File::create(path.with_extension("big"))?;
    big.set_len(200 << 20)?;
    fs::rename(path.with_extension("big"), &path)?;
    node.says(&["may have", "goes on serving"])?;
    fs::remove_file(&path)?;
    node.says(&["there is no app file"])?;
    fs::create_dir(&path)?;
    node.says(&["is not a file"])?;
    ensure!(node.serves()? == "v1");
    // And it still takes up what is good.
    fs::remove_dir(&path)?;
    place.write(2, &whole)?;
    node.comes_to_serve("v2")?;
    is_released(&node, &whole)?;
    let released = node.process.output();
    let released = released.matches("released the app file").count();
    ensure!(
        released == 2,
        "{released} releases:\n{}",
        node.process.output()
    );
    Ok(())
}

/// Waits until the release of an app file is on the disk of its node, which serves
/// it before that and tells of it then.
fn is_released(node: &Node, app: &[u8]) -> Result<()> {
    let digest = cluster::Digest::of(app).to_string();
    node.says(&["released the app file", &digest[..12]])
}

#[test]
fn a_node_serves_its_last_release_after_kill_9_although_its_file_is_gone() -> Result<()> {
    let place = Place::new()?;
    place.write(2, &counter(1))?;
    let node = place.start(2)?;
    node.says(&["released the app file"])?;
    place.write(2, &counter(2))?;
    node.comes_to_serve("v2")?;
    is_released(&node, &counter(2))?;
    node.kill()?;
    fs::remove_file(place.file(2))?;
    let node = place.start(2)?;
    ensure!(node.serves()? == "v2");
    node.says(&["there is no app file", "starting with the release"])?;
    // A second death so soon would count against the app.
    node.process.terminate()?;
    node.process.wait_for_end(BOUND)?;
    // Without a flag, too.
    let node = Node::start(&place.launch(2))?;
    ensure!(node.serves()? == "v2");
    Ok(())
}

#[test]
fn a_file_that_changed_while_its_node_was_down_is_served_at_once_and_released() -> Result<()> {
    let place = Place::new()?;
    place.write(2, &counter(1))?;
    let node = place.start(2)?;
    node.says(&["released the app file"])?;
    node.kill()?;
    place.write(2, &counter(2))?;
    let node = place.start(2)?;
    ensure!(node.serves()? == "v2");
    node.says(&["released the app file"])?;
    node.kill()?;
    // And a bad one is refused, with the release before still there.
    place.write(2, b"no app")?;
    let node = place.start(2)?;
    ensure!(node.serves()? == "v2");
    node.says(&["is not WebAssembly"])
}

#[test]
fn a_damaged_app_in_the_store_is_put_aside_and_the_file_serves_meanwhile() -> Result<()> {
    let place = Place::new()?;
    place.write(2, &counter(1))?;
    let node = place.start(2)?;
    node.says(&["released the app file"])?;
    place.write(2, &counter(2))?;
    node.comes_to_serve("v2")?;
    place.write(2, &counter(1))?;
    node.comes_to_serve("v1")?;
    node.kill()?;
    let digest = cluster::Digest::of(&counter(1)).to_string();
    let stored = place.data(2).join("components").join(digest);
    fs::write(&stored, b"something else")?;
    // Nobody else has it, and the file is of another release.
    place.write(2, &counter(2))?;
    let node = Node::start(&place.with_file(2).flag("--watch", "off"))?;
    ensure!(node.serves()? == "v2", "{}", node.process.output());
    Ok(())
}

#[test]
fn a_release_build_after_a_debug_build_is_the_same_app_file_changed() -> Result<()> {
    let place = Place::new()?;
    let build = |folder: &str, version: u8| -> Result<()> {
        let folder = place.folder().join("target/wasm32-wasip1").join(folder);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("guest.new"), counter(version))?;
        Ok(fs::rename(
            folder.join("guest.new"),
            folder.join("guest.wasm"),
        )?)
    };
    let start = || Node::start(&place.launch(2).flag("--app", "guest.wasm"));
    build("debug", 1)?;
    let node = start()?;
    ensure!(node.serves()? == "v1");
    node.says(&["released the app file", "the first of this node"])?;
    build("release", 2)?;
    node.comes_to_serve("v2")?;
    node.says(&["the app file is", "release/guest.wasm"])?;
    is_released(&node, &counter(2))?;
    let status = place.run(2, &["status"])?;
    ensure!(
        status
            .text
            .contains("wasip1/release/guest.wasm is what serves"),
        "{status:?}"
    );
    node.kill()?;
    // So it is for a node that was down meanwhile.
    build("debug", 3)?;
    let node = start()?;
    ensure!(node.serves()? == "v3");
    node.says(&["released the app file"])?;
    let listed = place.run(2, &["releases"])?;
    ensure!(listed.text.matches(" push ").count() == 2, "{listed:?}");
    ensure!(listed.text.matches("bootstrap").count() == 1, "{listed:?}");
    Ok(())
}

#[test]
fn a_node_keeps_as_many_apps_as_it_was_told_to() -> Result<()> {
    let place = Place::new()?;
    place.write(2, &counter(1))?;
    let node = Node::start(&place.with_file(2).flag("--keep-components", "2"))?;
    node.comes_to_serve("v1")?;
    for version in [2, 3] {
        place.write(2, &counter(version))?;
        node.comes_to_serve(&format!("v{version}"))?;
    }
    let began = Instant::now();
    loop {
        let status = place.run(2, &["status", "--json"])?;
        let status: Value = serde_json::from_str(&status.text)?;
        let kept = &status["store"]["components"];
        if *kept == 2 {
            break;
        }
        ensure!(began.elapsed() < BOUND, "{kept}");
    }
    ensure!(place.run(2, &["rollback"])?.code == Some(0));
    node.comes_to_serve("v2").map(drop)
}
