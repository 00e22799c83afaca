//! The members at one moment, as everything outside of membership sees them.

use std::net::SocketAddrV4;

use crate::{Boot, Digest, NodeName};

/// A node in the cluster as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `NAME@IP`.
    pub name: NodeName,
    /// The number of its present run.
    pub boot: Boot,
    /// Where it serves the app.
    pub http: SocketAddrV4,
    /// Since when this node has seen it up without a break, in milliseconds
    /// since 1970-01-01 UTC by this node's own clock.
    pub since_ms: u64,
    /// What it serves; none until it has been learnt.
    pub serving: Option<Digest>,
}

/// The members at one moment, this node included. Immutable: a change makes a
/// new view, with a greater version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Counts the changes that this node has seen since it started. It says
    /// nothing to other nodes.
    pub version: u64,
    /// Sorted by IP, then by name.
    pub members: Vec<Member>,
}

impl View {
    /// The member of this name, if it is up.
    pub fn member(&self, name: &NodeName) -> Option<&Member> {
        let at = self
            .members
            .binary_search_by(|member| member.name.cmp(name))
            .ok()?;
        self.members.get(at)
    }
}
