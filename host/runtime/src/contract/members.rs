//! Members and views in the terms of the contract.

use cluster::{Member, View, short};

use super::cluster as contract;
use crate::views::Views;

/// The own node in a view, without its release.
pub(super) fn own(views: &Views, view: &View) -> contract::Node {
    let own = views.own_name();
    match view.members.iter().find(|member| member.name == *own) {
        Some(member) => node(member),
        // A view always holds the own node; a guest would rather have a
        // name than a trap if that were ever not so.
        None => contract::Node {
            name: own.to_string(),
            address: own.ip().to_string(),
            url: String::new(),
            since: 0,
            release: None,
        },
    }
}

/// A view.
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
