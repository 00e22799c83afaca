//! The answers of a node as tables for people.

mod counts;
mod local;
mod settings;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::show::{
    BAD, BUSY, GOOD, PAST, PLAIN, ago, count, digest, id, lasted, size, styled, table, took,
};
use crate::api::types::{
    AppFileStatus, BakeRole, Doing, Failed, MemberCookie, MemberStatus, Nodes, ReleaseInfo,
    ReleaseKind, ReleaseList, ReleaseStatus, ServingStatus, Status, Step, Steps,
};

pub(super) use local::local;
pub(super) use settings::{setting_history, settings};

/// How many characters of a reason a table shows.
const REASON: usize = 60;

/// Stands for an empty cell.
const NONE: &str = "-";

/// `host status`.
pub(super) fn status(it: &Status) -> String {
    let now = it.now_ms;
    let mut text = format!(
        "{} serves {}, version {}, up {}, process {}\n",
        it.node,
        it.url,
        it.version,
        lasted(now.saturating_sub(it.started_ms)),
        it.pid,
    );
    let mut line = |name: &str, value: String| {
        // Writing to a string never fails.
        let _ = writeln!(text, "  {name:<10}{value}");
    };
    let members = count(it.members, "member", "members");
    line("cluster", format!("{members}, this one included"));
    match &it.serving {
        Some(serving) => {
            line("serves", what_serves(now, serving));
            let live = count(usize_of(serving.live), "live exchange", "live exchanges");
            line(
                "current",
                format!("generation {}, {live}", serving.generation),
            );
            if let Some(until) = serving.bakes_until_ms {
                let left = lasted(until.saturating_sub(now));
                let what = format!("for another {left}; `host releases` shows the votes");
                line("bakes", styled(BUSY, what));
            }
        }
        None => line("serves", styled(BAD, "nothing yet")),
    }
    if let Some(draining) = &it.draining {
        line(
            "draining",
            format!(
                "{} since {}: {} live{}",
                digest(&draining.digest),
                ago(now, draining.since_ms),
                draining.live,
                counts::all(draining.left.told()),
            ),
        );
    }
    if let Some(serving) = &it.serving {
        line("last swap", steps(&serving.steps));
    }
    if let Some(doing) = &it.doing {
        let of = of_release(doing.release.as_deref());
        let what = format!("{} {} {of}", busy(doing), digest(&doing.digest));
        line("now", styled(BUSY, what));
    }
    if let Some(failed) = &it.failed {
        line("failed", styled(BAD, failure(now, failed)));
    }
    line("target", target(it));
    if let Some(file) = &it.file {
        line("app file", app_file(file));
    }
    line("store", store(it));
    counts::lines(it, &mut line);
    text
}

fn what_serves(now: u64, serving: &ServingStatus) -> String {
    format!(
        "{} {}, {}, {}, since {}",
        styled(GOOD, digest(&serving.digest)),
        of_release(serving.release.as_deref()),
        size(serving.size),
        serving.handler,
        ago(now, serving.since_ms),
    )
}

fn target(it: &Status) -> String {
    let Some(target) = &it.target else {
        return "nothing was released yet".to_owned();
    };
    let mut what = format!(
        "release {}, {}",
        id(&target.release),
        digest(&target.digest)
    );
    if target.head != target.release {
        let head = (id(&target.head), release_status(target.head_status));
        let _ = write!(what, "; the newest one {} is {}", head.0, head.1);
    }
    what
}

fn app_file(file: &AppFileStatus) -> String {
    match (&file.digest, file.differs) {
        (Some(found), true) => {
            let what = format!(
                "{} has {}, which is not what serves",
                file.path,
                digest(found)
            );
            styled(BUSY, what)
        }
        (Some(_), false) => format!("{} is what serves", file.path),
        (None, _) => styled(BAD, format!("{} cannot be read", file.path)),
    }
}

fn store(it: &Status) -> String {
    let components = count(usize_of(it.store.components), "component", "components");
    let mut text = format!("{components}, {}", size(it.store.bytes));
    if it.store.quarantined > 0 {
        let damaged = format!(", {} damaged and put aside", it.store.quarantined);
        text += &styled(BAD, damaged);
    }
    text
}

fn steps(steps: &Steps) -> String {
    let known = [
        ("seen", steps.seen_us),
        ("fetched", steps.fetched_us),
        ("waited", Some(steps.waited_us).filter(|us| *us > 0)),
        ("compiled", Some(steps.compiled_us)),
        ("validated", Some(steps.validated_us)),
        ("swapped", Some(steps.swapped_us)),
        ("drained", steps.drained_us),
    ];
    let told = known
        .iter()
        .filter_map(|(name, us)| us.map(|us| format!("{name} {}", took(us))));
    told.collect::<Vec<_>>().join(", ")
}

fn of_release(release: Option<&str>) -> String {
    match release {
        Some(release) => format!("of release {}", id(release)),
        None => "of no release".to_owned(),
    }
}

/// What a node is busy with, in a few words.
pub(super) fn busy(doing: &Doing) -> String {
    match (doing.step, doing.have, doing.of) {
        (Step::Fetching, Some(have), Some(of)) => {
            format!("fetching {} of {}", size(have), size(of))
        }
        (Step::Fetching, _, _) => "fetching".to_owned(),
        (Step::WaitingForRoom, ..) => "waiting for an earlier app to drain".to_owned(),
        (Step::Compiling, ..) => "compiling".to_owned(),
        (Step::TryingAgain, ..) => "trying again".to_owned(),
    }
}

fn failure(now: u64, failed: &Failed) -> String {
    let again = if failed.again { "; it tries again" } else { "" };
    format!("{}: {}{again}", ago(now, failed.at_ms), failed.reason)
}

/// `host nodes`.
pub(super) fn nodes(it: &Nodes) -> String {
    let row = |member: &MemberStatus| {
        let (style, state) = match (&member.doing, &member.failed) {
            (Some(doing), _) => (BUSY, busy(doing)),
            (None, Some(failed)) => (BAD, cut(&failed.reason)),
            (None, None) if member.bake == Some(BakeRole::Canary) => (GOOD, "canary".to_owned()),
            (None, None) if member.bake == Some(BakeRole::Waits) => {
                (GOOD, "waiting for the canaries".to_owned())
            }
            (None, None) if member.on_target => (GOOD, "on target".to_owned()),
            (None, None) if member.digest.is_none() => (BUSY, "nothing served".to_owned()),
            (None, None) => (BUSY, "another app".to_owned()),
        };
        let me = if member.me { " *" } else { "" };
        let cookie = member.cookie.as_ref();
        let cells = vec![
            format!("{}{me}", member.node),
            member.url.clone(),
            ago(it.now_ms, member.since_ms),
            or_none(member.digest.as_deref().map(digest)),
            or_none(member.release.as_deref().map(id)),
            state,
            member.boot.to_string(),
            or_none(cookie.map(|cookie| &*cookie.sends)),
            or_none(cookie.and_then(|cookie| cookie.also.as_deref())),
        ];
        (style, cells)
    };
    let rows = it.nodes.iter().map(row).collect();
    let mut text = table(
        &[
            "NODE",
            "HTTP",
            "UP SINCE",
            "SERVES",
            "RELEASE",
            "STATE",
            "BOOT",
            "SENDS WITH",
            "ALSO ACCEPTS",
        ],
        rows,
    );
    for told in refused_cookies(&it.nodes) {
        text += &styled(BAD, told);
        text.push('\n');
    }
    text
}

/// A line for each cookie with which some members send, and which others do not
/// accept.
fn refused_cookies(members: &[MemberStatus]) -> Vec<String> {
    let known = || {
        members
            .iter()
            .filter_map(|it| Some((&*it.node, it.cookie.as_ref()?)))
    };
    let sent: BTreeSet<&str> = known().map(|(_, cookie)| &*cookie.sends).collect();
    let names = |of: &dyn Fn(&MemberCookie) -> bool| -> Vec<&str> {
        known()
            .filter(|(_, cookie)| of(cookie))
            .map(|(name, _)| name)
            .collect()
    };
    let line = |key: &str| {
        let refuse = names(&|it| it.sends != key && it.also.as_deref() != Some(key));
        let send = names(&|it| it.sends == key);
        (!refuse.is_empty()).then(|| {
            format!(
                "warning: cookie {key} is not accepted by {}; it is sent with by {}",
                refuse.join(", "),
                send.join(", ")
            )
        })
    };
    sent.into_iter().filter_map(line).collect()
}

/// `host releases`.
pub(super) fn releases(it: &ReleaseList, most: usize) -> String {
    if it.releases.is_empty() {
        return "nothing was released yet\n".to_owned();
    }
    let row = |release: &ReleaseInfo| {
        let style = match release.status {
            ReleaseStatus::Target => GOOD,
            ReleaseStatus::Baking => BUSY,
            ReleaseStatus::VotedDown | ReleaseStatus::RolledBack => BAD,
            ReleaseStatus::Superseded => PAST,
            ReleaseStatus::Earlier => PLAIN,
        };
        let who = match &*release.by {
            "" => release.node.clone(),
            by => format!("{by} on {}", release.node),
        };
        let cells = vec![
            id(&release.id).to_owned(),
            release_status(release.status).to_owned(),
            kind(release.kind).to_owned(),
            digest(&release.digest).to_owned(),
            size(release.size),
            ago(it.now_ms, release.at_ms),
            or_none(release.parent.as_deref().map(id)),
            votes(release),
            who,
            release.note.clone(),
        ];
        (style, cells)
    };
    let rows = it.releases.iter().take(most).map(row).collect();
    let mut text = table(
        &[
            "RELEASE", "STANDING", "KIND", "APP", "SIZE", "WHEN", "AFTER", "VOTES", "WHO", "NOTE",
        ],
        rows,
    );
    let more = it.releases.len().saturating_sub(most);
    if more > 0 {
        let _ = writeln!(
            text,
            "and {more} older ones: host releases -n {}",
            it.releases.len()
        );
    }
    text
}

/// The votes in short: how many for it and against it, and how many canaries
/// vote.
fn votes(release: &ReleaseInfo) -> String {
    let (ok, failed) = (release.votes_for.len(), release.votes_against.len());
    match (release.canaries.len(), ok, failed) {
        (0, 0, 0) => NONE.to_owned(),
        (0, ok, failed) => format!("+{ok} -{failed}"),
        (canaries, ok, failed) => format!("+{ok} -{failed}, {canaries} first"),
    }
}

/// What has become of a release, in words.
pub(super) fn release_status(status: ReleaseStatus) -> &'static str {
    match status {
        ReleaseStatus::Target => "target",
        ReleaseStatus::Baking => "baking",
        ReleaseStatus::VotedDown => "voted down",
        ReleaseStatus::RolledBack => "rolled back",
        ReleaseStatus::Superseded => "superseded",
        ReleaseStatus::Earlier => "earlier",
    }
}

fn kind(kind: ReleaseKind) -> &'static str {
    match kind {
        ReleaseKind::Bootstrap => "bootstrap",
        ReleaseKind::Push => "push",
        ReleaseKind::Rollback => "rollback",
    }
}

fn cut(reason: &str) -> String {
    match reason.char_indices().nth(REASON) {
        Some((at, _)) => format!("{}…", reason.get(..at).unwrap_or(reason)),
        None => reason.to_owned(),
    }
}

fn or_none(text: Option<&str>) -> String {
    text.unwrap_or(NONE).to_owned()
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "tables/tests.rs"]
mod tests;
