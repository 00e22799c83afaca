//! Troubles that releases are: nothing else is pushed meanwhile, so it is known what has
//! to come of each. Nodes and a seed go in; what is not as it has to be comes out.

use super::ask::at_once;
use super::excuse::Excuse;
use super::{BOUND, NODES};
use crate::client::Sse;
use crate::cluster::ANSWER;
use crate::push::Push;
use crate::rollout::Nodes;
use anyhow::{Context, Result, ensure};
use rand::RngExt;
use rand::rngs::StdRng;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How many requests come at once that a release is judged by, and how often.
const JUDGED: usize = 40;
const ROUNDS: usize = 3;
/// How long it bakes, unless it is voted down before.
const BAKE: &str = "30s";
/// How many streams are open whose states nobody can read.
const STREAMS: usize = 20;
/// So many deaths are enough for any release to be left: two, and one that may come too
/// late after the start to count.
const DEATHS: usize = 3;

/// What a release does badly.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// It answers with an error.
    Errors,
    /// It answers late.
    Slow,
}

impl Fault {
    /// Of one part of the app of [`Nodes::bad`]: a path that does well, and one that
    /// does badly.
    fn paths(self) -> [&'static str; 2] {
        match self {
            Self::Errors => ["/status/200", "/status/500"],
            Self::Slow => ["/sleep/1", "/sleep/1000"],
        }
    }
}

/// Pushes this app to all, and waits until they serve it. Returns its digest.
pub(super) fn pushed_to_all(nodes: &Nodes<'_>, node: u8, app: &Path) -> Result<String> {
    nodes.list_each_other()?;
    let push = nodes.command(node, &["push", "--drop-streams"]).arg(app);
    let pushed = Push::of(&push, BOUND)?.end(BOUND)?;
    ensure!(pushed.code == Some(0), "{pushed:#?}");
    let digest = pushed.digest().context("it released nothing")?.to_owned();
    for number in NODES {
        nodes.serves(number, &digest)?;
    }
    std::fs::remove_file(app)?;
    Ok(digest)
}

/// An app that does well, does badly on a canary: the canary votes against it, and all
/// serve what was before.
pub(super) fn judged(nodes: &Nodes<'_>, fault: Fault, dice: &mut StdRng) -> Result<()> {
    let [well, badly] = fault.paths();
    let canary = nodes.canary()?;
    let machine = nodes.lan().machine(canary);
    let before = pushed_to_all(nodes, canary, &another(nodes, dice)?)?;
    for _ in 0..ROUNDS {
        at_once(machine, JUDGED, well)?;
    }
    let app = another(nodes, dice)?;
    let staged = ["push", "--drop-streams", "--canary", "1", "--bake", BAKE];
    let push = Push::of(&nodes.command(canary, &staged).arg(&app), BOUND)?;
    let release = push.released(BOUND)?;
    nodes.serves(canary, &release.digest)?;
    for _ in 0..ROUNDS {
        if nodes.digest(canary)? == release.digest {
            at_once(machine, JUDGED, badly)?;
        }
    }
    let pushed = push.end(BOUND)?;
    std::fs::remove_file(app)?;
    // Times say nothing while the machine has too much to do.
    if let (Fault::Slow, Some(0)) = (fault, pushed.code) {
        return Ok(());
    }
    ensure!(pushed.code == Some(3), "it was not voted down: {pushed:#?}");
    for number in NODES {
        nodes.serves(number, &before)?;
    }
    Ok(())
}

fn another(nodes: &Nodes<'_>, dice: &mut StdRng) -> Result<PathBuf> {
    nodes.bad(&format!("judged {}", dice.random::<u32>()))
}

/// An app that cannot read the states of open streams is refused with that reason, and
/// the streams go on.
pub(super) fn state_refused(nodes: &Nodes<'_>, node: u8, dice: &mut StdRng) -> Result<()> {
    let good = nodes.good(&format!("streams {}", dice.random::<u32>()))?;
    let digest = pushed_to_all(nodes, node, &good)?;
    let machine = nodes.lan().machine(node);
    let url = format!("{}/updates", machine.url());
    let streams = (0..STREAMS).map(|_| machine.follow(&url, ANSWER));
    let streams = streams.collect::<Result<Vec<Sse>>>()?;
    let bad = nodes.bad(&format!("no reader {}", dice.random::<u32>()))?;
    let push = nodes.command(node, &["push"]).arg(&bad).spawn()?;
    let (status, _) = push.wait_for_end(BOUND)?;
    std::fs::remove_file(bad)?;
    let said = push.output();
    ensure!(
        status.code() == Some(2) && said.contains("open streams of /updates"),
        "{status}:\n{said}"
    );
    ensure!(nodes.digest(node)? == digest, "it serves something else");
    let ended = streams.iter().filter(|stream| !stream.is_open()).count();
    ensure!(ended == 0, "{ended} of {STREAMS} streams were ended");
    Ok(())
}

/// A release under which the process dies again and again: the node leaves it by itself.
pub(super) fn kills(nodes: &mut Nodes<'_>, node: u8, dice: &mut StdRng) -> Result<Excuse> {
    let app = nodes.good(&format!("kills {}", dice.random::<u32>()))?;
    let digest = pushed_to_all(nodes, node, &app)?;
    let from = Instant::now();
    for _ in 0..DEATHS {
        nodes.restart(node)?;
        if nodes.digest(node)? != digest {
            break;
        }
    }
    nodes.says(node, &["ERROR", "within a minute"])?;
    nodes.says(node, &["died twice", "votes against the release"])?;
    Ok(Excuse {
        node,
        from,
        to: Instant::now(),
    })
}
