//! Follows a release until it is decided: what each member does about it, one line
//! for each change.
//!
//! [`Look`] is a pure function of what the node knows. The stream says how one
//! look differs from the one before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::NodeName;
use http::Response;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};

use super::body::{Body, Hung, LineWriter, lines};
use super::releasing::listed;
use super::service::Limits;
use super::types::{self as api, Code, NodeState, Outcome, Progress, ReleaseStatus, Step, Until};
use super::{NodeApi, Refused};

/// The shortest time between two looks; the time to add for each member, because
/// members are asked what they do; and the longest time.
const LOOK_LEAST: Duration = Duration::from_millis(25);
const LOOK_MEMBER: Duration = Duration::from_millis(1);
const LOOK_MOST: Duration = Duration::from_millis(250);

/// What a member does about a release.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    ip: Option<String>,
    state: NodeState,
    /// Whether it serves the release, and has yet to vote on it.
    bakes: bool,
    have: Option<u64>,
    of: Option<u64>,
    reason: Option<String>,
    /// Whether it cannot serve the release for a reason on its machine, and has
    /// got no further since.
    is_stuck: bool,
}

/// The state of a release at one moment.
#[derive(Debug, PartialEq, Eq)]
struct Look {
    status: ReleaseStatus,
    waits_for: Vec<String>,
    members: BTreeMap<String, Member>,
    /// The outcome, if the release is decided.
    done: Option<Done>,
    /// The outcome if the members that try again get no further; none while others
    /// still work on it.
    stuck: Option<Done>,
}

#[derive(Debug, PartialEq, Eq)]
struct Done {
    outcome: Outcome,
    failed: Vec<(String, Option<String>)>,
    instead: Option<api::ReleaseInfo>,
}

/// How long the query of a request wants to follow the release.
fn until(query: &str) -> Result<Until, Refused> {
    let asked = query.strip_prefix("until=").unwrap_or(query);
    let known = [Until::Served, Until::Verdict];
    let known = known.into_iter().find(|it| it.name() == asked);
    match known {
        Some(until) => Ok(until),
        None if query.is_empty() => Ok(Until::Served),
        None => {
            let why =
                format!("`{query}` is not to be understood; until=served and until=verdict are");
            Err(Refused::new(Code::BadRequest, why))
        }
    }
}

/// Answers with lines until the release is decided, or the caller goes away.
pub(super) async fn answer(
    node: Arc<dyn NodeApi>,
    id: &str,
    query: &str,
    limits: Limits,
    turn: OwnedSemaphorePermit,
) -> Result<Response<Body>, Refused> {
    let until = until(query)?;
    let changed = node.changed();
    if listed(&*node, id, changed).await.is_none() {
        let why = format!("there is no release {id}; give all 32 digits of its id");
        return Err(Refused::new(Code::UnknownRelease, why));
    }
    let (lines, answer) = lines();
    let id = id.to_owned();
    tokio::spawn(async move {
        // An error means that the caller has gone.
        let _ = write(lines, &*node, &id, until, limits).await;
        drop(turn);
    });
    Ok(answer)
}

async fn write(
    mut to: LineWriter,
    node: &dyn NodeApi,
    id: &str,
    until: Until,
    limits: Limits,
) -> Result<(), Hung> {
    let mut before: Option<Look> = None;
    let mut said = Instant::now();
    let mut stuck_since = None;
    loop {
        let began = Instant::now();
        let changed = node.changed();
        let members = node.nodes(Some(id)).await;
        let mut look = Look::at(id, until, &node.releases(), &members, before.as_ref());
        stuck_since = look.stuck.as_ref().and(stuck_since.or(Some(began)));
        // A restart or a cable may be enough to repair it, but a full disk stays
        // full.
        if stuck_since.is_some_and(|since| since.elapsed() >= limits.again) {
            look.done = look.done.or_else(|| look.stuck.take());
        }
        let news = look.news(before.as_ref());
        if !news.is_empty() {
            said = Instant::now();
        }
        for line in news {
            to.write(&line).await?;
        }
        if let Some(done) = look.done {
            let bakes = look.members.values().any(|member| member.bakes);
            let bakes_ms = bakes.then(|| bakes_ms(&node.status(), id)).flatten();
            let Done {
                outcome,
                failed,
                instead,
            } = done;
            return to
                .write(&Progress::Done {
                    outcome,
                    failed,
                    instead,
                    bakes_ms,
                })
                .await;
        }
        if said.elapsed() >= limits.waiting {
            said = Instant::now();
            to.write(&Progress::Waiting).await?;
        }
        before = Some(look);
        let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let least = LOOK_LEAST.max(LOOK_MEMBER.saturating_mul(count));
        let _ = timeout(LOOK_MOST.min(limits.waiting), changed).await;
        sleep(least.saturating_sub(began.elapsed())).await;
    }
}

/// For how long a node still bakes a release that it serves, in milliseconds.
fn bakes_ms(status: &api::Status, id: &str) -> Option<u64> {
    let serving = status.serving.as_ref()?;
    let is_it = serving.release.as_deref() == Some(id);
    let until = serving.bakes_until_ms.filter(|_| is_it)?;
    Some(until.saturating_sub(status.now_ms))
}

impl Look {
    /// `before`: the look before this one. From there comes what a member did that
    /// has not answered now.
    fn at(
        id: &str,
        until: Until,
        releases: &[api::ReleaseInfo],
        members: &[api::MemberStatus],
        before: Option<&Look>,
    ) -> Look {
        let release = releases.iter().find(|release| release.id == id);
        // A release that is forgotten was followed by a thousand others.
        let status = release.map_or(ReleaseStatus::Earlier, |release| release.status);
        let doing = |member: &api::MemberStatus| {
            let does = does(member, id, release, status);
            let before = before.and_then(|before| before.members.get(&member.node));
            match before.filter(|_| does.state == NodeState::Waiting && !member.answered) {
                Some(before) if !is_over(before.state) => before.clone(),
                _ => does,
            }
        };
        let members: BTreeMap<String, Member> = members
            .iter()
            .map(|member| (member.node.clone(), doing(member)))
            .collect();
        let voted = |ip: &String| {
            release.is_some_and(|release| {
                release.votes_for.contains(ip) || release.votes_against.contains(ip)
            })
        };
        let canaries = release.map_or(&[][..], |release| &release.canaries);
        let waits_for = match status {
            ReleaseStatus::Baking => canaries.iter().filter(|ip| !voted(ip)).cloned().collect(),
            _ => Vec::new(),
        };
        let done = outcome(status, until, &members).map(|outcome| Done {
            outcome,
            failed: failed(release, &members, |it| it.state == NodeState::Failed),
            instead: releases
                .iter()
                // The greatest come first, and a release that bakes comes before
                // the target.
                .find(|other| {
                    let bakes = other.status == ReleaseStatus::Baking;
                    let is_ahead = bakes && outcome == Outcome::Superseded;
                    (is_ahead || other.status == ReleaseStatus::Target) && other.id != id
                })
                .filter(|_| status != ReleaseStatus::Target)
                .cloned(),
        });
        let is_stuck = status == ReleaseStatus::Target
            && done.is_none()
            && (until == Until::Served || !members.values().any(|it| it.bakes))
            && members.values().all(|it| it.is_stuck || is_over(it.state));
        let stuck = is_stuck.then(|| Done {
            outcome: Outcome::Failed,
            failed: failed(release, &members, |it| {
                it.is_stuck || it.state == NodeState::Failed
            }),
            instead: None,
        });
        Look {
            status,
            waits_for,
            members,
            done,
            stuck,
        }
    }

    /// The lines that say how this look differs from the one before.
    fn news(&self, before: Option<&Look>) -> Vec<Progress> {
        let mut news = Vec::new();
        let state = |look: &Look| (look.status, look.waits_for.clone());
        if before.map(state) != Some(state(self)) {
            news.push(Progress::Release {
                status: self.status,
                waits_for: self.waits_for.clone(),
            });
        }
        for (node, member) in &self.members {
            if before.and_then(|before| before.members.get(node)) != Some(member) {
                news.push(Progress::Node {
                    node: node.clone(),
                    state: member.state,
                    bakes: member.bakes,
                    have: member.have,
                    of: member.of,
                    reason: member.reason.clone(),
                });
            }
        }
        let were = before.into_iter().flat_map(|before| before.members.keys());
        let gone = were.filter(|node| !self.members.contains_key(*node));
        news.extend(gone.map(|node| Progress::Gone { node: node.clone() }));
        news
    }
}

fn does(
    member: &api::MemberStatus,
    id: &str,
    release: Option<&api::ReleaseInfo>,
    status: ReleaseStatus,
) -> Member {
    let ip = member.node.parse().ok();
    let ip = ip.map(|name: NodeName| name.ip().to_string());
    let about = |of: &Option<String>| of.as_deref() == Some(id);
    let failed = member.failed.as_ref().filter(|it| about(&it.release));
    let doing = member.doing.as_ref().filter(|it| about(&it.release));
    let is = |ips: &[String]| ip.as_ref().is_some_and(|ip| ips.contains(ip));
    let against = release.is_some_and(|release| is(&release.votes_against));
    let canary = release.is_none_or(|it| it.canaries.is_empty() || is(&it.canaries));
    let serves = release.is_some_and(|it| member.digest.as_ref() == Some(&it.digest));
    let state = if against || failed.is_some_and(|failed| !failed.again) {
        NodeState::Failed
    } else if serves {
        NodeState::Serving
    } else if let Some(doing) = doing {
        match doing.step {
            Step::Fetching => NodeState::Fetching,
            Step::WaitingForRoom => NodeState::WaitingForRoom,
            Step::Compiling => NodeState::Compiling,
            Step::TryingAgain => NodeState::TryingAgain,
        }
    } else if failed.is_some() {
        NodeState::TryingAgain
    } else if status == ReleaseStatus::Baking && !canary {
        NodeState::NotYet
    } else {
        NodeState::Waiting
    };
    let fetches = doing.filter(|_| state == NodeState::Fetching);
    let have = fetches.and_then(|doing| doing.have);
    // A member that begins to fetch again has got no further.
    let begins = state == NodeState::Fetching && have.unwrap_or(0) == 0;
    let is_stuck = failed.is_some() && (state == NodeState::TryingAgain || begins);
    let says_why = is_stuck || state == NodeState::Failed;
    let is_voted_on =
        |it: &api::ReleaseInfo| it.kind == api::ReleaseKind::Push && it.parent.is_some();
    let bakes = state == NodeState::Serving
        && release.is_some_and(|it| is_voted_on(it) && !is(&it.votes_for));
    Member {
        bakes,
        ip,
        state,
        have,
        of: fetches.and_then(|doing| doing.of),
        reason: failed
            .filter(|_| says_why)
            .map(|failed| failed.reason.clone()),
        is_stuck,
    }
}

/// The outcome; none while the release is not decided.
fn outcome(
    status: ReleaseStatus,
    until: Until,
    members: &BTreeMap<String, Member>,
) -> Option<Outcome> {
    match status {
        ReleaseStatus::Baking => None,
        ReleaseStatus::VotedDown | ReleaseStatus::RolledBack => Some(Outcome::Failed),
        ReleaseStatus::Superseded | ReleaseStatus::Earlier => Some(Outcome::Superseded),
        ReleaseStatus::Target if until == Until::Verdict && members.values().any(|it| it.bakes) => {
            None
        }
        ReleaseStatus::Target => {
            let all = |ends: fn(NodeState) -> bool| members.values().all(|it| ends(it.state));
            if all(|state| state == NodeState::Serving) {
                Some(Outcome::Served)
            } else {
                all(is_over).then_some(Outcome::Failed)
            }
        }
    }
}

/// Whether a member is done with a release.
fn is_over(state: NodeState) -> bool {
    matches!(state, NodeState::Serving | NodeState::Failed)
}

/// The members that could not serve it: those that voted against it, and those for
/// which `fails` is true.
fn failed(
    release: Option<&api::ReleaseInfo>,
    members: &BTreeMap<String, Member>,
    fails: impl Fn(&Member) -> bool,
) -> Vec<(String, Option<String>)> {
    let failing = members.iter().filter(|(_, it)| fails(it));
    let mut failed: Vec<_> = failing
        .map(|(node, member)| (node.clone(), member.reason.clone()))
        .collect();
    let against = release.map_or(&[][..], |release| &release.votes_against);
    for ip in against {
        if !members
            .values()
            .any(|member| member.ip.as_ref() == Some(ip))
        {
            failed.push((ip.clone(), None));
        }
    }
    failed
}

#[cfg(test)]
#[path = "progress/tests.rs"]
mod tests;
