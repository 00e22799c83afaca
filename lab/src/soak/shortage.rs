//! Troubles of what there is too little of: a reader of the log, processor time, memory.
//! Nodes go in; what is not as it has to be comes out.

use super::ask::at_once;
use super::excuse::Excuse;
use super::releases::pushed_to_all;
use super::trouble::stopped;
use super::{BOUND, STOPPED};
use crate::cluster::ANSWER;
use crate::components::huge;
use crate::rollout::Nodes;
use anyhow::{Result, ensure};
use rand::RngExt;
use rand::rngs::StdRng;
use std::time::{Duration, Instant};

/// For how long requests print while nobody reads it: a node logs about 40 KiB of that in
/// a second, and a pipe has 64.
const UNREAD: Duration = Duration::from_secs(5);
/// How much each of them prints, in bytes.
const PRINTED: usize = 4000;
/// How long somebody waits for a component that takes very long to compile.
const PATIENCE: Duration = Duration::from_secs(20);
/// The least memory that a node can be given, and how many requests are made at once
/// which use it up, …
const LITTLE: &str = "64MiB";
const AT_ONCE: usize = 100;
/// … a MiB each, so long that they overlap on a busy machine too.
const HELD: &str = "/keep/1/10000";

/// Nobody reads the log of a node, which has much to say.
pub(super) fn unread_log(nodes: &Nodes<'_>, node: u8, dice: &mut StdRng) -> Result<()> {
    let app = nodes.bad(&format!("prints {}", dice.random::<u32>()))?;
    pushed_to_all(nodes, node, &app)?;
    let machine = nodes.lan().machine(node);
    let url = format!("{}/write/{PRINTED}", machine.url());
    let _unread = nodes.host(node).leave_unread();
    let over = Instant::now() + UNREAD;
    while Instant::now() < over {
        let answer = machine.get(&url, ANSWER)?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    Ok(())
}

/// A component is pushed that takes gigabytes and long to compile.
pub(super) fn huge_component(nodes: &Nodes<'_>, node: u8) -> Result<()> {
    let path = nodes.lan().scratch().join("huge.wasm");
    std::fs::write(&path, huge())?;
    let push = nodes.command(node, &["push"]).arg(&path).spawn()?;
    match push.wait_for_end(PATIENCE) {
        Ok((status, _)) => ensure!(!status.success(), "it was taken:\n{}", push.output()),
        // Its worker ends with it.
        Err(_) => drop(push.kill()),
    }
    push.wait_for_end(BOUND)?;
    std::fs::remove_file(path)?;
    Ok(())
}

/// A node has so little memory that requests use it up: those that there is none for are
/// told so at once, and it takes a release all the same.
pub(super) fn no_memory(nodes: &mut Nodes<'_>, node: u8, dice: &mut StdRng) -> Result<Excuse> {
    let app = nodes.bad(&format!("holds {}", dice.random::<u32>()))?;
    pushed_to_all(nodes, node, &app)?;
    let from = nodes.host(node).terminate()?;
    nodes.host(node).wait_for_end(STOPPED)?;
    nodes.restart_with(node, &["--memory-budget", LITTLE])?;
    let said = at_once(nodes.lan().machine(node), AT_ONCE, HELD)?;
    let away = said.iter().filter(|it| it.starts_with("HTTP/1.1 503"));
    ensure!(
        away.clone().count() > 0,
        "{AT_ONCE} requests fit in {LITTLE}"
    );
    let told = |said: &str| said.to_ascii_lowercase().contains("retry-after: ");
    ensure!(away.clone().all(|said| told(said)), "{said:#?}");
    nodes.says(node, &["answered with 503", "--memory-budget"])?;
    let app = nodes.good(&format!("repair {}", dice.random::<u32>()))?;
    pushed_to_all(nodes, node, &app)?;
    let excuse = stopped(nodes, node)?;
    Ok(Excuse { from, ..excuse })
}
