//! Converts members and views to the contract's types.

use cluster::release::ReleaseId;
use cluster::{Digest, Member, View};

use super::cluster as contract;
use crate::views::Views;

/// This node as a member of a view, without its release.
pub(super) fn own(views: &Views, view: &View) -> contract::Node {
    let own = views.own_name();
    match view.members.iter().find(|member| member.name == *own) {
        Some(member) => node(member),
        // A view always has this node. If it ever did not, a name would help
        // the guest more than a trap.
        None => contract::Node {
            name: own.to_string(),
            address: own.ip().to_string(),
            url: String::new(),
            since: 0,
            release: None,
        },
    }
}

/// Converts a view.
pub(crate) fn view(view: &View) -> contract::View {
    contract::View {
        version: view.version,
        nodes: view.members.iter().map(node).collect(),
    }
}

fn node(member: &Member) -> contract::Node {
    contract::Node {
        name: member.name.to_string(),
        address: member.name.ip().to_string(),
        url: member.url.to_string(),
        since: member.since_ms,
        release: member
            .serving
            .as_ref()
            .map(|serving| release(serving.release, serving.digest)),
    }
}

/// Converts a release. The id has all its digits, as in the node's API.
pub(super) fn release(id: ReleaseId, digest: Digest) -> contract::Release {
    contract::Release {
        id: format!("{id:.32}"),
        digest: digest.to_string(),
    }
}
