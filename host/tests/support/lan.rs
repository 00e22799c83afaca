//! Nodes that share a cluster port on the loopback interface: their membership
//! and control channels are real, and whoever starts one says what it answers.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use cluster::{Digest, Keys, NodeName, Serving};
use mesh::control::{Refuse, Service};
use mesh::data_dir::DataDir;
use mesh::membership::{Membership, MembershipConfig};
use tokio::sync::watch;

use super::soon;

/// A cluster port that no other test uses.
pub(crate) struct Lan {
    pub(crate) port: u16,
    /// Keeps others away from the port; on an address that no node has.
    pub(crate) reserved: UdpSocket,
}

impl Lan {
    pub(crate) fn new() -> Lan {
        loop {
            let reserved = UdpSocket::bind("127.0.0.1:0").expect("a port");
            let port = reserved.local_addr().expect("bound").port();
            let ip = |n| Ipv4Addr::new(127, 0, 0, n);
            let free = (2..=9).all(|n| {
                TcpListener::bind((ip(n), port)).is_ok() && UdpSocket::bind((ip(n), port)).is_ok()
            });
            if free {
                return Lan { port, reserved };
            }
        }
    }

    /// The node 127.0.0.`last` in this folder, with this cookie, that only
    /// takes part in membership.
    pub(crate) fn settings(&self, last: u8, cookie: u8, folder: &Path) -> MembershipConfig {
        let ip = Ipv4Addr::new(127, 0, 0, last);
        MembershipConfig {
            name: name(last),
            url: cluster::HttpUrl::plain((ip, 8080)),
            cluster_port: self.port,
            allow: Vec::new(),
            join: Vec::new(),
            join_names: Vec::new(),
            keys: Keys::from_master(&[cookie; 32]),
            service: Arc::new(Refuse),
            data_dir: Arc::new(DataDir::open(folder).expect("opened")),
            releases_stored: None,
            settings_stored: None,
            app_config: cluster::ConfigLines::default(),
            data: cluster::data::DataStore::default(),
            deploy_key: None,
            serving: None,
            views: watch::Sender::default(),
            settings: watch::Sender::default(),
        }
    }

    /// Starts the node 127.0.0.`last` in this folder, serving this component and
    /// answering like this.
    pub(crate) fn start(
        &self,
        last: u8,
        folder: &Path,
        component: Option<Digest>,
        service: Arc<dyn Service>,
    ) -> Membership {
        Membership::start(MembershipConfig {
            serving: component.map(Serving::bootstrap),
            service,
            ..self.settings(last, 1, folder)
        })
        .expect("started")
    }
}

/// The name of the node 127.0.0.`last`.
pub(crate) fn name(last: u8) -> NodeName {
    NodeName::new("example", Ipv4Addr::new(127, 0, 0, last)).expect("a name")
}

/// Waits until a node lists exactly these.
pub(crate) async fn lists(node: &Membership, expected: &[u8]) {
    let mut views = node.views();
    let listed = views.wait_for(|view| {
        let members = view.members.iter();
        members
            .map(|member| member.name.ip().octets()[3])
            .eq(expected.iter().copied())
    });
    soon("all members to be listed", listed)
        .await
        .expect("it runs");
}
