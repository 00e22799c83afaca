//! The request path of a node in this process: slot, exchanges, server, and
//! the views and the stop that a node would give them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::{Boot, Member, NodeName, View};
use host::edge::{HttpLimits, Server};
use runtime::exchange::{BodyLimits, Exchanges, ExchangesConfig};
use runtime::generation::{DrainingGeneration, Generation, Slot};
use runtime::views::Views;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::components::{self, Limits};
use super::{soon, until};

/// The nodes that views are made of; the first is the one under test.
pub(crate) const NAMES: [&str; 3] = [
    "example@127.0.0.1",
    "example@127.0.0.2",
    "example@127.0.0.3",
];

/// A name that is one.
pub(crate) fn name(text: &str) -> NodeName {
    text.parse().expect("a name")
}

/// The view of these nodes.
pub(crate) fn view(version: u64, names: &[&str]) -> View {
    let member = |text: &&str| {
        let name = name(text);
        let ip: Ipv4Addr = name.ip();
        Member {
            name,
            boot: Boot::from_number(1),
            url: cluster::HttpUrl::plain((ip, 8080)),
            since_ms: 1,
            serving: None,
            keys: None,
        }
    };
    View {
        version,
        members: names.iter().map(member).collect(),
    }
}

/// How a node is to be.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) http: HttpLimits,
    pub(crate) bodies: BodyLimits,
    pub(crate) config: &'static str,
    pub(crate) drain: Duration,
    pub(crate) listen: &'static str,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            limits: Limits::Usual,
            http: HttpLimits {
                half_closed: Duration::from_millis(100),
                ..HttpLimits::default()
            },
            bodies: BodyLimits::default(),
            config: "",
            drain: Duration::from_secs(30),
            listen: "127.0.0.1:0",
        }
    }
}

/// A request path that serves.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) exchanges: Arc<Exchanges>,
    pub(crate) slot: Arc<Slot>,
    /// What the log calls the app.
    pub(crate) release: Arc<str>,
    views: watch::Sender<Arc<View>>,
    stop: watch::Sender<bool>,
    server: Arc<Server>,
    serving: JoinHandle<()>,
}

impl Node {
    /// Serves the component of a package as a node does.
    pub(crate) async fn start(package: &str) -> Node {
        Node::with(package, Setup::default()).await
    }

    /// Serves the component of a package.
    pub(crate) async fn with(package: &str, setup: Setup) -> Node {
        Node::serve(&components::built(package), setup).await
    }

    /// Serves the component in a file.
    pub(crate) async fn serve(component: &Path, setup: Setup) -> Node {
        let generation = components::generation(setup.limits, component).await;
        Node::with_generation(generation, setup).await
    }

    /// Serves a generation.
    pub(crate) async fn with_generation(generation: Arc<Generation>, setup: Setup) -> Node {
        let release = generation.release().to_string().into();
        let slot = Slot::new(setup.drain);
        slot.permit().await.put(generation);
        Node::of(slot, release, setup).await
    }

    /// A node that has no app yet.
    pub(crate) async fn without_app() -> Node {
        let setup = Setup::default();
        Node::of(Slot::new(setup.drain), "none".into(), setup).await
    }

    async fn of(slot: Arc<Slot>, release: Arc<str>, setup: Setup) -> Node {
        let (views, seen) = watch::channel(Arc::new(view(1, &NAMES[..2])));
        let (stop, stopping) = watch::channel(false);
        let config = ExchangesConfig {
            config: Bytes::from_static(setup.config.as_bytes()),
            bodies: setup.bodies,
        };
        let exchanges = Exchanges::new(
            Views::new(seen, name(NAMES[0])),
            slot.clone(),
            stopping.clone(),
            config,
        );
        let server = Server::new(slot.clone(), exchanges.clone(), setup.http, stopping);
        let listener = TcpListener::bind(setup.listen).await.expect("a port");
        Node {
            address: listener.local_addr().expect("it is bound"),
            exchanges,
            slot,
            release,
            views,
            stop,
            serving: tokio::spawn(server.clone().run(listener)),
            server,
        }
    }

    /// Puts another app in, and says what drains.
    pub(crate) async fn swap(&self, generation: Arc<Generation>) -> DrainingGeneration {
        let permit = soon("room for another app", self.slot.permit()).await;
        permit.put(generation).expect("there was one before")
    }

    /// From now on the node sees this.
    pub(crate) fn see(&self, view: View) {
        self.views.send_replace(Arc::new(view));
    }

    /// The node begins to stop.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until a node that stops has closed its listener and its last connection.
    pub(crate) async fn stopped(self) {
        soon("the listener to close", self.serving)
            .await
            .expect("it does not panic");
        soon("the last connection to close", self.server.drained()).await;
    }

    /// Waits until no exchange is left.
    pub(crate) async fn idle(&self) {
        until("the last exchange to end", || self.exchanges.live() == 0).await;
    }
}
