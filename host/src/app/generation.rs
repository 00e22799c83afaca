//! One loaded release: compiled, linked, checked, serving.

use std::sync::Arc;
use std::time::Duration;

use cluster::Digest;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::Runtime;
use crate::contract::{CallContext, ReleaseTag, simple::SimpleAppPre, streaming::StreamingAppPre};

/// What kind of app a component is, ready to be instantiated.
pub enum Kind {
    /// Exports `ace:raxx/simple-server`.
    Simple(SimpleAppPre<CallContext>),
    /// Exports `ace:raxx/server`.
    Streaming(StreamingAppPre<CallContext>),
    /// Exports `wasi:http/incoming-handler`.
    Plain(ProxyPre<CallContext>),
}

impl Kind {
    /// What the kind is called in the log.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Simple(_) => "ace:raxx/simple-server",
            Kind::Streaming(_) => "ace:raxx/server",
            Kind::Plain(_) => "wasi:http/incoming-handler",
        }
    }
}

/// A component that has been validated and can serve.
pub struct Generation {
    /// The engine and what callbacks share.
    pub runtime: Arc<Runtime>,
    /// What the component is.
    pub kind: Kind,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// How the contract and the log name it.
    pub release: ReleaseTag,
    /// The version of the state that its code writes.
    pub state_version: u32,
    /// The size of the component, in bytes.
    pub size: usize,
    /// How long it took to compile, or to load from the cache of compiled code.
    pub compiled_in: Duration,
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation")
            .field("kind", &self.kind.name())
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
