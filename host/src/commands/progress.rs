//! Shows a rollout: to people on a terminal, as lines in a file, or to
//! programs.

mod bars;
mod json;
mod plain;

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::time::{Duration, SystemTime};

use super::show::{self, BAD, BUSY, GOOD, count, id, size, styled};
use super::tables::release_status;
use crate::api::types::{NodeState, Outcome, Problem, Progress, ReleaseInfo, ReleaseStatus, Until};

/// How many names one sentence has at most.
const NAMES: usize = 8;

/// Reports how many bytes were uploaded.
pub(super) type Gone = Box<dyn Fn(u64) + Send + Sync>;

/// Shows a push while it goes on.
pub(super) trait Show {
    /// An upload of this size begins. The caller passes the number of bytes
    /// that have gone to the result.
    fn uploading(&mut self, size: u64) -> Gone;
    /// The upload is over.
    fn uploaded(&mut self);
    /// The release was made.
    fn released(&mut self, release: &ReleaseInfo);
    /// The component was released already.
    fn already(&mut self, release: &str);
    /// The release was refused.
    fn refused(&mut self, problem: &Problem);
    /// Something has happened to the release.
    fn progress(&mut self, line: &Progress, summary: &Summary);
    /// The time is up.
    fn timed_out(&mut self, summary: &Summary, patience: Duration);
    /// The user has stopped following.
    fn stopped(&mut self, why: &str);
}

/// Chooses what fits the output: lines of JSON, bars on a terminal, or plain
/// lines.
pub(super) fn show(json: bool) -> Box<dyn Show> {
    if json {
        Box::new(json::Json)
    } else if std::io::stderr().is_terminal() {
        Box::new(bars::Bars::default())
    } else {
        Box::new(plain::Plain)
    }
}

/// The state of a rollout, from all lines so far.
#[derive(Debug, Default)]
pub(super) struct Summary {
    nodes: BTreeMap<String, NodeLine>,
    /// Nodes that went away before they served the release.
    gone: BTreeSet<String>,
    status: Option<ReleaseStatus>,
    waits_for: Vec<String>,
}

/// What one node does.
#[derive(Clone, Debug)]
struct NodeLine {
    state: NodeState,
    bakes: bool,
    text: String,
}

impl Summary {
    /// Takes in a line.
    pub(super) fn take(&mut self, line: &Progress) {
        match line {
            Progress::Node {
                node,
                state,
                bakes,
                have,
                of,
                reason,
            } => {
                let mut text = state_text(*state, *have, *of, reason.as_deref());
                if *bakes {
                    text += ", baking";
                }
                let line = NodeLine {
                    state: *state,
                    bakes: *bakes,
                    text,
                };
                self.gone.remove(node);
                self.nodes.insert(node.clone(), line);
            }
            Progress::Gone { node } => {
                let was = self.nodes.remove(node);
                if was.is_some_and(|it| it.state != NodeState::Serving) {
                    self.gone.insert(node.clone());
                }
            }
            Progress::Release { status, waits_for } => {
                self.status = Some(*status);
                self.waits_for.clone_from(waits_for);
            }
            Progress::Waiting | Progress::Done { .. } => {}
        }
    }

    fn serving(&self) -> usize {
        let serving = self.nodes.values();
        serving.filter(|it| it.state == NodeState::Serving).count()
    }

    /// Whether nodes have something to do that takes its time, and of which they say
    /// nothing meanwhile.
    pub(super) fn is_at_work(&self, until: Until) -> bool {
        let waits_for_votes = until == Until::Verdict || self.status == Some(ReleaseStatus::Baking);
        self.nodes.values().any(|it| match it.state {
            NodeState::Compiling | NodeState::WaitingForRoom => true,
            _ => it.bakes && waits_for_votes,
        })
    }

    /// Whether this node has not failed.
    fn goes_on(&self, node: &str) -> bool {
        let line = self.nodes.get(node);
        line.is_some_and(|it| it.state != NodeState::Failed)
    }

    /// What is still missing.
    fn pending(&self) -> String {
        let open = self.nodes.iter();
        let open = open.filter(|(_, it)| it.state != NodeState::Serving);
        let open: Vec<String> = open
            .map(|(node, it)| format!("{node} ({})", it.text))
            .collect();
        let mut text = format!("{} of {} serve it", self.serving(), self.nodes.len());
        if self.status == Some(ReleaseStatus::Baking) && !self.waits_for.is_empty() {
            text += &format!("; it waits for the votes of {}", some(&self.waits_for));
        } else if !open.is_empty() {
            text += &format!("; it waits for {}", some(&open));
        } else {
            let baking = self.nodes.iter().filter(|(_, it)| it.bakes);
            let baking: Vec<String> = baking.map(|(node, _)| node.clone()).collect();
            if !baking.is_empty() {
                text += &format!("; it bakes on {}", some(&baking));
            }
        }
        text
    }
}

fn some(names: &[String]) -> String {
    match names.get(..NAMES) {
        Some(first) if names.len() > NAMES => {
            format!("{} and {} more", first.join(", "), names.len() - NAMES)
        }
        _ => names.join(", "),
    }
}

fn state_text(
    state: NodeState,
    have: Option<u64>,
    of: Option<u64>,
    reason: Option<&str>,
) -> String {
    let why = |what: &str| match reason {
        Some(reason) => format!("{what}: {reason}"),
        None => what.to_owned(),
    };
    match (state, have, of) {
        (NodeState::Waiting, ..) => "waiting".to_owned(),
        (NodeState::NotYet, ..) => "waiting for the canaries".to_owned(),
        (NodeState::Fetching, Some(0), Some(of)) => format!("fetching {}", size(of)),
        (NodeState::Fetching, Some(have), Some(of)) => {
            format!("fetching {} of {}", size(have), size(of))
        }
        (NodeState::Fetching, ..) => "fetching".to_owned(),
        (NodeState::WaitingForRoom, ..) => "waiting for an earlier app to drain".to_owned(),
        (NodeState::Compiling, ..) => "compiling".to_owned(),
        (NodeState::TryingAgain, ..) => why("trying again"),
        (NodeState::Serving, ..) => "serving".to_owned(),
        (NodeState::Failed, ..) => why("failed"),
    }
}

/// The last lines that people read.
fn end(line: &Progress, summary: &Summary) -> Option<String> {
    let Progress::Done {
        outcome,
        failed,
        instead,
        bakes_ms,
    } = line
    else {
        return None;
    };
    let bakes = instead
        .as_ref()
        .is_some_and(|it| it.status == ReleaseStatus::Baking);
    let instead = instead.as_ref().map_or_else(String::new, |release| {
        let by = match &*release.by {
            "" => &release.node,
            by => by,
        };
        let note = match &*release.note {
            "" => String::new(),
            note => format!(", {note}"),
        };
        format!(" release {} ({by}{note})", id(&release.id))
    });
    let failed: Vec<String> = failed
        .iter()
        .map(|(node, reason)| match (reason, summary.goes_on(node)) {
            (Some(reason), true) => format!("{node} ({reason}; it tries again by itself)"),
            (Some(reason), false) => format!("{node} ({reason})"),
            (None, _) => node.clone(),
        })
        .collect();
    Some(match outcome {
        Outcome::Served => {
            let all = count(summary.nodes.len(), "node serves it", "nodes serve it");
            let gone: Vec<String> = summary.gone.iter().cloned().collect();
            let mut text = format!("done: {all}");
            if !gone.is_empty() {
                text += &format!("; gone before that: {}", some(&gone));
                text += "; a node that comes back gets it";
            }
            match summary.nodes.values().any(|it| it.bakes) {
                true => styled(GOOD, text + &still_bakes(*bakes_ms)),
                false => styled(GOOD, text),
            }
        }
        Outcome::Failed if summary.status == Some(ReleaseStatus::VotedDown) => styled(
            BAD,
            format!("voted down by {}; the target is{instead}", some(&failed)),
        ),
        Outcome::Failed if summary.status == Some(ReleaseStatus::RolledBack) => {
            styled(BAD, format!("rolled back; the target is{instead}"))
        }
        Outcome::Failed => styled(BAD, format!("not served by {}", some(&failed))),
        // The greater release may still bake.
        Outcome::Superseded if bakes => {
            styled(BUSY, format!("superseded by{instead}, which bakes"))
        }
        Outcome::Superseded => styled(BUSY, format!("superseded: the target is{instead}")),
    })
}

/// What is still open once all serve a release: until when, and where to look.
fn still_bakes(left_ms: Option<u64>) -> String {
    let left = left_ms.map(Duration::from_millis);
    let until = left.map_or_else(String::new, |left| {
        let until = SystemTime::now() + left;
        let until = humantime::format_rfc3339_seconds(until);
        format!(" for another {}, until {until}", show::lasted(ms(left)))
    });
    format!(
        "; it bakes{until}: if it fails it is left again; see `host releases`, or push with --wait"
    )
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn late(summary: &Summary, patience: Duration) -> String {
    let text = format!(
        "nothing has happened for {}: {}; it goes on by itself, see `host nodes`",
        humantime::format_duration(patience),
        summary.pending()
    );
    styled(BUSY, text)
}

fn released(release: &ReleaseInfo) -> String {
    let mut text = format!(
        "released {} as {}",
        show::digest(&release.digest),
        id(&release.id)
    );
    if !release.canaries.is_empty() {
        text += &format!(", at first to {}", some(&release.canaries));
    }
    if release.bake_ms > 0 {
        let bake = Duration::from_millis(release.bake_ms.into());
        text += &format!(", to bake for {}", humantime::format_duration(bake));
    }
    text
}

fn already(release: &str) -> String {
    format!("this app is release {} already", id(release))
}

fn stands(now: ReleaseStatus, waits_for: &[String]) -> String {
    match waits_for.is_empty() {
        true => format!("the release is {}", release_status(now)),
        false => format!(
            "the release is {}: it waits for the votes of {}",
            release_status(now),
            some(waits_for)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, state: NodeState) -> Progress {
        Progress::Node {
            node: name.to_owned(),
            state,
            bakes: false,
            have: None,
            of: None,
            reason: None,
        }
    }

    #[test]
    fn who_went_away_without_it_is_named_at_the_end_unless_it_came_back() {
        let gone = |name: &str| Progress::Gone {
            node: name.to_owned(),
        };
        let done = Progress::Done {
            outcome: Outcome::Served,
            failed: Vec::new(),
            instead: None,
            bakes_ms: None,
        };
        let mut summary = Summary::default();
        for line in [
            node("a", NodeState::Serving),
            node("b", NodeState::Fetching),
            node("c", NodeState::Compiling),
            gone("b"),
            gone("c"),
            node("c", NodeState::Serving),
        ] {
            summary.take(&line);
        }
        let text = end(&done, &summary).unwrap();
        assert!(
            text.contains("2 nodes serve it; gone before that: b;"),
            "{text}"
        );
        // If a node served the release and went away, nothing is missing.
        summary.take(&node("b", NodeState::Serving));
        summary.take(&gone("b"));
        let text = end(&done, &summary).unwrap();
        assert!(!text.contains("gone"), "{text}");
    }

    #[test]
    fn a_release_that_all_serve_and_that_still_bakes_is_called_so_with_its_end() {
        let mut summary = Summary::default();
        let mut line = node("a", NodeState::Serving);
        let Progress::Node { bakes, .. } = &mut line else {
            panic!("it is one of a node");
        };
        *bakes = true;
        summary.take(&line);
        assert!(summary.is_at_work(Until::Verdict) && !summary.is_at_work(Until::Served));
        assert_eq!(summary.pending(), "1 of 1 serve it; it bakes on a");
        let done = Progress::Done {
            outcome: Outcome::Served,
            failed: Vec::new(),
            instead: None,
            bakes_ms: Some(58_000),
        };
        let text = end(&done, &summary).unwrap();
        for says in [
            "1 node serves it; it bakes for another 58 s, until 20",
            "--wait",
        ] {
            assert!(text.contains(says), "{text}");
        }
        // Once it has voted, nothing is open.
        summary.take(&node("a", NodeState::Serving));
        assert!(!end(&done, &summary).unwrap().contains("bakes"));
    }
}
