//! Processes that die by SIGKILL at any step, again and again: a node while it
//! takes up a changed app, and the store while it does all that it can do.
//! Whatever is left on the disk, what comes next finds the old or the new,
//! whole.
//!
//! The moments are drawn from a seed, which is printed; `CRASH_SEED` gives it
//! back. Timing is the machine's own, so the same seed comes close, no more.

mod node;
mod store;

use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// How often a process dies in each test.
const ROUNDS: usize = 200;

/// A process that is started has, for a moment, all files that its parent has
/// open, locks included. So while a test has a data folder open, none of them
/// starts one.
static FOLDERS: RwLock<()> = RwLock::new(());

/// Held as long as a data folder is open in this process.
fn opening() -> RwLockReadGuard<'static, ()> {
    FOLDERS.read()
}

/// Held while a process is started.
fn starting() -> RwLockWriteGuard<'static, ()> {
    FOLDERS.write()
}

/// The seed of this run.
fn seed() -> u64 {
    let given = std::env::var("CRASH_SEED").ok();
    let given = given.map(|seed| seed.parse().expect("CRASH_SEED is a number"));
    let seed = given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.expect("a clock after 1970").as_micros() as u64
    });
    println!("the moments are those of CRASH_SEED={seed}");
    seed
}

/// The moments of one of several that go on side by side.
fn moments(seed: u64, lane: usize) -> StdRng {
    StdRng::seed_from_u64(seed ^ ((lane as u64) << 56))
}

/// How often a process died where.
#[derive(Default)]
struct Deaths(Mutex<std::collections::BTreeMap<String, usize>>);

impl Deaths {
    fn count(&self, place: &str) {
        let mut deaths = self.0.lock();
        *deaths.entry(place.to_owned()).or_default() += 1;
    }

    /// Prints them, and asserts that none of these points was left out.
    fn at_each_of<'a>(self, points: impl Iterator<Item = &'a str>) {
        let deaths = self.0.into_inner();
        println!("deaths: {deaths:#?}");
        for point in points {
            assert!(deaths.contains_key(point), "no process died at {point}");
        }
        assert_eq!(deaths.values().sum::<usize>(), ROUNDS);
    }
}
