//! The lines of `host status` about what a node has counted: first what went
//! well, then what was refused or lost, if anything was.

use super::super::show::{BAD, BUSY, count, digest, styled};
use crate::api::types::{Callers, Datagrams, Load, Publications, Status};

/// Gives each line with its name to `line`.
pub(super) fn lines(it: &Status, line: &mut impl FnMut(&str, String)) {
    line("load", load(&it.load));
    line("datagrams", datagrams(&it.datagrams));
    line("callers", callers(&it.callers));
    line("published", publications(&it.publications));
    for (number, what) in it.fetches.told().filter(|(number, _)| *number > 0) {
        let times = usize::try_from(number).unwrap_or(usize::MAX);
        let times = count(times, "time", "times");
        line("fetches", styled(BAD, format!("{what}, {times}")));
    }
    if it.log.lost > 0 {
        let lines = usize::try_from(it.log.lost).unwrap_or(usize::MAX);
        let lines = count(lines, "line", "lines");
        let lost = format!("{lines} lost: standard error was not read in time, or is closed");
        line("log", styled(BAD, lost));
    }
    let records: u64 = it.records.told().map(|(number, _)| number).sum();
    let refused = refused(records, it.records.told());
    match &it.deploy_key {
        Some(key) => {
            let (cluster, public) = key.split_once(':').unwrap_or_default();
            let key = format!("{cluster}:{}", digest(public));
            line(
                "releases",
                format!("only those signed by deploy key {key}; {refused}"),
            );
        }
        None if records > 0 => line("releases", refused),
        None => {}
    }
}

/// All of these counts, as the text of a line.
pub(super) fn all(told: impl Iterator<Item = (u64, &'static str)>) -> String {
    told.map(|(number, what)| format!(", {number} {what}"))
        .collect()
}

/// How much of the room is used, and whom there was no room for.
fn load(it: &Load) -> String {
    let [memory, memory_max] = [it.memory, it.memory_max].map(bytesize::ByteSize);
    let used = format!(
        "{} of {} requests, {} of {} streams, {memory} of {memory_max}",
        it.requests, it.requests_max, it.streams, it.streams_max,
    );
    let used = match it.idle {
        0 => used,
        idle => format!("{used}; {idle} idle instances"),
    };
    let turned_away: u64 = it.turned_away.told().map(|(number, _)| number).sum();
    match turned_away {
        0 => used,
        some => {
            let why = reasons(it.turned_away.told());
            used + &styled(BUSY, format!("; {some} turned away ({why})"))
        }
    }
}

fn datagrams(it: &Datagrams) -> String {
    let refused = refused(it.refused, it.refused_by.told());
    let unsent = match it.unsent {
        0 => String::new(),
        unsent => styled(BAD, format!(", {unsent} not sent")),
    };
    format!("{} accepted, {refused}{unsent}", it.accepted)
}

fn callers(it: &Callers) -> String {
    format!(
        "{} admitted, {}",
        it.admitted,
        refused(it.refused, it.refused_by.told())
    )
}

/// What went well, and what was lost if anything was.
fn publications(it: &Publications) -> String {
    let lost = it.told().skip(2).filter(|(number, _)| *number > 0);
    let lost = lost.map(|lost| styled(BAD, all(std::iter::once(lost))));
    all(it.told().take(2)).trim_start_matches(", ").to_owned() + &lost.collect::<String>()
}

/// How many were refused, and how many for each reason that occurred.
fn refused(all: u64, told: impl Iterator<Item = (u64, &'static str)>) -> String {
    if all == 0 {
        return "none refused".to_owned();
    }
    styled(BUSY, format!("{all} refused ({})", reasons(told)))
}

/// Each reason that occurred, with its number.
fn reasons(told: impl Iterator<Item = (u64, &'static str)>) -> String {
    let told = told.filter(|(number, _)| *number > 0);
    let told: Vec<String> = told
        .map(|(number, why)| format!("{number} {why}"))
        .collect();
    told.join(", ")
}
