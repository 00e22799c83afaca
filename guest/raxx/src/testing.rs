//! Stands in for the host in native tests. The test says what the cluster is. Each
//! thread has a cluster of its own.
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

thread_local! {
    static VIEW: RefCell<Option<View>> = const { RefCell::new(None) };
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
