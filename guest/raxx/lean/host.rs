//! The imports, and what both editions of WASI do with them.

#[link(wasm_import_module = "ace:raxx/system@0.2.0")]
unsafe extern "C" {
    #[link_name = "now"]
    pub(crate) safe fn now() -> u64;
    #[link_name = "monotonic"]
    pub(crate) safe fn monotonic() -> u64;
    #[link_name = "random"]
    safe fn random() -> u64;
    #[rustfmt::skip]
    safe fn write(
        length: u32,
        w0: u64,
        w1: u64,
        w2: u64,
        w3: u64,
        w4: u64,
        w5: u64,
        w6: u64,
        w7: u64,
    );
}

/// So many bytes go with one call of `write`.
const AT_ONCE: usize = 64;

/// Writes bytes to the log of the node.
///
/// Nothing here may panic: when the app is linked with LTO, the panics of `core` are
/// no longer there for an object that comes from elsewhere.
pub(crate) fn print(bytes: &[u8]) {
    for now in bytes.chunks(AT_ONCE) {
        let mut words = [0_u64; AT_ONCE / 8];
        for (word, bytes) in words.iter_mut().zip(now.chunks(8)) {
            for byte in bytes.iter().rev() {
                *word = *word << 8 | u64::from(*byte);
            }
        }
        let [w0, w1, w2, w3, w4, w5, w6, w7] = words;
        write(now.len() as u32, w0, w1, w2, w3, w4, w5, w6, w7);
    }
}

/// Fills this memory with random bytes.
pub(crate) fn fill(bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(8) {
        let word = random().to_le_bytes();
        for (byte, random) in chunk.iter_mut().zip(word) {
            *byte = random;
        }
    }
}

/// 64 random bits.
#[cfg(target_env = "p2")]
pub(crate) fn random_bits() -> u64 {
    random()
}

/// A callback that sleeps would keep its instance, and may wait for what only its own
/// end brings.
pub(crate) fn sleeps() -> ! {
    fail(
        b"\napp panicked at a sleep: a callback without WASI cannot wait:\n\
        return the effect send-after instead, or build with the feature raxx/wasi\n",
    )
}

/// Ends the callback that calls `exit`.
pub(crate) fn exits() -> ! {
    fail(
        b"\napp panicked at a call of exit: a callback ends by returning:\n\
        return a response instead, of status 500 for instance\n",
    )
}

/// The host names a line with `panicked at` and the one after it as the reason of the
/// trap. The line that the app may have begun ends before.
fn fail(why: &[u8]) -> ! {
    print(why);
    core::arch::wasm32::unreachable()
}
