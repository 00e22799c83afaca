//! What must not happen: false alarms, while cables are poor, guests burn every
//! processor, or nothing happens at all.

use super::Crowd;
use crate::client::{get, get_repeatedly};
use crate::cluster::{ANSWER, names};
use crate::wire::Capture;
use anyhow::{Context, Result, ensure};
use std::thread;
use std::time::{Duration, Instant};

/// What every host logs when it takes a member to be gone.
const DOWN: &str = "member down";
/// Between two requests to a node that burns.
const PAUSE: Duration = Duration::from_millis(100);
/// So many guests spin on each node that burns, at any time.
const SPINNING: usize = 3;

/// What was told while nobody was gone.
#[derive(Clone, Debug, Default)]
pub struct Alarms {
    /// The lines `member down` in all logs.
    pub lines: Vec<String>,
    /// The views, of all nodes, that lack a node.
    pub partial_views: usize,
}

impl Alarms {
    /// How many there were: those in the logs, or in views, whichever shows
    /// more.
    pub fn count(&self) -> usize {
        self.lines.len().max(self.partial_views)
    }
}

/// A while in which guests burned.
#[derive(Debug)]
pub struct Burn {
    /// Who was taken to be gone.
    pub alarms: Alarms,
    /// How long each answer of `/ok` took on the nodes that burned.
    pub answers: Vec<Duration>,
    /// How many processors the hosts kept busy.
    pub processors: f64,
}

/// A while in which one node heard nothing.
#[derive(Debug)]
pub struct Deaf {
    /// Who else was taken to be gone by the others.
    pub alarms: Alarms,
    /// Until all others listed all but the one.
    pub noticed: Duration,
    /// Until the one listed itself alone.
    pub alone: Duration,
}

/// A while in which nothing happened.
#[derive(Debug)]
pub struct Idle {
    /// Who was taken to be gone.
    pub alarms: Alarms,
    /// What the first node sent as gossip: bytes of UDP payload a second.
    pub gossip: f64,
    /// Of each node, what it sent in all: bytes a second on its card, all headers
    /// included.
    pub sent: Vec<f64>,
    /// Of each node, what it received.
    pub received: Vec<f64>,
    /// Of each node, the share of one processor that it took.
    pub processor: Vec<f64>,
}

impl Crowd<'_> {
    /// Look for alarms while `during` runs.
    ///
    /// # Errors
    ///
    /// Those of `during`; that a node has ended, or that not all list all
    /// before, or again after, within the bound.
    pub fn watch<T>(
        &mut self,
        bound: Duration,
        during: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<(T, Alarms)> {
        let began = self.begin_watch(bound)?;
        let done = during(self)?;
        let alarms = self.alarms_since(began, None)?;
        self.whole(bound)?;
        Ok((done, alarms))
    }

    /// One hears nothing until it is alone for all others and for itself, and for
    /// so long after; what it sends arrives.
    ///
    /// # Errors
    ///
    /// If it is not taken to be alone within the bound, or not all list all
    /// within it once the one hears again.
    pub fn deafen(&mut self, victim: u8, lasting: Duration, bound: Duration) -> Result<Deaf> {
        let began = self.begin_watch(bound)?;
        let deaf = self.cluster.lan().deafen(victim)?;
        let noticed = self.others_know(victim, bound)? - began;
        let alone = self.cluster.wait_until_lists(victim, &[victim], bound)? - began;
        // That it drags nobody else down takes as long as it lasts.
        thread::sleep(lasting);
        drop(deaf);
        self.whole(bound)?;
        Ok(Deaf {
            alarms: self.alarms_since(began, Some(victim))?,
            noticed,
            alone,
        })
    }

    fn begin_watch(&mut self, bound: Duration) -> Result<Instant> {
        self.whole(bound)?;
        for number in self.numbers.clone() {
            self.cluster.views_of(number);
        }
        Ok(Instant::now())
    }

    /// The alarms since then, but for those about this node, and by it.
    fn alarms_since(&mut self, began: Instant, but: Option<u8>) -> Result<Alarms> {
        let mut alarms = Alarms::default();
        let mut numbers = self.numbers.clone();
        numbers.retain(|number| Some(*number) != but);
        let expected = names(&numbers);
        let excused = but.map(|number| format!("member={} ", names(&[number]).concat()));
        for number in numbers {
            let host = self.cluster.host(number);
            ensure!(host.is_running(), "node {number} ended:\n{}", host.output());
            let lines = host.lines().into_iter().filter(|line| line.at >= began);
            let downs = lines.filter(|line| {
                let is_excused = excused.as_ref().is_some_and(|one| line.text.contains(one));
                line.text.contains(DOWN) && !is_excused
            });
            alarms
                .lines
                .extend(downs.map(|line| format!("node {number}: {}", line.text)));
            let views = self.cluster.views_of(number);
            let is_partial = |view: &&Vec<String>| !expected.iter().all(|name| view.contains(name));
            alarms.partial_views += views.iter().filter(is_partial).count();
        }
        Ok(alarms)
    }

    /// Let nothing happen for so long.
    ///
    /// # Errors
    ///
    /// As [`Crowd::watch`].
    pub fn idle(&mut self, lasting: Duration, bound: Duration) -> Result<Idle> {
        let ((before, after, gossip, took), alarms) = self.watch(bound, |crowd| {
            let (began, before) = (Instant::now(), crowd.used()?);
            let gossip = crowd.gossip_of_first(lasting)?;
            Ok((before, crowd.used()?, gossip, began.elapsed().as_secs_f64()))
        })?;
        let mut idle = Idle {
            alarms,
            gossip: gossip as f64 / took,
            sent: Vec::new(),
            received: Vec::new(),
            processor: Vec::new(),
        };
        for (before, after) in before.iter().zip(&after) {
            let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / took;
            idle.sent.push(rate(before.sent, after.sent));
            idle.received.push(rate(before.received, after.received));
            let time = after.processor.saturating_sub(before.processor);
            idle.processor.push(time.as_secs_f64() / took);
        }
        Ok(idle)
    }

    /// Let guests spin on these nodes for so long, several on each, while each
    /// of them is asked for `/ok` again and again. The crowd must serve the
    /// fixture `misbehave`.
    ///
    /// # Errors
    ///
    /// If an answer of `/ok` does not come within [`ANSWER`], and as
    /// [`Crowd::watch`].
    pub fn burn(&mut self, on: &[u8], lasting: Duration, bound: Duration) -> Result<Burn> {
        let ((answers, processors), alarms) = self.watch(bound, |crowd| {
            let (began, before) = (Instant::now(), crowd.processor_time()?);
            let answers = crowd.spin(on, began + lasting)?;
            let burnt = crowd.processor_time()?.saturating_sub(before);
            Ok((answers, burnt.as_secs_f64() / began.elapsed().as_secs_f64()))
        })?;
        Ok(Burn {
            alarms,
            answers,
            processors,
        })
    }

    /// Keep guests spinning until `end`, and ask beside them for `/ok`.
    fn spin(&self, on: &[u8], end: Instant) -> Result<Vec<Duration>> {
        thread::scope(|scope| {
            let mut askers = Vec::new();
            for number in on {
                let machine = self.cluster.lan().machine(*number);
                let (spin, ok) = (
                    format!("{}/spin", machine.url()),
                    format!("{}/ok", machine.url()),
                );
                for _ in 0..SPINNING {
                    let spin = spin.clone();
                    scope.spawn(move || machine.netns().run(|| spin_until(&spin, end)));
                }
                let is_over = move || {
                    thread::sleep(PAUSE);
                    Instant::now() > end
                };
                askers.push(scope.spawn(move || {
                    let answers = || get_repeatedly(&ok, ANSWER, is_over);
                    let answers = machine.netns().run(answers);
                    answers.with_context(|| format!("guests spin on node {number}"))
                }));
            }
            let mut answers = Vec::new();
            for asker in askers {
                let took = asker.join();
                answers.extend(took.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            Ok(answers)
        })
    }

    /// How many bytes of UDP payload the first node sends within so long.
    fn gossip_of_first(&self, lasting: Duration) -> Result<u64> {
        let first = self.numbers.first().context("no node")?;
        let machine = self.cluster.lan().machine(*first);
        machine.netns().run(|| {
            let mut sent = 0;
            Capture::begin()?.watch(lasting, |datagram| {
                if *datagram.from.ip() == machine.ip() {
                    sent += datagram.payload.len() as u64;
                }
            })?;
            Ok(sent)
        })
    }

    /// What each node has used so far.
    fn used(&self) -> Result<Vec<Used>> {
        let lan = self.cluster.lan();
        let each = self.numbers.iter().map(|number| {
            let (sent, received) = lan.machine(*number).traffic()?;
            let processor = self.cluster.host(*number).processor_time()?;
            Ok(Used {
                sent,
                received,
                processor,
            })
        });
        each.collect()
    }
}

/// What one node has used since it started.
struct Used {
    sent: u64,
    received: u64,
    processor: Duration,
}

/// Ask for a guest that never ends, and for the next when the host has stopped
/// it.
fn spin_until(url: &str, end: Instant) -> Result<()> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        // That it fails is what it is for.
        let _ = get(url, left);
    }
}
