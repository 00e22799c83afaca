//! Which streams are open, with a copy of the state of each, so that new code can be tried
//! on some of them before it serves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::generation::{Generation, Lease};

/// How many states are tried at most.
const TRIED: usize = 40;

/// The open streams of a node.
#[derive(Debug, Default)]
pub(super) struct OpenStreams {
    streams: Mutex<BTreeMap<u64, Arc<Open>>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Open {
    path: Arc<str>,
    /// The state, and the code that wrote it.
    copy: Mutex<(Bytes, Weak<Generation>)>,
}

/// The entry of one stream. It is removed when this is dropped.
#[derive(Debug)]
pub(super) struct OpenStream {
    streams: Arc<OpenStreams>,
    number: u64,
    open: Arc<Open>,
}

/// The state of an open stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenState {
    pub(super) path: Arc<str>,
    pub(super) state: Bytes,
}

impl OpenStreams {
    /// Adds a stream.
    pub(super) fn add(
        self: &Arc<Self>,
        path: &Arc<str>,
        lease: &Lease,
        state: &Bytes,
    ) -> OpenStream {
        let open = Arc::new(Open {
            path: path.clone(),
            copy: Mutex::new((state.clone(), lease.weak())),
        });
        let number = self.next.fetch_add(1, Relaxed);
        self.streams.lock().insert(number, open.clone());
        OpenStream {
            streams: self.clone(),
            number,
            open,
        }
    }

    /// Some of the states that this code wrote: as many of each path as there is room for,
    /// of the oldest streams as well as of the newest.
    pub(super) fn some(&self, of: &Arc<Generation>) -> Vec<OpenState> {
        let mut paths: BTreeMap<Arc<str>, Vec<Bytes>> = BTreeMap::new();
        for open in self.streams.lock().values() {
            let copy = open.copy.lock();
            let (state, code) = &*copy;
            if code.as_ptr() == Arc::as_ptr(of) {
                let states = paths.entry(open.path.clone()).or_default();
                states.push(state.clone());
            }
        }
        choose(&paths)
    }
}

impl OpenStream {
    /// Notes the state that the stream has now, and the code that wrote it.
    pub(super) fn note(&self, lease: &Lease, state: &Bytes) {
        let mut copy = self.open.copy.lock();
        copy.0 = state.clone();
        if !lease.is_of(&copy.1) {
            copy.1 = lease.weak();
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.streams.streams.lock().remove(&self.number);
    }
}

/// Takes one of each path in turn until there are enough. Of each path they are spread
/// evenly over the time since which the streams are open.
fn choose(paths: &BTreeMap<Arc<str>, Vec<Bytes>>) -> Vec<OpenState> {
    let mut counts = vec![0; paths.len()];
    let mut room = TRIED;
    loop {
        let before = room;
        for (count, states) in counts.iter_mut().zip(paths.values()) {
            if room > 0 && *count < states.len() {
                *count += 1;
                room -= 1;
            }
        }
        if room == before {
            break;
        }
    }
    let chosen = counts
        .iter()
        .zip(paths)
        .flat_map(|(&count, (path, states))| {
            let spread = (0..count).filter_map(move |at| states.get(at * states.len() / count));
            spread.map(|state| OpenState {
                path: path.clone(),
                state: state.clone(),
            })
        });
    chosen.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(counts: &[(&str, usize)]) -> BTreeMap<Arc<str>, Vec<Bytes>> {
        let states = |count| (0..count).map(|at: usize| Bytes::from(at.to_string()));
        let path = |&(path, count): &(&str, usize)| (path.into(), states(count).collect());
        counts.iter().map(path).collect()
    }

    fn chosen(counts: &[(&str, usize)]) -> Vec<(String, String)> {
        let text = |it: OpenState| {
            let state = String::from_utf8_lossy(&it.state).into_owned();
            (it.path.to_string(), state)
        };
        choose(&paths(counts)).into_iter().map(text).collect()
    }

    #[test]
    fn few_states_are_all_tried_and_of_many_the_oldest_and_newer_ones() {
        assert_eq!(chosen(&[]), []);
        assert_eq!(chosen(&[("/a", 3), ("/b", 1)]).len(), 4);
        let many = chosen(&[("/a", 4000)]);
        assert_eq!(many.len(), TRIED);
        assert_eq!(many[0].1, "0");
        assert_eq!(many[TRIED - 1].1, "3900");
    }

    #[test]
    fn a_rare_path_is_tried_beside_a_frequent_one_and_never_more_than_allowed() {
        let both = chosen(&[("/a", 4000), ("/rare", 2)]);
        let rare = both.iter().filter(|(path, _)| path == "/rare").count();
        assert_eq!((both.len(), rare), (TRIED, 2));
        let names: Vec<String> = (0..1000).map(|path| format!("/{path}")).collect();
        let many: Vec<(&str, usize)> = names.iter().map(|name| (&**name, 5)).collect();
        assert_eq!(chosen(&many).len(), TRIED);
    }
}
