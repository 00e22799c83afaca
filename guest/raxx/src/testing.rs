//! Stands in for the host in native tests. The test says what the cluster is,
//! and can read what the app asked of its mailbox. Each thread has a cluster
//! and a mailbox of its own.
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

/// A node with this name. It serves on port 8080, since the 1st of January
/// 2026, the release whose digest is all `a`.
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

/// A view of nodes with these names, in this order.
pub fn view(version: u64, names: &[&str]) -> View {
    View {
        version,
        nodes: names.iter().map(|name| node(name)).collect(),
    }
}

/// Sets what [`crate::cluster`] says from now on. The first node is this one.
pub fn set_cluster(version: u64, names: &[&str]) {
    set_view(view(version, names));
}

/// Like [`set_cluster`], with a whole view. The first node is this one.
pub fn set_view(view: View) {
    VIEW.set(Some(view));
}

/// The effects that were asked for since the last call of this: with the
/// functions of the mailbox, or by a step that was performed.
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
    //! Stands in for the imports of `mailbox`. Like a host, it refuses a topic
    //! or payload that is too large.

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
