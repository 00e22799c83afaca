//! What is seen of the nodes: how a release stands with each, what each serves
//! and has served, what lies in its store.

use super::{LOOK, Nodes};
use crate::client;
use crate::cluster::ANSWER;
use crate::push::{Released, digest_in, short, wait_until_status};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Instant;

impl Nodes<'_> {
    /// The releases that node N lists, the greatest first. It can be asked
    /// wherever its cable is.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub fn releases(&self, number: u8) -> Result<Vec<Value>> {
        let socket = self.lan.machine(number).data_dir().join("host.sock");
        let answer = client::get_over(&socket, "/v1/apps/app/releases", ANSWER)?;
        let mut listed: Value = serde_json::from_slice(&answer.body)?;
        serde_json::from_value(listed["releases"].take()).context("it lists no releases")
    }

    /// How the newest release stands on node N.
    ///
    /// # Errors
    ///
    /// If the node does not answer, or lists none.
    pub fn status(&self, number: u8) -> Result<Value> {
        let newest = self.releases(number)?.into_iter().next();
        Ok(newest.context("it lists none")?["status"].take())
    }

    /// Wait until the newest release stands like this on node N.
    ///
    /// # Errors
    ///
    /// If it does not within the bound.
    pub fn stands(&self, number: u8, status: &str) -> Result<()> {
        let deadline = Instant::now() + self.bound;
        loop {
            let stands = self.status(number)?;
            if stands == status {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "on .{number} it is {stands}");
            sleep(LOOK);
        }
    }

    /// The digest of the app that node N serves, by its status.
    ///
    /// # Errors
    ///
    /// If it does not answer, or serves none.
    pub fn digest(&self, number: u8) -> Result<String> {
        let status = self.lan.machine(number).status(ANSWER)?;
        let digest = status["serving"]["digest"].as_str();
        Ok(digest.with_context(|| format!("{status:#}"))?.to_owned())
    }

    /// Wait until node N serves this app, by its status.
    ///
    /// # Errors
    ///
    /// If it does not within the bound.
    pub fn serves(&self, number: u8, digest: &str) -> Result<()> {
        let serves = |status: &Value| (status["serving"]["digest"] == digest).then_some(());
        self.wait_until_status(number, serves)
    }

    /// Wait until the status of node N has what is looked for.
    pub(super) fn wait_until_status<T>(
        &self,
        number: u8,
        look: impl Fn(&Value) -> Option<T>,
    ) -> Result<T> {
        let folder = self.lan.machine(number).data_dir();
        wait_until_status(folder, self.bound, look).with_context(|| format!("node {number}"))
    }

    /// What node N has changed to since its start, by its log: the beginnings of
    /// the digests.
    pub fn changes(&self, number: u8) -> Vec<String> {
        let digest = |text: &str| {
            let (_, rest) = text.split_once("digest=\"")?;
            rest.split('"').next().map(str::to_owned)
        };
        let lines = self.host(number).lines();
        let changes = lines.iter().filter(|it| it.text.contains(CHANGED));
        changes.filter_map(|line| digest(&line.text)).collect()
    }

    /// How often each of these nodes has changed its app since its start, by its
    /// status.
    pub(super) fn generations(&self, numbers: &[u8]) -> Result<BTreeMap<u8, u64>> {
        let generation = |number: &u8| {
            let status = self.lan.machine(*number).status(ANSWER)?;
            let generation = status["serving"]["generation"].as_u64();
            let generation = generation.with_context(|| format!("{status:#}"))?;
            Ok((*number, generation))
        };
        numbers.iter().map(generation).collect()
    }

    /// How many of the nodes that were asked for their generations before have
    /// served this release since, by their logs, or have changed their app more
    /// than so often, by their status.
    pub(super) fn strays(
        &self,
        before: &BTreeMap<u8, u64>,
        release: &Released,
        changes: u64,
    ) -> Result<usize> {
        let numbers: Vec<u8> = before.keys().copied().collect();
        let now = self.generations(&numbers)?;
        let strays = before.iter().filter(|(number, generation)| {
            let served = self.changes(**number);
            let served = served.iter().any(|it| release.digest.starts_with(it));
            served || now.get(number) != Some(&(*generation + changes))
        });
        Ok(strays.count())
    }

    /// Wait until node N has logged that it serves this app, answers with it, and
    /// says so of itself. Returns when it was seen.
    pub(super) fn has_changed(&self, number: u8, since: Instant, digest: &str) -> Result<Instant> {
        let logged = self.says_after(since, number, &[CHANGED, short(digest)?])?;
        Ok(logged.max(self.answers(number, digest)?))
    }

    /// Wait until these nodes serve this app and answer with it. Returns when it
    /// was seen of the last of them.
    pub(super) fn have_changed(
        &self,
        numbers: &[u8],
        since: Instant,
        digest: &str,
    ) -> Result<Instant> {
        let changed = numbers.iter();
        let changed = changed.map(|number| self.has_changed(*number, since, digest));
        let changed = changed.collect::<Result<Vec<_>>>()?;
        changed.into_iter().max().context("no node was named")
    }

    /// Wait until node N serves this app and answers with it, which is one that is
    /// made of the guest. Returns when it was seen.
    pub(super) fn answers(&self, number: u8, digest: &str) -> Result<Instant> {
        self.serves(number, digest)?;
        let deadline = Instant::now() + self.bound;
        let machine = self.lan.machine(number);
        loop {
            let page = machine.get(&machine.url(), ANSWER)?.text();
            if digest_in(&page) == Some(digest) {
                return Ok(Instant::now());
            }
            ensure!(Instant::now() < deadline, ".{number} answers {page}");
            sleep(LOOK);
        }
    }

    /// Wait until these nodes have logged that the release was voted down, hold
    /// the app before for the target, and answer with it. Returns when it
    /// was seen of the last of them.
    pub(super) fn have_left(
        &self,
        numbers: &[u8],
        release: &Released,
        since: Instant,
        before: &str,
    ) -> Result<Instant> {
        let mut last = since;
        for number in numbers {
            let words = ["release voted down", &release.id];
            last = last.max(self.says_after(since, *number, &words)?);
            let target = |status: &Value| (status["target"]["digest"] == before).then_some(());
            self.wait_until_status(*number, target)?;
            last = last.max(self.answers(*number, before)?);
        }
        Ok(last)
    }

    /// Every file in the store of node N, by its path.
    pub(super) fn stored(&self, number: u8) -> Result<BTreeSet<PathBuf>> {
        let mut files = BTreeSet::new();
        let apps = self.lan.machine(number).data_dir().join("components");
        walk(&apps, &mut files)?;
        ensure!(!files.is_empty(), "{} is empty", apps.display());
        Ok(files)
    }
}

/// What a node logs when it serves another app.
pub(super) const CHANGED: &str = "the app changed";

fn walk(folder: &Path, into: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => walk(&path, into)?,
            false => drop(into.insert(path)),
        }
    }
    Ok(())
}
