//! What the apps of this node reach other servers by: the rules flow in, and the addresses
//! that are the cluster's own.

use std::net::IpAddr;
use std::sync::Arc;

use egress::{EgressClient, EgressConfig, RulesNow};
use mesh::net::is_here;
use runtime::views::Views;

/// A client for these rules, on the node that sees these views.
pub(super) fn client(views: &Views, rules: RulesNow) -> EgressClient {
    let views = views.clone();
    let own = Arc::new(move |ip| is_own(&views, ip));
    EgressClient::new(EgressConfig::new(rules, own))
}

/// Whether an address is one of this machine or of another member. Nodes have IPv4 addresses.
fn is_own(views: &Views, ip: IpAddr) -> bool {
    let IpAddr::V4(ip) = ip else {
        return false;
    };
    let view = views.current();
    view.members.iter().any(|member| member.name.ip() == ip) || is_here(ip)
}
