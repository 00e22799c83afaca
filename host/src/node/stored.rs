//! The second phase of a start: what an earlier run has left, and the app file.

use bytes::Bytes;

use super::NodeError;
use super::config::Config;
use super::machine::{Machine, MachineError};
use crate::app::first::First;
use mesh::membership;
use mesh::store::{Store, StoreLimits};

/// What is on this machine for the node.
pub(super) struct Stored {
    /// The components.
    pub(super) store: Store,
    /// What is known of releases.
    pub(super) releases: Option<Bytes>,
    /// What can be served before other nodes are heard.
    pub(super) first: First,
}

impl Stored {
    pub(super) fn read(config: &Config, machine: &Machine) -> Result<Stored, NodeError> {
        let limits = StoreLimits {
            component: config.max_component,
            components: config.keep_components,
            ..StoreLimits::default()
        };
        let store = Store::open(machine.data.clone(), limits)?;
        let releases = membership::stored_releases(&machine.data).map_err(MachineError::Data)?;
        let first = First::read(
            config.app.as_deref(),
            config.max_component,
            config.deploy_key,
            releases.as_deref(),
            &machine.name,
        )?;
        Ok(Stored {
            store,
            releases,
            first,
        })
    }
}
