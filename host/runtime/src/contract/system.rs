//! What a component needs of the machine under it: the host's side of `system`.
//!
//! It takes and returns numbers only, and no context of WASI is built for it.

use std::cell::RefCell;
use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, SeedableRng as _};

use super::HostState;
use super::streaming::ace::raxx::system;

/// How many bytes one call writes. `system.wit` names this limit.
const WRITE_MAX: usize = 64;

/// The moment since which the time of `monotonic` counts.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

thread_local! {
    /// Random numbers for guests, seeded by the system. None until the first is asked for.
    static RANDOM: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

fn random() -> wasmtime::Result<u64> {
    RANDOM.with_borrow_mut(|random| {
        let random = match random {
            Some(random) => random,
            None => random.insert(StdRng::try_from_rng(&mut SysRng)?),
        };
        Ok(random.next_u64())
    })
}

impl system::Host for HostState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(since.map_or(0, |since| since.as_nanos() as u64))
    }

    fn monotonic(&mut self) -> wasmtime::Result<u64> {
        Ok(BEGAN.elapsed().as_nanos() as u64)
    }

    fn random(&mut self) -> wasmtime::Result<u64> {
        random()
    }

    fn write(
        &mut self,
        length: u32,
        w0: u64,
        w1: u64,
        w2: u64,
        w3: u64,
        w4: u64,
        w5: u64,
        w6: u64,
        w7: u64,
    ) -> wasmtime::Result<()> {
        let mut bytes = [0; WRITE_MAX];
        let words = [w0, w1, w2, w3, w4, w5, w6, w7];
        for (eight, word) in bytes.chunks_exact_mut(8).zip(words) {
            eight.copy_from_slice(&word.to_le_bytes());
        }
        let written = bytes.get(..length as usize).ok_or_else(|| {
            wasmtime::Error::msg(format!(
                "wrote {length} bytes in one call of ace:raxx/system, more than {WRITE_MAX}"
            ))
        })?;
        self.instance.write(written);
        Ok(())
    }
}
