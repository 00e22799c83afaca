//! Who is killed by signal 9 while a release is on its way, each as one function: a
//! canary, the command that pushes, a node that fetches. What is left goes on, and
//! who starts again serves the target.

use super::seen::CHANGED;
use super::{LONG_BAKE, LOOK, Nodes};
use crate::cluster::ANSWER;
use crate::push::{Push, Pushed, Released};
use crate::quality::Quality;
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How late a frame is while an upload or a fetch is to be slow: 64 KiB of it may
/// be under way at a time, so that 40 MB take half a minute, and members are not
/// missed.
const LATE: Duration = Duration::from_millis(20);
/// So much of an upload has come when it is cut off, in bytes.
const BEGUN: u64 = 500_000;

/// A canary that was killed while it tried a release.
#[derive(Clone, Debug)]
pub struct KilledCanary {
    /// How many other nodes ever served what it tried.
    pub strays: usize,
    /// What somebody is told who follows the release, when the others have noticed.
    pub waits: String,
    /// From the start of a newer push until every node that was left served it.
    pub newer: Duration,
    /// How the push of what it tried ended.
    pub code: Option<i32>,
    /// From its start until the canary served the newer one.
    pub again: Duration,
}

/// A push from another machine that was killed while it uploaded.
#[derive(Clone, Debug)]
pub struct KilledUpload {
    /// How many bytes the node had received of it.
    pub received: u64,
    /// How many there are.
    pub of: u64,
    /// How many nodes have served anything but the app before and the next one.
    pub changed: usize,
    /// How many files are in the stores that are neither of the apps before nor of
    /// the next one, and how many releases are listed that are no more of those.
    pub left: usize,
    /// From the start of the next push until every node served it.
    pub next: Duration,
}

/// A node that was killed while it fetched an app.
#[derive(Clone, Debug)]
pub struct KilledFetch {
    /// How many bytes of the app it had.
    pub have: u64,
    /// How many there are.
    pub of: u64,
    /// How the push ended at another node.
    pub pushed: Pushed,
    /// From its start until it served it.
    pub again: Duration,
}

impl Nodes<'_> {
    /// Push an app with one canary at node `from`, and kill the canary while it
    /// serves it; push a newer app when the others have noticed, and start the
    /// canary again when they serve that.
    ///
    /// # Errors
    ///
    /// If any of it does not come within the bound; that the others did not wait.
    pub fn canary_killed(&mut self, from: u8, app: &Path, newer: &Path) -> Result<KilledCanary> {
        let canary = self.canary()?;
        let others = self.others(&[canary]);
        let generations = self.generations(&others)?;
        let staged = self.staged(from, app, LONG_BAKE);
        let push = Push::of(&staged, self.bound)?;
        let (release, started) = (push.released(self.bound)?, push.command().started());
        self.says_after(started, canary, &[CHANGED, release.short()?])?;
        let follows = staged.spawn()?;
        follows.wait_for_line(&["already"], self.bound)?;
        self.host(canary).kill()?;
        let machine = self.lan.machine(canary);
        let mut noticed = started;
        for number in &others {
            let words = ["member down", &machine.node_name()];
            noticed = noticed.max(self.says_after(started, *number, &words)?);
        }
        let waits = ["waits for the votes of", &machine.ip().to_string()];
        let waits = follows.wait_for_line_after(noticed, &waits, self.bound)?;
        for number in &others {
            ensure!(self.status(*number)? == "baking", "{}", self.output());
        }
        let pushed = self.push(from, newer)?;
        let next = pushed.release()?;
        let newer = self.have_changed(&others, pushed.started, &next.digest)?;
        let code = push.end(self.bound)?.code;
        follows.wait_for_end(self.bound)?;
        let strays = self.strays(&generations, &release, 1)?;
        let again = self.restart(canary)?;
        let answers = self.answers(canary, &next.digest)?;
        self.list_each_other()?;
        Ok(KilledCanary {
            strays,
            waits: waits.text,
            newer: newer - pushed.started,
            code,
            again: answers - again,
        })
    }

    /// Push an app at node `at` from another machine over slow cables, and kill the
    /// command when a part of it has come; then push the next app with good ones.
    ///
    /// # Errors
    ///
    /// If this kernel can make no cable slow; if the next one is not served within
    /// the bound.
    pub fn pusher_killed_while_uploading(
        &self,
        elsewhere: u8,
        at: u8,
        app: &Path,
        next: &Path,
    ) -> Result<KilledUpload> {
        let (lan, all) = (self.lan, self.others(&[]));
        let of = std::fs::metadata(app)?.len();
        let generations = self.generations(&all)?;
        let before = self.kept()?;
        let slow = lan.degrade(Quality::late_by(LATE, Duration::ZERO), 0)?;
        let received = || anyhow::Ok(lan.machine(at).traffic()?.1);
        let first = received()?;
        let push = Push::of(
            &lan.tool_from(elsewhere, at, &["push"]).arg(app),
            self.bound,
        )?;
        push.command().wait_for_line(&["uploading"], self.bound)?;
        let deadline = Instant::now() + self.bound;
        // The cards count, and tell nobody.
        while received()? < first + BEGUN {
            ensure!(Instant::now() < deadline, "it does not upload");
        }
        push.kill(self.bound)?;
        let received = received()? - first;
        let said = push.command().output();
        ensure!(!said.contains("uploaded"), "it was killed too late: {said}");
        drop(slow);
        let then = lan.tool_from(elsewhere, at, &["push"]).arg(next);
        let pushed = self.ends_well(&Push::of(&then, self.bound)?)?;
        let next = pushed.release()?;
        let served = self.have_changed(&all, pushed.started, &next.digest)?;
        let now = self.generations(&all)?;
        let changed = all.iter().filter(|number| {
            let expected = generations.get(number).map(|it| it + 1);
            now.get(number).copied() != expected
        });
        let left = self.left_over(&before, &next)?;
        Ok(KilledUpload {
            received,
            of,
            changed: changed.count(),
            left,
            next: served - pushed.started,
        })
    }

    /// How much all nodes keep that they did not before and that is not of this
    /// release, as soon as that is nothing.
    fn left_over(&self, before: &BTreeSet<PathBuf>, next: &Released) -> Result<usize> {
        // What was fetched serves before the disk is done with it.
        let deadline = Instant::now() + ANSWER;
        loop {
            let left = self.kept()?.into_iter().filter(|it| {
                let name = it.file_name().unwrap_or_default().to_string_lossy();
                !name.starts_with(&next.digest) && !before.contains(it)
            });
            match left.count() {
                0 => return Ok(0),
                left if Instant::now() > deadline => return Ok(left),
                _ => sleep(LOOK),
            }
        }
    }

    /// What all nodes keep: the files in their stores, and the apps of the releases
    /// that they list.
    fn kept(&self) -> Result<BTreeSet<PathBuf>> {
        let mut kept = BTreeSet::new();
        for number in self.others(&[]) {
            kept.extend(self.stored(number)?);
            let listed = self.releases(number)?.into_iter();
            let digests = listed.filter_map(|it| Some(PathBuf::from(it["digest"].as_str()?)));
            kept.extend(digests);
        }
        Ok(kept)
    }

    /// Push an app to all at node `at`, and kill the command as soon as it has
    /// released it, while nodes fetch it. Returns how long after that all serve it.
    ///
    /// # Errors
    ///
    /// If this kernel can make no cable slow; that the command was done before; if
    /// not all serve it within the bound.
    pub fn pusher_killed_after_release(&self, at: u8, app: &Path) -> Result<Duration> {
        let slow = self
            .lan
            .degrade(Quality::late_by(LATE, Duration::ZERO), 0)?;
        let push = Push::start(self.lan, at, Some(app), self.bound)?;
        let release = push.released(self.bound)?;
        let killed = push.kill(self.bound)?;
        drop(slow);
        let all = self.others(&[]);
        let started = push.command().started();
        let served = self.have_changed(&all, started, &release.digest)?;
        Ok(served.saturating_duration_since(killed))
    }

    /// Push an app with one canary at node `at`, and kill the command as soon as
    /// the canary serves it. Returns how long after the bake all serve it.
    ///
    /// # Errors
    ///
    /// That the command was done before; that others served it before the canary had
    /// voted for it; if not all serve it within the bound.
    pub fn pusher_killed_in_the_bake(
        &self,
        at: u8,
        app: &Path,
        bake: Duration,
    ) -> Result<Duration> {
        let canary = self.canary()?;
        let push = Push::of(&self.staged(at, app, bake), self.bound)?;
        let (release, started) = (push.released(self.bound)?, push.command().started());
        let tried = self.says_after(started, canary, &[CHANGED, release.short()?])?;
        push.kill(self.bound)?;
        let others = self.others(&[canary]);
        let served = self.have_changed(&others, started, &release.digest)?;
        for number in &others {
            ensure!(self.voted_first(*number, &release)?, "{}", self.output());
        }
        self.answers(canary, &release.digest)?;
        Ok(served.saturating_duration_since(tried + bake))
    }

    /// Whether node N has logged that the release was accepted before it served it.
    fn voted_first(&self, number: u8, release: &Released) -> Result<bool> {
        let (lines, short) = (self.host(number).lines(), release.short()?);
        let first = |words: [&str; 2]| {
            let has = |text: &str| words.iter().all(|word| text.contains(word));
            lines.iter().position(|line| has(&line.text))
        };
        let accepted = first(["release accepted by vote", &release.id]);
        Ok(accepted.is_some() && accepted < first([CHANGED, short]))
    }

    /// Push an app at node `from`, and kill another one while that fetches it over
    /// slow cables; start it again when the push has ended without it.
    ///
    /// # Errors
    ///
    /// If this kernel can make no cable slow; that the node had all of the app
    /// before it was killed; if it does not serve it within the bound.
    pub fn killed_while_fetching(
        &mut self,
        from: u8,
        victim: u8,
        app: &Path,
    ) -> Result<KilledFetch> {
        let slow = self
            .lan
            .degrade(Quality::late_by(LATE, Duration::ZERO), 0)?;
        let push = Push::start(self.lan, from, Some(app), self.bound)?;
        let release = push.released(self.bound)?;
        let (have, of) = self.wait_until_status(victim, |status| {
            let bytes = |name: &str| status["doing"][name].as_u64();
            let (have, of) = (bytes("have")?, bytes("of")?);
            (have > 0).then_some((have, of))
        })?;
        self.host(victim).kill()?;
        drop(slow);
        let changes = self.changes(victim);
        let served = changes.iter().any(|it| release.digest.starts_with(it));
        ensure!(!served && have < of, "it had {have} bytes of {of}");
        let pushed = push.end(self.bound)?;
        let again = self.restart(victim)?;
        let answers = self.answers(victim, &release.digest)?;
        self.list_each_other()?;
        Ok(KilledFetch {
            have,
            of,
            pushed,
            again: answers - again,
        })
    }
}
