//! A member that has the cookie, is none of ours, and tells the others of
//! releases that are none, or gives wrong bytes: real nodes with a deploy key
//! refuse it, count it, tell of it once, and go on as they were.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use cluster::release::{App, Plan, Release, Request, What};
use cluster::{Cookie, Digest, Keys, NodeName};
use host::control::{self, Answer, Peer, Refuse, Service};
use host::data_dir::DataDir;
use host::membership::{Membership, Settings};
use hyper::body::Incoming;
use lab::client;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::place::{BOUND, COOKIE, Node, Place, counter};

/// The liar's IP, and between two looks at what nothing tells of.
const LIAR: &str = "127.0.0.4";
const LOOK: Duration = Duration::from_millis(20);

/// The notes of the two releases that the deploy key has signed.
const FIRST: &str = "the first";
const SECOND: &str = "the second";

/// Two nodes that take only what a key has signed, and serve the second of two
/// releases that it has.
struct Scene {
    place: Place,
    public: String,
    nodes: [Node; 2],
}

impl Scene {
    fn new() -> Result<Scene> {
        let place = Place::new()?;
        let (key, public) = place.deploy_key()?;
        let start = |node: u8| Node::start(&place.launch(node).flag("--deploy-key", &public));
        let nodes = [start(2)?, start(3)?];
        nodes[0].says(&["member up"])?;
        nodes[1].says(&["member up"])?;
        for (version, note) in [(1, FIRST), (2, SECOND)] {
            let app = place.app("app.wasm", &counter(version))?;
            let push = ["push", &app, "--key", &key, "--note", note];
            ensure!(place.run(2, &push)?.code == Some(0));
        }
        Ok(Scene {
            place,
            public,
            nodes,
        })
    }

    fn json(&self, node: u8, what: &str) -> Result<Value> {
        let said = self.place.run(node, &[what, "--json"])?;
        ensure!(said.code == Some(0), "{said:?}");
        Ok(serde_json::from_str(&said.text)?)
    }

    /// All that must not change on either node: what it answers, what it is to
    /// serve, what is listed.
    fn known(&self) -> Result<Vec<Value>> {
        let mut known = Vec::new();
        for (node, number) in self.nodes.iter().zip(2..) {
            known.push(node.serves()?.into());
            known.push(self.json(number, "status")?["in_force"].clone());
            known.push(self.json(number, "releases")?["releases"].clone());
        }
        Ok(known)
    }

    /// Does something until either node has counted it.
    fn until_counted(&self, pointer: &str, mut act: impl FnMut() -> Result<()>) -> Result<()> {
        let began = Instant::now();
        loop {
            act()?;
            let mut counted = Vec::new();
            for node in [2, 3] {
                let status = self.json(node, "status")?;
                let number = status.pointer(pointer).and_then(Value::as_u64);
                counted.push(number.with_context(|| format!("no {pointer} in {status:#}"))?);
            }
            if counted.iter().all(|number| *number > 0) {
                return Ok(());
            }
            ensure!(began.elapsed() < BOUND, "{pointer}: {counted:?}");
            std::thread::sleep(LOOK);
        }
    }

    /// Lets a liar tell of what it makes up. Both nodes are to refuse that,
    /// count it as this and tell of it in these words, and nothing is to change.
    fn refuse(
        &self,
        counter: &str,
        words: &str,
        lie: impl FnOnce(&Liar) -> Result<Arc<Release>>,
    ) -> Result<()> {
        let known = self.known()?;
        let began = Instant::now();
        let liar = Liar::join(&self.place, Arc::new(Refuse), None)?;
        let lie = lie(&liar)?;
        self.until_counted(&format!("/records/{counter}"), || liar.tells(&lie))?;
        let reason = format!("/datagrams/refused_by/{counter}");
        self.until_counted(&reason, || Ok(()))?;
        for node in &self.nodes {
            node.says(&["datagrams refused", LIAR, words])?;
            let output = node.process.output();
            let lines = output.lines();
            let told = lines.filter(|line| line.contains("refused") && line.contains(LIAR));
            // Not of each datagram, but of all in a minute.
            let minutes = usize::try_from(began.elapsed().as_secs() / 60)?;
            ensure!(told.count() <= 1 + minutes, "{output}");
        }
        let status = self.place.run(2, &["status"])?;
        ensure!(
            status.text.contains(&format!(" {counter})")),
            "a person is not told: {status:?}"
        );
        let knows = self.known()?;
        ensure!(knows == known, "{known:#?}\nnow {knows:#?}");
        Ok(())
    }
}

/// A member with the right cookie and without the deploy key.
struct Liar {
    membership: Membership,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl Liar {
    fn join(place: &Place, service: Arc<dyn Service>, serves: Option<Digest>) -> Result<Liar> {
        let folder = tempfile::tempdir()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let ip: Ipv4Addr = LIAR.parse()?;
        let inside = runtime.enter();
        let membership = Membership::start(Settings {
            name: NodeName::new("example", ip)?,
            http: SocketAddrV4::new(ip, 8080),
            cluster_port: place.port(),
            allow: Vec::new(),
            join: Vec::new(),
            join_names: Vec::new(),
            keys: Keys::derive(&Cookie::parse(COOKIE.as_bytes())?)?,
            service,
            data_dir: Arc::new(DataDir::open(folder.path())?),
            releases_stored: None,
            deploy_key: None,
            release: serves,
            views: watch::Sender::default(),
        })?;
        drop(inside);
        Ok(Liar {
            membership,
            runtime,
            _folder: folder,
        })
    }

    /// Waits until it knows of the release with this note, as members do.
    fn knows(&self, note: &str) -> Result<Arc<Release>> {
        let mut known = self.membership.releases().overview();
        let find = async {
            let known = known.wait_for(|known| {
                let mut releases = known.releases.iter();
                releases.any(|listed| listed.release.note() == note)
            });
            let known = known.await.ok()?;
            let mut releases = known.releases.iter();
            let found = releases.find(|listed| listed.release.note() == note)?;
            Some(found.release.clone())
        };
        let find = async { tokio::time::timeout(BOUND, find).await };
        let found = self.runtime.block_on(find)?;
        found.context("its membership has ended")
    }

    /// Tells all members of this, as if it had been decided here.
    fn tells(&self, release: &Arc<Release>) -> Result<()> {
        let releases = self.membership.releases();
        Ok(self.runtime.block_on(releases.publish(release.clone()))?)
    }
}

#[test]
fn a_record_that_was_changed_after_it_was_signed_is_refused_and_changes_nothing() -> Result<()> {
    Scene::new()?.refuse("forged", "changed after it was signed", |liar| {
        let signed = liar.knows(SECOND)?;
        let mut bytes = signed.bytes().to_vec();
        let note = bytes.windows(SECOND.len());
        let note = note.into_iter().position(|part| part == SECOND.as_bytes());
        // Of two records of one release the lower stays: the liar takes it.
        bytes[note.context("the note")?] = b'T';
        let forged = Release::read(&bytes)?;
        ensure!(forged.note() == "The second" && forged.key() == signed.key());
        ensure!(forged.signature() == signed.signature());
        Ok(forged)
    })
}

#[test]
fn a_signed_record_of_another_app_is_refused_and_changes_nothing() -> Result<()> {
    Scene::new()?.refuse("forged", "changed after it was signed", |liar| {
        let signed = liar.knows(SECOND)?;
        let (mine, other) = (signed.app(), App::of(&counter(3)));
        let mut bytes = signed.bytes().to_vec();
        for (mine, other) in [(mine.digest, other.digest), (mine.manifest, other.manifest)] {
            let at = bytes.windows(32).position(|part| part == mine.as_bytes());
            let at = at.context("the digest")?;
            bytes[at..at + 32].copy_from_slice(other.as_bytes());
        }
        let forged = Release::read(&bytes)?;
        ensure!(forged.app().digest == other.digest);
        Ok(forged)
    })
}

#[test]
fn an_unsigned_record_is_refused_and_changes_nothing() -> Result<()> {
    Scene::new()?.refuse("unsigned", "not signed with the deploy key", |liar| {
        let request = Request {
            what: What::Push {
                app: App::of(&counter(3)),
                plan: Plan::default(),
            },
            by: "mallory".to_owned(),
            note: String::new(),
            expect: None,
        };
        // It follows the one in force, as it should.
        liar.knows(SECOND)?;
        let releases = liar.membership.releases();
        Ok(liar.runtime.block_on(releases.draft(request))??)
    })
}

#[test]
fn a_record_that_was_in_force_before_and_is_told_as_new_changes_nothing() -> Result<()> {
    Scene::new()?.refuse("old", "from before the one in force", |liar| {
        liar.knows(SECOND)?;
        let first = liar.knows(FIRST)?;
        ensure!(first.signature().is_some());
        Ok(first)
    })
}

/// Answers whoever asks for an app with bytes that are not of it.
struct WrongBytes;

impl Service for WrongBytes {
    fn call(&self, _: Peer, request: http::Request<Incoming>) -> Answer {
        let is_app = request.uri().path().starts_with(host::spread::APPS);
        Box::pin(async move {
            match is_app {
                true => control::answer(Bytes::from_static(&[7; 32])),
                false => control::refusal(http::StatusCode::NOT_FOUND, "not here"),
            }
        })
    }
}

#[test]
fn wrong_bytes_of_an_app_are_refused_and_the_right_ones_serve_once_somebody_has_them() -> Result<()>
{
    let Scene {
        place,
        public,
        nodes,
    } = Scene::new()?;
    let digest = Digest::of(&counter(2));
    let liar = Liar::join(&place, Arc::new(WrongBytes), Some(digest))?;
    liar.knows(SECOND)?;
    for node in nodes {
        node.kill()?;
    }
    // A new node, for which the liar is the only one to ask.
    let new = Node::start(&place.launch(5).flag("--deploy-key", &public))?;
    new.says(&[LIAR, "wrong bytes of an app"])?;
    ensure!(client::get(&new.url("/"), BOUND)?.status == 503);
    let status = place.run(5, &["status", "--json"])?;
    let status: Value = serde_json::from_str(&status.text)?;
    ensure!(status["fetches"]["wrong"] == 1, "{status:#}");
    ensure!(status["store"]["apps"] == 0, "{status:#}");
    let honest = Node::start(&place.launch(2).flag("--deploy-key", &public))?;
    new.comes_to_serve("v2")?;
    ensure!(honest.serves()? == "v2");
    let output = new.process.output();
    ensure!(
        output.matches("wrong bytes of an app").count() == 1,
        "{output}"
    );
    drop(liar);
    Ok(())
}
