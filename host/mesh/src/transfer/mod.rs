//! How a component gets from the members that have it to those that do not, in chunks over the
//! control channel. [`ChunkServer`] gives chunks of whole and of partly fetched components;
//! [`Fetcher`] gets what is missing. [`cluster::fetch`] decides which member to ask when, and
//! the store keeps the bytes.
//!
//! ```text
//! POST /component/DIGEST/manifest  nothing           -> 200, the SHA-256 of each chunk
//! POST /component/DIGEST/chunk     a bitmap: wanted  -> 200, index and bytes of one of them
//!                                                    -> 204, this node has none of that
//!                                                    -> 503, it sends as many as it may
//! ```

mod chunk_server;
mod fetcher;

pub use chunk_server::ChunkServer;
pub use fetcher::{Fetcher, TransferError};

/// The two things that members ask for.
const MANIFEST: &str = "manifest";
const CHUNK: &str = "chunk";
