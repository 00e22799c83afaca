//! What `host push` and `host rollback` say, read as a person reads it: lines of
//! text, of which the last says how it ended.

use crate::process::Line;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Before the address of a node of the lab.
const NODE: &str = "example@10.10.10.";

/// All that a command said.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// The machine of the node that it asked.
    pub(super) on: u8,
    /// What it was given as `--timeout`.
    pub(super) timeout: Duration,
    /// Its exit status.
    pub(super) exit: Option<i32>,
    /// When it had ended.
    pub(super) ended: Instant,
    /// When it said which release it follows.
    pub(super) released: Instant,
    /// The beginning of the key of that.
    pub(super) id: String,
    /// What it said last of each node that was not gone then.
    pub(super) nodes: BTreeMap<u8, String>,
    /// Its last line.
    pub(super) last: String,
}

/// How it ended, by its last line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All that are there serve it.
    Done {
        /// So many.
        count: usize,
        /// Those that went away before they served it.
        gone: Vec<u8>,
    },
    /// Another release is the target instead: its id, and who and why.
    Superseded {
        /// The beginning of its key.
        id: String,
        /// Who made it.
        by: String,
        /// What they say about it.
        note: String,
    },
    /// Time was up.
    Late {
        /// What it was given.
        timeout: String,
        /// So many served it,
        serving: usize,
        /// of so many.
        of: usize,
        /// Those that it waits for.
        pending: Vec<u8>,
    },
}

/// When it said which release it follows, and the beginning of its id.
pub(super) fn released(lines: &[Line]) -> Option<(Instant, String)> {
    lines.iter().find_map(|line| {
        let text = &line.text;
        let made = text
            .strip_prefix("released ")
            .and_then(|rest| rest.split_once(" as "))
            .map(|(_, id)| id);
        let there = text
            .strip_prefix("this app is release ")
            .and_then(|rest| rest.strip_suffix(" already"));
        Some((line.at, made.or(there)?.to_owned()))
    })
}

impl Said {
    /// What these lines say.
    ///
    /// # Errors
    ///
    /// If they name no release.
    pub(super) fn read(
        lines: &[Line],
        (on, timeout): (u8, Duration),
        (exit, ended): (Option<i32>, Instant),
    ) -> Result<Self> {
        let text = || -> String { lines.iter().map(|it| it.text.clone() + "\n").collect() };
        let (released, id) =
            released(lines).with_context(|| format!("{exit:?}, and no release:\n{}", text()))?;
        let mut nodes = BTreeMap::new();
        for line in lines {
            if let Some((node, state)) = node_line(&line.text) {
                match state {
                    "gone" => drop(nodes.remove(&node)),
                    _ => drop(nodes.insert(node, state.to_owned())),
                }
            }
        }
        Ok(Self {
            on,
            timeout,
            exit,
            ended,
            released,
            id,
            nodes,
            last: lines
                .last()
                .map(|line| line.text.clone())
                .unwrap_or_default(),
        })
    }

    /// Those of which it said last that they serve it.
    pub(super) fn serving(&self) -> impl Iterator<Item = u8> {
        let serving = self.nodes.iter().filter(|(_, state)| *state == "serving");
        serving.map(|(node, _)| *node)
    }

    /// What its last line says.
    ///
    /// # Errors
    ///
    /// If it says none of that.
    pub(super) fn end(&self) -> Result<End> {
        end(&self.last).with_context(|| format!("the last line is no end: {:?}", self.last))
    }
}

/// `NODE: STATE`, or `NODE: STATE, baking`: whether it still checks the release says nothing of
/// whether it serves it.
fn node_line(text: &str) -> Option<(u8, &str)> {
    let (node, state) = text.strip_prefix(NODE)?.split_once(": ")?;
    let state = state.strip_suffix(", baking").unwrap_or(state);
    Some((node.parse().ok()?, state))
}

/// `NODE, NODE; a node that comes back gets it`.
fn numbers_gone(text: &str) -> Result<Vec<u8>> {
    let names = text.strip_suffix("; a node that comes back gets it");
    let names = names.context("not what becomes of those that are gone")?;
    let number = |name: &str| name.strip_prefix(NODE).and_then(|it| it.parse().ok());
    names
        .split(", ")
        .map(|name| number(name).context("no node"))
        .collect()
}

fn end(last: &str) -> Result<End> {
    if let Some(rest) = last.strip_prefix("done: ") {
        // Whether it still bakes says nothing of who serves it.
        let rest = rest.split_once("; it bakes").map_or(rest, |(rest, _)| rest);
        let (count, rest) = rest.split_once(' ').context("no number")?;
        let (serve, gone) = match rest.split_once("; gone before that: ") {
            Some((serve, gone)) => (serve, numbers_gone(gone)?),
            None => (rest, Vec::new()),
        };
        ensure!(matches!(serve, "node serves it" | "nodes serve it"));
        let count = count.parse()?;
        return Ok(End::Done { count, gone });
    }
    if let Some(rest) = last.strip_prefix("superseded: the target is release ") {
        let (id, who) = rest.split_once(" (").context("nobody")?;
        let who = who.strip_suffix(')').context("nobody")?;
        let (by, note) = who.split_once(", ").unwrap_or((who, ""));
        return Ok(End::Superseded {
            id: id.to_owned(),
            by: by.to_owned(),
            note: note.to_owned(),
        });
    }
    if let Some(rest) = last.strip_prefix("nothing has happened for ") {
        let (timeout, rest) = rest.split_once(": ").context("no time")?;
        let (counts, rest) = rest.split_once(" serve it; ").context("no counts")?;
        let (serving, of) = counts.split_once(" of ").context("no counts")?;
        let rest = rest.strip_suffix("; it goes on by itself, see `host nodes`");
        let waits = rest.and_then(|rest| rest.strip_prefix("it waits for "));
        // `NODE (STATE), NODE (STATE)`: a state may hold anything.
        let pending = waits.context("nobody to wait for")?.split(NODE).skip(1);
        let number = |node: &str| node.split(' ').next().and_then(|it| it.parse().ok());
        return Ok(End::Late {
            timeout: timeout.to_owned(),
            serving: serving.parse()?,
            of: of.parse()?,
            pending: pending
                .map(|node| number(node).context("no node"))
                .collect::<Result<_>>()?,
        });
    }
    bail!("it says something else")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A panic is how a test fails.
mod tests {
    use super::*;
    use crate::process::Source;

    #[test]
    fn the_last_line_says_how_it_ended() {
        let done = |count, gone: &[u8]| End::Done {
            count,
            gone: gone.to_vec(),
        };
        assert_eq!(end("done: 1 node serves it").unwrap(), done(1, &[]));
        assert_eq!(end("done: 4 nodes serve it").unwrap(), done(4, &[]));
        let bakes = "done: 4 nodes serve it; it bakes for another 58 s, until then: look there";
        assert_eq!(end(bakes).unwrap(), done(4, &[]));
        let gone = end(
            "done: 2 nodes serve it; gone before that: example@10.10.10.4, example@10.10.10.5; \
             a node that comes back gets it",
        );
        assert_eq!(gone.unwrap(), done(2, &[4, 5]));
        let superseded = end("superseded: the target is release b2c0d4e5f6 (ann, a, b)").unwrap();
        let expected = End::Superseded {
            id: "b2c0d4e5f6".to_owned(),
            by: "ann".to_owned(),
            note: "a, b".to_owned(),
        };
        assert_eq!(superseded, expected);
        let late = end(
            "nothing has happened for 700ms: 2 of 4 serve it; it waits for example@10.10.10.4 (waiting), \
             example@10.10.10.5 (fetching 3 B); it goes on by itself, see `host nodes`",
        );
        let expected = End::Late {
            timeout: "700ms".to_owned(),
            serving: 2,
            of: 4,
            pending: vec![4, 5],
        };
        assert_eq!(late.unwrap(), expected);
        for none in [
            "",
            "done: all",
            "done: 2 nodes serve it; gone before that: example@10.10.10.4",
            "done: 2 nodes serve it; gone before that: ; a node that comes back gets it",
            "superseded: the target is",
            "nothing has happened for 1s",
        ] {
            assert!(end(none).is_err(), "{none}");
        }
    }

    #[test]
    fn of_each_node_counts_what_was_said_last_and_of_one_that_is_gone_nothing() {
        let now = Instant::now();
        let lines = [
            "released 0fbcca52de4e as b2c0d4e5f6",
            "example@10.10.10.2: compiling",
            "example@10.10.10.4: waiting",
            "example@10.10.10.2: serving, baking",
            "example@10.10.10.4: gone",
            "done: 1 node serves it",
        ]
        .map(|text| Line {
            at: now,
            source: Source::Stderr,
            text: text.to_owned(),
        });
        let said = Said::read(&lines, (2, Duration::from_secs(1)), (Some(0), now)).unwrap();
        assert_eq!(said.id, "b2c0d4e5f6");
        assert_eq!(said.nodes, BTreeMap::from([(2, "serving".to_owned())]));
        let done = End::Done {
            count: 1,
            gone: Vec::new(),
        };
        assert_eq!(said.end().unwrap(), done);
        assert!(Said::read(&lines[1..], (2, Duration::ZERO), (Some(1), now)).is_err());
    }
}
