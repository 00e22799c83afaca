//! Releases that are left by themselves, each as one function: all serve it, or
//! one canary does, and it traps; with the LAN whole or cut, and with a newer push
//! on its heels.

use super::seen::CHANGED;
use super::{LONG_BAKE, LOOK, Nodes};
use crate::push::{Push, Pushed, short};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// So many letters has the name of a whole app in a store.
const DIGEST: usize = 64;

/// How long it took until a release was left, from the answer to the last of the
/// requests that it was judged by.
#[derive(Clone, Copy, Debug)]
pub struct Reverted {
    /// Until the node that they went to had judged.
    pub judged: Duration,
    /// Until the release before was the target on every node, and every node
    /// answered with it.
    pub everywhere: Duration,
}

/// A release that trapped on its canary.
#[derive(Clone, Debug)]
pub struct KeptOff {
    /// How long it took to leave it.
    pub reverted: Reverted,
    /// How many nodes that are no canaries ever served it.
    pub strays: usize,
    /// How the push ended.
    pub pushed: Pushed,
}

/// A release that trapped on its canary while that was cut off.
#[derive(Clone, Debug)]
pub struct Apart {
    /// From when the LAN was whole again until the release was voted down on every
    /// node, and every node answered with the one before.
    pub healed: Duration,
    /// How many nodes that are no canaries ever served it.
    pub strays: usize,
    /// How the push ended.
    pub pushed: Pushed,
}

/// A release that was left while requests were open on the one before.
#[derive(Clone, Copy, Debug)]
pub struct StillOpen {
    /// How long it took to leave it.
    pub reverted: Reverted,
    /// How many of the requests were ended, also when the drain they had was over.
    pub cut: usize,
}

/// A push that came before nodes went back, and was prepared while they did.
#[derive(Clone, Debug)]
pub struct Overtaken {
    /// From the release of the newer one until every node served it.
    pub served: Duration,
    /// How many nodes went back after it.
    pub back: usize,
}

impl Nodes<'_> {
    /// Push an app to all at node `from`, and let it trap on node `at` until it is
    /// left.
    ///
    /// # Errors
    ///
    /// If it is not pushed, or not left within the bound.
    pub fn trap_after_push(&self, from: u8, at: u8, bad: &Path) -> Result<Reverted> {
        let before = self.digest(at)?;
        let pushed = self.push(from, bad)?;
        let release = pushed.release()?;
        for number in self.others(&[]) {
            self.serves(number, &release.digest)?;
        }
        let (crossed, judged) = self.let_trap(at)?;
        let all = self.others(&[]);
        let everywhere = self.have_left(&all, &release, pushed.started, &before)?;
        Ok(Reverted {
            judged: judged.saturating_duration_since(crossed),
            everywhere: everywhere.saturating_duration_since(crossed),
        })
    }

    /// Push an app with one canary at node `from`, and let it trap there until it
    /// is left.
    ///
    /// # Errors
    ///
    /// If it is not left within the bound.
    pub fn canary_traps(&self, from: u8, bad: &Path) -> Result<KeptOff> {
        let (canary, all) = (self.canary()?, self.others(&[]));
        let before = self.digest(canary)?;
        let generations = self.generations(&self.others(&[canary]))?;
        let push = Push::of(&self.staged(from, bad, LONG_BAKE), self.bound)?;
        let (release, started) = (push.released(self.bound)?, push.command().started());
        self.says_after(started, canary, &[CHANGED, release.short()?])?;
        let (crossed, judged) = self.let_trap(canary)?;
        let everywhere = self.have_left(&all, &release, started, &before)?;
        let pushed = push.end(self.bound)?;
        Ok(KeptOff {
            reverted: Reverted {
                judged: judged.saturating_duration_since(crossed),
                everywhere: everywhere.saturating_duration_since(crossed),
            },
            strays: self.strays(&generations, &release, 0)?,
            pushed,
        })
    }

    /// Push an app with one canary at node `from`; cut the LAN, with these nodes on
    /// the side of the canary, and let the app trap there until that side has left
    /// it; make the LAN whole again.
    ///
    /// # Errors
    ///
    /// If it is not left within the bound; that the other side did not wait.
    pub fn canary_traps_apart(&self, from: u8, away: &[u8], bad: &Path) -> Result<Apart> {
        let (canary, stay) = (self.canary()?, self.others(away));
        ensure!(away.contains(&canary) && stay.contains(&from), "{away:?}");
        let before = self.digest(canary)?;
        let generations = self.generations(&self.others(&[canary]))?;
        let push = Push::of(&self.staged(from, bad, LONG_BAKE), self.bound)?;
        let (release, started) = (push.released(self.bound)?, push.command().started());
        self.says_after(started, canary, &[CHANGED, release.short()?])?;
        self.lan.split_off(away)?;
        self.do_not_see(&stay, away, started)?;
        self.do_not_see(away, &stay, started)?;
        self.let_trap(canary)?;
        self.have_left(away, &release, started, &before)?;
        // Nobody else can know.
        for number in &stay {
            ensure!(self.status(*number)? == "baking", "{}", self.output());
        }
        let said = push.command();
        ensure!(said.is_running(), "it does not wait:\n{}", said.output());
        let joined = Instant::now();
        self.lan.reunite(away)?;
        let all = self.others(&[]);
        let healed = self.have_left(&all, &release, started, &before)?;
        let pushed = push.end(self.bound)?;
        let strays = self.strays(&generations, &release, 0)?;
        self.list_each_other()?;
        Ok(Apart {
            healed: healed.saturating_duration_since(joined),
            strays,
            pushed,
        })
    }

    /// Wait until each of `these` has noticed that none of `those` is there.
    fn do_not_see(&self, these: &[u8], those: &[u8], since: Instant) -> Result<()> {
        for number in these {
            for gone in those {
                let name = self.lan.machine(*gone).node_name();
                self.says_after(since, *number, &["member down", &name])?;
            }
        }
        Ok(())
    }

    /// Push an app to all at node `from` while a request is open on every node that
    /// the app does not take over, and let it trap on node `at` until it is left; then
    /// wait until the drain is over that those requests had. The app before is the
    /// fixture `misbehave`, and all drain for `drain`.
    ///
    /// # Errors
    ///
    /// If it is not pushed, or not left within the bound; that the drain was over
    /// before.
    pub fn trap_with_open_requests(
        &self,
        from: u8,
        at: u8,
        bad: &Path,
        drain: Duration,
    ) -> Result<StillOpen> {
        let (before, all) = (self.digest(from)?, self.others(&[]));
        let held = self.hold()?;
        let began = Instant::now();
        let release = self.push_dropping(from, bad)?.release()?;
        let (crossed, judged) = self.let_trap(at)?;
        let mut everywhere = crossed;
        for number in &all {
            let back = self.says_after(crossed, *number, &[CHANGED, short(&before)?])?;
            self.serves(*number, &before)?;
            everywhere = everywhere.max(back);
        }
        // Else they were ended before, and rightly.
        ensure!(everywhere < began + drain, "{}", self.output());
        let (over, mut cut) = (Instant::now() + drain, 0);
        for (number, request) in &held {
            // Its end would come, and nothing else.
            let said = request.next(over.saturating_duration_since(Instant::now()));
            ensure!(said.is_none(), ".{number}: {said:?}");
            cut += usize::from(!self.let_speak(*number, request)?);
        }
        for number in &all {
            self.stands(*number, "voted-down")?;
            let forth_and_back = [release.short()?, short(&before)?];
            let changes = self.changes(*number);
            ensure!(changes == forth_and_back, ".{number}: {changes:?}");
        }
        Ok(StillOpen {
            reverted: Reverted {
                judged: judged.saturating_duration_since(crossed),
                everywhere: everywhere.saturating_duration_since(crossed),
            },
            cut,
        })
    }

    /// Push an app to all at node `from` while a request is open on every node that
    /// the app does not take over, and push a newer one there, which waits for room;
    /// meanwhile let the app trap on another node, so that all go back. The app before
    /// is the fixture `misbehave`, and all drain for longer than this takes.
    ///
    /// # Errors
    ///
    /// If the newer one is not served within the bound; that it was released before
    /// the node had gone back which was asked.
    pub fn push_during_revert(&self, from: u8, bad: &Path, newer: &Path) -> Result<Overtaken> {
        let (before, all) = (self.digest(from)?, self.others(&[]));
        let others = self.others(&[from]);
        let _held = self.hold()?;
        self.push_dropping(from, bad)?;
        let stored = self.stored(from)?;
        let push = Push::of(&self.dropping(from, newer), self.bound)?;
        let started = push.command().started();
        self.stores_another(from, &stored)?;
        self.let_trap(*others.first().context("there is one node only")?)?;
        let pushed = self.ends_well(&push)?;
        let release = pushed.release()?;
        let short = short(&before)?;
        let went_back = self.says_after(started, from, &[CHANGED, short])?;
        ensure!(went_back < release.at, "{}", self.output());
        let served = self.have_changed(&all, started, &release.digest)?;
        let mut back = 0;
        for number in &all {
            let words = ["new target", release.short()?];
            let heard = self.says_after(started, *number, &words)?;
            let lines = self.host(*number).lines().into_iter();
            let mut later = lines.filter(|line| line.at > heard && line.text.contains(CHANGED));
            back += usize::from(later.any(|line| line.text.contains(short)));
        }
        Ok(Overtaken {
            served: served - release.at,
            back,
        })
    }

    /// Wait until node N has an app that it did not have before.
    fn stores_another(&self, number: u8, before: &BTreeSet<PathBuf>) -> Result<()> {
        let deadline = Instant::now() + self.bound;
        let is_app = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.len() == DIGEST && !before.contains(path)
        };
        while !self.stored(number)?.iter().any(is_app) {
            ensure!(Instant::now() < deadline, "nothing comes to .{number}");
            sleep(LOOK);
        }
        Ok(())
    }
}
