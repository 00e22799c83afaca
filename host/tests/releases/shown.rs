//! What `host status`, `host nodes`, `host releases` and `host logs` show of a
//! release, on each node and from elsewhere.

use std::time::Instant;

use anyhow::{Result, ensure};
use cluster::Digest;
use lab::client::{self, Sse};
use serde_json::Value;

use crate::place::{BOUND, Place, counter};
use crate::support::components::read_built;

fn json(place: &Place, node: u8, what: &str) -> Result<Value> {
    let said = place.run(node, &[what, "--json"])?;
    ensure!(said.code == Some(0), "{said:?}");
    Ok(serde_json::from_str(&said.text)?)
}

#[test]
fn every_node_shows_who_released_what_and_who_serves_it() -> Result<()> {
    let place = Place::new()?;
    let _nodes = place.three()?;
    let two = place.app("two.wasm", &counter(2))?;
    let push = ["push", &two, "--note", "second", "--by", "ann"];
    ensure!(place.run(3, &push)?.code == Some(0));
    let digest = Digest::of(&counter(2)).to_string();
    for node in 2..=4 {
        let status = json(&place, node, "status")?;
        ensure!(status["serving"]["digest"] == digest, "{status:#}");
        ensure!(status["target"]["digest"] == digest, "{status:#}");
        ensure!(status["members"] == 3, "{status:#}");
        ensure!(status["file"]["differs"] == true, "{status:#}");
        let releases = json(&place, node, "releases")?;
        let newest = &releases["releases"][0];
        ensure!(
            newest["note"] == "second" && newest["by"] == "ann",
            "{newest:#}"
        );
        ensure!(newest["status"] == "target", "{newest:#}");
    }
    ensure!(place.run(4, &["rollback"])?.code == Some(0));
    let first = Digest::of(&counter(1)).to_string();
    let members = json(&place, 4, "nodes")?;
    let members = members["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    ensure!(members.len() == 3, "{members:#?}");
    for member in members {
        ensure!(
            member["digest"] == first && member["on_target"] == true,
            "{member:#}"
        );
    }
    let releases = json(&place, 4, "releases")?;
    ensure!(
        releases["releases"][0]["kind"] == "rollback",
        "{releases:#}"
    );
    ensure!(
        releases["releases"][1]["status"] == "rolled-back",
        "{releases:#}"
    );
    Ok(())
}

#[test]
fn an_app_that_cannot_serve_is_refused_before_anybody_hears_of_it() -> Result<()> {
    let place = Place::new()?;
    let nodes = place.three()?;
    let empty = place.app("empty.wasm", b"\0asm\x0d\0\x01\0")?;
    let push = place.run(2, &["push", &empty])?;
    ensure!(
        push.code == Some(2) && push.text.contains("exports"),
        "{push:?}"
    );
    for (node, number) in nodes.iter().zip(2..=4) {
        let releases = json(&place, number, "releases")?;
        ensure!(
            releases["releases"].as_array().map(Vec::len) == Some(1),
            "{releases:#}"
        );
        ensure!(node.serves()? == "v1");
    }
    Ok(())
}

#[test]
fn from_elsewhere_a_node_is_asked_with_the_cookie_and_not_without() -> Result<()> {
    let place = Place::new()?;
    let nodes = place.three()?;
    let two = place.app("two.wasm", &counter(2))?;
    let at = format!("127.0.0.3:{}", place.port());
    let push = |cookie| place.bare(&["push", &two, "--node", &at, "--cookie", cookie]);
    let wrong = push("another cookie")?;
    ensure!(wrong.code == Some(1), "{wrong:?}");
    ensure!(
        wrong.text.contains("cannot reach the node at 127.0.0.3"),
        "{wrong:?}"
    );
    let right = push("the cookie of these tests")?;
    ensure!(right.code == Some(0), "{right:?}");
    for node in &nodes {
        ensure!(node.serves()? == "v2");
    }
    let logs = place.run(3, &["logs"])?;
    ensure!(
        logs.text.contains("push published from 127.0.0."),
        "{logs:?}"
    );
    Ok(())
}

#[test]
fn what_apps_publish_between_nodes_is_counted() -> Result<()> {
    let place = Place::new()?;
    for node in 2..=4 {
        place.write(node, &read_built("fixture-misbehave"))?;
    }
    let nodes = place.together()?;
    let subscribed = Sse::open(&nodes[2].url("/topic/tea"), BOUND)?;
    ensure!(
        client::get(&nodes[0].url("/publish/tea"), BOUND)?
            .status
            .is_success()
    );
    ensure!(subscribed.next(BOUND).is_some_and(|it| it.event == "tea"));
    // The last node has it, so its own count is there; the others may be later.
    let publications =
        |node| Ok::<_, anyhow::Error>(json(&place, node, "status")?["publications"].clone());
    ensure!(publications(4)?["received"] == 1, "{}", publications(4)?);
    let began = Instant::now();
    while publications(2)?["sent"] != 2 || publications(3)?["received"] != 1 {
        ensure!(
            began.elapsed() < BOUND,
            "{} {}",
            publications(2)?,
            publications(3)?
        );
    }
    for node in 2..=4 {
        let counted = publications(node)?;
        for lost in ["dropped", "uncertain", "stale", "unreadable"] {
            ensure!(counted[lost] == 0, "{counted}");
        }
    }
    let shown = place.run(2, &["status"])?;
    ensure!(
        shown.text.contains("published 2 sent, 0 received\n"),
        "{shown:?}"
    );
    Ok(())
}
