//! The membership view as exchanges and the contract see it.

use std::sync::Arc;

use cluster::{Member, NodeName, View, short};
use tokio::sync::watch;

use crate::contract::cluster as contract;

/// The views as they come, and which member of them this node is.
#[derive(Clone, Debug)]
pub struct Views {
    receiver: watch::Receiver<Arc<View>>,
    own: NodeName,
}

impl Views {
    /// Follows the views that membership publishes on the node so named.
    pub fn new(receiver: watch::Receiver<Arc<View>>, own: NodeName) -> Views {
        Views { receiver, own }
    }

    /// The name of this node.
    pub fn own_name(&self) -> &NodeName {
        &self.own
    }

    /// The newest view.
    pub fn current(&self) -> Arc<View> {
        self.receiver.borrow().clone()
    }

    /// A receiver of its own, for one exchange; it has yet to see the current view.
    pub fn subscribe(&self) -> watch::Receiver<Arc<View>> {
        let mut receiver = self.receiver.clone();
        receiver.mark_changed();
        receiver
    }

    /// This node in a view, without its release.
    pub fn own(&self, view: &View) -> contract::Node {
        match view.members.iter().find(|member| member.name == self.own) {
            Some(member) => node(member),
            // A view always holds the own node; a guest would rather have a
            // name than a trap if that were ever not so.
            None => contract::Node {
                name: self.own.to_string(),
                address: self.own.ip().to_string(),
                url: String::new(),
                since: 0,
                release: None,
            },
        }
    }

    /// A view in the terms of the contract.
    pub fn to_contract(&self, view: &View) -> contract::View {
        contract::View {
            version: view.version,
            nodes: view.members.iter().map(node).collect(),
        }
    }
}

fn node(member: &Member) -> contract::Node {
    contract::Node {
        name: member.name.to_string(),
        address: member.name.ip().to_string(),
        url: member.url.to_string(),
        since: member.since_ms,
        release: member.component().map(|digest| {
            let digest = digest.to_string();
            // Until releases are agreed on, a release is its digest.
            contract::Release {
                id: short(&digest).to_owned(),
                digest,
            }
        }),
    }
}
