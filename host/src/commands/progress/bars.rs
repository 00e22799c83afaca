//! Shows a rollout on a terminal: a bar for the upload, then a line for each
//! node, and one line for all of them together.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Gone, NodeLine, Show, Summary, already, end, late, released, stands};
use crate::api::types::{NodeState, Problem, Progress, ReleaseInfo};
use crate::commands::show::{BAD, BUSY, GOOD, styled};
use crate::commands::tell;

/// How many nodes have a line of their own. Of the others, only those that fail
/// get one.
const LINES: usize = 16;

/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Bars {
    screen: MultiProgress,
    upload: Option<ProgressBar>,
    nodes: BTreeMap<String, ProgressBar>,
    all: Option<ProgressBar>,
}

/// A template is a constant. If it were wrong, the plain style would do.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Bars {
    fn line(&self, text: &str) {
        // If nobody sees it, nothing is lost.
        let _ = self.screen.println(shown(text));
    }

    /// A spinner that turns until its work is done.
    fn spinner(&self) -> ProgressBar {
        let bar = ProgressBar::new_spinner().with_style(style("  {spinner} {prefix:<24} {msg}"));
        let bar = match &self.all {
            Some(all) => self.screen.insert_before(all, bar),
            None => self.screen.add(bar),
        };
        bar.enable_steady_tick(TURN);
        bar
    }

    fn node(&mut self, node: &str, now: &NodeLine) {
        let (style, over) = match now.state {
            NodeState::Serving => (GOOD, true),
            NodeState::Failed => (BAD, true),
            _ => (BUSY, false),
        };
        let known = self.nodes.contains_key(node);
        if !known && self.nodes.len() >= LINES && now.state != NodeState::Failed {
            return;
        }
        if !known {
            let bar = self.spinner();
            bar.set_prefix(node.to_owned());
            self.nodes.insert(node.to_owned(), bar);
        }
        let Some(bar) = self.nodes.get(node) else {
            return;
        };
        let text = shown(&styled(style, &now.text));
        // A node that was done may begin again.
        match over {
            true => bar.abandon_with_message(text),
            false => {
                if bar.is_finished() {
                    bar.reset();
                    bar.enable_steady_tick(TURN);
                }
                bar.set_message(text);
            }
        }
    }

    fn together(&mut self, summary: &Summary) {
        let all = self.all.get_or_insert_with(|| {
            let bar = ProgressBar::new(0).with_style(style("  {bar:24} {pos} of {len} serve it"));
            self.screen.add(bar)
        });
        all.set_length(summary.nodes.len() as u64);
        all.set_position(summary.serving() as u64);
    }

    /// Writes how the nodes ended, and a last line. After that the screen
    /// belongs to the shell again.
    fn last(&mut self, text: &str) {
        // If the screen cannot be cleared, one line more stays on it.
        let _ = self.screen.clear();
        self.screen.set_draw_target(ProgressDrawTarget::hidden());
        for (node, bar) in &self.nodes {
            tell(&format!("  {node:<24} {}", bar.message()));
        }
        tell(text);
    }
}

/// The text with colours, if standard error shows them.
fn shown(text: &str) -> String {
    match anstream::AutoStream::choice(&std::io::stderr()) {
        anstream::ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
        _ => text.to_owned(),
    }
}

impl Show for Bars {
    fn uploading(&mut self, size: u64) -> Gone {
        let bar = ProgressBar::new(size).with_style(style(
            "uploading {bar:24} {binary_bytes} of {binary_total_bytes}",
        ));
        let bar = self.screen.add(bar);
        self.upload = Some(bar.clone());
        Box::new(move |gone| {
            bar.set_position(gone);
            if gone == size {
                bar.set_style(style("{spinner} the node compiles and checks the app"));
                bar.enable_steady_tick(TURN);
            }
        })
    }

    fn uploaded(&mut self) {
        if let Some(bar) = self.upload.take() {
            bar.finish_and_clear();
        }
    }

    fn released(&mut self, release: &ReleaseInfo) {
        self.line(&released(release));
    }

    fn already(&mut self, release: &str) {
        self.line(&already(release));
    }

    fn refused(&mut self, _: &Problem) {
        self.uploaded();
    }

    fn progress(&mut self, line: &Progress, summary: &Summary) {
        match line {
            Progress::Node { node, .. } => {
                self.together(summary);
                if let Some(now) = summary.nodes.get(node) {
                    self.node(node, now);
                }
            }
            Progress::Gone { node } => {
                self.together(summary);
                if let Some(bar) = self.nodes.get(node) {
                    bar.abandon_with_message("gone");
                }
            }
            Progress::Release { status, waits_for } => self.line(&stands(*status, waits_for)),
            Progress::Waiting => {}
            Progress::Done { .. } => {
                if let Some(text) = end(line, summary) {
                    self.last(&text);
                }
            }
        }
    }

    fn timed_out(&mut self, summary: &Summary, patience: Duration) {
        self.last(&late(summary, patience));
    }

    fn stopped(&mut self, why: &str) {
        self.uploaded();
        self.last(why);
    }
}
