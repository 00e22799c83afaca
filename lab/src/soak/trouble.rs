//! The troubles, each as one function: it comes to one node, and is over when the
//! function returns. What it explains comes out.

use super::ask::talk;
use super::excuse::Excuse;
use super::releases::{Fault, judged, kills, state_refused};
use super::shortage::{huge_component, no_memory, unread_log};
use super::{BOUND, STOPPED};
use crate::components::filled;
use crate::quality::Quality;
use crate::rollout::Nodes;
use anyhow::{Context, Result, ensure};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long what goes on for a while does, in milliseconds.
const WHILE_MS: std::ops::RangeInclusive<u64> = 500..=4_000;
/// How many streams a client opens at once, and how many uploads it stalls.
const STREAMS: usize = 100;
/// How many requests of one kind a client sends at once: more than a release is
/// judged by.
const MANY: usize = 60;
/// How large the app is whose push is broken off, in bytes.
const LARGE: usize = 20_000_000;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// `kill -9`, and it starts again.
    Kill,
    /// It is asked to stop, and starts again.
    Stop,
    /// It hangs, and goes on.
    Freeze,
    /// Its cable is pulled, and plugged in again.
    Cut,
    /// The others are moved to another switch, and back.
    Split,
    /// All cables lose frames.
    PoorCables,
    /// A push whose command is killed while it uploads.
    LostPusher,
    /// A push of what is no component.
    NoComponent,
    /// A release that traps, and is let trap.
    Traps,
    /// A release that bakes on a canary.
    Canary,
    /// Going back to the release before.
    Rollback,
    /// A client that asks for heads alone, many times.
    Heads,
    /// A client that begins uploads and sends no more.
    StalledUploads,
    /// A client that sends requests that are none.
    NoRequests,
    /// A client that opens streams and reads nothing.
    Streams,
    /// Nobody reads its log.
    UnreadLog,
    /// A push of what takes gigabytes to compile.
    HugeComponent,
    /// Requests use up its memory.
    NoMemory,
    /// A release that answers with errors, on a canary.
    Errors,
    /// A release that answers late, on a canary.
    Slow,
    /// A release that cannot read the states of open streams.
    StateRefused,
    /// A release that kills the process.
    Kills,
}

const ALL: [Trouble; 22] = [
    Trouble::Kill,
    Trouble::Stop,
    Trouble::Freeze,
    Trouble::Cut,
    Trouble::Split,
    Trouble::PoorCables,
    Trouble::LostPusher,
    Trouble::NoComponent,
    Trouble::Traps,
    Trouble::Canary,
    Trouble::Rollback,
    Trouble::Heads,
    Trouble::StalledUploads,
    Trouble::NoRequests,
    Trouble::Streams,
    Trouble::UnreadLog,
    Trouble::HugeComponent,
    Trouble::NoMemory,
    Trouble::Errors,
    Trouble::Slow,
    Trouble::StateRefused,
    Trouble::Kills,
];

impl Trouble {
    /// The next one of the deck, in which each is once. An empty deck is filled and
    /// shuffled.
    pub(super) fn draw(deck: &mut Vec<Self>, dice: &mut StdRng) -> Result<Self> {
        if deck.is_empty() {
            deck.extend(ALL);
            deck.shuffle(dice);
        }
        deck.pop().context("there are no troubles")
    }

    /// What it is called in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Stop => "stop and start",
            Self::Freeze => "a node hangs",
            Self::Cut => "a cable is pulled",
            Self::Split => "the LAN falls apart",
            Self::PoorCables => "cables lose frames",
            Self::LostPusher => "a push dies while it uploads",
            Self::NoComponent => "a push of what is no component",
            Self::Traps => "a release that traps",
            Self::Canary => "a release that bakes",
            Self::Rollback => "a rollback",
            Self::Heads => "a client that sends HEAD alone",
            Self::StalledUploads => "a client that stalls its uploads",
            Self::NoRequests => "a client that sends no HTTP",
            Self::Streams => "a client that reads no stream",
            Self::UnreadLog => "a log that nobody reads",
            Self::HugeComponent => "a push of what takes gigabytes to compile",
            Self::NoMemory => "memory is used up",
            Self::Errors => "a release that answers with 500",
            Self::Slow => "a release that answers late",
            Self::StateRefused => "a release that cannot read open streams",
            Self::Kills => "a release that kills the process",
        }
    }

    /// Whether nothing else may be pushed meanwhile, as it is looked at what comes of a
    /// release.
    pub(super) fn is_alone(self) -> bool {
        use Trouble::{Errors, Kills, NoMemory, Slow, StateRefused, UnreadLog};
        matches!(
            self,
            Errors | Kills | NoMemory | Slow | StateRefused | UnreadLog
        )
    }

    /// Let it come to this node. Returns what it explains; where that is nothing,
    /// no request may be lost.
    ///
    /// # Errors
    ///
    /// If the nodes do not do about it what they have to.
    pub(super) fn inflict(
        self,
        nodes: &mut Nodes<'_>,
        node: u8,
        dice: &mut StdRng,
    ) -> Result<Option<Excuse>> {
        let lasting = Duration::from_millis(dice.random_range(WHILE_MS));
        let machine = nodes.lan().machine(node);
        match self {
            Self::Kill => return killed(nodes, node).map(Some),
            Self::Stop => return stopped(nodes, node).map(Some),
            Self::Freeze => {
                nodes.host(node).freeze()?;
                sleep(lasting);
                nodes.host(node).thaw()?;
            }
            Self::Cut => {
                nodes.lan().cut(node)?;
                sleep(lasting);
                nodes.lan().mend(node)?;
            }
            Self::Split => {
                let others = nodes.others(&[node]);
                nodes.lan().split_off(&others)?;
                sleep(lasting);
                nodes.lan().reunite(&others)?;
            }
            Self::PoorCables => {
                let poor = Quality::losing_percent(20.0);
                let _poor = nodes.lan().degrade(poor, dice.random())?;
                sleep(lasting);
            }
            Self::LostPusher => pusher_lost(nodes, node, dice)?,
            Self::NoComponent => no_component(nodes, node)?,
            Self::Traps => traps(nodes, node, dice)?,
            Self::Canary => canary(nodes, node, dice)?,
            Self::Rollback => {
                // There may be nothing to go back to.
                let back = nodes.command(node, &["rollback", "--timeout", "30s"]);
                back.spawn()?.wait_for_end(BOUND)?;
            }
            Self::Heads => talk(machine, MANY, "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", lasting)?,
            Self::StalledUploads => {
                let begun = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nx";
                talk(machine, STREAMS, begun, lasting)?;
            }
            Self::NoRequests => {
                for text in [
                    "GET / HTTP/1.1\r\nhost:\r\n\r\n",
                    "\u{0}\r\n\r\n",
                    "GET / HT",
                ] {
                    talk(machine, MANY, text, lasting / 4)?;
                }
            }
            Self::Streams => {
                let stream = "GET /updates HTTP/1.1\r\nhost: a\r\n\r\n";
                talk(machine, STREAMS, stream, lasting)?;
            }
            Self::UnreadLog => unread_log(nodes, node, dice)?,
            Self::HugeComponent => huge_component(nodes, node)?,
            Self::NoMemory => return no_memory(nodes, node, dice).map(Some),
            Self::Errors => judged(nodes, Fault::Errors, dice)?,
            Self::Slow => judged(nodes, Fault::Slow, dice)?,
            Self::StateRefused => state_refused(nodes, node, dice)?,
            Self::Kills => return kills(nodes, node, dice).map(Some),
        }
        Ok(None)
    }
}

fn killed(nodes: &mut Nodes<'_>, node: u8) -> Result<Excuse> {
    let from = nodes.host(node).kill()?;
    nodes.host(node).wait_for_end(BOUND)?;
    // Two deaths within a minute would count against the release that it serves.
    let mark = nodes.lan().machine(node).data_dir().join("trying");
    if let Err(error) = std::fs::remove_file(mark) {
        ensure!(error.kind() == std::io::ErrorKind::NotFound, "{error}");
    }
    nodes.restart(node)?;
    Ok(Excuse {
        node,
        from,
        to: Instant::now(),
    })
}

/// It is asked to stop, and starts again.
pub(super) fn stopped(nodes: &mut Nodes<'_>, node: u8) -> Result<Excuse> {
    let from = nodes.host(node).terminate()?;
    let (status, _) = nodes.host(node).wait_for_end(STOPPED)?;
    ensure!(status.success(), "it ended with {status}");
    nodes.restart(node)?;
    Ok(Excuse {
        node,
        from,
        to: Instant::now(),
    })
}

/// Kills the command of a large push, some time after it has begun.
fn pusher_lost(nodes: &Nodes<'_>, node: u8, dice: &mut StdRng) -> Result<()> {
    let guest = std::fs::read(nodes.lan().programs().app())?;
    let path = nodes.lan().scratch().join("large.wasm");
    std::fs::write(&path, filled(&guest, LARGE, dice.random()))?;
    let push = nodes.command(node, &["push"]).arg(&path).spawn()?;
    sleep(Duration::from_millis(dice.random_range(0..=500)));
    if push.is_running() {
        // It may just have come to its end.
        let _ = push.kill();
    }
    push.wait_for_end(BOUND)?;
    Ok(())
}

fn no_component(nodes: &Nodes<'_>, node: u8) -> Result<()> {
    let path = nodes.lan().scratch().join("none.wasm");
    std::fs::write(&path, b"\0asm\x0d\0\x01\0 and then something else")?;
    let push = nodes.command(node, &["push"]).arg(&path).spawn()?;
    let (status, _) = push.wait_for_end(BOUND)?;
    ensure!(!status.success(), "it was taken:\n{}", push.output());
    Ok(())
}

/// Pushes a release that traps at one path, and asks for that path, whatever comes
/// of it: something else may be pushed meanwhile.
fn traps(nodes: &Nodes<'_>, node: u8, dice: &mut StdRng) -> Result<()> {
    let bad = nodes.bad(&format!("bad {}", dice.random::<u32>()))?;
    let push = nodes.command(node, &["push", "--timeout", "30s"]).arg(&bad);
    push.spawn()?.wait_for_end(BOUND)?;
    let panic = "GET /panic HTTP/1.1\r\nhost: a\r\n\r\n";
    talk(nodes.lan().machine(node), MANY, panic, Duration::ZERO)
}

fn canary(nodes: &Nodes<'_>, node: u8, dice: &mut StdRng) -> Result<()> {
    let good = nodes.good(&format!("canary {}", dice.random::<u32>()))?;
    let staged = ["push", "--canary", "1", "--bake", "2s", "--timeout", "30s"];
    let push = nodes.command(node, &staged).arg(&good).spawn()?;
    // How it ends depends on what else is pushed.
    push.wait_for_end(BOUND)?;
    Ok(())
}
