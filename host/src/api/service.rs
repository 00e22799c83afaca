//! The API itself: turns a request into an answer, over whichever connection it
//! came.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::AppName;
use http::{Method, Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::{Body, json, problem};
use super::describe::now_ms;
use super::recent::Recent;
use super::types::{API, Code, Nodes, ReleaseList};
use super::{NodeApi, Refused, data, logs, progress, releasing, settings, upload};

/// How many answers may be streams at a time, and how many uploads may run.
const STREAMS_MAX: usize = 32;
const UPLOADS_MAX: usize = 2;

/// Limits that differ from program to program, or in tests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest component that is accepted, in bytes.
    pub component: u64,
    /// How long a caller may be silent in the middle of a request.
    pub silence: Duration,
    /// How often a silent stream says that it is still there.
    pub waiting: Duration,
    /// How long to wait for members that try again, once all others are done
    /// with a release.
    pub again: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            component: mesh::store::MAX_APP,
            silence: Duration::from_secs(30),
            waiting: Duration::from_secs(5),
            again: Duration::from_secs(5),
        }
    }
}

/// Who asks. It was checked before that they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A process of this machine, over the socket.
    Socket,
    /// Somebody who knows the cookie.
    Remote(Ipv4Addr),
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asker::Socket => f.write_str("this machine"),
            Asker::Remote(ip) => ip.fmt(f),
        }
    }
}

/// The API of one node. Cheap to clone.
#[derive(Clone)]
pub struct ApiService(Arc<Parts>);

struct Parts {
    node: Arc<dyn NodeApi>,
    log: Arc<Recent>,
    limits: Limits,
    streams: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
}

impl fmt::Debug for ApiService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiService").finish_non_exhaustive()
    }
}

/// What a request asks for, by its method and path.
enum Want<'a> {
    Status,
    Nodes,
    Releases,
    Log,
    Upload(&'a str),
    Find(&'a str),
    Draft,
    Release,
    Record,
    Settings,
    ChangeSettings,
    SettingRecords,
    Data,
    WriteData,
    Progress(&'a str),
}

impl ApiService {
    /// The API of this node, with this log.
    pub fn new(node: Arc<dyn NodeApi>, log: Arc<Recent>, limits: Limits) -> ApiService {
        ApiService(Arc::new(Parts {
            node,
            log,
            limits,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
        }))
    }

    /// Answers one request.
    pub async fn answer<B>(&self, from: Asker, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin,
        B::Error: fmt::Display,
    {
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default();
        let want = match Want::of(&head.method, head.uri.path()) {
            Ok(want) => want,
            Err(refused) => return problem(refused, None),
        };
        let Parts {
            node,
            log,
            limits,
            streams,
            uploads,
        } = &*self.0;
        let node = node.clone();
        let answered = match want {
            Want::Status => Ok(json(StatusCode::OK, &node.status())),
            Want::Nodes => Ok(json(
                StatusCode::OK,
                &Nodes {
                    api: API,
                    now_ms: now_ms(),
                    nodes: node.nodes(None).await,
                },
            )),
            Want::Releases => Ok(json(
                StatusCode::OK,
                &ReleaseList {
                    api: API,
                    now_ms: now_ms(),
                    releases: node.releases(),
                },
            )),
            Want::Settings => settings::list(&*node).await,
            Want::ChangeSettings => settings::change(&*node, from, body, *limits).await,
            Want::SettingRecords => settings::records(&*node, from, body, *limits).await,
            Want::Data => data::list(&*node, query),
            Want::WriteData => data::write(&*node, from, body, *limits).await,
            Want::Log => turn(streams).and_then(|turn| logs::answer(log, query, *limits, turn)),
            Want::Progress(id) => match turn(streams) {
                Ok(turn) => progress::answer(node, id, query, *limits, turn).await,
                Err(busy) => Err(busy),
            },
            Want::Upload(digest) => match turn(uploads) {
                Ok(_turn) => {
                    upload::store(&*node, from, digest, *limits, &head.headers, body).await
                }
                Err(busy) => Err(busy),
            },
            Want::Find(digest) => upload::find(&*node, digest).await,
            Want::Draft => {
                let wanted = releasing::read(body, *limits).await;
                return releasing::draft(&*node, wanted).await;
            }
            Want::Release => {
                let wanted = releasing::read(body, *limits).await;
                return releasing::release(&*node, from, wanted).await;
            }
            Want::Record => {
                let record = releasing::read(body, *limits).await;
                return releasing::record(&*node, from, record).await;
            }
        };
        answered.unwrap_or_else(|refused| problem(refused, None))
    }
}

impl<'a> Want<'a> {
    fn of(method: &Method, path: &'a str) -> Result<Want<'a>, Refused> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        if let ["v1", "apps", app, _, ..] = parts[..]
            && app != AppName::the_only().as_str()
        {
            let why = format!(
                "there is no app `{app}`; the only one is `{}`",
                AppName::the_only()
            );
            return Err(Refused::new(Code::NotFound, why));
        }
        let (want, takes) = match parts[..] {
            ["v1", "status"] => (Want::Status, Method::GET),
            ["v1", "nodes"] => (Want::Nodes, Method::GET),
            ["v1", "logs"] => (Want::Log, Method::GET),
            ["v1", "apps", _, "releases"] if method == Method::POST => {
                (Want::Release, Method::POST)
            }
            ["v1", "apps", _, "releases"] => (Want::Releases, Method::GET),
            ["v1", "apps", _, "releases", id, "progress"] => (Want::Progress(id), Method::GET),
            ["v1", "apps", _, "drafts"] => (Want::Draft, Method::POST),
            ["v1", "apps", _, "records"] => (Want::Record, Method::POST),
            ["v1", "apps", _, "settings"] if method == Method::POST => {
                (Want::ChangeSettings, Method::POST)
            }
            ["v1", "apps", _, "settings"] => (Want::Settings, Method::GET),
            ["v1", "apps", _, "settings", "records"] => (Want::SettingRecords, Method::POST),
            ["v1", "apps", _, "data"] if method == Method::POST => (Want::WriteData, Method::POST),
            ["v1", "apps", _, "data"] => (Want::Data, Method::GET),
            ["v1", "components", digest] if method == Method::PUT => {
                (Want::Upload(digest), Method::PUT)
            }
            ["v1", "components", digest] => (Want::Find(digest), Method::GET),
            _ => {
                let why = "there is nothing at this path; docs/api.md lists what there is";
                return Err(Refused::new(Code::NotFound, why));
            }
        };
        if *method == takes {
            return Ok(want);
        }
        let why = format!("this path takes {takes}, not {method}");
        Err(Refused::new(Code::BadMethod, why))
    }
}

fn turn(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refused> {
    of.clone().try_acquire_owned().map_err(|_| {
        let why = "too many ask this of the node at once; try again in a moment";
        Refused::new(Code::Busy, why)
    })
}
