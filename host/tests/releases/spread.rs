//! One release on several nodes.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::client;

use crate::place::{BOUND, Node, Place, counter};

#[test]
fn one_changed_file_changes_the_app_of_every_node() -> Result<()> {
    let place = Place::new()?;
    let nodes = place.three()?;
    place.write(3, &counter(2))?;
    for node in &nodes {
        node.comes_to_serve("v2")?;
    }
    // The files of the others are as they were, and nobody goes back to them.
    place.write(4, &counter(3))?;
    for node in &nodes {
        node.comes_to_serve("v3")?;
    }
    Ok(())
}

#[test]
fn a_synced_folder_on_three_machines_makes_one_release() -> Result<()> {
    let place = Place::new()?;
    let nodes = place.three()?;
    for node in 2..=4 {
        place.write(node, &counter(2))?;
    }
    for node in &nodes {
        node.comes_to_serve("v2")?;
    }
    sleep(Duration::from_millis(500));
    for node in &nodes {
        let output = node.process.output();
        ensure!(output.matches("the app changed").count() == 1, "{output}");
        ensure!(!output.contains("superseded"), "{output}");
    }
    Ok(())
}

#[test]
fn a_node_without_an_app_says_so_and_gets_it_from_the_others() -> Result<()> {
    let place = Place::new()?;
    let empty = Node::start(&place.launch(3))?;
    let answer = client::get(&empty.url("/"), BOUND)?;
    ensure!(answer.status == 503, "{}", answer.status);
    ensure!(answer.headers.contains_key("retry-after"));
    ensure!(answer.text().contains("has no app"), "{}", answer.text());
    place.write(2, &counter(1))?;
    let _first = place.start(2)?;
    empty.comes_to_serve("v1")?;
    Ok(())
}

#[test]
fn a_node_that_was_away_serves_what_was_released_meanwhile() -> Result<()> {
    let place = Place::new()?;
    for node in 2..=3 {
        place.write(node, &counter(1))?;
    }
    let (one, other) = (place.start(2)?, place.start(3)?);
    for node in [&one, &other] {
        node.says(&["new target"])?;
    }
    other.kill()?;
    place.write(2, &counter(2))?;
    one.comes_to_serve("v2")?;
    let other = place.start(3)?;
    other.comes_to_serve("v2")?;
    ensure!(one.serves()? == "v2", "its stale file changes nothing");
    Ok(())
}
