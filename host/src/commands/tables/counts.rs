//! The lines of `host status` about what a node has counted: what goes well in
//! short, and of what was refused or lost only what there is.

use super::super::show::{BAD, BUSY, count, digest, styled};
use crate::api::types::{
    Callers, Datagrams, Publications, RefusedCallers, RefusedDatagrams, RefusedRecords, Status,
};

/// Tells each line by its name.
pub(super) fn lines(it: &Status, line: &mut impl FnMut(&str, String)) {
    line("datagrams", datagrams(&it.datagrams));
    line("callers", callers(&it.callers));
    line("published", publications(&it.publications));
    let wrong = it.fetches.wrong;
    if wrong > 0 {
        let times = count(
            usize::try_from(wrong).unwrap_or(usize::MAX),
            "time",
            "times",
        );
        line(
            "fetches",
            styled(BAD, format!("wrong bytes of an app from members, {times}")),
        );
    }
    let refused = records(&it.records);
    match &it.deploy_key {
        Some(key) => {
            let refused = refused.unwrap_or_else(|| "none refused".to_owned());
            let (cluster, public) = key.split_once(':').unwrap_or_default();
            let key = format!("{cluster}:{}", digest(public));
            line(
                "releases",
                format!("only those signed by deploy key {key}; {refused}"),
            );
        }
        None => {
            if let Some(refused) = refused {
                line("releases", refused);
            }
        }
    }
}

fn datagrams(it: &Datagrams) -> String {
    let RefusedDatagrams {
        size,
        version,
        source,
        cookie,
        address,
        receiver,
        replay,
        stale,
        content,
        unsigned,
        forged,
        old,
    } = it.refused_by;
    let refused = by_reason(
        it.refused,
        &[
            (cookie, "of another cookie"),
            (source, "from outside"),
            (address, "from another IP than that of the name"),
            (version, "of another version"),
            (size, "of a wrong size"),
            (content, "unreadable"),
            (receiver, "for another node"),
            (replay, "seen before"),
            (stale, "of an earlier run"),
            (unsigned, "with an unsigned release"),
            (forged, "with a forged release"),
            (old, "with an old release"),
        ],
    );
    let unsent = match it.unsent {
        0 => String::new(),
        unsent => styled(BAD, format!(", {unsent} not sent")),
    };
    format!("{} accepted, {refused}{unsent}", it.accepted)
}

fn callers(it: &Callers) -> String {
    let RefusedCallers {
        source,
        limit,
        handshake,
        hello,
        role,
        stalled,
    } = it.refused_by;
    let refused = by_reason(
        it.refused,
        &[
            (handshake, "without cookie or TLS, or too slow"),
            (source, "from outside"),
            (hello, "without a name of their IP"),
            (role, "asked for what is not theirs"),
            (limit, "too many at once"),
            (stalled, "did not take their answer"),
        ],
    );
    format!("{} admitted, {refused}", it.admitted)
}

fn publications(it: &Publications) -> String {
    let mut text = format!("{} sent, {} received", it.sent, it.received);
    for (number, what) in [
        (it.dropped, "dropped, members slow or unreachable"),
        (it.uncertain, "perhaps lost"),
        (it.stale, "came late or twice"),
        (it.unreadable, "unreadable"),
    ] {
        if number > 0 {
            text += &styled(BAD, format!(", {number} {what}"));
        }
    }
    text
}

/// The records that were refused; none if none were.
fn records(it: &RefusedRecords) -> Option<String> {
    let RefusedRecords {
        unreadable,
        unsigned,
        forged,
        old,
    } = *it;
    let refused = unreadable + unsigned + forged + old;
    (refused > 0).then(|| {
        by_reason(
            refused,
            &[
                (unsigned, "unsigned"),
                (forged, "forged"),
                (old, "old"),
                (unreadable, "unreadable"),
            ],
        )
    })
}

/// How many were refused, and of each reason how many, if any.
fn by_reason(refused: u64, reasons: &[(u64, &str)]) -> String {
    if refused == 0 {
        return "none refused".to_owned();
    }
    let told = reasons.iter().filter(|(number, _)| *number > 0);
    let told: Vec<String> = told
        .map(|(number, why)| format!("{number} {why}"))
        .collect();
    styled(BUSY, format!("{refused} refused ({})", told.join(", ")))
}
