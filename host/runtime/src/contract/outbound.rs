//! Outgoing requests of a `wasi:http` component: all are refused. A node gives
//! its guests no network. `wasi:http/outgoing-handler` is linked all the same,
//! so that components that import it can run.

use std::future::Future;
use std::sync::Arc;

use ::cluster::release::ReleaseId;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::output::GuestLog;

/// Refuses every outgoing request with `HTTP-request-denied`, and says so in the log.
#[derive(Debug)]
pub(super) struct NoOutbound {
    pub(super) log: Arc<GuestLog>,
    pub(super) release: ReleaseId,
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Result<(http::Response<WasiBody>, Io), Error>;

impl WasiHttpHooks for NoOutbound {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _transmitted: Io,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        // The path may have secrets in it.
        let uri = request.uri();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let destination = format!("{}://{authority}", uri.scheme_str().unwrap_or("http"));
        self.log.denial(self.release, &destination);
        Box::new(async { Err(Error::HttpRequestDenied) })
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        super::quota::BODY_CHUNK
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        super::quota::BODY_CHUNK
    }
}
