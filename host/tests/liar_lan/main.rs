//! A member that has the cookie, is none of ours, and tells the others of
//! releases that are none, or gives wrong bytes; and somebody on the LAN who has
//! recorded how releases spread. Real nodes with a deploy key, each on a machine of
//! its own, refuse it, count it, tell of it once, and go on as they were.
//!
//! - [`scene`]: the nodes, and what must not change on them
//! - [`liar`]: the member

mod liar;
mod scene;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cluster::Digest;
use cluster::release::{Component, Plan, Release, Request, What};
use lab::client;
use lab::wire::{Capture, Datagram, Forge};

use liar::{Liar, WrongBytes, at};
use scene::{BOUND, FIRST, LIAR, NEW, NODES, PORT, SECOND, Scene, counter, lan};

#[test]
fn a_record_that_was_changed_after_it_was_signed_is_refused_and_changes_nothing() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let scene = Scene::with_two_releases(&lan)?;
    scene.refuse("forged", "changed after it was signed", |liar| {
        let signed = liar.knows(SECOND)?;
        let mut bytes = signed.bytes().to_vec();
        let note = bytes.windows(SECOND.len());
        let note = note.into_iter().position(|part| part == SECOND.as_bytes());
        // Of two records of one release the lower stays: the liar takes it.
        bytes[note.context("the note")?] = b'T';
        let forged = Release::read(&bytes)?;
        ensure!(forged.note() == "The second" && forged.id() == signed.id());
        ensure!(forged.signature() == signed.signature());
        Ok(forged)
    })
}

#[test]
fn a_signed_record_of_another_app_is_refused_and_changes_nothing() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let scene = Scene::with_two_releases(&lan)?;
    let other = Component::of(&counter(&lan, 3)?);
    scene.refuse("forged", "changed after it was signed", |liar| {
        let signed = liar.knows(SECOND)?;
        let mine = signed.component();
        let mut bytes = signed.bytes().to_vec();
        for (mine, other) in [(mine.digest, other.digest), (mine.manifest, other.manifest)] {
            let at = bytes.windows(32).position(|part| part == mine.as_bytes());
            let at = at.context("the digest")?;
            bytes[at..at + 32].copy_from_slice(other.as_bytes());
        }
        let forged = Release::read(&bytes)?;
        ensure!(forged.component().digest == other.digest);
        Ok(forged)
    })
}

#[test]
fn an_unsigned_record_is_refused_and_changes_nothing() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let scene = Scene::with_two_releases(&lan)?;
    let request = Request {
        what: What::Push {
            component: Component::of(&counter(&lan, 3)?),
            plan: Plan::default(),
        },
        by: "mallory".to_owned(),
        note: String::new(),
        expect: None,
        again: false,
    };
    scene.refuse("unsigned", "not signed with the deploy key", |liar| {
        // It follows the target, as it should.
        liar.knows(SECOND)?;
        let releases = liar.membership.releases();
        Ok(liar.runtime.block_on(releases.draft(request))??)
    })
}

#[test]
fn a_record_that_was_the_target_before_and_is_told_as_new_changes_nothing() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let scene = Scene::with_two_releases(&lan)?;
    scene.refuse("old", "from before the target", |liar| {
        liar.knows(SECOND)?;
        let first = liar.knows(FIRST)?;
        ensure!(first.signature().is_some());
        Ok(first)
    })
}

/// How often each recorded datagram is sent again.
const TIMES: u64 = 5;

/// What a node hears of the other one, up to the first datagram with this text.
fn heard(mut capture: Capture, node: u8, text: &str) -> Result<Vec<Datagram>> {
    let mut heard = Vec::new();
    let others = NODES.map(|number| *at(number).ip());
    capture.collect(1, BOUND, |seen| {
        let is_from_other = seen.from.ip() != at(node).ip() && others.contains(seen.from.ip());
        // Sent to it or to all: what goes to another machine its card does not see.
        let is_heard = is_from_other && seen.to.port() == PORT;
        if is_heard {
            heard.push(seen.clone());
        }
        let mut parts = seen.payload.windows(text.len());
        is_heard && parts.any(|part| part == text.as_bytes())
    })?;
    Ok(heard)
}

/// Releases a counter on the other node, and says what this one heard meanwhile,
/// the record included.
fn recorded(scene: &Scene<'_>, node: u8, version: u8, note: &str) -> Result<Vec<Datagram>> {
    let capture = scene.lan.machine(node).netns().run(Capture::begin)?;
    let other = NODES.into_iter().find(|other| *other != node);
    let other = other.context("there are two")?;
    std::thread::scope(|scope| {
        let heard = scope.spawn(|| heard(capture, node, note));
        scene.push(other, version, note)?;
        heard
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn what_spread_an_earlier_release_sent_again_is_refused_and_changes_nothing() -> Result<()> {
    let Some(lan) = lan()? else { return Ok(()) };
    let scene = Scene::new(&lan)?;
    let frames = [
        recorded(&scene, NODES[0], 1, FIRST)?,
        recorded(&scene, NODES[1], 2, SECOND)?,
    ];
    scene.push(NODES[0], 3, "the third")?;
    let (known, began) = (scene.known()?, Instant::now());
    // As they were; and once more from the address of who sends them.
    for (from, counter, words) in [
        (None, "replay", "seen before"),
        (Some(at(LIAR)), "address", "its name has another IP"),
    ] {
        let pointer = format!("/datagrams/refused_by/{counter}");
        let before = scene.counted(&pointer)?;
        ensure!(before == [0; 2], "{counter}: {before:?} before anything");
        lan.machine(LIAR).netns().run(|| {
            let forge = Forge::begin()?;
            let again = |it: &Datagram| Datagram {
                from: from.unwrap_or(it.from),
                ..it.clone()
            };
            let all = || frames.iter().flatten().map(again);
            (0..TIMES).try_for_each(|_| all().try_for_each(|it| forge.send(&it)))
        })?;
        let each = frames.each_ref().map(|it| TIMES * it.len() as u64);
        println!("sent again, as {counter}: {each:?} datagrams");
        scene.until_counted(&pointer, each, || Ok(()))?;
        for (index, node) in NODES.into_iter().enumerate() {
            let other = if node == NODES[0] { NODES[1] } else { NODES[0] };
            let source = if from.is_some() { LIAR } else { other };
            scene.told_once(index, source, words, began)?;
        }
    }
    scene.a_person_is_told(" seen before")?;
    scene.a_person_is_told(" from another IP than that of the name")?;
    let knows = scene.known()?;
    ensure!(knows == known, "{known:#?}\nnow {knows:#?}");
    for node in &scene.nodes {
        let since = node.lines().into_iter().filter(|line| line.at > began);
        for line in since {
            for event in ["new target", "the app changed", "member "] {
                ensure!(!line.text.contains(event), "{}", node.output());
            }
        }
    }
    Ok(())
}

#[test]
fn wrong_bytes_of_an_app_are_refused_and_the_right_ones_serve_once_somebody_has_them() -> Result<()>
{
    let Some(lan) = lan()? else { return Ok(()) };
    let scene = Scene::with_two_releases(&lan)?;
    let digest = Digest::of(&counter(&lan, 2)?);
    let liar = Liar::join(&lan, Arc::new(WrongBytes), Some(digest))?;
    liar.knows(SECOND)?;
    for node in &scene.nodes {
        node.kill()?;
        node.wait_for_end(BOUND)?;
    }
    // A new node, for which the liar is the only one to ask.
    let new = scene.start(NEW)?;
    let source = at(LIAR).ip().to_string();
    new.wait_for_line(&[&source, "wrong bytes of a component"], BOUND)?;
    let url = lan.machine(NEW).url();
    let answer = lan.machine(NEW).netns().run(|| client::get(&url, BOUND))?;
    ensure!(answer.status == 503);
    let status = scene.json(NEW, "status")?;
    ensure!(status["fetches"]["wrong"] == 1, "{status:#}");
    ensure!(status["store"]["components"] == 0, "{status:#}");
    let _honest = scene.start(NODES[0])?;
    new.wait_for_line(&["the app changed"], BOUND)?;
    ensure!(scene.serves(NEW)? == "v2");
    ensure!(scene.serves(NODES[0])? == "v2");
    let output = new.output();
    let told = output.matches("wrong bytes of a component").count();
    ensure!(told == 1, "{output}");
    liar.is_on(lan.machine(LIAR))
}
