//! What a node has counted since its start: what came in, what it refused and
//! why, what was lost. Each count is declared where it is counted.

pub use cluster::{RefusedDatagrams, RefusedRecords};
pub use mesh::control::{Callers, RefusedCallers};
pub use mesh::counts::{Fetches, Publications};
pub use runtime::generation::Left;
use serde::{Deserialize, Serialize};

/// Datagrams that came in, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagrams {
    /// Accepted.
    pub accepted: u64,
    /// From nodes that had not proven to be live.
    pub probation: u64,
    /// Refused, for whatever reason.
    pub refused: u64,
    /// The same by reason.
    #[serde(default)]
    pub refused_by: RefusedDatagrams,
    /// Not sent, since the system did not take them.
    pub unsent: u64,
}
