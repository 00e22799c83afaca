//! Chooses the members to which a node keeps connections. With connections to all, a cluster of
//! a thousand would have half a million.

use cluster::{NodeName, View};
use sha2::{Digest, Sha256};

/// How many connections to members are kept. It is practically certain that one of them notices
/// a dead process, and in a small cluster these are all members.
const KEPT: usize = 8;

/// The members to which `me` keeps connections: those with the highest score. The choice is
/// stable (rendezvous hashing): a member that joins or leaves changes at most one of them.
pub(super) fn choose(me: &NodeName, view: &View) -> Vec<NodeName> {
    let mut scored: Vec<(u64, &NodeName)> = view
        .members
        .iter()
        .filter(|member| member.name != *me)
        .map(|member| (score(me, &member.name), &member.name))
        .collect();
    if scored.len() > KEPT {
        scored.select_nth_unstable_by(KEPT, |a, b| b.cmp(a));
        scored.truncate(KEPT);
    }
    scored.into_iter().map(|(_, name)| name.clone()).collect()
}

/// The score is equal from both ends, so that two nodes often choose each other.
fn score(a: &NodeName, b: &NodeName) -> u64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    let hash = Sha256::digest(format!("{low} {high}"));
    let (start, _) = hash.split_at(8);
    start
        .iter()
        .fold(0, |score, byte| score << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use cluster::{Boot, Member};

    use super::*;

    fn view(nodes: std::ops::Range<u32>) -> View {
        let member = |n| {
            let ip = Ipv4Addr::from_bits(0x0a0a_0a00 + n);
            Member {
                name: NodeName::new("example", ip).expect("a name"),
                boot: Boot::from_number(1),
                url: cluster::HttpUrl::plain((ip, 8080)),
                since_ms: 0,
                serving: None,
                keys: None,
            }
        };
        View {
            version: 1,
            members: nodes.map(member).collect(),
        }
    }

    #[test]
    fn in_a_small_cluster_everyone_is_connected_with_everyone() {
        let view = view(2..5);
        let chosen = choose(&view.members[0].name, &view);
        assert_eq!(chosen.len(), 2);
        assert!(!chosen.contains(&view.members[0].name), "not with itself");
    }

    #[test]
    fn in_a_large_cluster_each_keeps_eight_and_nobody_is_left_out() {
        let view = view(1..255);
        let mut kept_by = std::collections::BTreeMap::new();
        for member in &view.members {
            let chosen = choose(&member.name, &view);
            assert_eq!(chosen.len(), KEPT);
            for name in chosen {
                *kept_by.entry(name).or_insert(0) += 1;
            }
        }
        assert_eq!(kept_by.len(), view.members.len());
        let most = kept_by.values().max();
        assert!(most <= Some(&32), "no node is called by too many: {most:?}");
    }

    #[test]
    fn a_member_that_joins_changes_at_most_one_connection() {
        let (before, after) = (view(1..100), view(1..101));
        for member in &before.members {
            let old = choose(&member.name, &before);
            let new = choose(&member.name, &after);
            let changed = new.iter().filter(|name| !old.contains(name)).count();
            assert!(changed <= 1, "{changed} changed for {}", member.name);
        }
    }
}
