//! Key-value data: what a request for it says, and the answers.

use serde::{Deserialize, Serialize};

/// `GET /v1/apps/APP/data`: keys in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataList {
    /// [`API`](super::API).
    pub api: u32,
    /// The time on the node's clock.
    pub now_ms: u64,
    /// The node. What it has may be older than what another node has.
    pub node: String,
    /// The keys.
    pub entries: Vec<DataInfo>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataInfo {
    /// The bucket.
    pub bucket: String,
    /// The name in the bucket.
    pub key: String,
    /// How many bytes the value has.
    pub size: u64,
    /// The value, in base64; none if it was not asked for.
    pub value: Option<String>,
}

/// `POST /v1/apps/APP/data`: writes, which hold together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataWanted {
    /// The writes, in their order.
    pub writes: Vec<DataWriteWanted>,
}

/// A write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataWriteWanted {
    /// The bucket.
    pub bucket: String,
    /// The name in the bucket.
    pub key: String,
    /// The value in base64; none deletes the key.
    pub value: Option<String>,
}

/// The answer to writes: they hold on this node, and are told to the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataWritten {
    /// [`API`](super::API).
    pub api: u32,
    /// The time on the node's clock.
    pub now_ms: u64,
    /// The node.
    pub node: String,
    /// How many writes there were.
    pub writes: u64,
}
