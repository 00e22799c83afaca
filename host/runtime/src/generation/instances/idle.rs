//! Instances that wait for their next call: a stack, so that as few as can do the work stay warm,
//! and the others age and go.
//!
//! It is open while its generation serves. Nothing waits in a closed one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::capacity::Resident;

/// How long an instance waits for its next call. Then its memory is given back.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(3);
/// How often those that have waited long enough are looked for.
const BEAT: Duration = Duration::from_millis(500);

/// What waits; the last to come is the first to go.
#[derive(Debug)]
pub(super) struct IdleStack<T> {
    /// How long each may wait, if that is limited.
    age_max: Option<Duration>,
    stack: Mutex<Stack<T>>,
}

#[derive(Debug)]
struct Stack<T> {
    is_open: bool,
    /// Whether a task looks after it.
    is_tended: bool,
    /// Each since when it waits, the longest first.
    waiting: Vec<(Instant, T)>,
}

impl<T: Send + 'static> IdleStack<T> {
    /// A closed stack, in which each may wait for so long.
    pub(super) fn new(age_max: Option<Duration>) -> IdleStack<T> {
        IdleStack {
            age_max,
            stack: Mutex::new(Stack {
                is_open: false,
                is_tended: false,
                waiting: Vec::new(),
            }),
        }
    }

    /// From now on something may wait here.
    pub(super) fn open(&self) {
        self.stack.lock().is_open = true;
    }

    /// From now on nothing waits here. Returns what did.
    pub(super) fn close(&self) -> Vec<T> {
        let mut stack = self.stack.lock();
        stack.is_open = false;
        stack.take(usize::MAX)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.stack.lock().waiting.len()
    }

    /// What has waited least.
    pub(super) fn pop(&self) -> Option<T> {
        self.stack.lock().waiting.pop().map(|(_, it)| it)
    }

    /// From now on this waits, unless the stack is closed: then it is dropped. Must be called
    /// within a tokio runtime.
    pub(super) fn push(self: &Arc<Self>, it: T, resident: &Arc<Resident>) {
        let mut stack = self.stack.lock();
        if !stack.is_open {
            drop(stack);
            return drop(it);
        }
        stack.waiting.push((Instant::now(), it));
        let is_tended = std::mem::replace(&mut stack.is_tended, true);
        drop(stack);
        if !is_tended {
            // There is one task for a stack, and only while something waits there.
            tokio::spawn(tend(Arc::downgrade(self), resident.clone()));
        }
    }

    /// Takes out what has waited since this time or longer; all of it if none is given.
    pub(super) fn age(&self, since: Option<Instant>) -> Vec<T> {
        let mut stack = self.stack.lock();
        let old = match since {
            Some(since) => stack.waiting.partition_point(|(came, _)| *came <= since),
            None => usize::MAX,
        };
        stack.take(old)
    }

    /// Whether the task that looks after the stack has nothing left to do. Then it must end.
    fn is_done(&self) -> bool {
        let mut stack = self.stack.lock();
        stack.is_tended = !stack.waiting.is_empty();
        !stack.is_tended
    }
}

impl<T> Stack<T> {
    /// Takes out so many of those that wait longest.
    fn take(&mut self, number: usize) -> Vec<T> {
        let number = number.min(self.waiting.len());
        self.waiting.drain(..number).map(|(_, it)| it).collect()
    }
}

/// Gives back what has waited for long, and all of it as soon as memory is short.
async fn tend<T: Send + 'static>(stack: std::sync::Weak<IdleStack<T>>, resident: Arc<Resident>) {
    loop {
        let is_short = tokio::select! {
            () = tokio::time::sleep(BEAT) => resident.is_short(),
            () = resident.runs_short() => true,
        };
        let Some(stack) = stack.upgrade() else { return };
        if is_short {
            give_back(stack.age(None));
        } else if let Some(age_max) = stack.age_max {
            let since = Instant::now().checked_sub(age_max);
            give_back(since.map_or(Vec::new(), |since| stack.age(Some(since))));
        }
        if stack.is_done() {
            return;
        }
    }
}

/// Drops instances where it keeps no request waiting. Must be called within a tokio runtime.
pub(super) fn give_back<T: Send + 'static>(instances: Vec<T>) {
    if !instances.is_empty() {
        drop(tokio::task::spawn_blocking(move || drop(instances)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident() -> Arc<Resident> {
        Arc::new(Resident::within(u64::MAX))
    }

    #[tokio::test]
    async fn the_last_to_come_is_the_first_to_go_and_the_longest_to_wait_is_given_back() {
        let (stack, resident) = (Arc::new(IdleStack::new(Some(IDLE_MAX))), resident());
        stack.open();
        stack.push(1, &resident);
        let between = Instant::now();
        stack.push(2, &resident);
        stack.push(3, &resident);
        assert_eq!(stack.pop(), Some(3));
        assert_eq!(stack.age(Some(between)), [1]);
        assert!(!stack.is_done());
        assert_eq!(stack.age(None), [2]);
        assert!(stack.is_done());
        assert_eq!(stack.pop(), None);
    }

    #[tokio::test]
    async fn nothing_waits_in_a_closed_stack() {
        let (stack, resident) = (Arc::new(IdleStack::new(Some(IDLE_MAX))), resident());
        stack.push(1, &resident);
        assert_eq!(stack.pop(), None);
        stack.open();
        stack.push(2, &resident);
        assert_eq!(stack.close(), [2]);
        stack.push(3, &resident);
        assert_eq!(stack.pop(), None);
    }

    #[tokio::test]
    async fn as_soon_as_memory_is_short_nothing_waits_any_more() {
        let stack = Arc::new(IdleStack::new(Some(IDLE_MAX)));
        let resident = Arc::new(Resident::within(1));
        stack.open();
        let held = Arc::new(());
        stack.push(held.clone(), &resident);
        while Arc::strong_count(&held) > 1 {
            resident.look();
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_task_gives_back_what_has_waited_for_long_and_ends() {
        let (stack, resident) = (Arc::new(IdleStack::new(Some(IDLE_MAX))), resident());
        stack.open();
        let held = Arc::new(());
        stack.push(held.clone(), &resident);
        stack.stack.lock().waiting[0].0 -= IDLE_MAX;
        while stack.stack.lock().is_tended || Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
