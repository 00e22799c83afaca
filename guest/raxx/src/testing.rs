//! The host's side for native tests, where there is no host: the cluster is
//! what the test says it is, and what is asked of the mailbox directly is
//! written down. Both belong to the thread of the test.
//!
//! ```
//! use raxx::{cluster, testing};
//!
//! testing::set_cluster(1, &["example@10.10.10.2", "example@10.10.10.3"]);
//! assert_eq!(cluster::self_().url, "http://10.10.10.2:8080");
//! assert_eq!(cluster::nodes().nodes.len(), 2);
//! ```

use std::cell::RefCell;

use crate::cluster::{Node, Release, View};
use crate::mailbox::Effect;

thread_local! {
    static VIEW: RefCell<Option<View>> = const { RefCell::new(None) };
    static EFFECTS: RefCell<Vec<Effect>> = const { RefCell::new(Vec::new()) };
}

/// A node by its name, that serves on port 8080 the release whose digest is
/// all `a`, since the 1st of January 2026.
///
/// # Panics
///
/// If the name is not `NAME@IP`.
pub fn node(name: &str) -> Node {
    let Some((_, address)) = name.split_once('@') else {
        panic!("the name of a node is NAME@IP, not {name:?}");
    };
    let digest = "a".repeat(64);
    Node {
        name: name.to_owned(),
        address: address.to_owned(),
        url: format!("http://{address}:8080"),
        since: 1_767_225_600_000,
        release: Some(Release {
            id: digest.clone(),
            digest,
        }),
    }
}

/// A view of nodes by their names, in the order given.
pub fn view(version: u64, names: &[&str]) -> View {
    View {
        version,
        nodes: names.iter().map(|name| node(name)).collect(),
    }
}

/// What [`crate::cluster`] says from now on. The first node is this one.
pub fn set_cluster(version: u64, names: &[&str]) {
    set_view(view(version, names));
}

/// What [`crate::cluster`] says from now on, in full. The first node is this
/// one.
pub fn set_view(view: View) {
    VIEW.set(Some(view));
}

/// What was asked of the mailbox since the last call: by its functions, or by
/// a step that was performed.
pub fn take_effects() -> Vec<Effect> {
    EFFECTS.take()
}

pub(crate) mod cluster {
    //! Stands in for the imports of `cluster`.

    use super::{Node, VIEW, View};

    pub(crate) fn self_() -> Node {
        match nodes().nodes.into_iter().next() {
            Some(node) => node,
            None => panic!("the view given to raxx::testing::set_view has no nodes"),
        }
    }

    pub(crate) fn nodes() -> View {
        match VIEW.with_borrow(Clone::clone) {
            Some(view) => view,
            None => panic!("there is no cluster here: call raxx::testing::set_cluster first"),
        }
    }
}

pub(crate) mod mailbox {
    //! Stands in for the imports of `mailbox`. It refuses what a host would
    //! refuse by size.

    use super::{EFFECTS, Effect};
    use crate::mailbox::Error;

    pub(crate) fn subscribe_nodes() {
        EFFECTS.with_borrow_mut(|effects| effects.push(Effect::SubscribeNodes));
    }

    pub(crate) fn subscribe(topic: &str) -> Result<(), Error> {
        record(Effect::Subscribe(topic.to_owned()))
    }

    pub(crate) fn unsubscribe(topic: &str) {
        let effect = Effect::Unsubscribe(topic.to_owned());
        EFFECTS.with_borrow_mut(|effects| effects.push(effect));
    }

    pub(crate) fn publish(topic: &str, payload: &[u8]) -> Result<(), Error> {
        record(Effect::Publish {
            topic: topic.to_owned(),
            payload: payload.to_owned(),
        })
    }

    pub(crate) fn send_after(milliseconds: u64, token: u64) -> Result<(), Error> {
        record(Effect::SendAfter {
            milliseconds,
            token,
        })
    }

    fn record(effect: Effect) -> Result<(), Error> {
        effect.check()?;
        EFFECTS.with_borrow_mut(|effects| effects.push(effect));
        Ok(())
    }
}
