//! How much memory the process has: what is resident and belongs to it alone. It is looked at
//! again and again, because what instances declare says little about what they touch.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The key of the page size in the auxiliary vector (`AT_PAGESZ`).
const PAGE_SIZE: u64 = 6;
/// What a page has on nearly every machine, in bytes.
const USUAL_PAGE: u64 = 4096;

/// The memory of this process against its budget. Pages that are shared, such as those of files
/// and of the first content of instances, do not count: they are there once, however many
/// instances show them.
#[derive(Debug)]
pub(crate) struct Resident {
    statm: Option<File>,
    page: u64,
    budget: u64,
    bytes: AtomicU64,
    /// How many bytes instances were given since the last look, by what they declare.
    given: AtomicU64,
    /// Notified at each look while memory is short.
    short: Notify,
}

impl Resident {
    pub(crate) fn within(budget: u64) -> Resident {
        let resident = Resident {
            statm: File::open("/proc/self/statm").ok(),
            page: page_size().unwrap_or(USUAL_PAGE),
            budget,
            bytes: AtomicU64::new(0),
            given: AtomicU64::new(0),
            short: Notify::new(),
        };
        resident.look();
        resident
    }

    /// Looks at how much memory there is now. It costs a few microseconds.
    pub(crate) fn look(&self) {
        self.given.store(0, Relaxed);
        if let Some(pages) = self.statm.as_ref().and_then(own_pages) {
            self.bytes.store(pages.saturating_mul(self.page), Relaxed);
        }
        if self.is_short() {
            self.short.notify_waiters();
        }
    }

    /// The bytes that there were at the last look.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(crate) fn budget(&self) -> u64 {
        self.budget
    }

    /// Whether it is worth looking often, because the budget may soon be used up.
    pub(crate) fn is_tight(&self) -> bool {
        self.bytes() > self.budget / 2
    }

    /// Whether no further instance may begin. The last tenth is for those that run.
    pub(crate) fn is_short(&self) -> bool {
        self.bytes() > self.budget / 10 * 9
    }

    /// Completes at the next look at which memory is short.
    pub(crate) fn runs_short(&self) -> Notified<'_> {
        self.short.notified()
    }

    /// Whether an instance may get so many more bytes. The ticks may be late on a busy machine. So
    /// where what was given since the last look could use up the budget, it looks again.
    pub(crate) fn gives(&self, bytes: u64) -> bool {
        let given = self.given.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if self.bytes().saturating_add(given) > self.budget {
            self.look();
        }
        self.bytes() <= self.budget
    }
}

/// The pages that are resident and not shared, of `/proc/self/statm`.
fn own_pages(statm: &File) -> Option<u64> {
    let mut text = [0; 128];
    let read = statm.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(text.get(..read)?).ok()?;
    let mut numbers = text.split(' ').skip(1).map(str::parse::<u64>);
    let (resident, shared) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(resident.saturating_sub(shared))
}

fn page_size() -> Option<u64> {
    let auxiliary = std::fs::read("/proc/self/auxv").ok()?;
    let (words, _) = auxiliary.as_chunks::<8>();
    let mut pairs = words.chunks_exact(2);
    let found = pairs.find(|pair| u64::from_ne_bytes(pair[0]) == PAGE_SIZE)?;
    Some(u64::from_ne_bytes(found[1]))
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// Each test sees what the others have.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    #[test]
    fn memory_that_is_touched_counts_and_memory_that_is_only_reserved_does_not() {
        let _alone = ONE_AT_A_TIME.lock();
        let resident = Resident::within(u64::MAX);
        let before = resident.bytes();
        assert!(before > 0);
        let mut large: Vec<u8> = Vec::with_capacity(256 << 20);
        resident.look();
        assert!(resident.bytes() < before + (128 << 20));
        large.resize(256 << 20, 1);
        std::hint::black_box(&large);
        resident.look();
        assert!(resident.bytes() > before + (200 << 20));
    }

    #[test]
    fn memory_is_looked_at_without_a_tick_once_what_was_given_could_use_it_up() {
        let _alone = ONE_AT_A_TIME.lock();
        let before = Resident::within(u64::MAX).bytes();
        let resident = Resident::within(before + (128 << 20));
        let large = vec![1_u8; 256 << 20];
        std::hint::black_box(&large);
        assert!(resident.gives(1 << 20), "there was room at the last look");
        assert!(!resident.gives(256 << 20));
        drop(large);
        assert!(resident.gives(64 << 20));
    }

    #[test]
    fn the_page_size_is_known() {
        assert!(page_size().is_some_and(u64::is_power_of_two));
    }
}
