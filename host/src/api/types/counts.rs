//! What a node has counted since its start: what came in, what was refused and
//! why, and what was lost. Each count is declared where it is counted.

pub use cluster::{RefusedDatagrams, RefusedRecords};
pub use mesh::control::{Callers, RefusedCallers};
pub use mesh::counts::{Fetches, Publications};
pub use runtime::capacity::TurnedAway;
pub use runtime::generation::Left;
use serde::{Deserialize, Serialize};

/// Lines of the log of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLines {
    /// Not written on standard error, because it was not read in time, or is closed.
    pub lost: u64,
}

/// Datagrams that came in, by what happened to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagrams {
    /// Accepted.
    pub accepted: u64,
    /// From nodes that had not proven that they are live.
    pub probation: u64,
    /// Refused, for any reason.
    pub refused: u64,
    /// The refused datagrams by reason.
    #[serde(default)]
    pub refused_by: RefusedDatagrams,
    /// Not sent, because the system refused to send them.
    pub unsent: u64,
}
