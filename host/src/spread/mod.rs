//! How an app gets from the members that have it to those that do not, in
//! chunks over the control channel. [`Holder`] gives what this node has, also
//! of an app that it has a part of; [`Fetcher`] gets what it lacks. Whom to ask
//! when is decided by [`cluster::fetch`], bytes are kept by the store.
//!
//! ```text
//! POST /app/DIGEST/manifest  nothing           -> 200, the SHA-256 of each chunk
//! POST /app/DIGEST/chunk     a bitmap: wanted  -> 200, index and bytes of one of them
//!                                              -> 204, this node has none of that
//!                                              -> 503, it sends as many as it may
//! ```

mod fetcher;
mod holder;

pub use fetcher::{Fetcher, SpreadError};
pub use holder::Holder;

/// The two things that are asked for of an app.
const MANIFEST: &str = "manifest";
const CHUNK: &str = "chunk";
