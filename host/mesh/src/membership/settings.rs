//! Settings for the rest of the host. What is set flows out on a watch channel. Requests go to
//! membership's thread, which alone owns the core.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::release::Hlc;
use cluster::{Setting, SettingChange, SettingError, Settings};
use tokio::sync::{mpsc, watch};

use super::releases::{CoreRequest, Stopping, ask};

/// What is set, for people.
#[derive(Debug)]
pub struct SettingsLook {
    /// What is set.
    pub settings: Arc<Settings>,
    /// The time that a change on this node would have now.
    pub next: Hlc,
    /// What shows of each secret, by its name: equal for equal values in one cluster.
    pub fingerprints: BTreeMap<String, String>,
}

/// Sees and changes settings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SettingsHandle {
    pub(super) wanted: mpsc::Sender<CoreRequest>,
    pub(super) set: watch::Receiver<Arc<Settings>>,
    pub(super) merged: watch::Receiver<bool>,
}

impl SettingsHandle {
    /// What is set, always the newest.
    pub fn now(&self) -> watch::Receiver<Arc<Settings>> {
        self.set.clone()
    }

    /// Waits until this node knows what the others know, or there seem to be no others. That takes
    /// ten seconds at most.
    pub async fn merged(&self) {
        // If membership has ended, nothing more is merged.
        let _ = self.merged.clone().wait_for(|merged| *merged).await;
    }

    /// What is set, for people.
    ///
    /// # Errors
    /// [`Stopping`] if the node ends.
    pub async fn look(&self) -> Result<SettingsLook, Stopping> {
        ask(&self.wanted, CoreRequest::LookAtSettings).await
    }

    /// Makes the records of some changes. Nothing changes before they are published.
    ///
    /// # Errors
    /// Says why they are refused; [`Stopping`] if the node ends.
    pub async fn draft(
        &self,
        changes: Vec<SettingChange>,
        by: String,
    ) -> Result<Result<Vec<Arc<Setting>>, SettingError>, Stopping> {
        let want = |answer| CoreRequest::DraftSettings(changes, by, answer);
        ask(&self.wanted, want).await
    }

    /// Takes in records, signed or not. When this returns, they are stored here, and the members
    /// were told.
    ///
    /// # Errors
    /// Says why they are refused; [`Stopping`] if the node ends.
    pub async fn publish(
        &self,
        records: Vec<Arc<Setting>>,
    ) -> Result<Result<(), SettingError>, Stopping> {
        let want = |answer| CoreRequest::PublishSettings(records, answer);
        ask(&self.wanted, want).await
    }
}
