//! A member with the right cookie and without the deploy key: its membership is
//! the host's own, in this process, on a machine of the LAN.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use cluster::release::Release;
use cluster::{Cookie, Digest, Keys, NodeName, Serving};
use hyper::body::Incoming;
use lab::{Lan, Machine};
use mesh::control;
use mesh::control::{FutureAnswer, Peer, Service};
use mesh::data_dir::DataDir;
use mesh::membership::{Membership, MembershipConfig};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::scene::{BOUND, LIAR, PORT};

/// The threads of its runtime; those of membership have names of their own.
const THREAD: &str = "liar";

pub(crate) struct Liar {
    pub(crate) membership: Membership,
    pub(crate) runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl Liar {
    /// Joins the others on the LAN, on its machine.
    pub(crate) fn join(
        lan: &Lan,
        service: Arc<dyn Service>,
        serves: Option<Digest>,
    ) -> Result<Liar> {
        let machine = lan.machine(LIAR);
        let folder = tempfile::tempdir()?;
        let settings = MembershipConfig {
            name: NodeName::new("example", machine.ip())?,
            url: cluster::HttpUrl::plain((machine.ip(), 8080)),
            cluster_port: PORT,
            allow: Vec::new(),
            join: Vec::new(),
            join_names: Vec::new(),
            keys: Keys::derive(&Cookie::parse(lab::lan::COOKIE.as_bytes())?)?,
            service,
            data_dir: Arc::new(DataDir::open(folder.path())?),
            releases_stored: None,
            settings_stored: None,
            app_config: cluster::ConfigLines::default(),
            data: cluster::data::DataStore::default(),
            deploy_key: None,
            serving: serves.map(Serving::bootstrap),
            views: watch::Sender::default(),
            settings: watch::Sender::default(),
        };
        // A thread is in the namespace of the one that starts it.
        let (membership, runtime) = machine.netns().run(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name(THREAD)
                .enable_all()
                .build()?;
            let inside = runtime.enter();
            let membership = Membership::start(settings)?;
            drop(inside);
            Ok((membership, runtime))
        })?;
        let liar = Liar {
            membership,
            runtime,
            _folder: folder,
        };
        liar.is_on(machine)?;
        Ok(liar)
    }

    /// Makes sure that whatever opens its sockets is on its machine.
    pub(crate) fn is_on(&self, machine: &Machine) -> Result<()> {
        for thread in [THREAD, "membership"] {
            let there = machine.netns().has_threads(thread)?;
            ensure!(there, "a thread `{thread}` is not on {}", machine.ip());
        }
        Ok(())
    }

    /// Waits until it knows of the release with this note, as members do.
    pub(crate) fn knows(&self, note: &str) -> Result<Arc<Release>> {
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
    pub(crate) fn tells(&self, release: &Arc<Release>) -> Result<()> {
        let releases = self.membership.releases();
        Ok(self.runtime.block_on(releases.publish(release.clone()))?)
    }
}

/// Answers whoever asks for an app with bytes that are not of it.
pub(crate) struct WrongBytes;

impl Service for WrongBytes {
    fn call(&self, _: Peer, request: http::Request<Incoming>) -> FutureAnswer {
        let is_app = request
            .uri()
            .path()
            .starts_with(mesh::control::routes::CHUNKS.path);
        Box::pin(async move {
            match is_app {
                true => control::answer(Bytes::from_static(&[7; 32])),
                false => control::refusal(http::StatusCode::NOT_FOUND, "not here"),
            }
        })
    }
}

/// A machine's end of the cluster.
pub(crate) fn at(number: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 10, 10, number), PORT)
}
