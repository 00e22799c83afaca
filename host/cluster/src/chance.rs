//! Random waits, so that nodes do not act all at once.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

/// This duration, plus or minus at most `per_cent` per cent.
pub(crate) fn jitter(rng: &mut StdRng, base: Duration, per_cent: u32) -> Duration {
    let spread = base * per_cent / 100;
    base - spread + 2 * spread.mul_f64(rng.random::<f64>())
}
