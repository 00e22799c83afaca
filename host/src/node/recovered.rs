//! The second phase of a start: what an earlier run has stored, and the app
//! file.

use std::sync::Arc;

use bytes::Bytes;

use super::NodeError;
use super::claimed::{ClaimError, Claimed};
use super::config::NodeConfig;
use crate::app::crash_loop::CrashGuard;
use crate::app::first::First;
use cluster::data::DataStore;
use mesh::data::DataFile;
use mesh::membership;
use mesh::store::{Store, StoreLimits};

/// What is stored on this machine for the node.
pub(super) struct Recovered {
    /// The components.
    pub(super) store: Store,
    /// The stored records and votes of releases.
    pub(super) releases: Option<Bytes>,
    /// The stored records of settings.
    pub(super) settings: Option<Bytes>,
    /// The key-value data, with what was stored of it.
    pub(super) data: DataStore,
    /// Stores it. The node keeps it to its end.
    pub(super) data_file: Option<DataFile>,
    /// Knows what has killed earlier runs.
    pub(super) crash_guard: Arc<CrashGuard>,
    /// What the node can serve before it hears from others.
    pub(super) first: First,
}

impl Recovered {
    pub(super) fn read(config: &NodeConfig, claimed: &Claimed) -> Result<Recovered, NodeError> {
        let limits = StoreLimits {
            component: config.max_component,
            components: config.keep_components,
            ..StoreLimits::default()
        };
        let store = Store::open(claimed.data.clone(), limits)?;
        let releases = membership::stored_releases(&claimed.data).map_err(ClaimError::Data)?;
        let settings = membership::stored_settings(&claimed.data).map_err(ClaimError::Data)?;
        let (data, data_file) = DataFile::open(&claimed.data)?;
        let crash_guard = CrashGuard::read(claimed.data.clone());
        let first = First::read(
            config.app.as_deref(),
            config.max_component,
            config.deploy_key.clone(),
            releases.as_deref(),
            &claimed.name,
            &crash_guard,
        )?;
        Ok(Recovered {
            store,
            releases,
            settings,
            data,
            data_file: Some(data_file),
            crash_guard,
            first,
        })
    }
}
