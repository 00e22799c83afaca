//! What can go wrong with a push on one node while the others are well, each as
//! one function: the cable is pulled while the node fetches, and its disk is
//! full. Each waits until the node has the release all the same, and tells what
//! was seen meanwhile.

use super::{Fleet, Push, Pushed};
use crate::cluster::ANSWER;
use crate::lan::{Lan, status_of};
use crate::process::Launch;
use crate::quality::Quality;
use crate::small_disk::{self, Small};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a node has that is to have little, in MiB: room for the guest, its
/// compiled code, and an app of a few MiB.
const LITTLE: u32 = 24;
/// A node that has a small disk, or a small quota on a large one.
pub const SMALL_DISK: Small = Small::Disk(LITTLE);
/// See [`SMALL_DISK`].
pub const SMALL_QUOTA: Small = Small::Quota(LITTLE);
/// What is left on a full disk, in bytes: room for what is small.
const LEFT: u64 = 1 << 20;
/// How late a frame is while an app is fetched that is not to be there before a
/// cable is out: so much that many windows of TCP take seconds, and members are
/// not missed.
const LATE: Duration = Duration::from_millis(20);
/// Between two looks at what a node tells nobody by itself.
const LOOK: Duration = Duration::from_millis(1);

/// A node whose cable was pulled while it fetched an app.
#[derive(Clone, Debug)]
pub struct CutFetch {
    /// When its cable was pulled.
    pub pulled: Instant,
    /// How many bytes of the app it had when the push had ended without it.
    pub have: u64,
    /// How many there are.
    pub of: u64,
    /// What the push said at the other side.
    pub pushed: Pushed,
    /// From the moment when the cable was plugged in until the node served it.
    pub healed: Duration,
}

/// A node whose disk was full, or whose quota was used up, when an app was pushed.
#[derive(Clone, Debug)]
pub struct FullDisk {
    /// What the push said at another node.
    pub pushed: Pushed,
    /// The reason that the node shows in its status.
    pub reason: String,
    /// The line in its log.
    pub logged: String,
    /// From the moment when there was room until the node served it.
    pub mended: Duration,
}

impl<'lan> Fleet<'lan> {
    /// Start a node on every machine, of which the one on machine N has this
    /// disk.
    ///
    /// # Errors
    ///
    /// As [`Fleet::start`].
    pub fn start_with_small_disk(lan: &'lan Lan, on: u8, small: Small) -> Result<Self> {
        let program = lan.programs().host();
        Self::start_as(lan, |number, usual: Launch| match number == on {
            true => small_disk::with(usual, program, lan.machine(number).data_dir(), small),
            false => usual,
        })
    }

    /// Push an app at one node, and pull the cable of another while that fetches
    /// it; plug it in when the push has ended, until the node serves the app. All
    /// cables are slow until that one is out.
    ///
    /// # Errors
    ///
    /// If this kernel can make no cable slow; that the node had all of the app
    /// before its cable was out; that it did not
    /// serve the old release meanwhile; that any of it takes longer than the
    /// bound.
    pub fn cut_while_fetching(
        &self,
        from: u8,
        victim: u8,
        app: &Path,
        bound: Duration,
    ) -> Result<CutFetch> {
        let (lan, old) = (self.lan(), self.serves(victim)?);
        let slow = lan.degrade(Quality::late_by(LATE, Duration::ZERO), 0)?;
        let push = Push::start(lan, from, Some(app), bound)?;
        self.wait_until_status(victim, bound, |status| {
            let have = status["doing"]["have"].as_u64();
            have.is_some_and(|have| have > 0).then_some(())
        })?;
        let pulled = Instant::now();
        lan.cut(victim)?;
        drop(slow);
        let pushed = push.end(bound)?;
        let status = status_of(&self.folder(victim), ANSWER)?;
        let bytes = |name: &str| status["doing"][name].as_u64();
        let (Some(have), Some(of)) = (bytes("have"), bytes("of")) else {
            bail!("node {victim} does not fetch while its cable is out: {status:#}");
        };
        ensure!(0 < have && have < of, "it has {have} bytes of {of}");
        ensure!(self.serves(victim)? == old, "it serves another release");
        let mended = Instant::now();
        lan.mend(victim)?;
        let healed = self.comes_to_serve(victim, &pushed, mended, bound)?;
        Ok(CutFetch {
            pulled,
            have,
            of,
            pushed,
            healed,
        })
    }

    /// Fill the small disk of one node, or its quota, and push an app at another
    /// one; make room when the push has ended, until the node serves the app.
    ///
    /// # Errors
    ///
    /// That the node did not serve the old release meanwhile; that any of it takes
    /// longer than the bound.
    pub fn fill_disk_and_push(
        &self,
        from: u8,
        victim: u8,
        app: &Path,
        bound: Duration,
    ) -> Result<FullDisk> {
        let (lan, old) = (self.lan(), self.serves(victim)?);
        let filling = small_disk::fill(&self.folder(victim), LEFT)?;
        let pushed = Push::start(lan, from, Some(app), bound)?.end(bound)?;
        let host = self.host(victim);
        let words = ["cannot serve the release yet"];
        let logged = host.wait_for_line_after(pushed.started, &words, bound)?;
        let reason = self.wait_until_status(victim, bound, |status| {
            status["failed"]["reason"].as_str().map(str::to_owned)
        })?;
        ensure!(self.serves(victim)? == old, "it serves another release");
        let mended = Instant::now();
        std::fs::remove_file(&filling)?;
        Ok(FullDisk {
            reason,
            logged: logged.text,
            mended: self.comes_to_serve(victim, &pushed, mended, bound)?,
            pushed,
        })
    }

    /// The data folder of the node of machine N, as this process can reach it.
    fn folder(&self, number: u8) -> PathBuf {
        let folder = self.lan().machine(number).data_dir();
        small_disk::seen_by(self.host(number), folder)
    }

    /// Wait until the status of node N has what is looked for.
    fn wait_until_status<T>(
        &self,
        number: u8,
        bound: Duration,
        look: impl Fn(&Value) -> Option<T>,
    ) -> Result<T> {
        wait_until_status(&self.folder(number), bound, look)
            .with_context(|| format!("node {number}:\n{}", self.output()))
    }

    /// Wait until node N serves what was pushed. Returns how long that took since
    /// then.
    fn comes_to_serve(
        &self,
        number: u8,
        pushed: &Pushed,
        since: Instant,
        bound: Duration,
    ) -> Result<Duration> {
        let digest = pushed.digest().context("nothing was released")?;
        let host = self.host(number);
        let line = host.wait_for_line_after(since, &["the app changed"], bound)?;
        ensure!(self.serves(number)? == digest, "it serves something else");
        Ok(line.at - since)
    }
}

/// Wait until the status of the node with this data folder has what is looked
/// for.
pub(crate) fn wait_until_status<T>(
    folder: &Path,
    bound: Duration,
    look: impl Fn(&Value) -> Option<T>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        let status = status_of(folder, ANSWER)?;
        if let Some(found) = look(&status) {
            return Ok(found);
        }
        ensure!(began.elapsed() < bound, "not within {bound:?}: {status:#}");
        std::thread::sleep(LOOK);
    }
}
