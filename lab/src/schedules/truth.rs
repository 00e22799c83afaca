//! Whether what a command said at its end is true: a pure function of that and
//! of what happened.
//!
//! | exit | it says | true if |
//! |---|---|---|
//! | 0 | `done: N nodes serve it; gone before that: …` | each of the N did, as far as could be heard, and whoever is gone or left out was no member |
//! | 4 | `superseded: the target is release X` | X is the greater one, and the target where it was asked |
//! | 5 | `nothing has happened for T: N of M serve it; it waits for …` | T has passed, the N served it, and who is named had not said so |

use super::draw::HALVES;
use super::facts::{Facts, begins};
use super::nodes::Release;
use super::pulse::Pauses;
use super::said::{End, Said};
use anyhow::{Context, Result, bail, ensure};
use std::time::{Duration, Instant};

/// How late a line may be read, of a log or of a command.
const READ: Duration = Duration::from_millis(400);

/// How long what a member does may have been so until a command says it: members
/// tell at once, and it looks four times a second at least.
const STALE: Duration = Duration::from_millis(700);

/// The two releases of a schedule; the same one twice, if both made the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Two<'a> {
    /// The one that the command follows.
    pub(super) own: &'a Release,
    /// The one that all serve in the end.
    pub(super) winner: &'a Release,
}

/// How late anything may be that has to do with the end of the command: so long
/// that the machine did not stand still for so much of it.
#[derive(Clone, Copy)]
struct Leeway<'a> {
    read: Duration,
    stale: Duration,
    pauses: &'a Pauses,
}

/// Check what the command said. `pauses`: when the machine stood still; what is
/// judged may be later by those that it falls into. Returns how old what it said
/// might be.
///
/// # Errors
///
/// What of it is not true.
pub(super) fn check(said: &Said, two: Two<'_>, facts: &Facts, pauses: &Pauses) -> Result<Duration> {
    let leeway = Leeway {
        read: pauses.after(said.ended, READ),
        stale: pauses.before(said.ended, STALE),
        pauses,
    };
    is_true(said, two, facts, leeway)?;
    Ok(leeway.stale)
}

fn is_true(said: &Said, two: Two<'_>, facts: &Facts, leeway: Leeway<'_>) -> Result<()> {
    ensure!(
        begins(&two.own.id, &said.id),
        "it follows release {}, not {}",
        said.id,
        two.own.id
    );
    let end = said.end()?;
    match (said.exit, &end) {
        (Some(0), End::Done { count, gone }) => done(said, (*count, gone), two, facts, leeway),
        (Some(4), End::Superseded { id, by, note }) => {
            ensure!(
                two.own.id != two.winner.id,
                "it is the target everywhere, and not superseded"
            );
            let release = two.winner;
            ensure!(
                begins(&release.id, id) && *by == release.by && *note == release.note,
                "the one ahead of it is {release:?}"
            );
            let target = facts.target(said.on, said.ended + leeway.read);
            ensure!(
                target.is_some_and(|(_, target)| begins(&release.id, target)),
                "the target there was {target:?}"
            );
            Ok(())
        }
        (Some(5), End::Late { .. }) => late(said, &end, two, facts, leeway),
        (exit, end) => bail!("it ended with {exit:?} and {end:?}"),
    }
}

fn done(
    said: &Said,
    (count, gone): (usize, &[u8]),
    two: Two<'_>,
    facts: &Facts,
    leeway: Leeway<'_>,
) -> Result<()> {
    let serving: Vec<u8> = said.serving().collect();
    ensure!(
        serving.len() == count && said.nodes.len() == count,
        "the nodes are {:?}",
        said.nodes
    );
    all_served(said, two.own, facts, leeway)?;
    for node in gone {
        ensure!(
            !serving.contains(node) && !was_member(said, *node, facts, leeway),
            "it says that .{node} is gone, which was a member"
        );
    }
    nobody_is_left_out(said, &serving, facts, leeway)?;
    known_as_target(said, two, facts, leeway)
}

fn late(said: &Said, end: &End, two: Two<'_>, facts: &Facts, leeway: Leeway<'_>) -> Result<()> {
    let End::Late {
        timeout,
        serving,
        of,
        pending,
    } = end
    else {
        bail!("it is not late");
    };
    let followed = said.ended.saturating_duration_since(said.released);
    ensure!(
        *timeout == humantime::format_duration(said.timeout).to_string()
            && followed + leeway.pauses.before(said.released, READ) >= said.timeout,
        "it followed for {followed:?} of {:?}",
        said.timeout
    );
    let served: Vec<u8> = said.serving().collect();
    let mut named: Vec<u8> = served.iter().chain(pending).copied().collect();
    named.sort_unstable();
    named.dedup();
    // That a node gets the app is no line of its own, but it is in the last one.
    let lines = said.nodes.keys().all(|node| named.contains(node));
    ensure!(
        served.len() == *serving && named.len() == *of && lines,
        "the nodes are {:?}",
        said.nodes
    );
    ensure!(!pending.is_empty(), "all served it");
    all_served(said, two.own, facts, leeway)?;
    nobody_is_left_out(said, &named, facts, leeway)?;
    let from = earlier(said.ended, leeway.stale);
    for node in pending {
        let served = facts.served_throughout(*node, &two.own.digest, from, said.ended);
        let heard = facts.in_contact(said.on, *node, said.ended, leeway.stale);
        ensure!(
            !(served && heard),
            "it waited for .{node}, which served it for {:?} already",
            leeway.stale
        );
    }
    known_as_target(said, two, facts, leeway)
}

/// Whoever it says serves it did so, when that was last to be heard.
fn all_served(said: &Said, own: &Release, facts: &Facts, leeway: Leeway<'_>) -> Result<()> {
    for node in said.serving() {
        let heard = facts.last_contact(said.on, node, said.ended);
        let from = earlier(heard, leeway.pauses.before(heard, STALE));
        ensure!(
            facts.served(node, &own.digest, from, said.ended + leeway.read),
            ".{node} did not serve it"
        );
    }
    Ok(())
}

/// Whoever it does not mention was no member for the node that it asked.
fn nobody_is_left_out(said: &Said, named: &[u8], facts: &Facts, leeway: Leeway<'_>) -> Result<()> {
    let all = HALVES.into_iter().flatten();
    for node in all.filter(|node| !named.contains(node)) {
        ensure!(
            !was_member(said, node, facts, leeway),
            "it leaves out .{node}, which was a member"
        );
    }
    Ok(())
}

/// Whether this was a member for the node that it asked, all the time that it
/// may have looked at the end.
fn was_member(said: &Said, node: u8, facts: &Facts, leeway: Leeway<'_>) -> bool {
    let from = earlier(said.ended, leeway.stale);
    node == said.on || facts.listed_throughout(said.on, node, from, said.ended + leeway.read)
}

/// It did not go on following what its node knew to have lost.
fn known_as_target(said: &Said, two: Two<'_>, facts: &Facts, leeway: Leeway<'_>) -> Result<()> {
    if two.own.id == two.winner.id {
        return Ok(());
    }
    let at = earlier(said.ended, leeway.stale);
    let lost = facts
        .target(said.on, at)
        .is_some_and(|(_, id)| begins(&two.winner.id, id));
    ensure!(
        !lost,
        "its node knew for {:?} that {} is ahead of it",
        leeway.stale,
        two.winner.id
    );
    Ok(())
}

fn earlier(at: Instant, by: Duration) -> Instant {
    at.checked_sub(by).unwrap_or(at)
}

/// What has become of the two in the end, on every node.
///
/// # Errors
///
/// If it is not what the order of decisions says.
pub(super) fn check_order<'a>(releases: &'a [Release], ids: [&str; 2]) -> Result<[&'a Release; 2]> {
    let find = |id: &str| {
        let mut all = releases.iter();
        all.find(|it| begins(&it.id, id))
            .with_context(|| format!("{id} is not in the history"))
    };
    let [one, other] = [find(ids[0])?, find(ids[1])?];
    let (winner, loser) = match one.rank() >= other.rank() {
        true => (one, other),
        false => (other, one),
    };
    ensure!(
        releases.first().map(|it| &it.id) == Some(&winner.id) && winner.status == "target",
        "the greatest is {winner:#?}, and the list begins with {:#?}",
        releases.first()
    );
    if winner.id != loser.id {
        let stands = match (&winner.parent, &*winner.kind) {
            (parent, "rollback") if parent.as_ref() == Some(&loser.id) => "rolled-back",
            (parent, _) if parent.as_ref() == Some(&loser.id) => "earlier",
            _ => "superseded",
        };
        ensure!(
            loser.status == stands,
            "the other one is not {stands}: {loser:#?}"
        );
    }
    Ok([winner, loser])
}

#[cfg(test)]
#[path = "truth/tests.rs"]
mod tests;
