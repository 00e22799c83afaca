//! Cables of poor quality: frames that are lost, late, out of order or doubled.
//!
//! `tc netem` does this where the kernel has it. Where it has not, the switch of
//! the LAN is replaced by one of our own ([`forwarder`]), which needs nothing
//! but `/dev/net/tun`. Where neither is there, [`Lan::degrade`] says so.

mod forwarder;
mod netem;

use crate::lan::Lan;
use anyhow::{Context, Result};
use forwarder::Forwarder;
use rand::RngExt;
use rand::rngs::StdRng;
use std::time::Duration;

/// What becomes of a frame on its way to one receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// The share of frames that never arrives, 0 to 1.
    pub loss: f64,
    /// How long a frame is on its way, on average.
    pub delay: Duration,
    /// By how much at most that is less or more, evenly spread. What is sent
    /// within this time may arrive out of order.
    pub jitter: Duration,
    /// The share of those that arrive which arrive twice, 0 to 1.
    pub duplicates: f64,
}

impl Quality {
    /// Cables that lose so many of a hundred frames.
    pub fn losing_percent(percent: f64) -> Self {
        Self {
            loss: percent / 100.0,
            ..Self::default()
        }
    }

    /// Cables on which a frame takes so long, give or take `jitter`.
    pub fn late_by(delay: Duration, jitter: Duration) -> Self {
        Self {
            delay,
            jitter,
            ..Self::default()
        }
    }

    /// After what time each copy of one frame arrives; empty if it is lost.
    fn copies(&self, dice: &mut StdRng) -> Vec<Duration> {
        if dice.random_bool(self.loss.clamp(0.0, 1.0)) {
            return Vec::new();
        }
        let copies = 1 + usize::from(dice.random_bool(self.duplicates.clamp(0.0, 1.0)));
        (0..copies).map(|_| self.lateness(dice)).collect()
    }

    fn lateness(&self, dice: &mut StdRng) -> Duration {
        let (least, most) = (
            self.delay.saturating_sub(self.jitter),
            self.delay + self.jitter,
        );
        if most.is_zero() {
            return Duration::ZERO;
        }
        dice.random_range(least..=most)
    }
}

/// How many frames the poor cables saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// Those that arrived, each once for each receiver.
    pub carried: u64,
    /// Those that did not, because the cables are poor.
    pub lost: u64,
    /// Those that did not, because too many were on their way or a machine's
    /// cable was out.
    pub refused: u64,
}

/// All cables of a LAN while they are poor. Dropped, they are good again.
#[derive(Debug)]
pub struct PoorCables<'lan> {
    lan: &'lan Lan,
    maker: Maker,
}

#[derive(Debug)]
enum Maker {
    Netem,
    Forwarder(Forwarder),
}

impl Lan {
    /// Make all cables of the LAN poor, until the result is dropped.
    ///
    /// Netem draws once for each frame that a machine sends, the forwarder once
    /// for each receiver, by this seed.
    ///
    /// # Errors
    ///
    /// If this kernel can do it in neither way: with both reasons.
    pub fn degrade(&self, quality: Quality, seed: u64) -> Result<PoorCables<'_>> {
        let Err(no_netem) = netem::is_there(self) else {
            let poor = PoorCables {
                lan: self,
                maker: Maker::Netem,
            };
            netem::begin(self, &quality)?;
            return Ok(poor);
        };
        self.forward(|_| quality, seed)
            .with_context(|| format!("no netem ({no_netem:#}), and no forwarder"))
    }

    /// Let nothing reach machine N any more, while all that it sends arrives,
    /// until the result is dropped. Always by the forwarder: netem would lose
    /// what a machine sends.
    ///
    /// # Errors
    ///
    /// If there can be no forwarder.
    pub fn deafen(&self, number: u8) -> Result<PoorCables<'_>> {
        let deaf = Quality::losing_percent(100.0);
        let quality = |receiver| match receiver == number {
            true => deaf,
            false => Quality::default(),
        };
        self.forward(quality, 0)
    }

    fn forward(&self, quality: impl Fn(u8) -> Quality, seed: u64) -> Result<PoorCables<'_>> {
        let poor = PoorCables {
            lan: self,
            maker: Maker::Forwarder(Forwarder::start(self, quality, seed)?),
        };
        self.through_forwarder(true)?;
        Ok(poor)
    }
}

impl PoorCables<'_> {
    /// What makes them poor, for the reader of a figure.
    pub fn made_by(&self) -> &'static str {
        match self.maker {
            Maker::Netem => "tc netem",
            Maker::Forwarder(_) => "a forwarder on TAP devices",
        }
    }

    /// What they saw so far.
    ///
    /// # Errors
    ///
    /// If `tc` cannot be asked.
    pub fn frames(&self) -> Result<Frames> {
        match &self.maker {
            Maker::Netem => netem::frames(self.lan),
            Maker::Forwarder(forwarder) => Ok(forwarder.frames()),
        }
    }
}

impl Drop for PoorCables<'_> {
    fn drop(&mut self) {
        let ended = match &self.maker {
            Maker::Netem => netem::end(self.lan),
            Maker::Forwarder(_) => self.lan.through_forwarder(false),
        };
        if let Err(error) = ended {
            eprintln!("lab: the cables stay poor: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Quality;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::time::Duration;

    const FRAMES: usize = 100_000;

    #[test]
    fn as_many_frames_are_lost_and_doubled_as_was_asked() {
        let quality = Quality {
            loss: 0.01,
            duplicates: 0.05,
            ..Quality::default()
        };
        let mut dice = StdRng::seed_from_u64(7);
        let copies: Vec<usize> = (0..FRAMES)
            .map(|_| quality.copies(&mut dice).len())
            .collect();
        let share =
            |wanted| copies.iter().filter(|count| **count == wanted).count() as f64 / FRAMES as f64;
        assert!((0.009..0.011).contains(&share(0)), "{} lost", share(0));
        assert!((0.046..0.053).contains(&share(2)), "{} doubled", share(2));
    }

    #[test]
    fn a_frame_is_late_within_the_bounds_and_may_overtake() {
        let (delay, jitter) = (Duration::from_millis(20), Duration::from_millis(10));
        let quality = Quality::late_by(delay, jitter);
        let mut dice = StdRng::seed_from_u64(7);
        let late: Vec<Duration> = (0..FRAMES)
            .flat_map(|_| quality.copies(&mut dice))
            .collect();
        assert_eq!(late.len(), FRAMES, "none is lost");
        assert!(
            late.iter()
                .all(|late| (delay - jitter..=delay + jitter).contains(late))
        );
        assert!(late.iter().min() < Some(&Duration::from_millis(11)));
        assert!(late.iter().max() > Some(&Duration::from_millis(29)));
        assert!(late.windows(2).any(|pair| pair[1] < pair[0]));
    }

    #[test]
    fn a_good_cable_carries_all_at_once() {
        let mut dice = StdRng::seed_from_u64(7);
        assert_eq!(Quality::default().copies(&mut dice), [Duration::ZERO]);
    }
}
