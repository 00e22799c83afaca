//! A switch of our own between the machines, which loses, delays and doubles
//! frames by a seed.
//!
//! In the switch's namespace each machine gets a TAP device; [`Lan`] bridges it
//! with the machine's port. A TAP device hands over whole frames with their
//! checksums filled in, whatever the cards would have left to be done later.

use super::{Frames, Quality};
use crate::client::runtime;
use crate::lan::{Lan, mac, tap};
use anyhow::{Context, Result};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio_tun::Tun;

/// A frame is no larger: the cards' MTU of 1500, and room.
const MAX_FRAME: usize = 2048;
/// So many frames may be on their way at once.
const IN_FLIGHT: usize = 16_384;

/// The running switch. Dropped, its devices are gone.
#[derive(Debug)]
pub(super) struct Forwarder {
    counts: Arc<Counts>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    carried: AtomicU64,
    lost: AtomicU64,
    refused: AtomicU64,
}

/// What all its tasks share.
struct Switch {
    ports: Vec<Port>,
    dice: Mutex<StdRng>,
    in_flight: Arc<Semaphore>,
    counts: Arc<Counts>,
}

/// Where one machine is connected.
struct Port {
    mac: [u8; 6],
    /// Of what goes to the machine.
    quality: Quality,
    tap: Tun,
}

impl Forwarder {
    /// Make a TAP device for each machine, and carry frames to each with the
    /// quality that it has from now on.
    pub(super) fn start(lan: &Lan, quality: impl Fn(u8) -> Quality, seed: u64) -> Result<Self> {
        let numbers = lan.machines().iter().map(|machine| machine.number());
        let plugs: Vec<_> = numbers.map(|number| (number, quality(number))).collect();
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = oneshot::channel();
        let (began, has_begun) = channel();
        let shared = Arc::clone(&counts);
        let thread = lan.switch().spawn(move || {
            let dice = Mutex::new(StdRng::seed_from_u64(seed));
            run(&plugs, dice, shared, &began, stopped);
        })?;
        has_begun.recv().context("the forwarder has died")??;
        Ok(Self {
            counts,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What it saw so far.
    pub(super) fn frames(&self) -> Frames {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Frames {
            carried: read(&self.counts.carried),
            lost: read(&self.counts.lost),
            refused: read(&self.counts.refused),
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The forwarder's thread.
fn run(
    plugs: &[(u8, Quality)],
    dice: Mutex<StdRng>,
    counts: Arc<Counts>,
    began: &Sender<Result<()>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return drop(began.send(Err(error))),
    };
    runtime.block_on(async {
        let ports = match plugs.iter().map(Port::open).collect() {
            Ok(ports) => ports,
            Err(error) => return drop(began.send(Err(error))),
        };
        let switch = Arc::new(Switch {
            ports,
            dice,
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            counts,
        });
        for at in 0..switch.ports.len() {
            tokio::spawn(Arc::clone(&switch).listen_at(at));
        }
        let _ = began.send(Ok(()));
        let _ = stopped.await;
    });
}

impl Port {
    fn open((number, quality): &(u8, Quality)) -> Result<Self> {
        let made = Tun::builder().name(&tap(*number)).tap().up().build();
        let made = made.context("cannot make a TAP device (is there /dev/net/tun?)")?;
        Ok(Self {
            mac: mac(*number),
            quality: *quality,
            tap: made.into_iter().next().context("no TAP device was made")?,
        })
    }
}

impl Switch {
    /// Carry what comes from the machine at this port, until the runtime ends.
    async fn listen_at(self: Arc<Self>, at: usize) {
        let Some(port) = self.ports.get(at) else {
            return;
        };
        let mut buffer = vec![0; MAX_FRAME];
        while let Ok(size) = port.tap.recv(&mut buffer).await {
            let frame = &buffer[..size];
            let Some((to, from)) = ends(frame) else {
                continue;
            };
            // The bridges of the switch itself talk too, which no real switch
            // of this kind would.
            if from != port.mac {
                continue;
            }
            let is_for_all = to[0] & 1 == 1;
            for (receiver, other) in self.ports.iter().enumerate() {
                if receiver != at && (is_for_all || to == other.mac) {
                    self.carry(receiver, &other.quality, frame);
                }
            }
        }
    }

    /// Let the dice decide what becomes of the frame on the way to this port.
    fn carry(self: &Arc<Self>, receiver: usize, quality: &Quality, frame: &[u8]) {
        let copies = {
            let mut dice = self.dice.lock();
            quality.copies(&mut dice)
        };
        if copies.is_empty() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
        for after in copies {
            if after.is_zero() {
                self.deliver(receiver, frame);
            } else {
                self.deliver_later(receiver, frame.to_vec(), after);
            }
        }
    }

    fn deliver_later(self: &Arc<Self>, receiver: usize, frame: Vec<u8>, after: Duration) {
        let Ok(place) = Arc::clone(&self.in_flight).try_acquire_owned() else {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let switch = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            switch.deliver(receiver, &frame);
            drop(place);
        });
    }

    /// A TAP device takes a frame at once, or not at all.
    fn deliver(&self, receiver: usize, frame: &[u8]) {
        let port = self.ports.get(receiver);
        let count = match port.map(|port| port.tap.try_send(frame)) {
            Some(Ok(_)) => &self.counts.carried,
            _ => &self.counts.refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whom an Ethernet frame is for, and who sent it.
fn ends(frame: &[u8]) -> Option<([u8; 6], [u8; 6])> {
    Some((
        frame.get(0..6)?.try_into().ok()?,
        frame.get(6..12)?.try_into().ok()?,
    ))
}
