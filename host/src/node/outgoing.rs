//! What the apps of this node reach other servers by: the rules flow in, and the addresses
//! that are the cluster's own.

use std::net::IpAddr;
use std::sync::Arc;

use egress::{EgressClient, EgressConfig, RulesNow};
use mesh::net::may_be_here;
use runtime::views::Views;

/// A client for these rules, on the node that sees these views.
pub(super) fn client(views: &Views, rules: RulesNow) -> EgressClient {
    let views = views.clone();
    let own = Arc::new(move |ip| is_own(&views, ip));
    EgressClient::new(EgressConfig::new(rules, own))
}

/// Whether an address is one of this machine, or that of another member. What other IPv6 addresses
/// a member has is not known.
fn is_own(views: &Views, ip: IpAddr) -> bool {
    let view = views.current();
    let mut members = view.members.iter();
    members.any(|member| IpAddr::V4(member.name.ip()) == ip) || may_be_here(ip)
}
