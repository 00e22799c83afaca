//! How the runs wait until groups of machines see exactly each other, without a look through
//! all views at each event.

use std::cmp::Reverse;
use std::time::Duration;

use crate::sim::Lan;
use crate::{Digest, NodeName, Time};

impl Lan {
    /// Runs until each group lists exactly its own members. Returns the seconds that took;
    /// infinite if it was not reached in time.
    pub(super) fn settle_into(&mut self, groups: &[&[usize]], within: Duration) -> f64 {
        let groups: Vec<(&[usize], Vec<NodeName>)> = groups
            .iter()
            .map(|&group| (group, self.names(group)))
            .collect();
        let members: Vec<(usize, &[NodeName])> = groups
            .iter()
            .flat_map(|(group, names)| group.iter().map(move |&machine| (machine, &names[..])))
            .collect();
        // A machine that was behind at the last look most likely still is.
        let mut behind = 0;
        self.until(within, |lan| {
            let lists = |&(machine, names): &(usize, &[NodeName])| lan.lists(machine, names);
            if !members.get(behind).is_none_or(&lists) {
                return false;
            }
            let next = members.iter().position(|member| !lists(member));
            behind = next.unwrap_or(behind);
            next.is_none()
        })
    }

    /// Runs until the target of all these machines is this component. Returns the seconds that
    /// took; infinite if it was not reached in time.
    pub(super) fn agree_on(&mut self, all: &[usize], app: Digest, within: Duration) -> f64 {
        let mut behind = 0;
        self.until(within, |lan| {
            let serves = |machine: usize| {
                let node = lan.machines[machine].node.as_ref();
                let target = node.and_then(crate::Node::target);
                target.is_some_and(|target| target.digest == app)
            };
            while behind < all.len() && serves(all[behind]) {
                behind += 1;
            }
            behind == all.len()
        })
    }

    /// Runs until all these machines have all of this component. Returns the seconds since the
    /// start; infinite if it was not reached in time.
    pub(super) fn have_all(
        &mut self,
        all: &[usize],
        app: Digest,
        start: Time,
        within: Duration,
    ) -> f64 {
        let has = |lan: &Lan, machine: usize| {
            let held = lan.held(machine);
            held.is_some_and(|held| held.digest == app && held.have.is_full())
        };
        for &machine in all {
            while !has(self, machine) {
                let next = self.queue.peek().map(|Reverse(queued)| queued.at);
                if next.is_none_or(|at| at.since(start) > within) {
                    return f64::INFINITY;
                }
                self.step();
            }
        }
        let done = all.iter().filter_map(|&it| self.held(it)?.whole_at).max();
        done.map_or(f64::INFINITY, |done| done.since(start).as_secs_f64())
    }

    /// Runs until `done` holds, which is checked when a node reports something.
    fn until(&mut self, within: Duration, mut done: impl FnMut(&Lan) -> bool) -> f64 {
        let (start, mut seen) = (self.now, usize::MAX);
        loop {
            if seen != self.log.len() {
                seen = self.log.len();
                if done(self) {
                    return self.now.since(start).as_secs_f64();
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
