//! The fourth phase of a start: clients can connect. They get answers once the node has joined and has
//! the settings of the others, because the app needs a view and its config.

use std::net::SocketAddr;
use std::sync::Arc;

use cluster::{HttpUrl, NodeName};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::NodeError;
use super::claimed;
use super::loaded::Loaded;
use crate::edge::{HttpLimits, Server};
use runtime::exchange::Exchanges;

/// The listener that clients can connect to.
pub(super) struct Listening {
    /// The address that other nodes link to.
    pub(super) url: HttpUrl,
    listener: TcpListener,
    server: Arc<Server>,
    exchanges: Arc<Exchanges>,
    stop: watch::Sender<bool>,
}

/// The server that answers clients.
pub(super) struct HttpServing {
    pub(super) url: HttpUrl,
    pub(super) accepting: JoinHandle<()>,
    pub(super) server: Arc<Server>,
    pub(super) exchanges: Arc<Exchanges>,
    /// When this becomes true, the listener closes, and exchanges are told.
    pub(super) stop: watch::Sender<bool>,
}

impl Listening {
    pub(super) fn listen(
        port: TcpSocket,
        address: SocketAddr,
        name: &NodeName,
        loaded: &Loaded,
    ) -> Result<Listening, NodeError> {
        let limits = HttpLimits {
            connections: claimed::connections(),
            ..HttpLimits::default()
        };
        let (app, stop) = (&loaded.app, loaded.stop.clone());
        let server = Server::new(
            app.slot.clone(),
            app.exchanges.clone(),
            limits,
            stop.subscribe(),
        );
        let listener = claimed::listen(port, address)?;
        let bound = listener.local_addr().unwrap_or(address);
        let link = claimed::link_address(bound, name);
        claimed::warn_of_link(link, name);
        Ok(Listening {
            url: HttpUrl::plain(link),
            listener,
            server,
            exchanges: app.exchanges.clone(),
            stop,
        })
    }

    /// Answers clients from now on.
    pub(super) fn serve(self) -> HttpServing {
        HttpServing {
            url: self.url,
            accepting: tokio::spawn(self.server.clone().run(self.listener)),
            server: self.server,
            exchanges: self.exchanges,
            stop: self.stop,
        }
    }
}
