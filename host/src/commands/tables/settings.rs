//! The tables of `host config ls` and `host egress ls`.

use cluster::is_environment_name;

use super::super::show::{PAST, PLAIN, ago, table};
use crate::api::types::{SettingInfo, SettingList, SettingSort};

/// How much of a value is shown, in characters.
const VALUE_MAX: usize = 60;

/// What is set, of these kinds.
pub(in crate::commands) fn settings(list: &SettingList, kinds: &[SettingSort]) -> String {
    let of_kinds = list.settings.iter().filter(|it| kinds.contains(&it.kind));
    let settings: Vec<&SettingInfo> = of_kinds.collect();
    if settings.is_empty() {
        return match kinds.contains(&SettingSort::Egress) {
            true => {
                "the app may reach no other server; `host egress add RULE` lets it\n".to_owned()
            }
            false => "nothing is set\n".to_owned(),
        };
    }
    let is_egress = kinds.contains(&SettingSort::Egress);
    let row = |it: &&SettingInfo| {
        let mut cells = vec![it.key.clone()];
        if !is_egress {
            cells.push(value(it));
        }
        cells.extend([ago(list.now_ms, it.at_ms), it.by.clone(), it.node.clone()]);
        (PLAIN, cells)
    };
    let header: &[&str] = match is_egress {
        true => &["RULE", "ADDED", "BY", "ON"],
        false => &["NAME", "VALUE", "SET", "BY", "ON"],
    };
    let mut text = table(header, settings.iter().map(row).collect());
    let hidden = settings
        .iter()
        .filter(|it| !is_egress && !is_environment_name(&it.key));
    let hidden: Vec<&str> = hidden.map(|it| &*it.key).collect();
    if !hidden.is_empty() {
        text += &format!(
            "by wasi:config only, and not in the environment: {}\n",
            hidden.join(", ")
        );
    }
    text
}

fn value(setting: &SettingInfo) -> String {
    match (&setting.value, &setting.fingerprint) {
        (_, Some(fingerprint)) => format!("(secret {fingerprint})"),
        (Some(value), None) => match value.char_indices().nth(VALUE_MAX) {
            Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
            None => value.clone(),
        },
        (None, None) => "(secret)".to_owned(),
    }
}

/// The newest changes of these kinds.
pub(in crate::commands) fn setting_history(list: &SettingList, kinds: &[SettingSort]) -> String {
    let changes = list.history.iter().filter(|it| kinds.contains(&it.kind));
    let rows = changes.map(|it| {
        let (style, done) = match (it.removed, it.kind) {
            (true, _) => (PAST, "unset"),
            (false, SettingSort::Secret) => (PLAIN, "set, secret"),
            (false, _) => (PLAIN, "set"),
        };
        let when = ago(list.now_ms, it.at_ms);
        let cells = [
            when,
            it.key.clone(),
            done.to_owned(),
            it.by.clone(),
            it.node.clone(),
        ];
        (style, cells.into())
    });
    let rows: Vec<_> = rows.collect();
    match rows.is_empty() {
        true => "nothing was set yet\n".to_owned(),
        false => table(&["WHEN", "NAME", "WHAT", "BY", "ON"], rows),
    }
}
