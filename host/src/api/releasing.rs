//! Pushes and rollbacks: a request comes in, a release or a refusal goes out.

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::release::{
    Component, DeployKey, DraftError, Plan, Release, ReleaseKind, Request, RollbackTo, Unaccepted,
    What,
};
use cluster::{Digest, NodeId, NodeName};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use http::{Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::body::{Body, json, problem};
use super::service::{Asker, Limits};
use super::types::{
    self as api, API, Canaries, Code, Draft, Record, Released, RollbackWanted, Wanted,
};
use super::{NodeApi, Refused, describe, upload};

/// The largest body of a request that is no upload, in bytes.
const REQUEST_MAX: u64 = 16 * 1024;

/// How long to wait until a release that was just published is in the list.
const LISTED: Duration = Duration::from_secs(2);

/// Why nothing was released, and the release that this is about.
pub(super) struct Unreleased(Refused, Option<String>);

impl From<Refused> for Unreleased {
    fn from(refused: Refused) -> Unreleased {
        Unreleased(refused, None)
    }
}

impl Unreleased {
    fn answer(self) -> Response<Body> {
        problem(self.0, self.1)
    }
}

/// Reads the JSON body of a request.
pub(super) async fn read<T, B>(body: B, limits: Limits) -> Result<T, Refused>
where
    T: DeserializeOwned,
    B: http_body::Body<Data = Bytes> + Send + Unpin,
    B::Error: Display,
{
    read_up_to(body, REQUEST_MAX, limits).await
}

/// Like `read`, with another limit of the size.
pub(super) async fn read_up_to<T, B>(body: B, most: u64, limits: Limits) -> Result<T, Refused>
where
    T: DeserializeOwned,
    B: http_body::Body<Data = Bytes> + Send + Unpin,
    B::Error: Display,
{
    let mut bytes = Vec::new();
    upload::read(body, most, limits, |piece| bytes.extend_from_slice(piece)).await?;
    let bad = |error| {
        Refused::new(
            Code::BadRequest,
            format!("cannot read the request: {error}"),
        )
    };
    serde_json::from_slice(&bytes).map_err(bad)
}

/// Drafts a record. Nothing changes.
pub(super) async fn draft(node: &dyn NodeApi, wanted: Result<Wanted, Refused>) -> Response<Body> {
    let made = async {
        let wanted = wanted?;
        let upload = match (&wanted.component, &wanted.upload) {
            (Some(digest), Some(upload)) => Some(to_come(digest, upload)?),
            _ => None,
        };
        make(node, wanted, upload).await
    };
    match made.await {
        Ok(release) => json(
            StatusCode::OK,
            &Draft {
                api: API,
                record: HEXLOWER.encode(release.bytes()),
            },
        ),
        Err(unreleased) => unreleased.answer(),
    }
}

/// Makes a release.
pub(super) async fn release(
    node: &dyn NodeApi,
    from: Asker,
    wanted: Result<Wanted, Refused>,
) -> Response<Body> {
    let published = async {
        let release = make(node, wanted?, None).await?;
        publish(node, from, release).await
    };
    published.await.unwrap_or_else(Unreleased::answer)
}

/// Releases a record that was drafted before.
pub(super) async fn record(
    node: &dyn NodeApi,
    from: Asker,
    record: Result<Record, Refused>,
) -> Response<Body> {
    let published = async {
        let release = parse_record(record?.record.as_bytes())?;
        // If no node has the component, none can serve it.
        find(node, release.component().digest).await?;
        publish(node, from, release).await
    };
    published.await.unwrap_or_else(Unreleased::answer)
}

/// Parses a record in hex.
fn parse_record(hex: &[u8]) -> Result<Arc<Release>, Refused> {
    let bytes = HEXLOWER_PERMISSIVE.decode(hex);
    let bytes = bytes.map_err(|_| Refused::new(Code::BadRequest, "the record is no hex"))?;
    Release::read(&bytes).map_err(|error| Refused::new(Code::BadRelease, error))
}

/// Where a deploy key is set, an upload comes with the signed record of its release. It
/// is checked here, before anything of the component is read. Returns what the component
/// must be; none where no deploy key is set.
pub(super) fn authorize(
    node: &dyn NodeApi,
    from: Asker,
    record: Option<&[u8]>,
    digest: Digest,
) -> Result<Option<Component>, Refused> {
    if node.status().deploy_key.is_none() {
        return Ok(None);
    }
    let Some(record) = record else {
        tracing::warn!(
            "an upload from {from} is refused: it has no signed record, and a deploy key is set"
        );
        return Err(Refused::new(Code::Unsigned, DraftError::Unsigned));
    };
    let release = parse_record(record)?;
    check_key(node, from, &release).map_err(|unreleased| unreleased.0)?;
    let component = release.component();
    if release.kind() != ReleaseKind::Push || component.digest != digest {
        let why = format!(
            "the signed record does not push the component {digest}, but is a {} to {}",
            release.kind(),
            component.digest
        );
        return Err(Refused::new(Code::BadRelease, why));
    }
    Ok(Some(component))
}

/// What a component will be that is not uploaded yet.
fn to_come(digest: &str, upload: &api::ToUpload) -> Result<Component, Refused> {
    Ok(Component {
        digest: upload::parse(digest)?,
        size: upload.size,
        manifest: upload::parse(&upload.manifest)?,
    })
}

async fn find(node: &dyn NodeApi, digest: Digest) -> Result<Component, Refused> {
    node.find(digest).await?.ok_or_else(|| {
        let why = format!("the node does not have the component {digest}; upload it first");
        Refused::new(Code::NoComponent, why)
    })
}

/// Makes a release of a component that is stored here, or `upload`ed later.
async fn make(
    node: &dyn NodeApi,
    wanted: Wanted,
    upload: Option<Component>,
) -> Result<Arc<Release>, Unreleased> {
    let bad = |why: &str| Refused::new(Code::BadRequest, why);
    let expect = wanted.expect.as_deref().map(upload::parse).transpose()?;
    let members = node.nodes(None).await;
    if members.len() < wanted.min_nodes {
        let why = format!(
            "the node sees {} members, itself included, and at least {} are asked for",
            members.len(),
            wanted.min_nodes
        );
        return Err(Refused::new(Code::TooFewNodes, why).into());
    }
    let what = match (&wanted.component, &wanted.rollback) {
        (Some(digest), None) => What::Push {
            component: match upload {
                Some(component) => component,
                None => find(node, upload::parse(digest)?).await?,
            },
            plan: Plan {
                canaries: chosen(wanted.canaries, &members)?,
                bake_ms: wanted.bake_ms,
                drop_streams: wanted.drop_streams,
            },
        },
        (None, Some(_)) if wanted.canaries.is_some() => {
            return Err(bad("a rollback goes to all nodes at once: it has no canaries").into());
        }
        (None, Some(RollbackWanted::Previous)) => What::Rollback(RollbackTo::Previous),
        (None, Some(RollbackWanted::To(id))) => {
            let id = id.parse();
            let id = id.map_err(|error| Refused::new(Code::UnknownRelease, error))?;
            What::Rollback(RollbackTo::Release(id))
        }
        _ => return Err(bad("give either `component` or `rollback`").into()),
    };
    let request = Request {
        what,
        by: wanted.by,
        note: wanted.note,
        expect,
        again: wanted.again,
    };
    node.draft(request)
        .await?
        .map_err(|error| refused(error, &members))
}

/// The members with the lowest addresses, in the order of their ids.
fn chosen(
    canaries: Option<Canaries>,
    members: &[api::MemberStatus],
) -> Result<Vec<NodeId>, Refused> {
    let count = match canaries {
        None => return Ok(Vec::new()),
        Some(Canaries::Count(count)) => usize::try_from(count).unwrap_or(usize::MAX),
        Some(Canaries::Percent(percent @ 1..=100)) => {
            let percent = usize::try_from(percent).unwrap_or(100);
            (members.len() * percent).div_ceil(100)
        }
        Some(Canaries::Percent(_)) => 0,
    };
    if count == 0 {
        let why = "at least one node has to be a canary, and at most 100 percent of them";
        return Err(Refused::new(Code::BadRequest, why));
    }
    if count > members.len() {
        let why = format!(
            "{count} canaries are asked for, and there are {} members",
            members.len()
        );
        return Err(Refused::new(Code::TooFewNodes, why));
    }
    let names = members.iter().filter_map(|member| member.node.parse().ok());
    let mut ips: Vec<Ipv4Addr> = names.map(|name: NodeName| name.ip()).collect();
    ips.sort_unstable();
    ips.dedup();
    ips.truncate(count);
    let mut nodes: Vec<NodeId> = ips.into_iter().map(NodeId::of).collect();
    nodes.sort_unstable();
    Ok(nodes)
}

/// Turns an error into a refusal. `members` gives the names for the ids in the
/// error.
fn refused(error: DraftError, members: &[api::MemberStatus]) -> Unreleased {
    let code = match &error {
        DraftError::ClockAhead(_) => Code::ClockAhead,
        DraftError::Same(_) => Code::Same,
        DraftError::OtherPlan { .. } => Code::OtherPlan,
        DraftError::VotedDown(_) => Code::VotedDown,
        DraftError::Unexpected(_) => Code::Unexpected,
        DraftError::Unknown(_) => Code::UnknownRelease,
        DraftError::Ambiguous { .. } => Code::Ambiguous,
        DraftError::NothingBefore => Code::NothingBefore,
        DraftError::Unsigned => Code::Unsigned,
        DraftError::Release(_) => Code::BadRelease,
    };
    let about = match &error {
        DraftError::Same(id)
        | DraftError::VotedDown(id)
        | DraftError::OtherPlan { release: id, .. } => Some(describe::id(id)),
        _ => None,
    };
    let mut why = error.to_string();
    let names = members.iter().filter_map(|member| member.node.parse().ok());
    for name in names.map(|name: NodeName| (name.id(), name.ip())) {
        why = why.replace(&name.0.to_string(), &name.1.to_string());
    }
    Unreleased(Refused::new(code, why), about)
}

/// Checks the signature of a release, where a deploy key is set.
fn check_key(node: &dyn NodeApi, from: Asker, release: &Release) -> Result<(), Unreleased> {
    let deploy_key = node.status().deploy_key.and_then(|key| key.parse().ok());
    let Some(Err(why)) = deploy_key.map(|key: DeployKey| key.check(release)) else {
        return Ok(());
    };
    tracing::warn!(
        release = %release.id(),
        by = release.by(),
        "a release from {from} is refused where a deploy key is set: {why}",
    );
    Err(match why {
        Unaccepted::Unsigned => refused(DraftError::Unsigned, &[]),
        why => Refused::new(Code::Unsigned, format!("the release is not taken: {why}")).into(),
    })
}

async fn publish(
    node: &dyn NodeApi,
    from: Asker,
    release: Arc<Release>,
) -> Result<Response<Body>, Unreleased> {
    check_key(node, from, &release)?;
    let changed = node.changed();
    node.publish(release.clone()).await?;
    tracing::info!(
        release = %release.id(),
        digest = cluster::short(&release.component().digest.to_string()),
        by = release.by(),
        note = release.note(),
        "{} published from {from}",
        release.kind(),
    );
    let id = describe::id(&release.id());
    let release = listed(node, &id, changed).await.ok_or_else(|| {
        let why = "the release was published, and the node does not list it; its log may say why";
        Refused::new(Code::Other, why)
    })?;
    let released = Released { api: API, release };
    Ok(json(StatusCode::CREATED, &released))
}

/// Waits a little until the node lists a release.
pub(super) async fn listed(
    node: &dyn NodeApi,
    id: &str,
    mut changed: super::Later<'static, ()>,
) -> Option<api::ReleaseInfo> {
    let wait = async {
        loop {
            let mut releases = node.releases().into_iter();
            if let Some(release) = releases.find(|release| release.id == id) {
                return release;
            }
            changed.await;
            changed = node.changed();
        }
    };
    timeout(LISTED, wait).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node: &str) -> api::MemberStatus {
        api::MemberStatus {
            node: node.to_owned(),
            me: false,
            url: String::new(),
            boot: 1,
            since_ms: 1,
            digest: None,
            release: None,
            on_target: false,
            bake: None,
            answered: false,
            doing: None,
            failed: None,
            cookie: None,
        }
    }

    #[test]
    fn canaries_are_the_members_with_the_lowest_addresses() {
        let members = ["a@10.0.0.9", "a@10.0.0.2", "a@10.0.0.10"].map(member);
        let chosen = |canaries| chosen(Some(canaries), &members).map_err(|refused| refused.code);
        let ips = |ends: &[u8]| -> Vec<NodeId> {
            let ips = ends.iter().map(|&end| Ipv4Addr::new(10, 0, 0, end));
            let mut nodes: Vec<NodeId> = ips.map(NodeId::of).collect();
            nodes.sort_unstable();
            nodes
        };
        assert_eq!(chosen(Canaries::Count(2)), Ok(ips(&[2, 9])));
        assert_eq!(chosen(Canaries::Percent(1)), Ok(ips(&[2])));
        assert_eq!(chosen(Canaries::Percent(34)), Ok(ips(&[2, 9])));
        assert_eq!(chosen(Canaries::Percent(100)), Ok(ips(&[2, 9, 10])));
        assert_eq!(chosen(Canaries::Count(0)), Err(Code::BadRequest));
        assert_eq!(chosen(Canaries::Percent(101)), Err(Code::BadRequest));
        assert_eq!(chosen(Canaries::Count(4)), Err(Code::TooFewNodes));
    }
}
