//! Settings: what is set for the app, and what a request to change it says.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `GET /v1/apps/APP/settings`, and the answer to a change: what is set for the app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingList {
    /// [`API`](super::API).
    pub api: u32,
    /// The time on the node's clock.
    pub now_ms: u64,
    /// The node.
    pub node: String,
    /// The time that a change on this node would have now, by the hybrid clock, for a tool that signs
    /// it.
    pub next: u64,
    /// What is set, by kind and name.
    pub settings: Vec<SettingInfo>,
    /// The newest changes, the newest first.
    pub history: Vec<SettingInfo>,
}

/// What a setting is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingSort {
    /// A value that the app reads under this name.
    Config,
    /// The same, and its value is never shown.
    Secret,
    /// A rule that lets the app reach other servers.
    Egress,
    /// A schedule.
    Cron,
    /// One of a later version of the program.
    #[serde(other)]
    Other,
}

/// A setting, or a change of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingInfo {
    /// What it is about.
    pub kind: SettingSort,
    /// Its name; for egress the rule.
    pub key: String,
    /// Its value now. None for a secret, for a name that was removed, and for a value that another
    /// change has followed.
    pub value: Option<String>,
    /// What is shown of a secret in place of its value: equal for equal values, as long as the
    /// cluster has this cookie.
    pub fingerprint: Option<String>,
    /// Whether the name was removed.
    pub removed: bool,
    /// When it was changed, by the clock of the node on which it was.
    pub at_ms: u64,
    /// The node on which it was changed.
    pub node: String,
    /// Who changed it.
    pub by: String,
    /// Whether it has a signature.
    pub signed: bool,
}

/// `POST /v1/apps/APP/settings`: changes that are wanted. All hold, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsWanted {
    /// The changes, at most 256.
    pub changes: Vec<SettingWanted>,
    /// Who changes it, at most 64 bytes.
    pub by: String,
}

/// One change that is wanted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingWanted {
    /// What it is about.
    pub kind: SettingSort,
    /// The name; for egress the rule.
    pub key: String,
    /// The new value, empty for egress; null to remove the name.
    pub value: Option<String>,
}

/// Without the value, which may be a secret.
impl fmt::Debug for SettingWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SettingWanted({:?} {})", self.kind, self.key)
    }
}

/// `POST /v1/apps/APP/settings/records`: records that a tool has made and signed. All hold, or none.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingRecords {
    /// The records, in hex.
    pub records: Vec<String>,
}

/// Without the records, which may have secrets.
impl fmt::Debug for SettingRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SettingRecords({})", self.records.len())
    }
}
