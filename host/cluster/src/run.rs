//! One run of one node, as datagrams and gossip name it.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};

use crate::{Boot, NodeName};

/// One run of one node: who it is, and where it is reached. It travels whole,
/// so that whoever hears of a member can link to it and talk to it at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) name: NodeName,
    /// The UDP and TCP port of membership.
    pub(crate) port: u16,
    pub(crate) http: SocketAddrV4,
    pub(crate) boot: Boot,
    /// Drawn at the start of the process. It stays when the boot number is
    /// raised, so a node that came back is told from one that was started anew.
    pub(crate) process: u64,
}

impl Run {
    pub(crate) fn ip(&self) -> Ipv4Addr {
        self.name.ip()
    }

    pub(crate) fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip(), self.port)
    }
}

/// What it is reached by follows from which run it is.
impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        (self.ip(), self.boot, self.process) == (other.ip(), other.boot, other.process)
    }
}

impl Eq for Run {}
