//! What nodes set in a scenario, and what must hold in the end: all know the same, nothing that
//! nobody set, and the newest of each name that a disk still had.

use std::sync::Arc;

use crate::{Input, Node, Setting, SettingChange, SettingKind};

use super::Lan;
use super::agreement::Disagreement;

/// All settings that nodes ever made, each with the machine that has it on its disk, unless that
/// was wiped.
#[derive(Debug, Default)]
pub(super) struct MadeSettings(Vec<(Arc<Setting>, Option<usize>)>);

impl MadeSettings {
    /// Settings that only this machine knew may be lost.
    pub(super) fn wiped(&mut self, machine: usize) {
        for (_, on) in &mut self.0 {
            *on = on.filter(|on| *on != machine);
        }
    }

    /// How many records a node can know.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

impl Lan {
    /// Sets one of a few names on a node, or removes it, unless the node refuses. Returns whether it
    /// was taken.
    pub fn set(&mut self, machine: usize, key: &str, value: Option<&str>) -> bool {
        let change = SettingChange {
            kind: SettingKind::Config,
            key: key.to_owned(),
            value: value.map(str::to_owned),
        };
        let (now, wall_ms) = (self.now, self.wall_ms(machine));
        let Some(node) = self.machines[machine].node.as_ref() else {
            return false;
        };
        let Ok(records) = node.draft_settings(now, wall_ms, vec![change], "somebody", [7; 16])
        else {
            return false;
        };
        if !node.takes_part() || node.check_settings(&records).is_err() {
            return false;
        }
        let made = records.iter().map(|it| (it.clone(), Some(machine)));
        self.made_settings.0.extend(made);
        self.give(machine, Input::Settings(records));
        true
    }
}

/// How the first machines disagree on settings, if they do.
pub(super) fn disagreed(lan: &Lan, machines: usize) -> Option<(usize, Disagreement)> {
    let node = |at: usize| Some((at, lan.machines[at].node.as_ref()?));
    let nodes: Vec<(usize, &Node)> = (0..machines).filter_map(node).collect();
    // Who alone knows a record of a time that cannot be agrees with nobody until then.
    if nodes.iter().any(|(_, node)| node.has_set_aside_setting()) {
        return None;
    }
    let known = |node: &Node| {
        (
            node.settings().live().to_vec(),
            node.settings().past().to_vec(),
        )
    };
    let (_, first) = nodes.first()?;
    let (first, lives) = (known(first), |on: &usize| {
        nodes.iter().any(|(at, _)| at == on)
    });
    for (at, node) in &nodes {
        let its = known(node);
        if its != first {
            return Some((*at, Disagreement::Settings));
        }
        for live in &its.0 {
            let made = &lan.made_settings.0;
            let newer = |(it, on): &&(Arc<Setting>, Option<usize>)| {
                it.key() == live.key()
                    && it.place() > live.place()
                    && on.as_ref().is_some_and(lives)
            };
            let is_made = made.iter().any(|(it, _)| it == live);
            if !is_made || made.iter().any(|it| newer(&it)) {
                return Some((*at, Disagreement::Setting(live.key().to_owned())));
            }
        }
    }
    None
}
