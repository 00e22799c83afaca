//! How the runs wait: until groups of machines see exactly each other, without
//! looking through all views each time something happens.

use std::cmp::Reverse;
use std::time::Duration;

use crate::NodeName;
use crate::sim::Lan;

impl Lan {
    /// Runs until each of the groups lists exactly its own. Gives the seconds
    /// it took, infinite if it was not reached in time.
    pub(super) fn settle_into(&mut self, groups: &[&[usize]], within: Duration) -> f64 {
        let groups: Vec<(&[usize], Vec<NodeName>)> = groups
            .iter()
            .map(|&group| (group, self.names(group)))
            .collect();
        let members: Vec<(usize, &[NodeName])> = groups
            .iter()
            .flat_map(|(group, names)| group.iter().map(move |&machine| (machine, &names[..])))
            .collect();
        let (start, mut seen) = (self.now, usize::MAX);
        // Whoever was behind at the last look most likely still is.
        let mut behind = 0;
        loop {
            if seen != self.log.len() {
                seen = self.log.len();
                let lists = |&(machine, names): &(usize, &[NodeName])| self.lists(machine, names);
                if members.get(behind).is_none_or(&lists) {
                    match members.iter().position(|member| !lists(member)) {
                        Some(at) => behind = at,
                        None => return self.now.since(start).as_secs_f64(),
                    }
                }
            }
            let next = self.queue.peek().map(|Reverse(queued)| queued.at);
            if next.is_none_or(|at| at.since(start) > within) {
                return f64::INFINITY;
            }
            self.step();
        }
    }

    fn names(&self, group: &[usize]) -> Vec<NodeName> {
        let mut names: Vec<_> = group
            .iter()
            .map(|&m| self.machines[m].name.clone())
            .collect();
        names.sort();
        names
    }

    fn lists(&self, machine: usize, names: &[NodeName]) -> bool {
        self.machines[machine].node.as_ref().is_some_and(|node| {
            let view = node.view();
            view.members.len() == names.len()
                && view.members.iter().map(|member| &member.name).eq(names)
        })
    }
}
