//! Whom a node tells what was written, at once. The exchange of state brings what is lost on the way.

use crate::view::{Member, View};
use crate::{NodeId, NodeName};

/// Up to so many other members are told by the node that has written. If there are more, each node
/// passes on what is new to it.
const TOLD_BY_WRITER: usize = 32;

/// To how many members a node passes on what is new to it.
const PASSED_TO: u32 = 4;

/// Whether nodes pass on what they are told.
pub fn passes_on(view: &View) -> bool {
    view.members.len() > TOLD_BY_WRITER + 1
}

/// The members that this node tells. If there are many, they are those at four distances on the
/// circle of all members: 1, and the 1/4th, 2/4th and 3/4th power of their number. So whatever one node
/// writes reaches all in a few steps.
pub fn told_by<'a>(view: &'a View, me: &NodeName) -> Vec<&'a Member> {
    let others = view.members.iter().filter(|member| member.name != *me);
    if !passes_on(view) {
        return others.collect();
    }
    // By ids, so that neighbours on the circle are no neighbours in the racks.
    let mut circle: Vec<(NodeId, &Member)> = others.map(|it| (it.name.id(), it)).collect();
    circle.sort_unstable_by_key(|(id, _)| *id);
    let start = circle.partition_point(|(id, _)| *id < me.id());
    let count = circle.len() as f64;
    let mut distances: Vec<usize> = (0..PASSED_TO)
        .map(|step| count.powf(f64::from(step) / f64::from(PASSED_TO)) as usize)
        .collect();
    distances.dedup();
    let at = |distance: usize| circle[(start + distance - 1) % circle.len()].1;
    distances.into_iter().map(at).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Boot, HttpUrl};

    fn view(count: u8) -> View {
        let member = |n: u8| {
            let name: NodeName = format!("n@10.0.0.{}", n + 1).parse().expect("a name");
            Member {
                url: HttpUrl::plain((name.ip(), 8080)),
                name,
                boot: Boot::from_number(1),
                since_ms: 0,
                serving: None,
                keys: None,
            }
        };
        let members = (0..count).map(member).collect();
        View {
            version: 1,
            members,
        }
    }

    #[test]
    fn what_any_node_writes_reaches_all_within_a_few_steps() {
        for (count, most_steps) in [(1, 0), (2, 1), (33, 1), (34, 6), (100, 9), (254, 12)] {
            let view = view(count);
            for writer in &view.members {
                let mut known = BTreeSet::from([&writer.name]);
                let mut next = vec![&writer.name];
                let mut steps = 0;
                while known.len() < usize::from(count) {
                    steps += 1;
                    let told = next.iter().flat_map(|name| told_by(&view, name));
                    let told: Vec<_> = told.map(|member| &member.name).collect();
                    next = told.into_iter().filter(|name| known.insert(name)).collect();
                    assert!(steps <= most_steps && !next.is_empty(), "{count} {steps}");
                }
            }
        }
    }
}
